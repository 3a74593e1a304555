"""Relevance shared through a convolution only at the units that carry some.

Behind a 2 x 2 x 2 max-pool that is one unit in eight, so that two sweeps over
the winners are cheaper than the convolutions over everything: one sums each
winner's products, the other hands out its relevance. On processors only; a
graphics card is faster at the dense convolutions.
"""

from __future__ import annotations

import warnings
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from relevox.attribution.linear import LinearMap
from relevox.attribution.rules import Rule
from relevox.compiled import compiled

with warnings.catch_warnings():
    # numba asks for the limits of numbers, once; in a process that flushes denormals (a training) numpy warns of it
    warnings.filterwarnings("ignore", "The value of the smallest subnormal")
    np.finfo(np.float32), np.finfo(np.float64)

DENSEST = 0.3
"""Share of units with relevance up to which the sweeps are taken; measured, they break even a little above."""


class Geometry(NamedTuple):
    """Sizes of a convolution whose arrays lie channels last."""

    size: tuple[int, int, int]
    """Voxels of the input along x, y, z."""
    size_out: tuple[int, int, int]
    """Voxels of the output."""
    channels: int
    """Of the input."""
    channels_out: int
    """Of the output."""
    kernel: tuple[int, int, int]
    """Voxels of the kernel."""
    stride: tuple[int, int, int]
    """Input voxels between neighbouring units."""
    padding: tuple[int, int, int]
    """Zeros before the input's first voxel."""


def possible(linear: LinearMap, x: torch.Tensor) -> bool:
    """Whether the sweeps can take this layer."""
    conv = linear.module
    return (
        isinstance(conv, nn.Conv3d)
        and conv.groups == 1
        and conv.dilation == (1, 1, 1)
        and not isinstance(conv.padding, str)
        and x.device.type == "cpu"
        and x.dtype in (torch.float32, torch.float64)
    )


def units_with(relevance: torch.Tensor) -> list[np.ndarray] | None:
    """Return each scan's units that carry relevance, as places in ``(x, y, z, o)``; None when there are too many."""
    found = []
    for units in relevance:
        places = np.empty(int(DENSEST * units.numel()) + 1, dtype=np.int64)
        n = _find(_channels_last(units).numpy().reshape(-1), places)
        if n == len(places):
            return None
        found.append(places[:n])
    return found


def share(
    linear: LinearMap,
    x: torch.Tensor,
    weight: torch.Tensor,
    relevance: torch.Tensor,
    places: list[np.ndarray],
    rule: Rule,
    bias: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return the relevance of the inputs, as :func:`relevox.attribution.linear.share` does.

    Parameters
    ----------
    linear : LinearMap
        A convolution, see :func:`possible`.
    x, weight : torch.Tensor
        ``(b, c, x, y, z)`` and ``(o, c, kx, ky, kz)``.
    relevance : torch.Tensor
        ``(b, o, x, y, z)``, mostly zeros.
    places : list of (n,) int64 arrays
        From :func:`units_with`.
    rule : Rule
        How a unit divides.
    bias : (o,) torch.Tensor, optional
        To be counted among the products.
    """
    conv = linear.module
    kernels = weight.permute(0, 2, 3, 4, 1).contiguous().numpy().reshape(-1)
    received = torch.zeros_like(x, memory_format=torch.channels_last_3d)
    geometry = Geometry(
        tuple(x.shape[2:]), tuple(relevance.shape[2:]), x.shape[1], relevance.shape[1],
        conv.kernel_size, conv.stride, conv.padding,
    )  # fmt: skip
    for scan, units, to, found in zip(x, relevance, received, places, strict=True):
        values, carried, taken = (_channels_last(t).numpy().reshape(-1) for t in (scan, units, to))
        positive, negative = np.empty((2, len(found)), dtype=values.dtype)
        _sum_products(values, kernels, found, geometry, positive, negative)
        positive, negative = torch.from_numpy(positive), torch.from_numpy(negative)
        if bias is not None:
            own = bias[torch.from_numpy(found % geometry.channels_out)].to(positive)
            positive, negative = positive + own.clamp(min=0), negative + own.clamp(max=0)
        if not rule.needs_parts:
            positive, negative = positive + negative, None
        s_plus, s_minus = rule.factors(positive, negative, torch.from_numpy(carried[found]))
        if not rule.needs_parts:
            s_minus = s_plus
        s_minus = torch.zeros_like(s_plus) if s_minus is None else s_minus
        _hand_out(values, kernels, found, geometry, s_plus.numpy(), s_minus.numpy(), taken)
    return received


def _channels_last(image: torch.Tensor) -> torch.Tensor:
    """View ``(c, x, y, z)`` as ``(x, y, z, c)``; copies only what lies otherwise."""
    return image.permute(1, 2, 3, 0).contiguous()


_loops = partial(compiled, fastmath={"nsz", "reassoc", "contract"})
"""Sums may be taken in any order; infinities and missing numbers keep their meaning."""


@_loops
def _find(values, places):
    """List where values are not 0, until the list is full; return how many there are."""
    n = 0
    for place in range(len(values)):
        if values[place] != 0:
            places[n] = place
            n += 1
            if n == len(places):
                break
    return n


@_loops
def _place(unit, g):
    """Return the output channel, and first voxel under the kernel, of a unit."""
    position, channel = divmod(unit, g.channels_out)
    position, k = divmod(position, g.size_out[2])
    i, j = divmod(position, g.size_out[1])
    return (
        channel,
        i * g.stride[0] - g.padding[0],
        j * g.stride[1] - g.padding[1],
        k * g.stride[2] - g.padding[2],
    )


@_loops
def _sum_products(x, weight, units, g, positive, negative):
    """Sum each unit's positive and negative products."""
    (kx, ky, kz), (nx, ny, nz), channels = g.kernel, g.size, g.channels
    zero = x.dtype.type(0)
    for n in range(len(units)):
        channel, i, j, k = _place(units[n], g)
        first, last = max(0, -k), min(kz, nz - k)
        up = down = zero
        for a in range(max(0, -i), min(kx, nx - i)):
            for b in range(max(0, -j), min(ky, ny - j)):
                # neighbours along z lie side by side, with all of their channels
                start = np.uint64((((i + a) * ny + j + b) * nz + k + first) * channels)
                kernel = np.uint64((((channel * kx + a) * ky + b) * kz + first) * channels)
                for m in range(np.uint64((last - first) * channels)):
                    product = x[start + m] * weight[kernel + m]
                    up += product if product > zero else zero
                    down += product if product < zero else zero
        positive[n], negative[n] = up, down


@_loops
def _hand_out(x, weight, units, g, s_plus, s_minus, received):
    """Add each unit's shares to its inputs."""
    (kx, ky, kz), (nx, ny, nz), channels = g.kernel, g.size, g.channels
    zero = x.dtype.type(0)
    for n in range(len(units)):
        channel, i, j, k = _place(units[n], g)
        first, last = max(0, -k), min(kz, nz - k)
        up, down = s_plus[n], s_minus[n]
        for a in range(max(0, -i), min(kx, nx - i)):
            for b in range(max(0, -j), min(ky, ny - j)):
                start = np.uint64((((i + a) * ny + j + b) * nz + k + first) * channels)
                kernel = np.uint64((((channel * kx + a) * ky + b) * kz + first) * channels)
                for m in range(np.uint64((last - first) * channels)):
                    product = x[start + m] * weight[kernel + m]
                    received[start + m] += product * (up if product > zero else down)
