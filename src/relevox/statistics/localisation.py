"""How well an attention map points at a known target.

Relevance mass and rank accuracy: Arras et al. 2021, arXiv 2003.07258; pointing
game: Zhang et al. 2016, arXiv 1608.00507.
"""

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
    return RankedMap(relevance).score(target)


class RankedMap:
    """One map, ranked once, to be held against many targets.

    Parameters
    ----------
    relevance : array-like, (v,)
        As for :func:`localise`.

    Raises
    ------
    InputError
        For relevance that is not finite, or not a vector.
    """

    def __init__(self, relevance: np.ndarray) -> None:
        relevance = np.asarray(relevance, dtype=np.float64)
        if relevance.ndim != 1 or not np.isfinite(relevance).all():
            raise InputError(
                f"expected finite relevance over voxels, but got the shape {relevance.shape}", code="localisation-shape"
            )
        self.positive = np.maximum(relevance, 0.0)
        self.order = np.argsort(-self.positive, kind="stable")
        self.ranks = rankdata(self.positive)
        highest_first = self.positive[self.order]
        # where a run of equal values ends: ties are taken together
        self.ends = np.flatnonzero(np.append(np.diff(highest_first) != 0, True))

    def score(self, target: np.ndarray) -> Localisation:
        """Score the map against one target, ``(v,)`` bool; see :func:`localise`."""
        target = np.asarray(target, dtype=bool)
        if target.shape != self.positive.shape:
            raise InputError(
                f"expected finite relevance and target of one length, but got {self.positive.shape} and {target.shape}",
                code="localisation-shape",
            )
        if _too_small(target):
            return Localisation(*[np.nan] * 6)
        total, inside = self.positive.sum(), int(target.sum())
        mass = self.positive[target].sum() / total if total > 0 else np.nan
        found = np.cumsum(target[self.order])[self.ends]  # of the target, down to each run's end
        precision, gained = found / (self.ends + 1), np.diff(found, prepend=0)
        return Localisation(
            enrichment=float(mass / target.mean()),
            relevance_mass=float(mass),
            auc=_auc_of_ranks(self.ranks, target),
            rank_accuracy=self._share_of_highest(target, inside),
            average_precision=float((precision * gained).sum() / inside),
            pointing=self._share_of_highest(target, 1),
        )

    def _share_of_highest(self, target: np.ndarray, k: int) -> float:
        """Share of the k highest that lie in the target; of ties at the edge, as many as chance would take."""
        run = int(np.searchsorted(self.ends, k - 1))
        start, stop = (self.ends[run - 1] + 1 if run else 0), self.ends[run] + 1
        above, tied = target[self.order[:start]].sum(), target[self.order[start:stop]].mean()
        return float((above + (k - start) * tied) / k)


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


def matched_auc(values: np.ndarray, positive: np.ndarray, matched_by: np.ndarray, n_bins: int = 5) -> float:
    """AUC among voxels that look alike: pairs are only made within bins of a third quantity.

    Parameters
    ----------
    values : array-like, (v,)
        For example relevance.
    positive : array-like, (v,) bool
        For example lesions of one kind against the other.
    matched_by : array-like, (v,)
        For example brightness; the bins are its quantiles.
    n_bins : int
        How many.

    Returns
    -------
    float
        Mean over the bins, weighted by their pairs; NaN where no bin has both kinds.
    """
    values, matched_by = np.asarray(values, dtype=np.float64), np.asarray(matched_by, dtype=np.float64)
    positive = np.asarray(positive, dtype=bool)
    if not len(values):
        return float("nan")
    bins = np.searchsorted(np.quantile(matched_by, np.arange(1, n_bins) / n_bins), matched_by)
    found = np.array([auc(values[bins == b], positive[bins == b]) for b in range(n_bins)])
    pairs = np.array([float(positive[bins == b].sum() * (~positive[bins == b]).sum()) for b in range(n_bins)])
    return float((found[pairs > 0] * pairs[pairs > 0]).sum() / pairs.sum()) if pairs.any() else float("nan")


def auc(values: np.ndarray, positive: np.ndarray) -> float:
    """Probability that a positive has a larger value than a negative, ties half; NaN without either.

    Parameters
    ----------
    values : array-like, (n,)
        Of any scale.
    positive : array-like, (n,) bool
        Which are positive.
    """
    return _auc_of_ranks(rankdata(values), np.asarray(positive, dtype=bool))


def _auc_of_ranks(ranks: np.ndarray, positive: np.ndarray) -> float:
    n_positive, n_negative = int(positive.sum()), int((~positive).sum())
    if n_positive == 0 or n_negative == 0:
        return float("nan")
    return float((ranks[positive].sum() - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative))
