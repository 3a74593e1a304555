"""Every common test of a table of counts, or of printed means and SDs.

A printed p-value rarely names its test in full (Yates or not, equal variances
or not). Here all that readers would try are made from the same numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy import stats

from relevox.statistics.description import (
    FISHER,
    N_MONTE_CARLO,
    WELCH,
    YATES,
    Comparison,
    compare_counts,
    compare_moments,
    monte_carlo_chi_square,
    occurring,
    pearson_chi_square,
)

FREEMAN_HALTON = "Fisher exact, Monte-Carlo"
MCNEMAR = "McNemar"
STUDENT = "Student t"
PAIRED = "paired t"
ANOVA = "ANOVA"
WELCH_ANOVA = "Welch ANOVA"


def count_tests(table: np.ndarray) -> dict[str, Comparison]:
    """Make every common test of counts, our own choice (:func:`compare_counts`) first.

    Parameters
    ----------
    table : array_like of int, ``(levels, groups)``
        Counts.

    Returns
    -------
    dict
        Name of the test to its result; empty when fewer than two levels or groups occur.
        2x2: chi-square with and without Yates' correction, and Fisher's exact test. Larger:
        chi-square, the same with a Monte-Carlo p-value, and the Freeman-Halton extension of
        Fisher's test by Monte-Carlo.
    """
    ours = compare_counts(table)
    table = occurring(table)
    if min(table.shape) < 2:
        return {}
    if table.shape == (2, 2):
        yates = stats.chi2_contingency(table, correction=True)
        odds_ratio, exact = stats.fisher_exact(table)
        found = [
            replace(ours, test=YATES, statistic=float(yates.statistic), p=float(yates.pvalue)),
            pearson_chi_square(table),
            replace(ours, test=FISHER, statistic=float(odds_ratio), p=float(exact)),
        ]
    else:
        found = [pearson_chi_square(table), monte_carlo_chi_square(table), freeman_halton(table)]
    return {ours.test: ours} | {result.test: result for result in found}


def freeman_halton(table: np.ndarray, seed: int = 0) -> Comparison:
    """Fisher's exact test of a larger table: tables with the same margins that are no likelier, by Monte-Carlo."""
    table = occurring(table)
    distribution = stats.random_table(table.sum(axis=1), table.sum(axis=0))
    random = distribution.rvs(N_MONTE_CARLO, random_state=seed)
    # rounding must not make a table rarer than itself
    rarer = distribution.logpmf(random) <= distribution.logpmf(table) + 1e-7
    p = (1 + rarer.sum()) / (1 + N_MONTE_CARLO)
    return replace(pearson_chi_square(table), test=FREEMAN_HALTON, statistic=np.nan, p=float(p))


def mcnemar(table: np.ndarray) -> Comparison:
    """Compare paired answers: McNemar's test with continuity correction, Bowker's for more than two levels.

    Parameters
    ----------
    table : array_like of int, ``(k, k)``
        Pairs by first and second answer.

    Examples
    --------
    >>> result = mcnemar([[794, 86], [150, 570]])
    >>> round(result.statistic, 4)
    16.8178
    """
    from statsmodels.stats import contingency_tables  # slow to import, and rarely needed

    table = np.asarray(table)
    assert table.ndim == 2 and table.shape[0] == table.shape[1], "expected a square table"
    differing = table.sum() - np.trace(table)
    if differing == 0:
        return Comparison("not testable", np.nan, np.nan, np.nan, "")
    if table.shape == (2, 2):
        result = contingency_tables.mcnemar(table, exact=False, correction=True)
        name = MCNEMAR
    else:
        result = contingency_tables.SquareTable(table, shift_zeros=False).symmetry()
        name = "Bowker"
    return Comparison(name, float(result.statistic), float(result.pvalue), np.nan, "")


def moment_tests(mean: Sequence[float], sd: Sequence[float], n: Sequence[int]) -> dict[str, Comparison]:
    """Make every common test of means, from moments alone; the one without equal variances first.

    Parameters
    ----------
    mean, sd, n : sequence, one value a group
        ``sd`` with ddof 1.

    Returns
    -------
    dict
        Two groups: Welch's and Student's t. More: Welch's and the classical analysis of variance. Empty when a group
        has fewer than two values or nothing varies.
    """
    mean, sd, n = (np.asarray(values, dtype=float) for values in (mean, sd, n))
    if (n < 2).any() or not np.isfinite(mean + sd).all() or not (sd > 0).any():
        return {}
    if mean.size == 2:
        welch = compare_moments(mean, sd, n)
        student = stats.ttest_ind_from_stats(mean[0], sd[0], n[0], mean[1], sd[1], n[1])
        equal = replace(welch, test=STUDENT, statistic=float(student.statistic), p=float(student.pvalue))
        return {WELCH: welch, STUDENT: equal}
    from statsmodels.stats.oneway import anova_generic  # slow to import, and rarely needed

    between = (n * (mean - np.average(mean, weights=n)) ** 2).sum()
    eta_squared = float(between / (between + ((n - 1) * sd**2).sum()))
    found = {}
    if (sd > 0).all():
        result = anova_generic(mean, sd**2, n, use_var="unequal")
        found[WELCH_ANOVA] = Comparison(
            WELCH_ANOVA, float(result.statistic), float(result.pvalue), eta_squared, "eta squared"
        )
    result = anova_generic(mean, sd**2, n, use_var="equal")
    found[ANOVA] = Comparison(ANOVA, float(result.statistic), float(result.pvalue), eta_squared, "eta squared")
    return found


def paired_t(mean: float, sd: float, n: int) -> Comparison:
    """Test whether the mean of paired differences is zero, from its moments."""
    if n < 2 or not sd > 0:
        return Comparison("not testable", np.nan, np.nan, np.nan, "")
    t = mean / (sd / np.sqrt(n))
    return Comparison(PAIRED, float(t), float(2 * stats.t.sf(abs(t), n - 1)), float(mean / sd), "SMD of differences")
