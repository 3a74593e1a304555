"""Sets of classes that hold the true one with a promised probability (split conformal prediction).

The promise needs calibration patients and new patients that could change
places. Scans of one patient could not: their scores are alike. So a patient,
not a scan, is the unit here: each calibration patient has weight 1, shared by
the scans (Lee, Barber and Willett 2023, hierarchical conformal prediction),
and the promise is for one scan of a new patient. With one scan a patient this
is the usual split conformal prediction (Vovk; Angelopoulos and Bates 2023).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from relevox.errors import InputError
from relevox.statistics.resampling import Estimate, mean_over_patients
from relevox.statistics.scores import checked


@dataclass(frozen=True)
class ConformalRule:
    """A class belongs to the set where one minus its probability is at most its threshold."""

    alpha: float
    """Promised share of sets without the true class, at most."""
    thresholds: tuple[float, float]
    """For class 0 and class 1; infinite where there are too few patients to leave a class out ever."""
    n_patients: tuple[int, int]
    """Calibration patients behind either threshold."""
    by_class: bool
    """Whether the promise holds within each class (Mondrian), or over both together."""

    def sets(self, probability: np.ndarray) -> np.ndarray:
        """Tell which classes are in each scan's set.

        Parameters
        ----------
        probability : array-like, (n,)
            Of class 1.

        Returns
        -------
        ndarray, (n, 2) bool
            Class 0, class 1. An empty set says that neither fits.
        """
        p = np.asarray(probability, dtype=float)
        return np.column_stack([p, 1 - p]) <= np.array(self.thresholds)


@dataclass(frozen=True)
class Coverage:
    """How often sets hold the true class, and how large they are; intervals draw patients."""

    scan: Estimate
    """Share of the scans."""
    patient: Estimate
    """The same with every patient weighing alike: what the promise is about."""
    class_0: Estimate
    """As ``patient``, among class 0."""
    class_1: Estimate
    """As ``patient``, among class 1."""
    size: Estimate
    """Mean number of classes in a set, over scans."""
    empty: float
    """Share of scans whose set is empty."""
    single: float
    """Share of scans whose set holds one class: a decision."""
    both: float
    """Share of scans whose set holds both classes: no decision."""


def conformal_threshold(scores: np.ndarray, alpha: float = 0.1, patients: np.ndarray | None = None) -> float:
    """Compute the score that at least a share 1 - alpha of new patients stays within.

    Parameters
    ----------
    scores : array-like, (n,)
        One minus the probability of the true class, per calibration scan.
    alpha : float
        Inside 0 .. 1.
    patients : array-like, (n,), optional
        Patient of every scan; default: one scan a patient.

    Returns
    -------
    float
        With one scan a patient the ``ceil((n + 1) (1 - alpha))``-th smallest
        score; infinite where that is more than there are.

    Examples
    --------
    >>> conformal_threshold(np.arange(1, 10) / 10), conformal_threshold(np.arange(1, 9) / 10)
    (0.9, inf)
    """
    scores = np.asarray(scores, dtype=float)
    if not 0 < alpha < 1:
        raise InputError(f"expected alpha between 0 and 1, but got {alpha}", code="conformal-alpha")
    if scores.ndim != 1 or not np.isfinite(scores).all():
        raise InputError("expected scores that are numbers", code="conformal-scores")
    if len(scores) == 0:
        return np.inf
    patient = np.unique(np.arange(len(scores)) if patients is None else patients, return_inverse=True)[1]
    size = np.bincount(patient)
    order = np.argsort(scores, kind="stable")
    reached = np.cumsum(1 / size[patient[order]])  # patients below or at each score
    enough = reached >= (len(size) + 1) * (1 - alpha) - 1e-9
    return float(scores[order][enough.argmax()]) if enough.any() else np.inf


def fit_conformal(
    y_true: np.ndarray,
    probability: np.ndarray,
    patients: np.ndarray,
    alpha: float = 0.1,
    by_class: bool = False,
) -> ConformalRule:
    """Find the thresholds on calibration scans.

    Parameters
    ----------
    y_true, probability, patients : array-like, (n,)
        Of the validation fold: scans whose patients the model was not trained
        on. They also chose when training stopped, so the promise is an
        approximation; :func:`conformal_coverage` on the test folds checks it.
    alpha : float
        Inside 0 .. 1.
    by_class : bool
        A threshold for either class, from that class's scans only (Mondrian).
    """
    y, p = checked(y_true, probability)
    patients = np.asarray(patients)
    scores = np.where(y, 1 - p, p)
    parts = (~y, y) if by_class else (np.ones(len(y), dtype=bool),) * 2
    thresholds = tuple(conformal_threshold(scores[part], alpha, patients[part]) for part in parts)
    return ConformalRule(alpha, thresholds, tuple(len(np.unique(patients[part])) for part in parts), by_class)


def conformal_coverage(
    y_true: np.ndarray,
    sets: np.ndarray,
    patients: np.ndarray,
    n_bootstrap: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Coverage:
    """Check sets against the truth.

    Parameters
    ----------
    y_true : array-like, (n,)
        Class, 0 or 1.
    sets : array-like, (n, 2) bool
        Of scans that no calibration has seen; folds may be put together.
    patients : array-like, (n,)
        Patient of every scan.
    n_bootstrap, confidence, seed
        Of the intervals.
    """
    y, sets, patients = np.asarray(y_true).astype(bool), np.asarray(sets, dtype=bool), np.asarray(patients)
    if sets.shape != (len(y), 2) or len(y) == 0:
        raise InputError(f"expected sets of shape ({len(y)}, 2), but got {sets.shape}", code="conformal-sets")
    held = sets[np.arange(len(y)), y.astype(int)].astype(float)
    size = sets.sum(axis=1)

    def estimate(values: np.ndarray, of: np.ndarray) -> Estimate:
        return mean_over_patients(values, of, n_bootstrap, confidence, seed)

    def per_patient(rows: np.ndarray) -> Estimate:
        names, patient = np.unique(patients[rows], return_inverse=True)
        return estimate(np.bincount(patient, held[rows]) / np.bincount(patient), names)

    return Coverage(
        scan=estimate(held, patients),
        patient=per_patient(np.ones(len(y), dtype=bool)),
        class_0=per_patient(~y),
        class_1=per_patient(y),
        size=estimate(size.astype(float), patients),
        empty=float((size == 0).mean()),
        single=float((size == 1).mean()),
        both=float((size == 2).mean()),
    )
