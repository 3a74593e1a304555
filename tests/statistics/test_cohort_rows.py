"""What a row of a cohort table says."""

import numpy as np

from relevox.statistics.cohort_rows import describe_counts, describe_grouping, describe_measure


def test_the_grouping_variable_gets_no_test_and_missing_values_are_counted():
    groups = np.array([0, 0, 1, 1])
    row = describe_grouping("EDSS", np.array([1.0, 2.0, np.nan, 4.0]), groups)
    assert row.comparison is None
    assert (row.n, row.missing) == (3, 1)
    assert row.cells == ("1.5 [1.0 to 2.0]", "4.0 [4.0 to 4.0]", "2.0 [1.0 to 4.0]")


def test_a_measure_says_in_which_group_it_is_higher():
    groups = np.array([0, 0, 0, 1, 1, 1, 1])
    values = np.array([1.0, 2.0, 3.0, 4.0, 6.0, 8.0, np.nan])
    row = describe_measure("age (years)", values, groups, np.arange(7))
    assert row.cells == ("2.0 (1.0)", "6.0 (2.0)", "4.0 (2.6)")
    assert (row.n, row.missing, row.higher) == (6, 1, 1)
    assert describe_measure("age", -values, groups, np.arange(7)).higher == 0


def test_repeated_scans_do_not_enter_a_test_of_counts_twice():
    values = ["a", "a", "b", "b", "a", "b"] * 10
    groups = np.array([0, 0, 0, 1, 1, 1] * 10)
    last = np.arange(60) >= 30
    row = describe_counts("scanner", values, groups, tested=last)[0]
    half = describe_counts("scanner", values[30:], groups[30:])[0]
    assert row.comparison.p == half.comparison.p
    assert row.comparison.test == f"{half.comparison.test}; last scans"
    assert row.n == 60
    assert describe_counts("scanner", values, groups, tested=last)[1].cells[0] == "20 (67 %)"


def test_counts_name_the_level_that_differs_most_and_where_it_is_more_frequent():
    values = ["a"] * 10 + ["b"] * 10 + ["c"] * 2 + ["a"] * 9 + ["b"] * 3 + ["c"] * 12
    row = describe_counts("scanner", values, np.repeat([0, 1], [22, 24]))[0]
    assert (row.leading, row.higher) == ("c", 1)


def test_counts_are_described_per_level_with_shares_of_the_known():
    rows = describe_counts("Sex", ["F", "M", "F", "", "F", "M"], np.array([0, 0, 0, 0, 1, 1]))
    assert [row.name for row in rows] == ["Sex", "F", "M"]
    assert rows[0].comparison.test == "Fisher exact"
    assert (rows[0].n, rows[0].missing) == (5, 1)
    assert rows[1].cells == ("2 (67 %)", "1 (50 %)", "3 (60 %)")
