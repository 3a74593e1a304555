"""The 3D residual network (paper Fig. 2).

Every operation that has a relevance rule is a module made in ``__init__``, the
residual addition too: a map is then explained by walking the modules, without
knowing this file.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import nn

from relevox.errors import InputError


class Addition(nn.Module):
    """The ``+`` of a residual block."""

    def forward(self, main: torch.Tensor, shortcut: torch.Tensor) -> torch.Tensor:
        """Return ``main + shortcut``."""
        return main + shortcut


class ResidualBlock(nn.Module):
    """Two 3x3x3 convolutions beside a 1x1x1 shortcut (paper Fig. 2, "Res block").

    No convolution has a bias: the BatchNorm behind it would remove it again.

    Parameters
    ----------
    channels_in, channels_out : int
        Kernels of the input and of the block (k in the figure).
    negative_slope : float
        Of the LeakyReLU.
    """

    def __init__(self, channels_in: int, channels_out: int, negative_slope: float = 0.01) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv3d(channels_in, channels_out, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm3d(channels_out),
            nn.LeakyReLU(negative_slope),
            nn.Conv3d(channels_out, channels_out, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm3d(channels_out),
        )
        self.shortcut = nn.Sequential(
            nn.Conv3d(channels_in, channels_out, kernel_size=1, bias=False),
            nn.BatchNorm3d(channels_out),
        )
        self.addition = Addition()
        self.activation = nn.LeakyReLU(negative_slope)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``(b, channels_in, x, y, z)`` to ``(b, channels_out, x, y, z)``."""
        return self.activation(self.addition(self.main(x), self.shortcut(x)))


class ResNet3d(nn.Module):
    """Residual blocks with a max-pool after each, a global max-pool and three 1x1x1 convolutions.

    Parameters
    ----------
    channels : int
        Images per scan; 0 is T1w, 1 is FLAIR.
    widths : sequence of int
        Kernels of the residual blocks.
    classes : int
        Number of logits.
    head_widths : pair of int
        Kernels of the first two convolutions of the head.
    negative_slope : float
        Of the LeakyReLU.

    Notes
    -----
    The softmax of the figure is left out: the loss takes logits, and
    :func:`relevox.learning.ensemble.predict` turns them into probabilities.
    At the paper's widths the network has 915,810 parameters.
    """

    def __init__(
        self,
        channels: int = 2,
        widths: Sequence[int] = (16, 32, 64, 128),
        classes: int = 2,
        head_widths: Sequence[int] = (128, 64),
        negative_slope: float = 0.01,
    ) -> None:
        super().__init__()
        self.channels = channels
        blocks: OrderedDict[str, nn.Module] = OrderedDict()
        for number, (before, after) in enumerate(zip((channels, *widths[:-1]), widths, strict=True), start=1):
            blocks[f"block{number}"] = ResidualBlock(before, after, negative_slope)
            blocks[f"pool{number}"] = nn.MaxPool3d(kernel_size=2)
        self.blocks = nn.Sequential(blocks)
        first, second = head_widths
        self.head = nn.Sequential(
            nn.AdaptiveMaxPool3d(1),
            nn.Conv3d(widths[-1], first, kernel_size=1),
            nn.ReLU(),
            nn.Conv3d(first, second, kernel_size=1),
            nn.ReLU(),
            nn.Conv3d(second, classes, kernel_size=1),
            nn.Flatten(),
        )
        self.smallest_edge = 2 ** len(widths)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map scans ``(b, channels, x, y, z)`` to logits ``(b, classes)``."""
        return self.head(self.features(x))

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Map scans to what the head pools, ``(b, widths[-1], x/16, y/16, z/16)``.

        Raises
        ------
        InputError
            When the shape does not fit: channels, dimensions, or an edge that
            the max-pools would shrink to nothing.
        """
        if x.ndim != 5 or x.shape[1] != self.channels or min(x.shape[2:]) < self.smallest_edge:
            raise InputError(
                f"expected (batch, {self.channels}, x, y, z) with edges of at least {self.smallest_edge} "
                f"voxels, but got {tuple(x.shape)}",
                code="input-shape",
            )
        for layer in self.blocks:
            x = _pool(layer, x) if isinstance(layer, nn.MaxPool3d) else layer(x)
        return x


def _pool(layer: nn.MaxPool3d, x: torch.Tensor) -> torch.Tensor:
    """Pool in the precision of the input: autocast would widen the largest arrays of all to float32 first."""
    with torch.autocast(x.device.type, enabled=False):
        return layer(x)


def count_parameters(network: nn.Module) -> int:
    """Count the trainable parameters.

    Examples
    --------
    >>> count_parameters(ResNet3d())
    915810
    """
    return sum(p.numel() for p in network.parameters() if p.requires_grad)
