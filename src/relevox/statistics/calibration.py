"""Whether probabilities can be taken at their word (SPEC 7)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SMALLEST = 1e-6
"""Probabilities nearer to 0 or 1 are moved here: their logit would be infinite."""


@dataclass(frozen=True)
class Calibration:
    """Logistic recalibration: logit of the truth = intercept + slope * logit of the prediction."""

    slope: float
    """1 is perfect; below 1 the probabilities are too extreme. NaN where the classes can be told apart perfectly."""
    intercept: float
    """0 is perfect; above 0 the probabilities are too low."""


def calibration(y_true: np.ndarray, probability: np.ndarray) -> Calibration:
    """Fit slope and intercept by maximum likelihood (Cox 1958).

    Parameters
    ----------
    y_true : array-like, (n,)
        Class, 0 or 1.
    probability : array-like, (n,)
        Predicted probability of class 1.
    """
    y = np.asarray(y_true, dtype=float)
    p = np.clip(np.asarray(probability, dtype=float), SMALLEST, 1 - SMALLEST)
    logit = np.log(p / (1 - p))
    X = np.stack([np.ones_like(logit), logit], axis=1)
    beta = np.zeros(2)
    for _ in range(50):  # Newton's method: the likelihood is concave
        fitted = 1 / (1 + np.exp(-np.clip(X @ beta, -30, 30)))
        information = X.T @ (X * (fitted * (1 - fitted))[:, None])
        if np.linalg.cond(information) > 1e12:
            return Calibration(np.nan, np.nan)
        step = np.linalg.solve(information, X.T @ (y - fitted))
        beta = beta + step
        if np.abs(step).max() < 1e-10:
            return Calibration(slope=float(beta[1]), intercept=float(beta[0]))
    return Calibration(np.nan, np.nan)
