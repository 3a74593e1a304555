"""What the decision loses when a region is replaced by the cohort's mean (SPEC 6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from relevox.attribution.integrated_gradients import check_baseline
from relevox.attribution.output import check_input, choose_target, class_margin, evaluating, forward
from relevox.attribution.result import Attribution, scan_sums
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


def occlusion(
    model: nn.Module,
    x: torch.Tensor,
    target: int | torch.Tensor | None = None,
    *,
    labels: torch.Tensor | None = None,
    baseline: torch.Tensor | None = None,
    batch_size: int | None = None,
    precision: str = "float32",
) -> Attribution:
    """Paint what each region supports evenly over its voxels and channels: occlusion as a map.

    Parameters
    ----------
    model, x, target, precision
        As for :func:`occlude_regions`.
    labels : torch.Tensor, optional
        ``(x, y, z)`` of int; 0 is no region. Default: cubes, about eight along the longest axis.
    baseline : torch.Tensor, optional
        ``(c, x, y, z)``: the replacement, in a cohort best its mean. Default: zeros.
    batch_size : int, optional
        Occluded scans that pass the network at once; default: as many as there are scans.

    Returns
    -------
    Attribution
        ``start`` is the margin of the scan minus its margin with all regions replaced;
        ``losses["interaction"]`` what regions only do together.
    """
    x = check_input(x)
    baseline = check_baseline(x, baseline)
    labels = cubes(x.shape[2:]) if labels is None else torch.as_tensor(labels)
    labels = labels.to(x.device)
    found = occlude_regions(model, x, labels, baseline, target, batch_size=batch_size or len(x), precision=precision)
    with evaluating(model), torch.no_grad():
        bare = forward(model, torch.where(labels != 0, baseline, x), precision)
    start = found.margin - class_margin(bare, found.target).double()
    relevance = torch.zeros_like(x)
    for region, delta in zip(found.regions, found.delta.T, strict=True):
        inside = labels == region
        share = (delta / (inside.sum() * x.shape[1])).to(x)
        relevance += share.reshape(-1, *[1] * (x.ndim - 1)) * inside
    return Attribution(
        relevance=relevance.contiguous(),
        target=found.target,
        start=start,
        method="occlusion",
        rule=f"{len(found.regions)} regions, replaced by the baseline one at a time; explained: margin",
        losses={"interaction": start - scan_sums(relevance)},
        signed=True,
    )


def cubes(shape: Sequence[int]) -> torch.Tensor:
    """Label cubes from 1 on, about eight along the longest axis.

    Examples
    --------
    >>> cubes((2, 1, 1)).flatten().tolist()
    [1, 2]
    """
    edge = max(1, -(-max(shape) // 8))
    places = [torch.arange(n) // edge for n in shape]
    counts = [int(place[-1]) + 1 for place in places]
    labels = torch.ones(tuple(shape), dtype=torch.int32)
    for axis, place in enumerate(places):
        stride = int(torch.tensor(counts[axis + 1 :]).prod()) if counts[axis + 1 :] else 1
        labels += (place * stride).reshape(*[-1 if a == axis else 1 for a in range(len(shape))]).int()
    return labels
