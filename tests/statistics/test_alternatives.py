"""Other common tests, against scipy on raw values and the slow definitions."""

import numpy as np
import pytest
from scipy import stats

from relevox.statistics.alternatives import (
    ANOVA,
    FREEMAN_HALTON,
    STUDENT,
    WELCH_ANOVA,
    count_tests,
    freeman_halton,
    mcnemar,
    moment_tests,
    paired_t,
)
from relevox.statistics.description import FISHER, PEARSON, WELCH, YATES


def moments(*groups):
    return [group.mean() for group in groups], [group.std(ddof=1) for group in groups], [group.size for group in groups]


def drawn(*sizes):
    rng = np.random.default_rng(0)
    return [rng.normal(0.3 * k, 1 + k, size) for k, size in enumerate(sizes)]


def test_two_groups_give_welch_and_student_as_scipy_does_on_the_values():
    a, b = drawn(12, 20)
    tests = moment_tests(*moments(a, b))
    for name, equal in ((WELCH, False), (STUDENT, True)):
        reference = stats.ttest_ind(a, b, equal_var=equal)
        assert (tests[name].statistic, tests[name].p) == pytest.approx((reference.statistic, reference.pvalue))
    assert next(iter(tests)) == WELCH


def test_three_groups_give_the_classical_analysis_of_variance_as_scipy_does_on_the_values():
    groups = drawn(12, 20, 9)
    result = moment_tests(*moments(*groups))[ANOVA]
    reference = stats.f_oneway(*groups)
    assert (result.statistic, result.p) == pytest.approx((reference.statistic, reference.pvalue))
    everything = np.concatenate(groups)
    within = sum(((group - group.mean()) ** 2).sum() for group in groups)
    assert result.effect == pytest.approx(1 - within / ((everything - everything.mean()) ** 2).sum())


def test_welchs_analysis_of_variance_is_his_formula():
    mean, sd, n = (np.array(values, dtype=float) for values in moments(*drawn(12, 20, 9)))
    weights = n / sd**2
    grand = (weights * mean).sum() / weights.sum()
    k = n.size
    spread = ((1 - weights / weights.sum()) ** 2 / (n - 1)).sum()
    f = (weights * (mean - grand) ** 2).sum() / (k - 1) / (1 + 2 * (k - 2) / (k**2 - 1) * spread)
    result = moment_tests(mean, sd, n)[WELCH_ANOVA]
    assert result.statistic == pytest.approx(f)
    assert result.p == pytest.approx(stats.f.sf(f, k - 1, (k**2 - 1) / (3 * spread)))


def test_a_2x2_table_gets_both_chi_squares_and_fisher():
    table = np.array([[30, 18], [11, 22]])
    tests = count_tests(table)
    assert set(tests) == {YATES, PEARSON, FISHER}
    assert tests[YATES].p == pytest.approx(stats.chi2_contingency(table, correction=True).pvalue)
    assert tests[PEARSON].p == pytest.approx(stats.chi2_contingency(table, correction=False).pvalue)
    assert tests[FISHER].p == pytest.approx(stats.fisher_exact(table).pvalue)


def test_freeman_halton_is_near_the_sum_over_every_table():
    table = np.array([[6, 1], [3, 5], [1, 4]])
    rows, columns = table.sum(axis=1), table.sum(axis=0)
    distribution, exact = stats.random_table(rows, columns), 0.0
    for a in range(rows[0] + 1):
        for b in range(rows[1] + 1):
            c = columns[0] - a - b
            if 0 <= c <= rows[2]:
                other = np.array([[a, rows[0] - a], [b, rows[1] - b], [c, rows[2] - c]])
                if distribution.pmf(other) <= distribution.pmf(table) * (1 + 1e-9):
                    exact += distribution.pmf(other)
    result = freeman_halton(table)
    assert result.test == FREEMAN_HALTON
    assert result.p == pytest.approx(exact, abs=4 * np.sqrt(exact / 20_000))


def test_mcnemar_is_that_of_r():
    assert mcnemar([[794, 86], [150, 570]]).statistic == pytest.approx(16.81780, abs=1e-5)
    assert np.isnan(mcnemar([[5, 0], [0, 7]]).p)


def test_more_than_two_paired_levels_are_bowkers():
    table = np.array([[20, 10, 5], [3, 30, 15], [0, 5, 40]])
    statistic = (10 - 3) ** 2 / 13 + 5**2 / 5 + (15 - 5) ** 2 / 20
    result = mcnemar(table)
    assert (result.test, result.statistic) == ("Bowker", pytest.approx(statistic))
    assert result.p == pytest.approx(stats.chi2.sf(statistic, 3))


def test_paired_t_is_that_of_scipy_on_the_differences():
    differences = np.random.default_rng(1).normal(0.4, 1, 15)
    reference = stats.ttest_1samp(differences, 0)
    result = paired_t(differences.mean(), differences.std(ddof=1), 15)
    assert (result.statistic, result.p) == pytest.approx((reference.statistic, reference.pvalue))


def test_what_cannot_be_tested_gives_no_test():
    assert count_tests([[5, 3], [0, 0]]) == {}
    assert moment_tests((1, 2), (0, 0), (5, 5)) == {}
    assert moment_tests((1, 2), (1, 1), (5, 1)) == {}
    assert np.isnan(paired_t(1.0, 0.0, 9).p)
