"""Whether probabilities can be taken at their word, and how to mend them (SPEC 7).

Repeated scans: slope and intercept take the patients as clusters; bins count
scans, so give them one row a patient (:func:`relevox.statistics.scores.by_patient`).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import optimize, special
from statsmodels.discrete.discrete_model import Logit
from statsmodels.tools.sm_exceptions import ConvergenceWarning

from relevox.errors import InputError
from relevox.statistics.intervals import proportion
from relevox.statistics.scores import checked

SMALLEST = 1e-6
"""Probabilities nearer to 0 or 1 are moved here: their logit would be infinite."""


@dataclass(frozen=True)
class Calibration:
    """Logistic recalibration: logit of the truth = intercept + slope * logit of the prediction."""

    slope: float
    """1 is perfect; below 1 the probabilities are too extreme. NaN where the classes can be told apart perfectly."""
    intercept: float
    """0 is perfect; above 0 the probabilities are too low."""
    slope_low: float
    """Lower end of the slope's Wald interval, with patients as clusters."""
    slope_high: float
    """Upper end."""
    intercept_low: float
    """Lower end of the intercept's interval."""
    intercept_high: float
    """Upper end."""


@dataclass(frozen=True)
class Reliability:
    """What was predicted and what came true, in bins of the probability; empty bins are not listed."""

    predicted: np.ndarray
    """``(bins,)`` mean probability."""
    observed: np.ndarray
    """``(bins,)`` share of class 1."""
    ci_low: np.ndarray
    """``(bins,)`` lower end of the share's Wilson interval."""
    ci_high: np.ndarray
    """``(bins,)`` upper end."""
    n: np.ndarray
    """``(bins,)`` rows in the bin."""


@dataclass(frozen=True)
class BrierParts:
    """The Brier score in parts: ``reliability - resolution + uncertainty + within`` (Murphy 1973; Stephenson 2008)."""

    reliability: float
    """Squared distance of a bin's mean probability from its share of class 1; 0 is perfect."""
    resolution: float
    """How far the bins' shares differ from the cohort's; large is good."""
    uncertainty: float
    """Of the class itself: share of class 1 times share of class 0."""
    within: float
    """What the bins hide: spread of the probabilities inside a bin."""

    @property
    def total(self) -> float:
        """The Brier score."""
        return self.reliability - self.resolution + self.uncertainty + self.within


def calibration(
    y_true: np.ndarray, probability: np.ndarray, patients: np.ndarray | None = None, confidence: float = 0.95
) -> Calibration:
    """Fit slope and intercept by maximum likelihood (Cox 1958).

    Parameters
    ----------
    y_true : array-like, (n,)
        Class, 0 or 1.
    probability : array-like, (n,)
        Predicted probability of class 1.
    patients : array-like, (n,), optional
        Patient of every row: the intervals then take patients as clusters.
    confidence : float
        Of the intervals.

    Returns
    -------
    Calibration
        All NaN with one class, equal probabilities, or where a threshold
        divides the classes perfectly: there is no finite slope.
    """
    y, p = checked(y_true, probability)
    logit = _logit(p)
    patient = np.unique(np.arange(len(y)) if patients is None else np.asarray(patients), return_inverse=True)[1]
    if not _overlap(y, logit):
        return Calibration(*[np.nan] * 6)
    X = np.column_stack([np.ones_like(logit), logit])
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        fit = Logit(y.astype(float), X).fit(disp=False, maxiter=100, cov_type="cluster", cov_kwds={"groups": patient})
    intercept, slope = fit.params
    intervals = fit.conf_int(1 - confidence) if patient.max() > 1 else np.full((2, 2), np.nan)
    return Calibration(*(float(v) for v in (slope, intercept, *intervals[1], *intervals[0])))


def reliability_curve(
    y_true: np.ndarray,
    probability: np.ndarray,
    n_bins: int = 10,
    strategy: Literal["uniform", "quantile"] = "uniform",
    confidence: float = 0.95,
) -> Reliability:
    """Compare predicted probabilities with observed shares, bin by bin.

    Parameters
    ----------
    y_true, probability : array-like, (n,)
        One row a patient.
    n_bins : int
        At most.
    strategy : {"uniform", "quantile"}
        Bins of equal width, or of about equal counts (equal probabilities stay together).
    confidence : float
        Of the Wilson intervals.
    """
    y, p = checked(y_true, probability)
    bins = _bins(p, n_bins, strategy)
    shares = [
        proportion(int(y[bins == k].sum()), int((bins == k).sum()), "wilson", confidence) for k in np.unique(bins)
    ]
    return Reliability(
        predicted=np.array([p[bins == k].mean() for k in np.unique(bins)]),
        observed=np.array([share.value for share in shares]),
        ci_low=np.array([share.ci_low for share in shares]),
        ci_high=np.array([share.ci_high for share in shares]),
        n=np.array([share.n for share in shares]),
    )


def expected_calibration_error(
    y_true: np.ndarray, probability: np.ndarray, n_bins: int = 10, closed: Literal["right", "left"] = "right"
) -> float:
    """Average the distance of observed shares from predicted probabilities over bins of equal width (ECE).

    Parameters
    ----------
    y_true, probability : array-like, (n,)
        Class and probability of class 1.
    n_bins : int
        The error grows with the number of bins, so it must be told.
    closed : {"right", "left"}
        On which side a bin owns its edge: (0.2, 0.4] or [0.2, 0.4). Rounded
        probabilities lie on edges, and the two then differ a lot.

    Examples
    --------
    >>> p = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95]
    >>> y = [0, 0, 1, 0, 1, 1, 0, 1, 1, 1]
    >>> [round(expected_calibration_error(y, p, 5, closed), 3) for closed in ("right", "left")]
    [0.215, 0.135]
    """
    y, p = checked(y_true, probability)
    bins = _bins(p, n_bins, "uniform", closed)
    return float(np.abs(np.bincount(bins, p - y)).sum() / len(y))


def brier_parts(y_true: np.ndarray, probability: np.ndarray, n_bins: int = 10) -> BrierParts:
    """Take the Brier score apart over bins of equal width.

    Parameters
    ----------
    y_true, probability : array-like, (n,)
        Class and probability of class 1.
    n_bins : int
        Of equal width.
    """
    y, p = checked(y_true, probability)
    bins = _bins(p, n_bins, "uniform")
    n = np.bincount(bins)
    at = n[bins]  # (n,) rows that share the bin
    share, mean = np.bincount(bins, y)[bins] / at, np.bincount(bins, p)[bins] / at
    base = y.mean()
    return BrierParts(
        reliability=float(((mean - share) ** 2).mean()),
        resolution=float(((share - base) ** 2).mean()),
        uncertainty=float(base * (1 - base)),
        within=float(((p - mean) ** 2 - 2 * (p - mean) * (y - share)).mean()),
    )


def temperature(y_true: np.ndarray, probability: np.ndarray) -> float:
    """Find the temperature by which the logits have to be divided (Guo et al. 2017).

    Parameters
    ----------
    y_true, probability : array-like, (n,)
        Of the validation scans, never of the scans to be predicted.

    Returns
    -------
    float
        Above 1 where the probabilities are too extreme. Infinite where the
        logits do not point to the truth on average (all becomes 0.5); NaN where
        every prediction is right, for no finite likelihood is the largest then.

    Notes
    -----
    Maximum likelihood. Of a softmax over two classes only the difference of the
    logits matters, and that is ``logit(p)``.
    """
    y, p = checked(y_true, probability)
    logit = _logit(p)
    if (np.where(y, logit, -logit) >= 0).all():
        return np.nan

    def slope(inverse: float) -> float:  # of the log likelihood; falls with the inverse temperature
        return float(((y - special.expit(inverse * logit)) * logit).sum())

    if slope(0.0) <= 0:
        return np.inf
    high = 1.0
    while slope(high) > 0:
        high *= 2
    return 1 / optimize.brentq(slope, 0.0, high, xtol=1e-14)


def with_temperature(probability: np.ndarray, temperature: float) -> np.ndarray:
    """Divide logits by a temperature; which class is likelier, and the order of the scans, stay.

    Parameters
    ----------
    probability : array-like, (n,)
        Of class 1.
    temperature : float
        Positive; infinity gives 0.5 everywhere, NaN gives NaN.

    Raises
    ------
    InputError
        For a temperature that is not positive.
    """
    if temperature <= 0:
        raise InputError(f"expected a positive temperature, but got {temperature}", code="temperature-value")
    return special.expit(_logit(np.asarray(probability, dtype=float)) / temperature)


def _logit(p: np.ndarray) -> np.ndarray:
    return special.logit(np.clip(p, SMALLEST, 1 - SMALLEST))


def _overlap(y: np.ndarray, logit: np.ndarray) -> bool:
    """Whether no threshold divides the classes: only then is the slope finite (Albert and Anderson 1984)."""
    if y.all() or not y.any():
        return False
    return bool(logit[~y].max() > logit[y].min() and logit[y].max() > logit[~y].min())


def _bins(p: np.ndarray, n_bins: int, strategy: str, closed: str = "right") -> np.ndarray:
    """Bin of every probability, ``(n,)``."""
    if strategy == "quantile":
        edges = np.unique(np.quantile(p, np.arange(1, n_bins) / n_bins))
    else:
        edges = np.arange(1, n_bins) / n_bins  # k / n, not k * (1 / n): 0.6 must lie on its edge
    return np.searchsorted(edges, p, side="left" if closed == "right" else "right")
