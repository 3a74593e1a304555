"""How well an attention map points at a known target (Arras et al. 2021, arXiv 2003.07258)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from relevox.errors import InputError

FEWEST_VOXELS = 4
"""Smaller targets are not scored."""


@dataclass(frozen=True)
class Localisation:
    """One map held against one target; NaN where the target is too small or the map has no positive relevance."""

    enrichment: float
    """Mean positive relevance in the target over its mean in the brain; 1 is chance."""
    relevance_mass: float
    """Share of the positive relevance that lies in the target; chance is the target's share of the brain."""
    auc: float
    """Probability that a voxel of the target has more positive relevance than another brain voxel, ties half;
    0.5 is chance."""


def localise(relevance: np.ndarray, target: np.ndarray) -> Localisation:
    """Score one map.

    Parameters
    ----------
    relevance : array-like, (v,)
        Over the voxels of the brain, summed over the channels. Negative relevance counts as none.
    target : array-like, (v,) bool
        The voxels where relevance belongs.

    Raises
    ------
    InputError
        For shapes that differ or relevance that is not finite.

    Examples
    --------
    >>> localise(np.array([3.0, 1.0, 1.0, 1.0, 0.0, 0, 0, 0]), np.arange(8) < 4)
    Localisation(enrichment=2.0, relevance_mass=1.0, auc=1.0)
    """
    relevance, target = np.asarray(relevance, dtype=np.float64), np.asarray(target, dtype=bool)
    if relevance.ndim != 1 or relevance.shape != target.shape or not np.isfinite(relevance).all():
        raise InputError(
            f"expected finite relevance and target of one length, but got {relevance.shape} and {target.shape}",
            code="localisation-shape",
        )
    inside = int(target.sum())
    outside = len(target) - inside
    if min(inside, outside) < FEWEST_VOXELS:
        return Localisation(np.nan, np.nan, np.nan)
    positive = np.maximum(relevance, 0.0)
    mass = positive[target].sum() / positive.sum() if positive.any() else np.nan
    return Localisation(enrichment=float(mass / target.mean()), relevance_mass=float(mass), auc=auc(positive, target))


def auc(values: np.ndarray, positive: np.ndarray) -> float:
    """Probability that a positive has a larger value than a negative, ties half; NaN without either.

    Parameters
    ----------
    values : array-like, (n,)
        Of any scale.
    positive : array-like, (n,) bool
        Which are positive.
    """
    positive = np.asarray(positive, dtype=bool)
    n_positive, n_negative = int(positive.sum()), int((~positive).sum())
    if n_positive == 0 or n_negative == 0:
        return float("nan")
    rank_sum = rankdata(values)[positive].sum()
    return float((rank_sum - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative))
