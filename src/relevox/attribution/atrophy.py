"""What the atrophy of a region does to the answer: some of its tissue is lost, and nothing is painted over.

A lost millimetre of cortex is no bright spot. It moves edges, and the region's
brightness stays what it was. Methods that weigh voxels, or put the cohort's
mean in a region's place, see little of it. Here each region of the scan itself
loses and gains a little volume, by a flow made on the template or by fluid in
the place of some tissue, and the change of the margin per unit of volume is what
that region's atrophy is worth to the network; times the volume the patient has
lost, it is what it contributed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
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


def atrophy_slopes(
    model: nn.Module,
    x: torch.Tensor,
    pairs: Iterable[tuple[torch.Tensor, torch.Tensor]],
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
    pairs : iterable of (torch.Tensor, torch.Tensor)
        One a region: the scans after it has lost, and after it has gained, ``step`` of log volume, each of the
        shape of ``x`` (:func:`warp`, :func:`exchange_tissue`). Made when they are asked for.
    step : float
        Loss and gain of log volume.
    target : int or (b,) of int, optional
        Explained class; default: the predicted one.
    batch_size : int
        Scans that pass the network at once.
    precision : {"float32", "bfloat16"}
        Of the convolutions.

    Raises
    ------
    InputError
        When shapes do not fit.

    Notes
    -----
    ``slope = (margin(less) - margin(more)) / (2 step)``. What a change does
    beside its purpose, as interpolation blurs, it does to both, and it cancels.
    """
    x = check_input(x)
    with evaluating(model), torch.no_grad():
        logits = forward(model, x, precision)
        chosen = choose_target(logits, target)

        def margins(changed: torch.Tensor) -> torch.Tensor:
            changed = check_input(changed)
            if changed.shape != x.shape:
                raise InputError(
                    f"expected changed scans of shape {tuple(x.shape)}, but got {tuple(changed.shape)}",
                    code="changed-shape",
                )
            return torch.cat(
                [
                    class_margin(forward(model, part, precision), classes).double()
                    for part, classes in zip(changed.split(batch_size), chosen.split(batch_size), strict=True)
                ]
            )

        slopes = [(margins(less) - margins(more)) / (2 * step) for less, more in pairs]
        margin = class_margin(logits, chosen).double()
    return RegionSlopes(torch.stack(slopes, dim=1) if slopes else margin.new_zeros(len(x), 0), chosen, margin)


def exchange_tissue(
    x: torch.Tensor, share: torch.Tensor, tissue: torch.Tensor, fluid: torch.Tensor, loss: float
) -> torch.Tensor:
    """Put fluid in the place of some of a region's tissue, as partial volumes do on a grid coarser than the loss.

    Parameters
    ----------
    x : torch.Tensor
        ``(b, c, x, y, z)``.
    share : torch.Tensor
        ``(x, y, z)``: how much of each voxel is the region's tissue, from the template.
    tissue, fluid : torch.Tensor
        ``(b, c)``: what they look like in each scan (:func:`tissue_values`).
    loss : float
        Log volume that is lost; below 0 gained.
    """
    replaced = torch.as_tensor(share).to(x) * (1 - math.exp(-loss))  # (x, y, z)
    change = (fluid - tissue)[:, :, None, None, None].to(x) * replaced
    return torch.where(x != 0, x + change, x)  # the background stays background


def tissue_values(x: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """Return what a tissue looks like in each scan: the mean where the template is surest of it, ``(b, c)``.

    Parameters
    ----------
    x : torch.Tensor
        ``(b, c, x, y, z)``.
    share : torch.Tensor
        ``(x, y, z)`` of the tissue; voxels within a tenth of its maximum count.
    """
    share = torch.as_tensor(share).to(x)
    sure = (share >= 0.9 * share.max()) & (x != 0).any(dim=1, keepdim=True)  # (b, 1, x, y, z)
    total = (x * sure).sum(dim=(2, 3, 4))
    return total / sure.sum(dim=(2, 3, 4)).clamp(min=1)


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
