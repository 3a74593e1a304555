"""Shapley values of regions: what each contributes on average, whatever others are there (Shapley 1953).

Occlusion asks what is lost when one region goes while all others stay. Two
regions that tell the same, as the lobes of one atrophy do, then cover for each
other and both seem worthless. Shapley values ask in all orders.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from relevox.attribution.integrated_gradients import check_baseline
from relevox.attribution.output import check_input, choose_target, class_margin, evaluating, forward
from relevox.errors import InputError, SettingsError


@dataclass(frozen=True)
class RegionShapley:
    """Share of each region in the margin of the explained class."""

    value: torch.Tensor
    """``(b, r)`` float64; a scan's sum is its margin minus that of the scan with all regions replaced."""
    standard_error: torch.Tensor
    """``(b, r)`` float64, over the pairs of orders; NaN with one pair."""
    regions: tuple[int, ...]
    """Label of each column."""
    target: torch.Tensor
    """``(b,)`` explained class."""


def region_shapley(
    model: nn.Module,
    x: torch.Tensor,
    labels: torch.Tensor,
    baseline: torch.Tensor,
    target: int | torch.Tensor | None = None,
    *,
    pairs: int = 4,
    seed: int = 0,
    batch_size: int = 16,
    precision: str = "float32",
) -> RegionShapley:
    """Estimate the Shapley values of the regions from random orders, each with its reverse.

    Parameters
    ----------
    model : torch.nn.Module
        Returns ``(b, classes)``; runs in evaluation mode and is left as found.
    x : torch.Tensor
        Scans, ``(b, c, x, y, z)``.
    labels : torch.Tensor
        ``(x, y, z)`` of int: region of each voxel; 0 is no region.
    baseline : torch.Tensor
        ``(c, x, y, z)``: what stands where a region is absent, in a cohort its mean.
    target : int or (b,) of int, optional
        Explained class; default: the predicted one.
    pairs : int
        Random orders; with their reverses ``2 pairs (r - 1) + 2`` passes a scan for r regions.
    seed : int
        Of the orders; the same for all scans.
    batch_size : int
        Scans that pass the network at once.
    precision : {"float32", "bfloat16"}
        Of the convolutions.

    Raises
    ------
    InputError
        When shapes do not fit.
    SettingsError
        For fewer than one pair.

    Notes
    -----
    Castro et al. 2009; an order and its reverse are antithetic, which halves
    the variance where regions replace each other (Mitchell et al. 2022, arXiv 2104.12199).
    """
    if pairs < 1:
        raise SettingsError(f"expected at least one pair of orders, but got {pairs}", code="shapley-pairs")
    x = check_input(x)
    baseline = check_baseline(x, baseline)
    labels = torch.as_tensor(labels, device=x.device)
    if labels.shape != x.shape[2:]:
        raise InputError(
            f"expected labels of shape {tuple(x.shape[2:])}, but got {tuple(labels.shape)}", code="labels-shape"
        )
    regions = [int(label) for label in torch.unique(labels) if label != 0]
    place = torch.full((int(labels.max()) + 1,), -1, device=x.device)
    place[torch.tensor(regions, device=x.device)] = torch.arange(len(regions), device=x.device)
    column = place[labels.long()]  # (x, y, z), -1 outside
    orders = _orders(len(regions), pairs, seed)
    coalitions, members = _coalitions(orders)  # (m, r) bool, and which of them each order passes
    with evaluating(model), torch.no_grad():
        chosen = choose_target(forward(model, x, precision), target)
        margins = [
            torch.cat(
                [
                    class_margin(
                        forward(model, _mixed(x[n], baseline[n], part, column), precision), c.expand(len(part))
                    )
                    for part in coalitions.to(x.device).split(batch_size)
                ]
            ).double()
            for n, c in enumerate(chosen)
        ]
    margin = torch.stack(margins)[:, members.to(x.device)]  # (b, orders, r + 1)
    gained = torch.empty(len(x), len(orders), len(regions), dtype=torch.float64, device=x.device)
    gained.scatter_(2, orders.to(x.device).expand(len(x), -1, -1), margin.diff(dim=2))
    of_pairs = gained.unflatten(1, (pairs, 2)).mean(dim=2)  # (b, pairs, r)
    error = of_pairs.std(dim=1) / pairs**0.5 if pairs > 1 else torch.full_like(of_pairs[:, 0], torch.nan)
    return RegionShapley(of_pairs.mean(dim=1), error, tuple(regions), chosen)


def _orders(n: int, pairs: int, seed: int) -> torch.Tensor:
    """Draw orders of n regions, each followed by its reverse, ``(2 pairs, n)``."""
    generator = torch.Generator().manual_seed(seed)
    drawn = [torch.randperm(n, generator=generator) for _ in range(pairs)]
    return torch.stack([order for first in drawn for order in (first, first.flip(0))])


def _coalitions(orders: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the different sets of regions present along all orders, and their numbers ``(orders, n + 1)``."""
    steps = orders.shape[1] + 1
    present = torch.zeros(len(orders), steps, orders.shape[1], dtype=torch.bool)
    for k in range(1, steps):
        present[:, k] = present[:, k - 1].scatter(1, orders[:, k - 1 : k], True)
    unique, members = torch.unique(present.flatten(0, 1), dim=0, return_inverse=True)
    return unique, members.reshape(len(orders), steps)


def _mixed(x: torch.Tensor, baseline: torch.Tensor, present: torch.Tensor, column: torch.Tensor) -> torch.Tensor:
    """Make the scan with only some regions its own, ``(m, c, x, y, z)``; what is no region stays."""
    own = present[:, column.clamp(min=0)] | (column < 0)  # (m, x, y, z)
    return torch.where(own[:, None], x, baseline)
