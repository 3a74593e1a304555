"""How two groups of patients or scans differ: the right test for each kind of data (SPEC 8; paper 2.8).

Counts are compared by Pearson's chi-square (Yates' correction for 2x2), or by
Fisher's exact or a Monte-Carlo test where the chi-square approximation cannot
be trusted; measures by Welch's t, or by a linear mixed model where patients
were scanned more than once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from relevox.statistics.mixed import random_intercept

N_MONTE_CARLO = 20_000
"""Random tables of a Monte-Carlo test; its smallest p-value is 1 / (N_MONTE_CARLO + 1)."""


YATES, PEARSON, FISHER = "chi-square, Yates", "chi-square", "Fisher exact"
MONTE_CARLO, WELCH = "chi-square, Monte-Carlo", "Welch t"
MIXED, PER_PATIENT = "mixed model", "Welch t, patients"
CRAMERS_V = "Cramer's V"


@dataclass(frozen=True)
class Comparison:
    """One test between two groups; NaN where there was nothing to test."""

    test: str
    """Name of the test that was made."""
    statistic: float
    """Chi-square, odds ratio (Fisher) or t; group 0 minus group 1."""
    p: float
    """Two-sided p-value."""
    effect: float
    """Size of the difference, in units of ``effect_name``."""
    effect_name: str
    """``Cramer's V`` (0 to 1) or ``SMD``: difference of means over the pooled SD."""


NOT_TESTED = Comparison("not testable", np.nan, np.nan, np.nan, "")


def compare_counts(table: np.ndarray, seed: int = 0) -> Comparison:
    """Test whether groups differ in how often each level occurs.

    Parameters
    ----------
    table : array_like of int, ``(levels, groups)``
        Counts. Levels and groups that never occur are left out.
    seed : int
        Of the Monte-Carlo test.

    Returns
    -------
    Comparison
        Pearson's chi-square; for 2x2 with Yates' correction. Where Cochran's
        condition fails (an expected count below 1, or more than a fifth of them
        below 5): Fisher's exact test for 2x2, else the chi-square statistic
        with a p-value from random tables of the same margins.

    Notes
    -----
    A 2x2 table with any expected count below 5 always fails Cochran's condition.
    In a larger table one small cell does not: the scanner models of the paper's
    Table 2 (one expected count of 4.4 in ten) keep the chi-square p-value.

    Examples
    --------
    Sex in the paper's Table 2 (female, male; EDSS < 3, >= 3):

    >>> result = compare_counts([[147, 60], [68, 44]])
    >>> result.test, round(result.statistic, 4), round(result.p, 4)
    ('chi-square, Yates', 3.056, 0.0804)
    """
    table = occurring(table)
    if min(table.shape) < 2:
        return NOT_TESTED
    expected = _expected(table)
    small = expected.min() < 1 or (expected < 5).mean() > 0.2
    if table.shape == (2, 2):
        pearson = pearson_chi_square(table)
        if small:
            odds_ratio, p = stats.fisher_exact(table)
            return replace(pearson, test=FISHER, statistic=float(odds_ratio), p=float(p))
        result = stats.chi2_contingency(table, correction=True)
        return replace(pearson, test=YATES, statistic=float(result.statistic), p=float(result.pvalue))
    return monte_carlo_chi_square(table, seed) if small else pearson_chi_square(table)


def occurring(table: np.ndarray) -> np.ndarray:
    """Leave out levels and groups that never occur."""
    table = np.asarray(table, dtype=np.int64)
    assert table.ndim == 2 and (table >= 0).all(), "expected a table of counts"
    return table[table.sum(axis=1) > 0][:, table.sum(axis=0) > 0]


def pearson_chi_square(table: np.ndarray) -> Comparison:
    """Pearson's chi-square without correction; every level and group must occur."""
    chi_square = _chi_square(table, _expected(table))
    degrees = (table.shape[0] - 1) * (table.shape[1] - 1)
    effect = float(np.sqrt(chi_square / (table.sum() * (min(table.shape) - 1))))
    return Comparison(PEARSON, chi_square, float(stats.chi2.sf(chi_square, degrees)), effect, CRAMERS_V)


def monte_carlo_chi_square(table: np.ndarray, seed: int = 0) -> Comparison:
    """Pearson's chi-square with a p-value from random tables of the same margins."""
    pearson = pearson_chi_square(table)
    random = stats.random_table(table.sum(axis=1), table.sum(axis=0)).rvs(N_MONTE_CARLO, random_state=seed)
    # Rounding must not make a table rarer than itself.
    as_extreme = _chi_square(random, _expected(table)) >= pearson.statistic * (1 - 1e-9)
    p = (1 + as_extreme.sum()) / (1 + N_MONTE_CARLO)
    return replace(pearson, test=MONTE_CARLO, p=float(p))


def _expected(table: np.ndarray) -> np.ndarray:
    return np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()


def _chi_square(table: np.ndarray, expected: np.ndarray) -> np.ndarray | float:
    value = ((table - expected) ** 2 / expected).sum(axis=(-2, -1))
    return float(value) if np.ndim(value) == 0 else value


def compare_moments(mean: Sequence[float], sd: Sequence[float], n: Sequence[int]) -> Comparison:
    """Compare two means by Welch's t-test, from moments alone.

    Parameters
    ----------
    mean, sd : pair of float
        Of group 0 and group 1; ``sd`` with ddof 1.
    n : pair of int
        Patients (or scans, when each patient has one).

    Examples
    --------
    Disease duration in the paper's Table 2:

    >>> result = compare_moments((7.6, 14.0), (6.6, 5.6), (215, 167))
    >>> round(result.statistic, 3), bool(result.p < 1e-20)
    (-10.243, True)
    """
    mean, sd, n = (np.asarray(values, dtype=float) for values in (mean, sd, n))
    assert mean.shape == sd.shape == n.shape == (2,), "expected two groups"
    variance = sd**2 / np.maximum(n, 1)
    if (n < 2).any() or not np.isfinite(variance).all() or variance.sum() == 0:
        return NOT_TESTED
    t = float((mean[0] - mean[1]) / np.sqrt(variance.sum()))
    degrees = variance.sum() ** 2 / (variance**2 / (n - 1)).sum()
    pooled = np.sqrt(((n - 1) * sd**2).sum() / (n.sum() - 2))
    effect = float((mean[0] - mean[1]) / pooled)
    return Comparison(WELCH, t, float(2 * stats.t.sf(abs(t), degrees)), effect, "SMD")


def compare_values(values: np.ndarray, groups: np.ndarray, patients: np.ndarray) -> Comparison:
    """Compare a measure between group 0 and group 1.

    Parameters
    ----------
    values : ndarray, ``(n,)``
        One a scan; NaN = missing.
    groups : ndarray of int, ``(n,)``
        0 or 1.
    patients : ndarray, ``(n,)``
        Where every patient occurs once: Welch's t. Otherwise a linear mixed model with a random intercept per
        patient, tested by Wald's t with two degrees of freedom fewer than patients (the between-patient ones,
        Schluchter and Elashoff 1990: z would be too sure in a small cohort). Where nothing varies within patients
        that model has no maximum, and Welch's t compares the patients.

    Notes
    -----
    The effect is the difference of all scans' means over their pooled SD, whatever the test.
    """
    known = np.isfinite(values)
    values, groups, patients = values[known], groups[known], patients[known]
    parts = [values[groups == group] for group in (0, 1)]
    # scans of one patient alone are no group
    if min(np.unique(patients[groups == group]).size for group in (0, 1)) < 2:
        return NOT_TESTED
    welch = compare_moments(*_moments(parts))
    if np.unique(patients).size == patients.size or welch is NOT_TESTED:
        return welch
    fit = random_intercept(values, np.column_stack([np.ones(values.size), groups]), patients)
    if fit.converged:
        t = -float(fit.coefficients[1] / fit.standard_errors[1])
        degrees = np.unique(patients).size - 2
        return replace(welch, test=MIXED, statistic=t, p=float(2 * stats.t.sf(abs(t), degrees)))
    _, first = np.unique(np.column_stack([patients, groups.astype(str), values.astype(str)]), axis=0, return_index=True)
    if np.unique(patients[first]).size < first.size:
        return replace(NOT_TESTED, test="mixed model, not converged")
    return replace(compare_moments(*_moments([values[first][groups[first] == g] for g in (0, 1)])), test=PER_PATIENT)


def _moments(parts: Sequence[np.ndarray]) -> tuple[list[float], list[float], list[int]]:
    return [p.mean() for p in parts], [p.std(ddof=1) for p in parts], [p.size for p in parts]
