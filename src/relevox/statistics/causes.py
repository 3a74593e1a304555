"""What a network's answer rests on, when the causes of the outcome are known: its logit regressed on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from relevox.statistics.resampling import Estimate, resample

R2, R2_OF_GROUPS = "r2", "r2_added_by_scanner"


def explained_by_causes(
    logit: np.ndarray,
    causes: Mapping[str, np.ndarray],
    groups: Sequence[str],
    patients: np.ndarray,
    n_bootstrap: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, Estimate]:
    """Regress the network's logit on all causes and the scanner.

    A map can only show what the network uses. A cause with a coefficient near
    0 is not in the network, and no map of it can be blamed for not showing it.

    Parameters
    ----------
    logit : ndarray, (n,)
        Log odds of class 1, one a scan.
    causes : mapping of str to ndarray, (n,)
        Those with a weight in the outcome, and those without: decoys.
    groups : sequence of str, (n,)
        Scanner of each scan; enters as one column a scanner but the first.
    patients, n_bootstrap, confidence, seed
        Of the intervals, as for :func:`.resampling.mean_over_patients`.

    Returns
    -------
    dict of str to Estimate
        The standardised coefficient of each cause; ``r2`` of causes and scanner together;
        ``r2_added_by_scanner``, what the scanner explains beside the causes. NaN for a
        cause, or a logit, that does not vary.
    """
    logit = np.asarray(logit, dtype=np.float64)
    varying = {name: np.asarray(values, float) for name, values in causes.items() if np.ptp(values) > 0}
    unknown = Estimate(np.nan, np.nan, np.nan, len(logit))
    names = (*causes, R2, R2_OF_GROUPS)
    if np.ptp(logit) == 0 or not varying:
        return dict.fromkeys(names, unknown)
    dummies = [np.array([group == name for group in groups], float) for name in sorted(set(groups))[1:]]
    design = np.stack([*varying.values(), *dummies, logit], axis=1)
    k = len(varying)

    def statistic(weights: np.ndarray) -> np.ndarray:
        correlations = _weighted_correlations(design, weights)  # (samples, k + d + 1, k + d + 1)
        beta, whole = _fit(correlations, design.shape[1] - 1)
        _, without = _fit(correlations[:, [*range(k), -1]][:, :, [*range(k), -1]], k)
        return np.concatenate([beta[:, :k].T, whole[None], (whole - without)[None]])

    found = resample(statistic, patients, n_bootstrap, seed)
    intervals = found.interval(confidence)
    estimated = {
        name: Estimate(float(value), float(low), float(high), len(logit))
        for name, value, (low, high) in zip((*varying, R2, R2_OF_GROUPS), found.value, intervals, strict=True)
    }
    return {name: estimated.get(name, unknown) for name in names}


def _weighted_correlations(columns: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Correlations of ``(n, c)`` columns under each ``(samples, n)`` weighting; 0 where a column does not vary."""
    share = weights / weights.sum(axis=1, keepdims=True)
    centred = columns - columns.mean(axis=0)
    mean = share @ centred
    products = (centred[:, :, None] * centred[:, None, :]).reshape(len(columns), -1)
    covariance = (share @ products).reshape(len(weights), *[columns.shape[1]] * 2) - mean[:, :, None] * mean[:, None]
    spread = np.sqrt(np.maximum(np.einsum("sii->si", covariance), 0))
    scale = np.where(spread > 1e-9 * columns.std(axis=0), 1 / np.where(spread > 0, spread, 1), 0)
    return covariance * scale[:, :, None] * scale[:, None]


def _fit(correlations: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Standardised coefficients ``(samples, k)`` of the last column on the first k, and R2 ``(samples,)``."""
    with_last = correlations[:, :k, -1]
    # a scanner that a sample did not draw has a column of zeros: the pseudo-inverse leaves it out
    beta = np.einsum("sij,sj->si", np.linalg.pinv(correlations[:, :k, :k], rcond=1e-9, hermitian=True), with_last)
    return beta, (beta * with_last).sum(axis=1)
