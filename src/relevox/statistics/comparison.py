"""Is one model better than another on the same patients, or than chance (SPEC 7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from relevox.errors import InputError


@dataclass(frozen=True)
class DeLong:
    """Two correlated areas under the curve."""

    auc_a: float
    """Of the first score."""
    auc_b: float
    """Of the second score."""
    z: float
    """Their difference over its standard error; NaN where that is 0."""
    p: float
    """Two-sided."""


@dataclass(frozen=True)
class Statistic:
    """A test statistic."""

    statistic: float
    """Chi-square with one degree of freedom, or an observed value; NaN where it is not defined."""
    p: float
    """Two-sided, but one-sided for a permutation above chance."""


@dataclass(frozen=True)
class CorrectedT:
    """A t-test over folds that share training data."""

    t: float
    """NaN where the differences do not vary."""
    p: float
    """Two-sided."""


def delong(y_true: np.ndarray, score_a: np.ndarray, score_b: np.ndarray) -> DeLong:
    """Compare two areas under the curve on the same independent units (DeLong et al. 1988).

    Parameters
    ----------
    y_true : array-like, (n,)
        Class, 0 or 1; one row a patient, for scans of one patient are not independent.
    score_a, score_b : array-like, (n,)
        Scores of the two models.

    Raises
    ------
    InputError
        With fewer than two units of a class.

    Notes
    -----
    Placement values by midranks (Sun and Xu 2014): n log n instead of all pairs.
    """
    y = np.asarray(y_true).astype(bool)
    if min(y.sum(), (~y).sum()) < 2:
        raise InputError("expected at least two units of either class", code="delong-classes")
    placements = [_placements(y, np.asarray(score, dtype=float)) for score in (score_a, score_b)]
    auc_a, auc_b = (float(of_positives.mean()) for of_positives, _ in placements)
    variance = 0.0
    for side, n in ((0, y.sum()), (1, (~y).sum())):
        difference = placements[0][side] - placements[1][side]
        variance += difference.var(ddof=1) / n
    if not variance > 0:
        return DeLong(auc_a, auc_b, np.nan, np.nan if auc_a != auc_b else 1.0)
    z = (auc_a - auc_b) / np.sqrt(variance)
    return DeLong(auc_a, auc_b, float(z), float(2 * stats.norm.sf(abs(z))))


def mcnemar_clustered(
    correct_a: np.ndarray,
    correct_b: np.ndarray,
    cluster: np.ndarray,
    method: Literal["durkalski", "obuchowski"] = "durkalski",
) -> Statistic:
    """Compare the accuracies of two models when patients have several scans.

    Parameters
    ----------
    correct_a, correct_b : array-like, (n,)
        Whether each model was right, per scan.
    cluster : array-like, (n,)
        Patient of each scan.
    method : {"durkalski", "obuchowski"}
        Durkalski et al. 2003 weighs patients alike, Obuchowski 1998 scans.

    Raises
    ------
    InputError
        For an unknown method.
    """
    if method not in ("durkalski", "obuchowski"):
        raise InputError(f"expected durkalski or obuchowski, but got {method!r}", code="mcnemar-method")
    difference = np.asarray(correct_a, dtype=float) - np.asarray(correct_b, dtype=float)
    _, of = np.unique(np.asarray(cluster), return_inverse=True)
    by_cluster, size = np.bincount(of, weights=difference), np.bincount(of)
    if method == "durkalski":
        by_cluster, correction = by_cluster / size, 1.0
    else:
        correction = (len(size) - 1) / len(size)
    spread = (by_cluster**2).sum()
    if spread == 0:
        return Statistic(np.nan, 1.0)
    statistic = correction * by_cluster.sum() ** 2 / spread
    return Statistic(float(statistic), float(stats.chi2.sf(statistic, 1)))


def corrected_t(differences: np.ndarray, n_train: float, n_test: float) -> CorrectedT:
    """Test the mean difference over folds, whose training sets overlap (Nadeau and Bengio 2003).

    Parameters
    ----------
    differences : array-like, (k,)
        Score of one model minus that of the other, per fold.
    n_train, n_test : float
        Scans on either side of a fold.

    Examples
    --------
    >>> round(corrected_t([0.1, 0.2, 0.3], n_train=80, n_test=20).t, 4)
    2.6186
    """
    d = np.asarray(differences, dtype=float)
    variance = d.var(ddof=1) if len(d) > 1 else np.nan
    if not variance > 0:
        return CorrectedT(np.nan, np.nan)
    t = d.mean() / np.sqrt((1 / len(d) + n_test / n_train) * variance)
    return CorrectedT(float(t), float(2 * stats.t.sf(abs(t), len(d) - 1)))


def above_chance(y_true: np.ndarray, score: np.ndarray, n_permutations: int = 2000, seed: int = 0) -> Statistic:
    """Test an area under the curve against chance by exchanging the classes of patients.

    Parameters
    ----------
    y_true, score : array-like, (n,)
        One row a patient.
    n_permutations : int
        The smallest possible p is 1 / (n_permutations + 1).
    seed : int
        Of the permutations.
    """
    y, ranks = np.asarray(y_true).astype(bool), stats.rankdata(score)
    rng = np.random.default_rng(seed)
    # for fixed class sizes the AUC grows with the rank sum of class 1
    sums = np.array([ranks[rng.permutation(y)].sum() for _ in range(n_permutations)])
    n_1, n_0 = y.sum(), (~y).sum()
    auc = (ranks[y].sum() - n_1 * (n_1 + 1) / 2) / (n_1 * n_0)
    reached = np.count_nonzero(sums >= ranks[y].sum() - 1e-9)
    return Statistic(float(auc), (reached + 1) / (n_permutations + 1))


def _placements(y: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Share of the other class below each positive, and above each negative; ties count half."""
    together = stats.rankdata(score)
    n_1, n_0 = y.sum(), (~y).sum()
    of_positives = (together[y] - stats.rankdata(score[y])) / n_0
    of_negatives = 1 - (together[~y] - stats.rankdata(score[~y])) / n_1
    return of_positives, of_negatives
