"""What every attribution method returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch


@dataclass(frozen=True)
class Attribution:
    """Relevance of every input voxel for one class, for a batch of scans.

    ``start = total + sum of losses`` holds for every scan, to rounding: what
    was distributed is either in the map or its loss is named. Methods that
    distribute nothing (SmoothGrad, Grad-CAM) have a ``start`` of NaN.
    """

    relevance: torch.Tensor
    """``(b, c, x, y, z)``; per-channel maps, summed over the channels for display."""
    target: torch.Tensor
    """``(b,)`` explained class."""
    start: torch.Tensor
    """``(b,)`` float64: the value that was distributed over the voxels; NaN where none was."""
    method: str
    """A key of ``METHODS``."""
    rule: str
    """The rule and its options, in words."""
    losses: Mapping[str, torch.Tensor] = field(default_factory=dict)
    """``(b,)`` float64 per layer (dotted name) or step: relevance that did not reach the input."""
    signed: bool = False
    """Voxels may speak against the class; False: all values have one sign, that of ``start`` where there is one."""

    @property
    def convention(self) -> str:
        """What the sign of a value means, in words."""
        if self.signed:
            return "positive: speaks for the explained class; negative: against it"
        return "how much a voxel takes part in the answer; it cannot speak against the explained class"

    @property
    def colours(self) -> str:
        """Colour scale the map asks for: ``diverging`` around 0, or ``sequential`` from 0."""
        return "diverging" if self.signed else "sequential"

    @property
    def total(self) -> torch.Tensor:
        """Sum of each map, ``(b,)`` float64."""
        return scan_sums(self.relevance)


def scan_sums(values: torch.Tensor) -> torch.Tensor:
    """Sum ``(b, ...)`` over all but the first axis: voxels in their own precision, channels in float64."""
    values = values.detach()
    if values.ndim > 2:
        values = values.sum(dim=tuple(range(2, values.ndim)))  # pairwise: 1e-7 of the sum, and no copy
    return values.double().sum(dim=1)
