"""Statistics over scans, with intervals from resampling patients with all of their scans (SPEC 7).

Scans of a patient resemble each other: resampling scans would pretend to know
more (three copies of every scan would shrink an interval by sqrt(3)).

A scan counts as often as its patient was drawn, so a statistic is written once,
for weighted scans, and evaluated for all samples at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

Statistic = Callable[[np.ndarray], np.ndarray]
"""Weights ``(samples, n)`` of the scans to ``(k, samples)`` values; NaN where a sample does not define one."""

WEIGHTS_AT_ONCE = 2_000_000
"""Weights of scans in one block of samples: 16 MB."""


@dataclass(frozen=True)
class Estimate:
    """A statistic over scans."""

    value: float
    """NaN where it is not defined."""
    ci_low: float
    """Lower end of the interval (:meth:`Resampled.interval`)."""
    ci_high: float
    """Upper end."""
    n: int
    """Scans that were used."""


@dataclass(frozen=True)
class Resampled:
    """k statistics as observed, and over samples of patients."""

    value: np.ndarray
    """``(k,)`` of the cohort itself."""
    draws: np.ndarray
    """``(k, n_bootstrap)`` of as many patients, drawn with replacement."""
    left_out: np.ndarray
    """``(k, n_patients)`` without each patient in turn (the jackknife)."""

    def interval(self, confidence: float = 0.95) -> np.ndarray:
        """Compute the bias-corrected and accelerated bootstrap interval (BCa; Efron 1987), for scores.

        Parameters
        ----------
        confidence : float
            Share of studies whose interval holds the truth.

        Returns
        -------
        ndarray, (k, 2)
            Low and high. Samples that do not define the statistic are left out;
            NaN where the cohort itself does not, or has one patient only.

        Notes
        -----
        The normal quantile in Efron's formula is replaced by
        ``sqrt(n / (n - 1)) t(n - 1)``, n patients (Hesterberg 2015): plain
        percentile and BCa intervals are too short for few patients.
        ``benchmarks/inference.py`` measures it. A statistic that is the same
        in every sample (an AUC of 1) has an interval without width.
        """
        tail = self._tail_quantile((1 + confidence) / 2)
        return np.array([_quantiles(*row, np.array([-tail, tail])) for row in self._rows()]).reshape(-1, 2)

    def symmetric_interval(self, confidence: float = 0.95) -> np.ndarray:
        """Compute the interval ``value +- sqrt(n / (n - 1)) t(n - 1) SE``, n patients, SE over the bootstrap samples.

        For the difference of two models: it is distributed symmetrically where
        they are alike, and the correction for skewness, estimated from few
        patients, does more harm than good there (``benchmarks/inference.py``).

        Parameters
        ----------
        confidence : float
            As for :meth:`interval`.

        Returns
        -------
        ndarray, (k, 2)
            Low and high; NaN as for :meth:`interval`.
        """
        half = self._tail_quantile((1 + confidence) / 2) * self._standard_error()
        return np.column_stack([self.value - half, self.value + half])

    def p_zero(self) -> np.ndarray:
        """Compute the two-sided p of "it is 0": 1 less the confidence at which the symmetric interval meets 0.

        Returns
        -------
        ndarray, (k,)
            1 where every sample gives 0; NaN where there is no interval, or every sample gives the same.
        """
        n, error = self.left_out.shape[1], self._standard_error()
        if n < 2:
            return np.full(len(self.value), np.nan)
        zero = (np.abs(self.value) < 1e-12) & (error == 0)
        t = np.abs(self.value) / np.where(error > 0, error, np.nan) * np.sqrt((n - 1) / n)
        return np.where(zero, 1.0, 2 * stats.t.sf(t, n - 1))

    def _standard_error(self) -> np.ndarray:
        """``(k,)`` over the samples that define the statistic; 0 where sums only differ by rounding."""
        error = np.array([draws.std(ddof=1) if len(draws) > 1 else np.nan for _, draws, _ in self._rows()])
        return np.where(error < 1e-12, 0.0, error)

    def _tail_quantile(self, level: float) -> float:
        n = self.left_out.shape[1]
        return np.sqrt(n / (n - 1)) * stats.t.ppf(level, n - 1) if n > 1 else np.nan

    def _rows(self):
        for value, draws, left_out in zip(self.value, self.draws, self.left_out, strict=True):
            yield value, draws[np.isfinite(draws)], left_out[np.isfinite(left_out)]


def resample(statistic: Statistic, patients: np.ndarray, n_bootstrap: int = 2000, seed: int = 0) -> Resampled:
    """Evaluate a statistic as observed, over samples of patients, and without each patient.

    Parameters
    ----------
    statistic : callable
        Weights ``(samples, n)`` to ``(k, samples)``.
    patients : array-like, (n,)
        Patient of every scan.
    n_bootstrap : int
        Samples; each draws as many patients as there are.
    seed : int
        Of the draws: the same for all statistics of a cohort, so that models meet the same samples.
    """
    _, patient = np.unique(np.asarray(patients), return_inverse=True)
    n = int(patient.max()) + 1
    draws = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=n_bootstrap)

    def evaluate(times: np.ndarray) -> np.ndarray:
        """``(samples, n_patients)`` how often each patient counts, to ``(k, samples)``."""
        blocks = np.array_split(times, 1 + len(times) * len(patient) // WEIGHTS_AT_ONCE)
        return np.concatenate([statistic(block[:, patient].astype(float)) for block in blocks], axis=1)

    return Resampled(
        value=statistic(np.ones((1, len(patient))))[:, 0],
        draws=evaluate(draws),
        left_out=evaluate(~np.eye(n, dtype=bool)),
    )


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
    return _estimated(_weighted_mean, np.asarray(values, float)[None], patients, n_bootstrap, confidence, seed)


def means_over_patients(
    values: np.ndarray, patients: np.ndarray, n_bootstrap: int = 2000, confidence: float = 0.95, seed: int = 0
) -> list[Estimate]:
    """Average many measures over the same scans at once; every one meets the same samples of patients.

    Parameters
    ----------
    values : array-like, (k, n)
        k measures of n scans; each is averaged over the scans where it is known.
    patients, n_bootstrap, confidence, seed
        As for :func:`mean_over_patients`.

    Returns
    -------
    list of Estimate
        One a measure. Patients without a value of it count among the patients drawn, unlike in
        :func:`mean_over_patients`.
    """
    values = np.asarray(values, float)
    known = np.isfinite(values)
    filled = np.where(known, values, 0)

    def means(weights: np.ndarray) -> np.ndarray:
        total = known.astype(float) @ weights.T  # (k, samples)
        return np.divide(filled @ weights.T, total, out=np.full(total.shape, np.nan), where=total > 0)

    found = resample(means, patients, n_bootstrap, seed)
    ends = found.interval(confidence)
    return [
        Estimate(float(value), float(low), float(high), int(n))
        for value, (low, high), n in zip(found.value, ends, known.sum(axis=1), strict=True)
    ]


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
    return _estimated(_weighted_correlation, pairs, patients, n_bootstrap, confidence, seed)


def correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Pearson correlation; NaN where either is constant or fewer than two pairs are known."""
    pairs = np.stack([np.asarray(x, float), np.asarray(y, float)])
    pairs = pairs[:, np.isfinite(pairs).all(axis=0)]
    return float(_weighted_correlation(pairs, np.ones((1, pairs.shape[1])))[0])


def _estimated(
    statistic: Callable[[np.ndarray, np.ndarray], np.ndarray],
    values: np.ndarray,
    patients: np.ndarray,
    n_bootstrap: int,
    confidence: float,
    seed: int,
) -> Estimate:
    """Estimate a weighted statistic of ``(rows, n)`` values over the scans whose values are known."""
    known = np.isfinite(values).all(axis=0)
    values, n = values[:, known], int(known.sum())
    if n == 0:
        return Estimate(np.nan, np.nan, np.nan, 0)
    found = resample(lambda weights: statistic(values, weights)[None], np.asarray(patients)[known], n_bootstrap, seed)
    low, high = found.interval(confidence)[0]
    return Estimate(float(found.value[0]), float(low), float(high), n)


def _quantiles(value: float, draws: np.ndarray, left_out: np.ndarray, tails: np.ndarray) -> np.ndarray:
    """Quantiles of the draws at the levels Efron's correction gives to the two tails."""
    if not (np.isfinite(value) and np.isfinite(tails).all() and len(draws)):
        return np.full(2, np.nan)
    bias, acceleration = _normal_score(draws, value), _acceleration(left_out)
    scale = 1 - acceleration * (bias + tails)
    # beyond the pole the level has passed its limit, 0 or 1
    corrected = np.where(scale > 0, bias + (bias + tails) / np.where(scale > 0, scale, 1), np.sign(tails) * np.inf)
    return np.quantile(draws, stats.norm.cdf(corrected))


def _normal_score(draws: np.ndarray, value: float) -> float:
    """Normal quantile of the share of draws below a value; ties count half, and no share is 0 or 1."""
    near = 1e-12 * max(1.0, abs(value))  # sums in another order are no difference
    below, above = np.count_nonzero(draws < value - near), np.count_nonzero(draws > value + near)
    n = len(draws)
    return float(stats.norm.ppf(np.clip((n + below - above) / (2 * n), 0.5 / n, 1 - 0.5 / n)))


def _acceleration(left_out: np.ndarray) -> float:
    """Efron's acceleration: the skewness of the jackknife values over 6 sqrt(n)."""
    if len(left_out) < 2:
        return 0.0
    deviation = left_out.mean() - left_out
    spread = (deviation**2).sum()
    return float((deviation**3).sum() / (6 * spread**1.5)) if spread > 1e-24 else 0.0


def _weighted_mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    total = weights.sum(axis=1)
    return np.divide(weights @ values[0], total, out=np.full(len(total), np.nan), where=total > 0)


def _weighted_correlation(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    if values.shape[1] < 2 or (np.ptp(values, axis=1) == 0).any():
        return np.full(len(weights), np.nan)
    x, y = values - values.mean(axis=1, keepdims=True)
    total = weights.sum(axis=1)
    total = np.where(total > 0, total, np.nan)
    mean_x, mean_y = weights @ x / total, weights @ y / total
    xx, yy = weights @ x**2 / total - mean_x**2, weights @ y**2 / total - mean_y**2
    xy = weights @ (x * y) / total - mean_x * mean_y
    # a sample of one patient's scans may have no spread of its own
    spread = (xx > 1e-12 * x.var()) & (yy > 1e-12 * y.var())
    return np.where(spread, xy / np.sqrt(np.where(spread, xx * yy, 1.0)), np.nan)
