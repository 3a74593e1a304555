"""Max-pools: the winner of a window takes its relevance."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from relevox.attribution.layers import Layer, unsupported
from relevox.errors import InputError


class WinnerTakesAll(Layer):
    """Max-pool, windowed or adaptive: the largest voxel of each window takes its relevance.

    With a mask the winner is looked for inside it first; a window without a
    voxel inside keeps its own winner.
    """

    mask: torch.Tensor | None = None
    """``(b, 1, x, y, z)`` bool, of the input's size."""

    def keep(self, *inputs: torch.Tensor) -> None:
        """Remember the winners."""
        (x,) = inputs
        if self.module.return_indices:
            raise unsupported(self.name, self.module, "return_indices=True")
        self.shape = x.shape
        _, self.winners = _pool(self.module, x)
        if self.mask is not None:
            best, inside = _pool(self.module, x.masked_fill(~self.mask, -torch.inf))
            self.winners = torch.where(best > -torch.inf, inside, self.winners)

    def share(self, relevance: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Give each window's relevance to its winner; a voxel may win several windows."""
        batch, channels = self.shape[:2]
        # channels last, as the convolutions want them
        received = relevance.new_zeros(batch, self.shape[2:].numel(), channels)
        winners, values = (t.permute(0, 2, 3, 4, 1).reshape(batch, -1, channels) for t in (self.winners, relevance))
        received.scatter_add_(1, winners, values)
        return (received.reshape(batch, *self.shape[2:], channels).permute(0, 4, 1, 2, 3),)


class Mask:
    """A mask of the input, followed through the layers: a pooled voxel is inside when any of its window was."""

    def __init__(self, mask: torch.Tensor, x: torch.Tensor) -> None:
        mask = torch.as_tensor(mask, device=x.device)
        mask = mask[None] if mask.ndim == x.ndim - 2 else mask
        expected = tuple(x.shape[2:])
        if mask.ndim != x.ndim - 1 or tuple(mask.shape[1:]) != expected or len(mask) not in (1, len(x)):
            raise InputError(
                f"expected a mask {expected}, or one for each of {len(x)} scans, but got {tuple(mask.shape)}",
                code="pool-mask-shape",
            )
        self.of_size = {expected: (mask != 0)[:, None].expand(len(x), 1, *expected)}

    def at(self, x: torch.Tensor, name: str, module: nn.Module) -> torch.Tensor:
        """Return the mask that goes with a value, ``(b, 1, x, y, z)``."""
        size = tuple(x.shape[2:])
        if size not in self.of_size:
            raise unsupported(name, module, f"the mask of the max-pools cannot be followed to the size {size}")
        return self.of_size[size]

    def follow(self, module: nn.Module, x: torch.Tensor, output: torch.Tensor) -> None:
        """Pool the mask as a layer pooled its input, when the size is new."""
        size, before = tuple(output.shape[2:]), self.of_size.get(tuple(x.shape[2:]))
        if size in self.of_size or before is None:
            return
        inside = before.float()
        if isinstance(module, nn.MaxPool3d):
            pooled, _ = _pool(module, inside)
        elif isinstance(module, (nn.AdaptiveMaxPool3d, nn.AdaptiveAvgPool3d)):
            pooled = F.adaptive_max_pool3d(inside, size)
        elif isinstance(module, nn.AvgPool3d):
            pooled = F.max_pool3d(inside, module.kernel_size, module.stride, module.padding, 1, module.ceil_mode)
        elif isinstance(module, nn.Conv3d) and not isinstance(module.padding, str):
            ones = torch.ones(1, 1, *module.kernel_size).to(inside)
            pooled = F.conv3d(inside, ones, None, module.stride, module.padding, module.dilation)
        else:
            return
        self.of_size[size] = pooled > 0


def _pool(pool: nn.Module, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    if isinstance(pool, nn.AdaptiveMaxPool3d):
        return F.adaptive_max_pool3d(x, pool.output_size, return_indices=True)
    return F.max_pool3d(
        x, pool.kernel_size, pool.stride, pool.padding, pool.dilation, pool.ceil_mode, return_indices=True
    )
