"""What the atrophy of a region does to the answer: the scan is deformed, not painted over.

A lost millimetre of cortex is no bright spot. It moves edges, and the region's
brightness stays what it was. Methods that weigh voxels, or put the cohort's
mean in a region's place, see little of it. Here each region of the scan itself
loses and gains a little volume, by a flow made on the template, and the change
of the margin per unit of volume is what that region's atrophy is worth to the
network; times the volume the patient has lost, it is what it contributed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from relevox.attribution.output import check_input, choose_target, class_margin, evaluating, forward
from relevox.errors import InputError


@dataclass(frozen=True)
class RegionSlopes:
    """How the margin changes with the volume of each region."""

    slope: torch.Tensor
    """``(b, r)`` float64: change of the explained class's margin per unit of log volume *lost*."""
    target: torch.Tensor
    """``(b,)`` explained class."""
    margin: torch.Tensor
    """``(b,)`` float64: log odds of the explained class for the scan as it is."""

    def contribution(self, lost: torch.Tensor) -> torch.Tensor:
        """Return what each region's atrophy contributed to the margin.

        Parameters
        ----------
        lost : torch.Tensor
            ``(b, r)`` log volume the patient has lost against the cohort's mean; below 0 where it has more.
        """
        return self.slope * torch.as_tensor(lost).to(self.slope)


def deform_regions(
    model: nn.Module,
    x: torch.Tensor,
    shrunk: Sequence[torch.Tensor],
    grown: Sequence[torch.Tensor],
    step: float,
    target: int | torch.Tensor | None = None,
    *,
    batch_size: int = 16,
    precision: str = "float32",
) -> RegionSlopes:
    """Let one region at a time lose and gain volume, and measure the margin.

    Parameters
    ----------
    model : torch.nn.Module
        Returns ``(b, classes)``; runs in evaluation mode and is left as found.
    x : torch.Tensor
        Scans in template space, ``(b, c, x, y, z)``.
    shrunk, grown : sequence of torch.Tensor, (3, x, y, z)
        One a region: displacements in voxels by which it loses, and gains, ``step`` of log volume; the
        deformed scan is ``x(y + u(y))``.
    step : float
        Loss and gain of log volume.
    target : int or (b,) of int, optional
        Explained class; default: the predicted one.
    batch_size : int
        Deformed scans that pass the network at once.
    precision : {"float32", "bfloat16"}
        Of the convolutions.

    Raises
    ------
    InputError
        When shapes do not fit.

    Notes
    -----
    ``slope = (margin(shrunk) - margin(grown)) / (2 step)``. Interpolation blurs
    the shrunk and the grown scan alike, and so cancels.
    """
    x = check_input(x)
    if len(shrunk) != len(grown) or any(tuple(u.shape) != (3, *x.shape[2:]) for u in (*shrunk, *grown)):
        raise InputError(
            f"expected as many displacements of shape {(3, *x.shape[2:])} to shrink as to grow", code="warps-shape"
        )
    with evaluating(model), torch.no_grad():
        logits = forward(model, x, precision)
        chosen = choose_target(logits, target)

        def margins(u: torch.Tensor) -> torch.Tensor:
            return torch.cat(
                [
                    class_margin(forward(model, warp(part, u), precision), classes).double()
                    for part, classes in zip(x.split(batch_size), chosen.split(batch_size), strict=True)
                ]
            )

        slopes = [(margins(less) - margins(more)) / (2 * step) for less, more in zip(shrunk, grown, strict=True)]
        margin = class_margin(logits, chosen).double()
    return RegionSlopes(torch.stack(slopes, dim=1) if slopes else margin.new_zeros(len(x), 0), chosen, margin)


def warp(x: torch.Tensor, displacement: torch.Tensor) -> torch.Tensor:
    """Take scans at displaced positions: ``x(y + u(y))``, linear, edges repeated.

    Parameters
    ----------
    x : torch.Tensor
        ``(b, c, x, y, z)``.
    displacement : torch.Tensor
        ``(3, x, y, z)`` in voxels.
    """
    sizes = x.shape[2:]
    places = torch.meshgrid(*[torch.arange(n, device=x.device, dtype=x.dtype) for n in sizes], indexing="ij")
    displacement = torch.as_tensor(displacement).to(x)
    # grid_sample counts from -1 to 1 between the centres of the outer voxels, and its axes run backwards
    scaled = [(place + u) * (2 / max(1, n - 1)) - 1 for place, u, n in zip(places, displacement, sizes, strict=True)]
    grid = torch.stack(scaled[::-1], dim=-1).expand(len(x), *sizes, 3)
    return F.grid_sample(x.contiguous(), grid, mode="bilinear", padding_mode="border", align_corners=True)
