"""Means of a group of scans: every scan alike, or every patient alike (SPEC 6.2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from relevox.errors import InputError

AVERAGES = ("scans", "patients")
"""What counts alike; ``patients`` averages the scans of a patient first."""


@dataclass(frozen=True)
class Averages:
    """Means of m measures over one group; NaN where a measure is known of nobody."""

    mean: np.ndarray
    """``(m,)``"""
    sd: np.ndarray
    """``(m,)`` over scans, or over patients' means; ddof 1, NaN for a single one."""
    ci_low: np.ndarray
    """``(m,)`` lower end of the percentile interval from a bootstrap over patients; NaN for a single patient."""
    ci_high: np.ndarray
    """``(m,)`` upper end."""
    n: np.ndarray
    """``(m,)`` int, the scans or patients that were averaged."""


def scan_weights(patients: np.ndarray, average: str = "scans") -> np.ndarray:
    """Return what each scan counts in a group's mean, ``(n,)`` with sum 1.

    Examples
    --------
    >>> scan_weights(np.array(["a", "a", "b"]), "patients").tolist()
    [0.25, 0.25, 0.5]
    """
    _check(average)
    patients = np.asarray(patients)
    if average == "scans":
        return np.full(len(patients), 1 / max(1, len(patients)))
    _, patient, scans = np.unique(patients, return_inverse=True, return_counts=True)
    return 1 / (scans[patient] * len(scans))


def average_over(
    values: np.ndarray,
    patients: np.ndarray,
    average: str = "scans",
    n_bootstrap: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Averages:
    """Average measures over a group; the interval draws patients with all of their scans.

    Parameters
    ----------
    values : array-like, (n, m)
        One row a scan; NaN where a measure is not defined, and left out there.
    patients : array-like, (n,)
        Patient of every scan.
    average : {"scans", "patients"}
        What counts alike.
    n_bootstrap, confidence, seed
        Of the interval.

    Raises
    ------
    InputError
        For shapes that do not fit, or an unknown kind of average.

    Examples
    --------
    >>> found = average_over(np.array([[1.0], [1.0], [4.0]]), np.array(["a", "a", "b"]), "patients")
    >>> found.mean.tolist(), found.n.tolist()
    ([2.5], [2])
    """
    _check(average)
    values, patients = np.asarray(values, dtype=np.float64), np.asarray(patients)
    if values.ndim != 2 or patients.shape != values.shape[:1]:
        raise InputError(
            f"expected values (n, m) and n patients, but got {values.shape} and {patients.shape}", code="average-shape"
        )
    names, patient = np.unique(patients, return_inverse=True)
    known = np.isfinite(values)
    total = _sum_by(patient, len(names), np.where(known, values, 0.0))  # (patients, m)
    count = _sum_by(patient, len(names), known.astype(np.float64))
    if average == "patients":
        total, count = total / np.maximum(count, 1), np.minimum(count, 1)
        single = np.where(count > 0, total, np.nan)
    else:
        single = np.where(known, values, np.nan)
    n = count.sum(axis=0)
    mean = _ratio(total.sum(axis=0), n)
    spread = np.where(np.isfinite(single), (single - mean) ** 2, 0.0).sum(axis=0)
    low, high = _interval(total, count, n_bootstrap, confidence, seed)
    return Averages(mean, np.sqrt(_ratio(spread, n - 1)), low, high, n.astype(int))


def weighted_mean(rows: Callable[[slice], np.ndarray], n_voxels: int, weights: np.ndarray, tile: int = 16384):
    """Average maps that need not fit into memory.

    Parameters
    ----------
    rows : callable
        Returns ``(n, tile)`` values of a slice of the voxels.
    n_voxels : int
        In all.
    weights : array-like, (n,)
        With sum 1.
    tile : int
        Voxels read at once.

    Returns
    -------
    ndarray, (n_voxels,)
        float64.
    """
    mean = np.empty(n_voxels)
    for start in range(0, n_voxels, tile):
        part = slice(start, min(start + tile, n_voxels))
        mean[part] = weights @ np.asarray(rows(part), dtype=np.float64)
    return mean


def _interval(total, count, n_bootstrap, confidence, seed) -> tuple[np.ndarray, np.ndarray]:
    n_patients, m = total.shape
    if n_patients < 2:
        return np.full(m, np.nan), np.full(m, np.nan)
    draws = np.random.default_rng(seed).multinomial(n_patients, np.full(n_patients, 1 / n_patients), n_bootstrap)
    samples = _ratio(draws @ total, draws @ count)  # (bootstrap, m)
    empty = ~np.isfinite(samples).any(axis=0) | ((count > 0).sum(axis=0) < 2)
    samples[:, empty] = 0.0
    low, high = np.nanquantile(samples, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    return np.where(empty, np.nan, low), np.where(empty, np.nan, high)


def _sum_by(group: np.ndarray, n_groups: int, values: np.ndarray) -> np.ndarray:
    sums = np.zeros((n_groups, values.shape[1]))
    np.add.at(sums, group, values)
    return sums


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.full(np.shape(above), np.nan), where=below > 0)


def _check(average: str) -> None:
    if average not in AVERAGES:
        raise InputError(f"expected one of {', '.join(AVERAGES)}, but got {average!r}", code="average-unknown")
