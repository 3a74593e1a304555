"""Intervals of proportions: accuracy, sensitivity and specificity of an external cohort (SPEC 7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from relevox.errors import InputError
from relevox.statistics.scores import checked

_SCIPY = {"wilson": "wilson", "clopper-pearson": "exact"}


@dataclass(frozen=True)
class Proportion:
    """A share of independent units with its interval."""

    value: float
    """NaN without units."""
    ci_low: float
    """Lower end."""
    ci_high: float
    """Upper end."""
    successes: int
    """Units that count."""
    n: int
    """Units."""


def proportion(
    successes: int,
    n: int,
    method: Literal["wilson", "clopper-pearson"] = "wilson",
    confidence: float = 0.95,
) -> Proportion:
    """Give a share an interval.

    Parameters
    ----------
    successes, n : int
        How many of how many; the units must be independent (one a patient).
    method : {"wilson", "clopper-pearson"}
        Wilson's score interval holds the truth in 95 % of the studies on
        average; Clopper and Pearson's in at least 95 %, and is wider.
    confidence : float
        Of the interval.

    Raises
    ------
    InputError
        For an unknown method or impossible counts.

    Examples
    --------
    >>> found = proportion(313, 440)
    >>> round(found.ci_low, 6), round(found.ci_high, 6)
    (0.667339, 0.75173)
    """
    if method not in _SCIPY:
        raise InputError(f"expected wilson or clopper-pearson, but got {method!r}", code="interval-method")
    if not 0 <= successes <= n:
        raise InputError(f"expected 0 to {n} successes, but got {successes}", code="interval-counts")
    if n == 0:
        return Proportion(np.nan, np.nan, np.nan, 0, 0)
    found = stats.binomtest(int(successes), int(n)).proportion_ci(confidence, _SCIPY[method])
    return Proportion(successes / n, float(found.low), float(found.high), int(successes), int(n))


def proportion_scores(
    y_true: np.ndarray,
    probability: np.ndarray,
    method: Literal["wilson", "clopper-pearson"] = "wilson",
    confidence: float = 0.95,
    threshold: float = 0.5,
) -> dict[str, Proportion]:
    """Give accuracy, sensitivity and specificity intervals.

    Parameters
    ----------
    y_true, probability : array-like, (n,)
        One row a patient: with repeated scans the interval would be too short,
        and :func:`relevox.statistics.scores.patient_bootstrap` is the one to use.
    method, confidence
        As for :func:`proportion`.
    threshold : float
        Class 1 is predicted above it.
    """
    y, p = checked(y_true, probability)
    right = (p > threshold) == y
    parts = {"accuracy": np.ones(len(y), dtype=bool), "sensitivity": y, "specificity": ~y}
    return {
        name: proportion(int(right[part].sum()), int(part.sum()), method, confidence) for name, part in parts.items()
    }
