"""Means and correlations over scans, with intervals from resampling patients (SPEC 7)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Estimate:
    """A statistic over scans."""

    value: float
    """NaN where it is not defined."""
    ci_low: float
    """Lower end of the percentile interval."""
    ci_high: float
    """Upper end."""
    n: int
    """Scans that were used."""


def mean_over_patients(
    values: np.ndarray, patients: np.ndarray, n_bootstrap: int = 2000, confidence: float = 0.95, seed: int = 0
) -> Estimate:
    """Average over scans; the interval draws patients with all of their scans.

    Parameters
    ----------
    values : array-like, (n,)
        One a scan; scans with NaN are left out.
    patients : array-like, (n,)
        Patient of every scan.
    n_bootstrap : int
        Samples of patients.
    confidence : float
        Of the interval.
    seed : int
        Of the draws.

    Examples
    --------
    >>> mean_over_patients(np.array([1.0, 1.0, np.nan]), np.array(["a", "b", "c"]))
    Estimate(value=1.0, ci_low=1.0, ci_high=1.0, n=2)
    """
    return _bootstrapped(_weighted_mean, np.asarray(values, float)[None], patients, n_bootstrap, confidence, seed)


def correlation_over_patients(
    x: np.ndarray,
    y: np.ndarray,
    patients: np.ndarray,
    n_bootstrap: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """Pearson correlation over scans; the interval draws patients with all of their scans.

    Parameters
    ----------
    x, y : array-like, (n,)
        One a scan; scans with NaN in either are left out.
    patients, n_bootstrap, confidence, seed
        As for :func:`mean_over_patients`.

    Returns
    -------
    Estimate
        NaN where either is constant.
    """
    pairs = np.stack([np.asarray(x, float), np.asarray(y, float)])
    return _bootstrapped(_weighted_correlation, pairs, patients, n_bootstrap, confidence, seed)


def correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Pearson correlation; NaN where either is constant or fewer than two pairs are known."""
    pairs = np.stack([np.asarray(x, float), np.asarray(y, float)])
    pairs = pairs[:, np.isfinite(pairs).all(axis=0)]
    return float(_weighted_correlation(pairs, np.ones((1, pairs.shape[1])))[0])


def _bootstrapped(
    statistic: Callable[[np.ndarray, np.ndarray], np.ndarray],
    values: np.ndarray,
    patients: np.ndarray,
    n_bootstrap: int,
    confidence: float,
    seed: int,
) -> Estimate:
    """Evaluate a weighted statistic of ``(rows, n)`` values once as given and once per sample of patients."""
    known = np.isfinite(values).all(axis=0)
    values, n = values[:, known], int(known.sum())
    if n == 0:
        return Estimate(np.nan, np.nan, np.nan, 0)
    _, patient = np.unique(np.asarray(patients)[known], return_inverse=True)
    n_patients = patient.max() + 1
    draws = np.random.default_rng(seed).multinomial(n_patients, np.full(n_patients, 1 / n_patients), n_bootstrap)
    samples = statistic(values, draws[:, patient].astype(float))  # a scan counts as often as its patient was drawn
    samples = samples[np.isfinite(samples)]
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    low, high = np.quantile(samples, tails) if len(samples) else (np.nan, np.nan)
    return Estimate(float(statistic(values, np.ones((1, n)))[0]), float(low), float(high), n)


def _weighted_mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return weights @ values[0] / weights.sum(axis=1)


def _weighted_correlation(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    if values.shape[1] < 2 or (np.ptp(values, axis=1) == 0).any():
        return np.full(len(weights), np.nan)
    x, y = values - values.mean(axis=1, keepdims=True)
    total = weights.sum(axis=1)
    mean_x, mean_y = weights @ x / total, weights @ y / total
    xx, yy = weights @ x**2 / total - mean_x**2, weights @ y**2 / total - mean_y**2
    xy = weights @ (x * y) / total - mean_x * mean_y
    # a sample of one patient's scans may have no spread of its own
    spread = (xx > 1e-12 * x.var()) & (yy > 1e-12 * y.var())
    return np.where(spread, xy / np.sqrt(np.where(spread, xx * yy, 1.0)), np.nan)
