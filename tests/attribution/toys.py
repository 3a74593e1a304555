"""Small random networks of the paper's kind, and scans for them."""

import torch
from torch import nn


class Addition(nn.Module):
    def forward(self, a, b):
        return a + b


class Block(nn.Module):
    """A residual block of the paper's kind."""

    def __init__(self, before, after, by_operator=False):
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv3d(before, after, 3, padding=1, bias=False),
            nn.BatchNorm3d(after),
            nn.LeakyReLU(0.01),
            nn.Conv3d(after, after, 3, padding=1, bias=False),
            nn.BatchNorm3d(after),
        )
        self.shortcut = nn.Sequential(nn.Conv3d(before, after, 1, bias=False), nn.BatchNorm3d(after))
        self.addition = Addition()
        self.activation = nn.LeakyReLU(0.01)
        self.by_operator = by_operator

    def forward(self, x):
        a, b = self.main(x), self.shortcut(x)
        return self.activation(a + b if self.by_operator else self.addition(a, b))


def toy(seed=0, widths=(4, 6), by_operator=False, tail=()):
    """A random trained-looking network: no two channels alike, BatchNorm statistics away from 0 and 1."""
    torch.manual_seed(seed)
    layers = []
    for before, after in zip((2, *widths[:-1]), widths, strict=True):
        layers += [Block(before, after, by_operator), nn.MaxPool3d(2)]
    head = [nn.AdaptiveMaxPool3d(1), nn.Conv3d(widths[-1], 16, 1), nn.ReLU(), nn.Conv3d(16, 2, 1), nn.Flatten(), *tail]
    model = nn.Sequential(*layers, *head)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm3d):
            nn.init.normal_(module.weight, 1.0, 0.3)
            nn.init.normal_(module.bias, 0.0, 0.1)
            module.running_mean.normal_(0.0, 0.1)
            module.running_var.uniform_(0.5, 2.0)
    return model.eval()


def scans(n=2, edge=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(n, 2, edge, edge, edge, generator=generator)
    x[:, :, :2] = 0.0  # background
    return x
