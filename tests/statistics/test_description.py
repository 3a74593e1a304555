"""The paper's printed tables as a benchmark, and the rules of the choice of test.

Counts and moments: Coll et al. 2023, NeuroImage: Clinical 38:103376, Tables 2 and 3.
P-values recomputed from them with scipy and R.
"""

import numpy as np
import pytest
from scipy import stats

from relevox.statistics.description import (
    compare_counts,
    compare_moments,
    compare_values,
)

COUNTS = {
    "sex (printed 0.08)": ([147, 68], [60, 44], "chi-square, Yates", 3.0560, 0.080439),
    "confirmed diagnosis": ([160, 55], [100, 4], "chi-square, Yates", 20.549, 5.8e-6),
    "CIS topography (printed < 0.001)": ([59, 74, 60, 22], [24, 24, 38, 18], "chi-square", 7.9463, 0.047134),
    "MS type": ([106, 1, 108], [17, 40, 47], "chi-square", 98.847, 3.4e-22),
    "oligoclonal bands": ([115, 64, 36], [79, 11, 14], "chi-square", 17.282, 1.767e-4),
    "scanner model": ([19, 43, 7, 13, 133], [45, 21, 3, 38, 60], "chi-square", 54.4191, 4.30e-11),
}
MOMENTS = {
    "disease duration": ((7.6, 6.6, 215), (14.0, 5.6, 167), -10.243, 6.9e-22),
    "lesion load": ((10.4, 13.1, 215), (49.6, 50.7, 167), -9.742, 2.5e-18),
    "ventricles": ((21.5, 9.6, 215), (40.2, 25.3, 167), -9.059, 1.1e-16),
    "grey matter": ((813.1, 48.3, 215), (755.4, 67.2, 167), 9.374, 2.1e-18),
    "white matter": ((707.5, 54.3, 215), (678.3, 79.6, 167), 4.063, 6.3e-5),
    "brain": ((1572.0, 83.7, 215), (1504.8, 114.4, 167), 6.380, 6.9e-10),
}


@pytest.mark.parametrize("row", COUNTS)
def test_counts_of_the_papers_table_give_the_recomputed_p(row):
    group0, group1, test, statistic, p = COUNTS[row]
    result = compare_counts(np.transpose([group0, group1]))
    assert result.test == test
    assert result.statistic == pytest.approx(statistic, rel=1e-4)
    assert result.p == pytest.approx(p, rel=0.02)


def test_external_sex_is_0_002_and_not_0_007():
    assert compare_counts([[170, 140], [50, 80]]).p == pytest.approx(0.002, abs=5e-4)


@pytest.mark.parametrize("row", MOMENTS)
def test_moments_of_the_papers_table_give_the_recomputed_p(row):
    group0, group1, statistic, p = MOMENTS[row]
    result = compare_moments(*zip(group0, group1, strict=True))
    assert result.test == "Welch t"
    assert result.statistic == pytest.approx(statistic, rel=1e-3)
    assert result.p == pytest.approx(p, rel=0.03)


def test_small_2x2_is_exact():
    result = compare_counts([[3, 1], [1, 3]])  # Fisher's tea: 34/70
    assert (result.test, result.p) == ("Fisher exact", pytest.approx(34 / 70))


def test_small_3x2_is_monte_carlo_and_near_the_exact_probability():
    table = np.array([[3, 0], [1, 2], [0, 4]])
    result = compare_counts(table)
    assert result.test == "chi-square, Monte-Carlo"
    # Slow definition: every assignment of the ten observations to the levels, margins kept.
    rows, columns = table.sum(axis=1), table.sum(axis=0)
    expected = np.outer(rows, columns) / table.sum()
    distribution, exact = stats.random_table(rows, columns), 0.0
    for a in range(rows[0] + 1):
        for b in range(rows[1] + 1):
            c = columns[0] - a - b
            if 0 <= c <= rows[2]:
                other = np.array([[a, rows[0] - a], [b, rows[1] - b], [c, rows[2] - c]])
                if ((other - expected) ** 2 / expected).sum() >= result.statistic - 1e-9:
                    exact += distribution.pmf(other)
    assert result.p == pytest.approx(exact, abs=4 * np.sqrt(exact / 20_000))
    assert compare_counts(table).p == result.p


def test_levels_and_groups_that_never_occur_do_not_count():
    with_empty_level = compare_counts([[147, 60], [0, 0], [68, 44]])
    assert with_empty_level == compare_counts([[147, 60], [68, 44]])
    assert np.isnan(compare_counts([[5, 0], [7, 0]]).p)
    assert np.isnan(compare_counts([[5, 3]]).p)


def test_welch_agrees_with_scipy_on_values():
    rng = np.random.default_rng(0)
    a, b = rng.normal(0, 1, 30), rng.normal(0.5, 3, 12)
    values, groups = np.r_[a, b, np.nan], np.r_[np.zeros(30, int), np.ones(13, int)]
    result = compare_values(values, groups, np.arange(43))
    reference = stats.ttest_ind(a, b, equal_var=False)
    assert (result.statistic, result.p) == pytest.approx((reference.statistic, reference.pvalue))


def test_scanning_everyone_three_times_adds_no_evidence():
    rng = np.random.default_rng(1)
    groups = np.repeat([0, 1], 20)
    values = rng.normal(0, 1, 40) + 0.5 * groups
    once = compare_values(values, groups, np.arange(40))
    # The same patients again, with next to no change between their scans.
    again = np.tile(values, 3) + rng.normal(0, 0.01, 120)
    thrice = compare_values(again, np.tile(groups, 3), np.tile(np.arange(40), 3))
    assert thrice.test == "mixed model"
    assert thrice.statistic == pytest.approx(once.statistic, rel=0.02)
    naive = compare_values(again, np.tile(groups, 3), np.arange(120))
    assert abs(naive.statistic) > 1.6 * abs(thrice.statistic)


def test_constant_and_single_values_are_not_tested():
    groups = np.array([0, 0, 1, 1])
    assert np.isnan(compare_values(np.ones(4), groups, np.arange(4)).p)
    assert np.isnan(compare_values(np.array([1.0, 2.0, 3.0, np.nan]), groups, np.arange(4)).p)
    assert np.isnan(compare_moments((1, 2), (0, 0), (5, 5)).p)


def test_scans_of_one_patient_are_no_group():
    groups, patients = np.array([0, 0, 0, 1, 1, 1]), np.array([0, 1, 2, 3, 3, 3])
    assert np.isnan(compare_values(np.array([1.0, 2.0, 3.0, 4.0, 5.0, 7.0]), groups, patients).p)


def test_the_mixed_model_has_the_degrees_of_freedom_of_patients():
    rng = np.random.default_rng(3)
    groups = np.repeat([0, 1], 5)
    values = rng.normal(0, 1, 10) + groups
    once = stats.ttest_ind(values[:5], values[5:])
    again = np.tile(values, 2) + rng.normal(0, 1e-3, 20)
    twice = compare_values(again, np.tile(groups, 2), np.tile(np.arange(10), 2))
    assert twice.p == pytest.approx(once.pvalue, rel=0.01)  # 8 degrees of freedom, not 18


def test_what_never_changes_within_patients_is_compared_over_patients():
    values, groups = np.array([1.0, 2.0, 4.0, 3.0, 5.0, 9.0]), np.array([0, 0, 0, 1, 1, 1])
    once = compare_values(values, groups, np.arange(6))
    twice = compare_values(np.tile(values, 2), np.tile(groups, 2), np.tile(np.arange(6), 2))
    assert twice.test == "Welch t, patients"
    assert (twice.statistic, twice.p) == pytest.approx((once.statistic, once.p))


def test_repeated_scans_of_few_patients_do_not_make_differences_out_of_nothing():
    rng, wrong, naive, n_studies = np.random.default_rng(0), 0, 0, 300
    for _ in range(n_studies):
        patients = np.repeat(np.arange(12), rng.integers(1, 4, 12))
        groups = patients % 2
        values = rng.normal(0, 1, 12)[patients] + rng.normal(0, 0.7, patients.size)
        wrong += compare_values(values, groups, patients).p < 0.05
        naive += compare_values(values, groups, np.arange(patients.size)).p < 0.05
    # three standard errors about 0.05; in 1500 such studies 0.047, by z 0.077, with scans as independent 0.161
    assert abs(wrong / n_studies - 0.05) < 3 * np.sqrt(0.05 * 0.95 / n_studies)
    assert naive / n_studies > 0.1
