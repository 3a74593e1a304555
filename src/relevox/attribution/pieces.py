"""Arrays cut into pieces that fit a processor's cache: chains of simple operations then read memory once."""

from __future__ import annotations

from collections.abc import Iterator

import torch

PIECE = 1 << 15
"""Numbers in a piece: a handful of pieces fit the second cache of common processors."""


def pieces(*tensors: torch.Tensor) -> Iterator[tuple[torch.Tensor, ...]]:
    """Yield views that together cover the tensors, number by number.

    Large arrays of a processor that lie alike in memory are cut; others come
    whole. All must have the same shape.

    Examples
    --------
    >>> a, b = torch.arange(3.0), torch.ones(3)
    >>> [(x + y).tolist() for x, y in pieces(a, b)]
    [[1.0, 2.0, 3.0]]
    """
    first = tensors[0]
    formats = [torch.contiguous_format, *([torch.channels_last_3d] if first.ndim == 5 else [])]
    alike = any(all(t.is_contiguous(memory_format=f) for t in tensors) for f in formats)
    if first.device.type != "cpu" or not alike or first.numel() <= PIECE:
        yield tensors
        return
    flat = [t.as_strided((t.numel(),), (1,)) for t in tensors]
    for start in range(0, first.numel(), PIECE):
        yield tuple(t[start : start + PIECE] for t in flat)
