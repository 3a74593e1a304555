"""The network, its training and its answers: arrays in, arrays out."""

from relevox.learning.network import Addition, ResidualBlock, ResNet3d

__all__ = ["Addition", "ResNet3d", "ResidualBlock"]
