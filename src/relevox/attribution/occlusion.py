"""What the decision loses when a region is replaced by the cohort's mean (SPEC 6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from relevox.attribution.integrated_gradients import check_baseline
from relevox.attribution.output import check_input, choose_target, class_margin, evaluating, forward
from relevox.errors import InputError


@dataclass(frozen=True)
class RegionOcclusion:
    """Support of each region for the explained class."""

    delta: torch.Tensor
    """``(b, r)`` float64: margin of the scan minus its margin with the region replaced; > 0: supports the class."""
    regions: tuple[int, ...]
    """Label of each column."""
    target: torch.Tensor
    """``(b,)`` explained class."""
    margin: torch.Tensor
    """``(b,)`` float64: log odds of the explained class for the whole scan."""


def occlude_regions(
    model: nn.Module,
    x: torch.Tensor,
    labels: torch.Tensor,
    baseline: torch.Tensor,
    target: int | torch.Tensor | None = None,
    *,
    regions: Sequence[int] | None = None,
    batch_size: int = 16,
    precision: str = "float32",
) -> RegionOcclusion:
    """Replace one region at a time, in all channels, and measure the margin.

    Parameters
    ----------
    model : torch.nn.Module
        Returns ``(b, classes)``; runs in evaluation mode and is left as found.
    x : torch.Tensor
        Scans, ``(b, c, x, y, z)``.
    labels : torch.Tensor
        ``(x, y, z)`` of int: region of each voxel; 0 is no region.
    baseline : torch.Tensor
        ``(c, x, y, z)``: the replacement, in a cohort its mean.
    target : int or (b,) of int, optional
        Explained class; default: the predicted one.
    regions : sequence of int, optional
        Labels to occlude; default: all but 0. One without a voxel changes nothing.
    batch_size : int
        Occluded scans that pass the network at once.
    precision : {"float32", "bfloat16"}
        Of the convolutions.

    Raises
    ------
    InputError
        When shapes do not fit.
    """
    x = check_input(x)
    baseline = check_baseline(x, baseline)
    labels = torch.as_tensor(labels, device=x.device)
    if labels.shape != x.shape[2:]:
        raise InputError(
            f"expected labels of shape {tuple(x.shape[2:])}, but got {tuple(labels.shape)}", code="labels-shape"
        )
    if regions is None:
        regions = [int(label) for label in torch.unique(labels) if label != 0]
    numbers = torch.tensor(list(regions), device=x.device, dtype=labels.dtype)
    with evaluating(model), torch.no_grad():
        logits = forward(model, x, precision)
        chosen = choose_target(logits, target)
        margin = class_margin(logits, chosen).double()
        occluded = []
        for pairs in torch.arange(len(x) * len(numbers), device=x.device).split(batch_size):
            scan = pairs // len(numbers)
            inside = labels == numbers[pairs % len(numbers)].reshape(-1, *[1] * labels.ndim)  # (pairs, x, y, z)
            replaced = torch.where(inside[:, None], baseline[scan], x[scan])
            occluded.append(class_margin(forward(model, replaced, precision), chosen[scan]).double())
    without = torch.cat(occluded).reshape(len(x), len(numbers)) if occluded else margin.new_zeros(len(x), 0)
    return RegionOcclusion(margin[:, None] - without, tuple(int(r) for r in regions), chosen, margin)
