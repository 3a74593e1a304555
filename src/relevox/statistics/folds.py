"""Cross-validation folds: grouped by patient, stratified by class (SPEC 3)."""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from relevox.errors import CohortError, SettingsError
from relevox.records import Cohort, Fold
from relevox.statistics.confounds import leave_one_stratum_out

FEWEST_FOLDS = 3
"""One to test, one to validate, one to train."""

_ATTEMPTS = 20


def patient_folds(labels: np.ndarray, patients: np.ndarray, n_folds: int = 7, seed: int = 0) -> np.ndarray:
    """Deal patients into folds with similar shares of the classes.

    Parameters
    ----------
    labels : array-like, (n,)
        Class of every scan, 0 or 1.
    patients : array-like, (n,)
        Patient of every scan; all scans of a patient come into one fold.
    n_folds : int
        How many.
    seed : int
        The same seed gives the same folds for the same rows in the same order.

    Returns
    -------
    ndarray, (n,) int
        Fold of every scan, ``0 .. n_folds - 1``.

    Raises
    ------
    CohortError
        When there is one class only, or no dealing puts both classes into
        every fold; the largest number of folds that works is named.
    """
    labels, patients = np.asarray(labels), np.asarray(patients)
    assert labels.shape == patients.shape and labels.ndim == 1
    assert n_folds >= 2
    counts = {label: len(np.unique(patients[labels == label])) for label in (0, 1)}
    if len(np.unique(labels)) < 2:
        raise CohortError(
            f"expected scans of both classes, but got {counts[0]} patients of class 0 and {counts[1]} of class 1",
            code="cohort-one-class",
            remedy="check the score's threshold, or add patients",
        )
    assert set(np.unique(labels)) == {0, 1}
    folds = _deal(labels, patients, n_folds, seed)
    if folds is None:
        possible = range(min(n_folds - 1, *counts.values()), FEWEST_FOLDS - 1, -1)
        largest = next((k for k in possible if _deal(labels, patients, k, seed) is not None), None)
        remedy = (
            f"set training.n_folds to {largest} or less" if largest else "add patients: three folds need three of each"
        )
        raise CohortError(
            f"expected patients of both classes in each of {n_folds} folds, but there are only "
            f"{counts[0]} patients of class 0 and {counts[1]} of class 1",
            code="cohort-too-small",
            remedy=remedy,
        )
    return folds


def cohort_rounds(cohort: Cohort, folds: np.ndarray, unseen_scanner: str = "") -> tuple[Fold, ...]:
    """Return the rounds of a cohort (:func:`rounds`), in which no model learns from :func:`unseen_rows`."""
    return rounds(folds, cohort.labels, cohort.patients, unseen_rows(cohort, unseen_scanner))


def unseen_rows(cohort: Cohort, scanner: str) -> np.ndarray:
    """Say which scans no model may learn from, that it has never seen a scanner.

    Parameters
    ----------
    cohort : Cohort
        n scans.
    scanner : str
        Its name in the cohort; empty where every scan may be learned from.

    Returns
    -------
    ndarray, (n,) bool
        Its scans, other scans of its patients, and scans of unknown scanner: they may be of it
        (:func:`.confounds.leave_one_stratum_out`).

    Raises
    ------
    SettingsError
        When the cohort has no such scanner.
    """
    if not scanner:
        return np.zeros(len(cohort), dtype=bool)
    parts = {
        part.stratum: part
        for part in leave_one_stratum_out([o.scanner for o in cohort], cohort.patients, cohort.labels)
    }
    if scanner not in parts:
        raise SettingsError(
            f"expected a scanner of the cohort, but got {scanner!r}",
            code="scanner-unknown",
            row="training.unseen_scanner",
            remedy=f"use one of {', '.join(parts)}" if parts else "leave it empty: the cohort names no scanner",
        )
    unseen = np.ones(len(cohort), dtype=bool)
    unseen[parts[scanner].train] = False
    return unseen


def rounds(
    folds: np.ndarray, labels: np.ndarray, patients: np.ndarray, unseen: np.ndarray | None = None
) -> tuple[Fold, ...]:
    """Turn the folds into rounds: test fold i, validate on fold i + 1, train on the others.

    Parameters
    ----------
    folds : ndarray, (n,) int
        Fold of every scan.
    labels : ndarray, (n,)
        Class of every scan.
    patients : ndarray, (n,)
        Patient of every scan.
    unseen : ndarray, (n,) bool, optional
        Scans that are tested, but neither train nor validate.

    Returns
    -------
    tuple of Fold
        One per fold, in order.

    Raises
    ------
    CohortError
        When the folds are not ``0 .. k - 1`` with at least three of them, lack a
        class, or share a patient (who is named), and when the unseen scans leave
        a side without a class.
    """
    folds, labels, patients = np.asarray(folds), np.asarray(labels), np.asarray(patients)
    n_folds = int(folds.max(initial=-1)) + 1
    if n_folds < FEWEST_FOLDS or set(np.unique(folds)) != set(range(n_folds)):
        raise CohortError(
            f"expected folds 0, 1, 2, ... with at least {FEWEST_FOLDS} of them, "
            f"but got {', '.join(map(str, np.unique(folds)))}",
            code="folds-invalid",
            remedy="delete folds.tsv and train again",
        )
    shared = [str(patient) for patient in np.unique(patients) if len(np.unique(folds[patients == patient])) > 1]
    if shared:
        raise CohortError(
            f"expected every patient in one fold, but {', '.join(shared)} are in several",
            code="folds-leak",
            remedy="put all scans of a patient into the same fold",
        )
    for fold in range(n_folds):
        if len(np.unique(labels[folds == fold])) < 2:
            raise CohortError(
                f"expected both classes in every fold, but fold {fold} has only one",
                code="folds-one-class",
                remedy="delete folds.tsv and train again, or use fewer folds",
            )
    answer = []
    for index in range(n_folds):
        test, validation = folds == index, folds == (index + 1) % n_folds
        train = ~(test | validation)
        if unseen is not None:
            train, validation = train & ~unseen, validation & ~unseen
        answer.append(Fold(index, *(np.flatnonzero(part) for part in (train, validation, test))))
    for fold in answer:
        for side in ("train", "validation"):
            _check_classes(fold, side, labels)
        sides = [set(patients[rows]) for rows in (fold.train, fold.validation, fold.test)]
        assert len(set.union(*sides)) == sum(map(len, sides)), "a patient on two sides"
    return tuple(answer)


def _check_classes(fold: Fold, side: str, labels: np.ndarray) -> None:
    """Refuse a side that the unseen scans have left without a class."""
    counts = np.bincount(labels[getattr(fold, side)], minlength=2)
    if not counts.all():
        raise CohortError(
            f"expected both classes on every side, but without the unseen scanner the {side} scans of fold "
            f"{fold.index} are {counts[0]} of class 0 and {counts[1]} of class 1",
            code="unseen-one-class",
            remedy="use fewer folds (training.n_folds), or keep another scanner unseen (training.unseen_scanner)",
        )


def _deal(labels: np.ndarray, patients: np.ndarray, n_folds: int, seed: int) -> np.ndarray | None:
    """Deal until every fold has both classes; None when that never happens."""
    if any(len(np.unique(patients[labels == label])) < n_folds for label in (0, 1)):
        return None
    # The greedy stratification may leave a small fold without a class; another order of equals mends it.
    for attempt in range(_ATTEMPTS):
        splitter = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed + 100_003 * attempt)
        folds = np.full(len(labels), -1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # "least populated class": checked above, by patient
            for index, (_, test) in enumerate(splitter.split(labels, labels, patients)):
                folds[test] = index
        assert folds.min() >= 0, "a scan without a fold"
        if all(len(np.unique(labels[folds == index])) == 2 for index in range(n_folds)):
            return folds
    return None
