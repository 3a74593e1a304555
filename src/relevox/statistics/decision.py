"""Whether acting on a model does more good than harm (Vickers and Elkin 2006)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from relevox.errors import InputError
from relevox.statistics.resampling import resample
from relevox.statistics.scores import checked

THRESHOLDS = tuple(np.arange(1, 100) / 100)
"""Where decision curves are computed unless said otherwise."""


@dataclass(frozen=True)
class DecisionCurve:
    """Net benefit over thresholds, in true positives per scan of the cohort, at the cohort's share of class 1."""

    threshold: np.ndarray
    """``(t,)`` probability above which one would act: it prices a needless action at t / (1 - t) of a needed one."""
    model: np.ndarray
    """``(t,)`` acting on the model's advice."""
    ci_low: np.ndarray
    """``(t,)`` lower end of the patient-bootstrap band of ``model``, for each threshold by itself."""
    ci_high: np.ndarray
    """``(t,)`` upper end."""
    treat_all: np.ndarray
    """``(t,)`` acting on everybody."""
    treat_none: np.ndarray
    """``(t,)`` acting on nobody: 0."""
    gain: np.ndarray
    """``(t,)`` model minus the better of all and none."""
    gain_low: np.ndarray
    """``(t,)`` lower end of its band."""
    gain_high: np.ndarray
    """``(t,)`` upper end."""


def net_benefit(y_true: np.ndarray, probability: np.ndarray, threshold: float) -> float:
    """Compute ``TP / n - FP / n * t / (1 - t)``.

    Parameters
    ----------
    y_true, probability : array-like, (n,)
        Class and probability of class 1; class 1 is predicted above the threshold.
    threshold : float
        t, inside 0 .. 1.

    Examples
    --------
    >>> y, p = np.repeat([1, 0, 0], [149, 56, 235]), np.repeat([0.9, 0.9, 0.1], [149, 56, 235])
    >>> round(net_benefit(y, p, 0.5), 6)
    0.211364
    """
    y, p = checked(y_true, probability)
    return float(_net_benefits(y, p, np.ones((1, len(y))), _thresholds([threshold]))[0, 0])


def decision_curve(
    y_true: np.ndarray,
    probability: np.ndarray,
    patients: np.ndarray,
    thresholds: np.ndarray = THRESHOLDS,
    n_bootstrap: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> DecisionCurve:
    """Compute the net benefit of a model, of treating all and of treating none.

    Parameters
    ----------
    y_true, probability, patients : array-like, (n,)
        Per scan.
    thresholds : array-like, (t,)
        Inside 0 .. 1.
    n_bootstrap, confidence, seed
        Of the bands (:meth:`.resampling.Resampled.interval`).
    """
    y, p = checked(y_true, probability)
    t = _thresholds(thresholds)

    def statistic(weights: np.ndarray) -> np.ndarray:
        model, everybody = _net_benefits(y, p, weights, t), _net_benefits(y, np.ones(len(y)), weights, t)
        return np.concatenate([model, model - np.maximum(everybody, 0)])

    found = resample(statistic, patients, n_bootstrap, seed)
    (model, gain), bands = np.split(found.value, 2), found.interval(confidence)
    (low, gain_low), (high, gain_high) = np.split(bands[:, 0], 2), np.split(bands[:, 1], 2)
    everybody = _net_benefits(y, np.ones(len(y)), np.ones((1, len(y))), t)[:, 0]
    return DecisionCurve(t, model, low, high, everybody, np.zeros(len(t)), gain, gain_low, gain_high)


def _net_benefits(y: np.ndarray, p: np.ndarray, weights: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """``(thresholds, samples)``."""
    odds = thresholds / (1 - thresholds)
    acted = p[:, None] > thresholds  # (n, thresholds)
    worth = np.where(y[:, None], 1.0, -odds) * acted
    total = weights.sum(axis=1, keepdims=True)
    return (weights @ worth / np.where(total > 0, total, np.nan)).T


def _thresholds(values) -> np.ndarray:
    t = np.asarray(values, dtype=float)
    if t.ndim != 1 or len(t) == 0 or not ((t > 0) & (t < 1)).all():
        raise InputError("expected thresholds between 0 and 1, without the ends", code="decision-thresholds")
    return t
