"""Linear mixed model with one random intercept per patient (SPEC 8), by REML.

One variance ratio is all there is to search, so a bounded one-dimensional
search over its logarithm finds the optimum, and zero is tried beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import optimize

HIGHEST = 25.0
"""Largest logarithm of the variance ratio that is tried."""


@dataclass(frozen=True)
class RandomInterceptFit:
    """A fitted model ``y = X b + u[patient] + e``."""

    coefficients: np.ndarray
    """``(k,)`` fixed effects."""
    standard_errors: np.ndarray
    """``(k,)`` of the fixed effects."""
    patient_variance: float
    """Of the random intercepts."""
    residual_variance: float
    """Within patients."""
    converged: bool = True
    """False where no optimum was found: then nothing may be read from the rest."""


def random_intercept(y: np.ndarray, X: np.ndarray, patients: np.ndarray) -> RandomInterceptFit:
    """Fit the model by restricted maximum likelihood.

    Parameters
    ----------
    y : ndarray, ``(n,)``
        Outcome.
    X : ndarray, ``(n, k)``
        Fixed effects, the constant included; full column rank, ``n > k``.
    patients : ndarray, ``(n,)``
        Which observations share an intercept.

    Notes
    -----
    For variance ratio r and a patient with m observations the inverse
    covariance is ``(I - r / (1 + m r) 11') / residual variance``: deviations
    from the patient's mean count in full, the mean itself by ``1 / (1 + m r)``.
    """
    y, X = np.asarray(y, dtype=float), np.asarray(X, dtype=float)
    n, k = X.shape
    if not np.isfinite(y).all():
        lost = np.full(k, np.nan)
        return RandomInterceptFit(lost, lost, np.nan, np.nan, converged=False)
    _, index = np.unique(patients, return_inverse=True)
    sizes = np.bincount(index)
    both = np.column_stack([X, y])
    sums = np.zeros((sizes.size, k + 1))
    np.add.at(sums, index, both)
    inside = both - (sums / sizes[:, None])[index]
    within = inside.T @ inside

    def solve(ratio: float):
        # within plus between: no difference of large numbers, whatever the ratio
        cross = within + (sums / (sizes * (1 + sizes * ratio))[:, None]).T @ sums
        inverse = np.linalg.inv(cross[:k, :k])
        beta = inverse @ cross[:k, k]
        residual = (cross[k, k] - cross[:k, k] @ beta) / (n - k)
        return beta, inverse, residual

    def deviance(ratio: float) -> float:
        _, inverse, residual = solve(ratio)
        return (
            (n - k) * np.log(max(residual, np.finfo(float).tiny))
            + np.log1p(sizes * ratio).sum()
            - np.linalg.slogdet(inverse)[1]
        )

    best = optimize.minimize_scalar(
        lambda log_ratio: deviance(np.exp(log_ratio)), bounds=(-15, HIGHEST), method="bounded", options={"xatol": 1e-9}
    )
    ratio = 0.0 if deviance(0.0) <= best.fun else float(np.exp(best.x))
    beta, inverse, residual = solve(ratio)
    errors = np.sqrt(np.diag(inverse) * residual)
    # without any spread within patients the likelihood has no maximum, and the search ends at its bound
    converged = bool(best.success and best.x < HIGHEST - 1 and np.isfinite(beta).all() and (errors > 0).all())
    return RandomInterceptFit(beta, errors, float(ratio * residual), float(residual), converged)
