"""Disability: a latent score of the causes, noise, and the ordinal EDSS cut from it.

The chance of class 1 is known for every scan, and with it the accuracy and
the AUC that no classifier of the causes can beat (Bayes).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm

EDSS_THRESHOLD = 3.0
"""EDSS from which a scan is class 1."""

# Shares within each class; medians 1.5 and 5.0, ranges 0-2.5 and 3-9 as in Table 2.
_MILD = {0.0: 0.15, 1.0: 0.20, 1.5: 0.25, 2.0: 0.25, 2.5: 0.15}
_MODERATE = {
    3.0: 0.12, 3.5: 0.12, 4.0: 0.11, 4.5: 0.08, 5.0: 0.10, 5.5: 0.07, 6.0: 0.13,
    6.5: 0.11, 7.0: 0.06, 7.5: 0.04, 8.0: 0.03, 8.5: 0.02, 9.0: 0.01,
}  # fmt: skip

SCANNER_COUNTS = ((19, 43, 7, 13, 133), (45, 21, 3, 38, 60))
"""Scans by class and scanner (Table 2), in the order of ``contrast.SCANNERS``."""


class Bayes(NamedTuple):
    """What the best possible classifier reaches."""

    accuracy: float
    """Expected share of right answers."""
    auc: float
    """Expected area under the ROC curve."""


def latent_score(causes: Mapping[str, np.ndarray], weights: Mapping[str, float]) -> np.ndarray:
    """Weigh the causes and standardise the sum over the cohort.

    Parameters
    ----------
    causes : mapping of str to np.ndarray
        ``(n,)`` each.
    weights : mapping of str to float
        Weight of each cause.

    Returns
    -------
    np.ndarray
        ``(n,)`` with mean 0 and standard deviation 1.
    """
    score = sum(weight * np.asarray(causes[name], dtype=np.float64) for name, weight in weights.items())
    return (score - score.mean()) / score.std()


def class_probability(latent: np.ndarray, threshold: float, noise: float) -> np.ndarray:
    """Return p(y = 1) of each scan: the chance that latent + noise exceeds the threshold."""
    if noise == 0:
        return (latent > threshold).astype(np.float64)
    return norm.cdf((latent - threshold) / noise)


def threshold_for(latent: np.ndarray, noise: float, prevalence: float) -> float:
    """Return the threshold at which the expected share of class 1 is the prevalence.

    Without noise there is none that is exact; then the quantile is taken.
    """
    if noise == 0:
        return float(np.quantile(latent, 1 - prevalence))
    reach = 10 * (1 + noise)
    return float(
        brentq(
            lambda t: class_probability(latent, t, noise).mean() - prevalence,
            latent.min() - reach,
            latent.max() + reach,
        )
    )


def edss(observed: np.ndarray, threshold: float) -> np.ndarray:
    """Cut the noisy latent score into EDSS values.

    Parameters
    ----------
    observed : np.ndarray
        ``(n,)`` latent score with its noise.
    threshold : float
        Scores above it, and only they, become EDSS >= 3.

    Returns
    -------
    np.ndarray
        ``(n,)`` of valid EDSS values, growing with the score.
    """
    values = np.empty(observed.shape)
    for above, shares in ((False, _MILD), (True, _MODERATE)):
        side = (observed > threshold) == above
        if side.any():
            cuts = np.quantile(observed[side], np.cumsum(list(shares.values()))[:-1])
            values[side] = np.array(list(shares))[np.searchsorted(cuts, observed[side])]
    return values


def scanner_frequencies(confounding: float) -> np.ndarray:
    """Return how often each scanner is used, by class.

    Parameters
    ----------
    confounding : float
        1: as in Table 2, 0: alike in both classes.

    Returns
    -------
    np.ndarray
        ``(2, scanners)``, rows sum to 1.
    """
    counts = np.array(SCANNER_COUNTS, dtype=np.float64)
    by_class = counts / counts.sum(axis=1, keepdims=True)
    together = counts.sum(axis=0) / counts.sum()
    return confounding * by_class + (1 - confounding) * together


def bayes(probability: np.ndarray) -> Bayes:
    """Return the expected accuracy and AUC of the classifier that knows every p(y = 1).

    Parameters
    ----------
    probability : np.ndarray
        ``(n,)``.

    Notes
    -----
    The expected AUC weighs every ordered pair of scans by the chance that the
    first is positive and the second negative.
    """
    p = np.asarray(probability, dtype=np.float64)
    above = (p[:, None] > p[None, :]) + 0.5 * (p[:, None] == p[None, :])
    chance = p[:, None] * (1 - p[None, :])
    np.fill_diagonal(chance, 0.0)
    total = chance.sum()
    auc = float((above * chance).sum() / total) if total else float("nan")
    return Bayes(float(np.maximum(p, 1 - p).mean()), auc)
