"""Is one model better than another on the same patients, or than chance (SPEC 7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from relevox.errors import InputError
from relevox.statistics.resampling import resample
from relevox.statistics.scores import MEASURES, checked, weighted_scores


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
    """Two-sided; 1 for models that rank every unit alike, NaN where the areas differ but their variance is 0."""
    standard_error: float
    """Of the difference."""


@dataclass(frozen=True)
class Difference:
    """How one score of two models differs on the same scans."""

    value_a: float
    """Of the first model."""
    value_b: float
    """Of the second model."""
    difference: float
    """First minus second; NaN where a score is not defined."""
    ci_low: float
    """Lower end of the patient-bootstrap interval of the difference."""
    ci_high: float
    """Upper end."""
    p: float
    """Two-sided: 1 less the confidence at which the interval meets 0; NaN where every sample gives the same."""


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


def delong(y_true: np.ndarray, score_a: np.ndarray, score_b: np.ndarray, patients: np.ndarray | None = None) -> DeLong:
    """Compare two areas under the curve on the same units (DeLong et al. 1988).

    Parameters
    ----------
    y_true : array-like, (n,)
        Class, 0 or 1.
    score_a, score_b : array-like, (n,)
        Scores of the two models.
    patients : array-like, (n,), optional
        Patient of every unit, where a patient has several: the variance is then
        Obuchowski's (1997) for clustered data. Default: all are independent.

    Raises
    ------
    InputError
        For scores that are not numbers, or fewer than two patients of a class.

    Notes
    -----
    Placement values by midranks (Sun and Xu 2014): n log n instead of all pairs.
    With one unit a patient both variances are the same.
    """
    y = np.asarray(y_true).astype(bool)
    a, b = _numbers(score_a, y), _numbers(score_b, y)
    _, patient = np.unique(np.arange(len(y)) if patients is None else np.asarray(patients), return_inverse=True)
    if min(len(np.unique(patient[y])), len(np.unique(patient[~y]))) < 2:
        raise InputError("expected at least two patients of either class", code="delong-classes")
    of_a, of_b = _placements(y, a), _placements(y, b)
    auc_a, auc_b = float(of_a[y].mean()), float(of_b[y].mean())
    difference = of_a - of_b - (auc_a - auc_b)
    parts, variance = [], 0.0  # per patient: summed deviations of each class, as shares of that class
    for members in (y, ~y):
        n_patients = len(np.unique(patient[members]))
        part = np.bincount(patient[members], difference[members], patient.max() + 1) / members.sum()
        variance += n_patients / (n_patients - 1) * (part**2).sum()
        parts.append(part)
    n = patient.max() + 1
    variance += 2 * n / (n - 1) * (parts[0] * parts[1]).sum()  # patients with scans of both classes
    if not variance > 1e-24:
        return DeLong(auc_a, auc_b, np.nan, 1.0 if abs(auc_a - auc_b) < 1e-12 else np.nan, 0.0)
    error = np.sqrt(variance)
    z = (auc_a - auc_b) / error
    return DeLong(auc_a, auc_b, float(z), float(2 * stats.norm.sf(abs(z))), float(error))


def paired_bootstrap(
    y_true: np.ndarray,
    prob_a: np.ndarray,
    prob_b: np.ndarray,
    patients: np.ndarray,
    n_bootstrap: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
    threshold: float = 0.5,
) -> dict[str, Difference]:
    """Compare two models by resampling patients: both are scored on the same samples.

    Parameters
    ----------
    y_true : array-like, (n,)
        Class, 0 or 1.
    prob_a, prob_b : array-like, (n,)
        Probabilities of class 1 by the two models.
    patients : array-like, (n,)
        Patient of every scan.
    n_bootstrap, confidence, seed
        Of the intervals (:meth:`.resampling.Resampled.symmetric_interval`).
    threshold : float
        Of the predictions.

    Returns
    -------
    dict of str to Difference
        One entry per measure.
    """
    y, a = checked(y_true, prob_a)
    _, b = checked(y_true, prob_b)

    def both(weights: np.ndarray) -> np.ndarray:
        return weighted_scores(y, a, weights, threshold) - weighted_scores(y, b, weights, threshold)

    found = resample(both, patients, n_bootstrap, seed)
    intervals, p = found.symmetric_interval(confidence), found.p_zero()
    once = np.ones((1, len(y)))
    values = [weighted_scores(y, of, once, threshold)[:, 0] for of in (a, b)]
    return {
        name: Difference(*(float(v) for v in (values[0][k], values[1][k], found.value[k], *intervals[k], p[k])))
        for k, name in enumerate(MEASURES)
    }


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

    Returns
    -------
    Statistic
        p is 1 where the models are right and wrong on the same scans.

    Raises
    ------
    InputError
        For an unknown method or different lengths.

    Notes
    -----
    With d the scans only the first model gets right less those only the second
    does, m the scans, K the patients: ``(sum d/m)^2 / sum (d/m)^2`` (Durkalski)
    and ``(K-1)/K (sum d)^2 / sum d^2`` (Obuchowski), in the form of Yang et al.
    2010. Without repeated scans Durkalski's is McNemar's test, uncorrected.
    """
    if not len(correct_a) == len(correct_b) == len(cluster):
        raise InputError("expected one answer of either model, and one patient, per scan", code="comparison-scores")
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
    if not spread > 0:
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

    Returns
    -------
    CorrectedT
        NaN with one fold, or where the folds do not differ (but a mean of 0 has p = 1).

    Examples
    --------
    >>> round(corrected_t([0.1, 0.2, 0.3], n_train=80, n_test=20).t, 4)
    2.6186
    """
    d = np.asarray(differences, dtype=float)
    variance = d.var(ddof=1) if len(d) > 1 else np.nan
    if not variance > 1e-24:
        return CorrectedT(np.nan, 1.0 if len(d) > 1 and np.abs(d).max() < 1e-12 else np.nan)
    t = d.mean() / np.sqrt((1 / len(d) + n_test / n_train) * variance)
    return CorrectedT(float(t), float(2 * stats.t.sf(abs(t), len(d) - 1)))


def above_chance(
    y_true: np.ndarray,
    score: np.ndarray,
    n_permutations: int = 2000,
    seed: int = 0,
    patients: np.ndarray | None = None,
) -> Statistic:
    """Test an area under the curve against chance by exchanging the classes of patients.

    Parameters
    ----------
    y_true, score : array-like, (n,)
        One row a patient and class (:func:`relevox.statistics.scores.by_patient`).
    n_permutations : int
        The smallest possible p is 1 / (n_permutations + 1).
    seed : int
        Of the permutations.
    patients : array-like, (n,), optional
        Patient of every row: the two rows of a patient who changes class only
        change places with each other. Default: every row is a patient.

    Raises
    ------
    InputError
        For scores that are not numbers, or a patient with several rows of a class.
    """
    y = np.asarray(y_true).astype(bool)
    ranks = stats.rankdata(_numbers(score, y))
    n_1, n_0 = int(y.sum()), int((~y).sum())
    if min(n_1, n_0) == 0:
        return Statistic(np.nan, np.nan)
    _, of, count = np.unique(
        np.arange(len(y)) if patients is None else np.asarray(patients), return_inverse=True, return_counts=True
    )
    if count.max() > 2 or (np.bincount(of, y)[count == 2] != 1).any():
        raise InputError("expected one row a patient and class", code="comparison-scores", remedy="use by_patient")
    single, double = count[of] == 1, count[of] == 2
    swap = ranks[double & y].sum() + ranks[double & ~y].sum()
    gaps = np.bincount(of[double], np.where(y, ranks, -ranks)[double], len(count))[count == 2]
    rng = np.random.default_rng(seed)
    # for fixed class sizes the AUC grows with the rank sum of class 1
    sums = np.array(
        [
            ranks[single][rng.permutation(y[single])].sum() + (swap + gaps @ rng.choice([-1, 1], len(gaps))) / 2
            for _ in range(n_permutations)
        ]
    )
    auc = (ranks[y].sum() - n_1 * (n_1 + 1) / 2) / (n_1 * n_0)
    reached = np.count_nonzero(sums >= ranks[y].sum() - 1e-9)
    return Statistic(float(auc), (reached + 1) / (n_permutations + 1))


def _numbers(score: np.ndarray, y: np.ndarray) -> np.ndarray:
    score = np.asarray(score, dtype=float)
    if score.shape != y.shape or not np.isfinite(score).all():
        raise InputError(f"expected {len(y)} scores that are numbers", code="comparison-scores")
    return score


def _placements(y: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Share of the other class below each positive, and above each negative; ties count half. ``(n,)``."""
    together, placements = stats.rankdata(score), np.empty(len(y))
    placements[y] = (together[y] - stats.rankdata(score[y])) / (~y).sum()
    placements[~y] = 1 - (together[~y] - stats.rankdata(score[~y])) / y.sum()
    return placements
