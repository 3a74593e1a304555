"""Disability: a latent score of the causes, noise, and the ordinal score cut from it.

The chance of class 1 is known for every scan, and with it the accuracy and
the AUC that no classifier of the causes can beat (Bayes).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm

THRESHOLD = 3.0
"""EDSS, or PDDS, from which a scan is class 1."""

# Shares within class 0 and class 1. EDSS: medians 1.5 and 5.0, ranges 0-2.5 and 3-9 as in Table 2;
# PDDS: medians 0.5 and 5.0, ranges 0-2 and 3-7 as in Table 3.
_SHARES = {
    "EDSS": (
        {0.0: 0.15, 1.0: 0.20, 1.5: 0.25, 2.0: 0.25, 2.5: 0.15},
        {
            3.0: 0.12, 3.5: 0.12, 4.0: 0.11, 4.5: 0.08, 5.0: 0.10, 5.5: 0.07, 6.0: 0.13,
            6.5: 0.11, 7.0: 0.06, 7.5: 0.04, 8.0: 0.03, 8.5: 0.02, 9.0: 0.01,
        },
    ),
    "PDDS": ({0.0: 0.50, 1.0: 0.25, 2.0: 0.25}, {3.0: 0.20, 4.0: 0.20, 5.0: 0.25, 6.0: 0.25, 7.0: 0.10}),
}  # fmt: skip

SCANNER_COUNTS = ((19, 43, 7, 13, 133), (45, 21, 3, 38, 60))
"""Scans by class and scanner (Table 2), in the order of ``contrast.SCANNERS``."""


EXTERNAL_COUNTS = ((55, 55, 55, 55), (55, 55, 55, 55))
"""The same in the order of ``contrast.EXTERNAL_SCANNERS``: 440 scans on four models (paper 2.1.2, no counts given)."""


class Ladder(NamedTuple):
    """How a latent score becomes an ordinal one."""

    cuts: np.ndarray
    """``(k - 1,)`` ascending; a latent score above a cut reaches the next value."""
    values: np.ndarray
    """``(k,)`` ascending values of the ordinal score."""

    def __call__(self, observed: np.ndarray) -> np.ndarray:
        """Return the ordinal scores of latent ones, of any shape."""
        return self.values[np.searchsorted(self.cuts, observed)]


class Bayes(NamedTuple):
    """What the best possible classifier reaches."""

    accuracy: float
    """Expected share of right answers."""
    auc: float
    """Expected area under the ROC curve."""


def latent_score(causes: Mapping[str, np.ndarray], weights: Mapping[str, float]) -> np.ndarray:
    """Standardise the causes over the cohort, weigh them, and standardise the sum.

    Parameters
    ----------
    causes : mapping of str to np.ndarray
        ``(n,)`` each.
    weights : mapping of str to float
        Weight of each standardised cause. A cause that is alike in all scans adds nothing.

    Returns
    -------
    np.ndarray
        ``(n,)`` with mean 0 and standard deviation 1; all NaN where no cause differs between scans.
    """
    score = np.zeros(len(next(iter(causes.values()))))
    for name, weight in weights.items():
        cause = np.asarray(causes[name], dtype=np.float64)
        score += weight * (cause - cause.mean()) / (cause.std() or 1.0)
    return (score - score.mean()) / (score.std() or np.nan)


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


def ladder(observed: np.ndarray, threshold: float, score: str = "EDSS") -> Ladder:
    """Choose the cuts that give a cohort the score's shares of values in either class.

    Parameters
    ----------
    observed : np.ndarray
        ``(n,)`` latent scores with their noise.
    threshold : float
        Scores above it, and only they, become 3 or more.
    score : {"EDSS", "PDDS"}
        Which ordinal score.
    """
    cuts, values = [], []
    # where a class is empty, whoever enters it later comes to the step next to the threshold
    below, above = _SHARES[score]
    for side, shares, nobody in ((observed <= threshold, below, -np.inf), (observed > threshold, above, np.inf)):
        steps = np.cumsum(list(shares.values()))[:-1]
        cuts.append(np.quantile(observed[side], steps) if side.any() else np.full(len(steps), nobody))
        values += list(shares)
    return Ladder(np.concatenate([cuts[0], [threshold], cuts[1]]), np.array(values))


def scanner_frequencies(confounding: float, by_class_counts: Sequence[Sequence[int]] = SCANNER_COUNTS) -> np.ndarray:
    """Return how often each scanner is used, by class.

    Parameters
    ----------
    confounding : float
        1: as in the counts (Table 2), 0: alike in both classes.
    by_class_counts : sequence
        ``(2, scanners)`` scans.

    Returns
    -------
    np.ndarray
        ``(2, scanners)``, rows sum to 1.
    """
    counts = np.array(by_class_counts, dtype=np.float64)
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
