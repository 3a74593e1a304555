"""How well an attention map points at a known target.

Relevance mass and rank accuracy: Arras et al. 2021, arXiv 2003.07258; pointing
game: Zhang et al. 2016, arXiv 1608.00507.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata
from sklearn.metrics import average_precision_score

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
    rank_accuracy: float
    """Share of the k most relevant voxels that lie in the target of k voxels; chance is the target's share."""
    average_precision: float
    """Area under precision against recall; chance is the target's share."""
    pointing: float
    """1 where the most relevant voxel lies in the target, else 0; chance is the target's share."""


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
    >>> localise(np.array([3.0, 1.0, 1.0, 1.0, 0.0, 0, 0, 0]), np.arange(8) < 4).enrichment
    2.0
    """
    relevance, target = np.asarray(relevance, dtype=np.float64), np.asarray(target, dtype=bool)
    if relevance.ndim != 1 or relevance.shape != target.shape or not np.isfinite(relevance).all():
        raise InputError(
            f"expected finite relevance and target of one length, but got {relevance.shape} and {target.shape}",
            code="localisation-shape",
        )
    if _too_small(target):
        return Localisation(*[np.nan] * 6)
    positive = np.maximum(relevance, 0.0)
    mass = positive[target].sum() / positive.sum() if positive.any() else np.nan
    return Localisation(
        enrichment=float(mass / target.mean()),
        relevance_mass=float(mass),
        auc=auc(positive, target),
        rank_accuracy=_share_of_highest(positive, target, int(target.sum())),
        average_precision=float(average_precision_score(target, positive)),
        pointing=_share_of_highest(positive, target, 1),
    )


def chance(target: np.ndarray) -> Localisation:
    """Return what a map that knows nothing gets on average."""
    target = np.asarray(target, dtype=bool)
    if _too_small(target):
        return Localisation(*[np.nan] * 6)
    share = float(target.mean())
    return Localisation(1.0, share, 0.5, share, share, share)


def changed_voxels(change: np.ndarray, share: float = 0.5) -> np.ndarray:
    """Mark the fewest voxels that together hold a share of a change: the truth of a counterfactual.

    Parameters
    ----------
    change : array-like, any shape
        Absolute difference of two images of one patient, summed over the channels.
    share : float
        Of its sum.

    Returns
    -------
    ndarray of bool, of that shape
        All False where nothing changed.

    Examples
    --------
    >>> changed_voxels(np.array([0.0, 6.0, 1.0, 3.0]), 0.9)
    array([False,  True, False,  True])
    """
    change = np.abs(np.asarray(change, dtype=np.float64))
    order = np.argsort(-change, axis=None, kind="stable")
    reached = np.cumsum(change.ravel()[order])
    chosen = np.zeros(change.size, dtype=bool)
    if reached.size and reached[-1] > 0:
        # rounding of the sum must not ask for one voxel more
        n = int(np.searchsorted(reached, share * reached[-1] * (1 - 1e-12))) + 1
        chosen[order[:n]] = True
    return chosen.reshape(change.shape)


def _too_small(target: np.ndarray) -> bool:
    """Tell whether the target, or what is outside of it, has too few voxels to be scored."""
    inside = int(target.sum())
    return min(inside, len(target) - inside) < FEWEST_VOXELS


def _share_of_highest(values: np.ndarray, target: np.ndarray, k: int) -> float:
    """Share of the k highest values that lie in the target; of ties at the edge, as many as chance would take."""
    threshold = np.partition(values, len(values) - k)[len(values) - k]
    above, tied = values > threshold, values == threshold
    return float((target[above].sum() + (k - above.sum()) * target[tied].mean()) / k)


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
