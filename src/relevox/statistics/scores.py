"""How good predictions are: scores, their spread over folds, and patient-bootstrap intervals (SPEC 7).

``accuracy`` and ``balanced_accuracy`` are two different numbers here, always
(the paper's equation 1 is called balanced, but is the plain one).
"""

from __future__ import annotations

from dataclasses import astuple, dataclass

import numpy as np

from relevox.errors import InputError
from relevox.statistics.resampling import resample

MEASURES = ("accuracy", "balanced_accuracy", "sensitivity", "specificity", "auc", "brier")
"""The scores, in the order of their table."""

PAIRS_AT_ONCE = 4_000_000
"""Pairs of scans compared in one block: 32 MB."""


@dataclass(frozen=True)
class Scores:
    """The scores of one set of predictions; NaN where one is not defined."""

    accuracy: float
    """Share of right predictions."""
    balanced_accuracy: float
    """Mean of sensitivity and specificity."""
    sensitivity: float
    """Share of class 1 that is predicted as class 1; NaN without class 1."""
    specificity: float
    """Share of class 0 that is predicted as class 0; NaN without class 0."""
    auc: float
    """Probability that a random class-1 scan scores higher than a random class-0 scan, ties counting half."""
    brier: float
    """Mean squared distance of the probability from the class; 0 is perfect."""


@dataclass(frozen=True)
class Spread:
    """One score with what is known of its uncertainty."""

    value: float
    """Over all out-of-fold predictions together."""
    ci_low: float
    """Lower end of the patient-cluster bootstrap interval."""
    ci_high: float
    """Upper end."""
    fold_mean: float
    """Mean of the folds' own values."""
    fold_sd: float
    """Their standard deviation (ddof 1); NaN with fewer than two folds."""


def classification_scores(y_true: np.ndarray, probability: np.ndarray, threshold: float = 0.5) -> Scores:
    """Score predictions of a two-class model.

    Parameters
    ----------
    y_true : array-like, (n,)
        True class, 0 or 1.
    probability : array-like, (n,)
        Probability of class 1.
    threshold : float
        Class 1 is predicted above it; exactly at it, class 0 (as in argmax).

    Returns
    -------
    Scores

    Raises
    ------
    InputError
        For empty input, different lengths, other classes or values outside 0 .. 1.

    Examples
    --------
    >>> round(classification_scores([0, 1, 1, 0], [0.1, 0.9, 0.8, 0.3]).brier, 4)
    0.0375
    """
    y, p = checked(y_true, probability)
    weights = np.ones((1, len(y)))
    return Scores(*(float(row[0]) for row in weighted_scores(y, p, weights, threshold)))


def patient_bootstrap(
    y_true: np.ndarray,
    probability: np.ndarray,
    patients: np.ndarray,
    n_bootstrap: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
    threshold: float = 0.5,
) -> dict[str, tuple[float, float]]:
    """Intervals from resampling patients, each with all of its scans (:meth:`.resampling.Resampled.interval`).

    Parameters
    ----------
    y_true, probability : array-like, (n,)
        As for :func:`classification_scores`.
    patients : array-like, (n,)
        Patient of every scan.
    n_bootstrap : int
        Samples.
    confidence : float
        Of the interval.
    seed : int
        Of the draws.
    threshold : float
        Of the prediction.

    Returns
    -------
    dict of str to (low, high)
        One entry per measure. Samples in which a measure is not defined (no
        class-1 scan drawn, say) are left out; NaN where the cohort itself does
        not define it, or has one patient only.
    """
    y, p = checked(y_true, probability)
    found = resample(lambda weights: weighted_scores(y, p, weights, threshold), patients, n_bootstrap, seed)
    return {
        name: (float(low), float(high)) for name, (low, high) in zip(MEASURES, found.interval(confidence), strict=True)
    }


def cross_validated_scores(
    y_true: np.ndarray,
    probability: np.ndarray,
    patients: np.ndarray,
    folds: np.ndarray,
    n_bootstrap: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, Spread]:
    """Score out-of-fold predictions: pooled with an interval, and per fold.

    Parameters
    ----------
    y_true, probability, patients : array-like, (n,)
        As for :func:`patient_bootstrap`.
    folds : array-like, (n,)
        Fold whose model made the prediction.
    n_bootstrap, confidence, seed
        Of the interval.

    Returns
    -------
    dict of str to Spread
        One entry per measure. A fold that lacks a class makes the fold mean of
        the measures that need both NaN.
    """
    y, p, folds = np.asarray(y_true), np.asarray(probability), np.asarray(folds)
    pooled = classification_scores(y, p)
    intervals = patient_bootstrap(y, p, patients, n_bootstrap, confidence, seed)
    per_fold = np.array([astuple(classification_scores(y[folds == k], p[folds == k])) for k in np.unique(folds)])
    means = per_fold.mean(axis=0)
    sds = per_fold.std(axis=0, ddof=1) if len(per_fold) > 1 else np.full(len(MEASURES), np.nan)
    return {
        name: Spread(getattr(pooled, name), *intervals[name], float(mean), float(sd))
        for name, mean, sd in zip(MEASURES, means, sds, strict=True)
    }


def by_patient(
    labels: np.ndarray, probability: np.ndarray, patients: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Average the probabilities of a patient's scans.

    A patient whose class changes between scans counts once in each class, with
    the mean over the scans of that class: no prediction is then held against a
    class its scan did not have.

    Parameters
    ----------
    labels, probability, patients : array-like, (n,)
        Per scan.

    Returns
    -------
    labels, probability, patients : ndarray, (m,)
        Per patient and class.
    first : ndarray, (m,) int
        Row of the first scan behind each, to look up what all its scans share (the fold).
    """
    labels, patients = np.asarray(labels), np.asarray(patients)
    _, patient = np.unique(patients, return_inverse=True)
    _, first, unit = np.unique(2 * patient + labels, return_index=True, return_inverse=True)
    mean = np.bincount(unit, weights=np.asarray(probability, dtype=float)) / np.bincount(unit)
    return labels[first], mean, patients[first], first


def checked(y_true: np.ndarray, probability: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return classes as bool and probabilities as float, both ``(n,)``.

    Raises
    ------
    InputError
        For empty input, different lengths, other classes than 0 and 1, or values outside 0 .. 1 (NaN too).
    """
    y, p = np.asarray(y_true), np.asarray(probability, dtype=float)
    if y.ndim != 1 or y.shape != p.shape or len(y) == 0:
        raise InputError(
            f"expected as many classes as probabilities, but got {y.shape} and {p.shape}", code="scores-shape"
        )
    if not np.isin(y, (0, 1)).all():
        raise InputError(f"expected classes 0 and 1, but got {np.unique(y).tolist()}", code="scores-classes")
    if not ((p >= 0) & (p <= 1)).all():  # NaN too
        raise InputError("expected probabilities between 0 and 1", code="scores-probability")
    return y.astype(bool), p


def weighted_scores(y: np.ndarray, p: np.ndarray, weights: np.ndarray, threshold: float = 0.5) -> np.ndarray:
    """Compute the measures with scans weighted.

    Parameters
    ----------
    y, p : ndarray, (n,)
        As :func:`checked` returns them.
    weights : ndarray, (samples, n)
        How often each scan counts.
    threshold : float
        Of the prediction.

    Returns
    -------
    ndarray, (measures, samples)
        In the order of ``MEASURES``; NaN where a class is not there.
    """
    right = (p > threshold) == y
    positive, negative = weights[:, y].sum(axis=1), weights[:, ~y].sum(axis=1)
    total = positive + negative
    with np.errstate(invalid="ignore"):  # 0 / 0 is NaN: a class that is not there has no score
        accuracy = weights[:, right].sum(axis=1) / total
        sensitivity = weights[:, right & y].sum(axis=1) / positive
        specificity = weights[:, right & ~y].sum(axis=1) / negative
        auc = weighted_pairs(y, p, weights) / (positive * negative)
        brier = weights @ (p - y) ** 2 / total
    return np.stack([accuracy, (sensitivity + specificity) / 2, sensitivity, specificity, auc, brier])


def weighted_pairs(y: np.ndarray, p: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Sum the weights of the (class 1, class 0) pairs in the right order, ties counting half: ``(samples,)``."""
    of_negatives, total = weights[:, ~y], np.zeros(len(weights))
    n_pairs = int(y.sum() * (~y).sum())
    # All pairs at once as a matrix product: for a few hundred scans faster than any sorting.
    for rows in np.array_split(np.flatnonzero(y), 1 + n_pairs // PAIRS_AT_ONCE):
        above = np.heaviside(p[rows][:, None] - p[~y], 0.5)  # (rows, negatives)
        total += np.einsum("sj,sj->s", weights[:, rows] @ above, of_negatives)
    return total
