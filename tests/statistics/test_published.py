"""Verdicts on printed p-values."""

import numpy as np
import pytest

from relevox.statistics.alternatives import STUDENT
from relevox.statistics.description import FISHER
from relevox.statistics.published import PrintedP, PublishedRow, recompute, summary

SEX = np.array([[147, 60], [68, 44]])


def row(printed, **numbers):
    return PublishedRow("1", "a row", "patient", printed, **numbers)


def exactly(value, decimals):
    return PrintedP(f"{value}", "=", value, decimals)


def test_a_printed_value_stands_for_what_rounds_to_it():
    assert exactly(0.08, 2).agrees(0.075, 0.075)
    assert exactly(0.08, 2).agrees(0.0849, 0.0849)
    assert not exactly(0.08, 2).agrees(0.0851, 0.0851)
    assert not exactly(0.080, 3).agrees(0.0749, 0.0749)
    assert exactly(0.0, 3).agrees(0.0004, 0.0004)
    assert not exactly(0.0, 3).agrees(0.0006, 0.0006)


def test_only_yates_gives_the_papers_sex():
    result = recompute(row(exactly(0.08, 2), counts=SEX))
    assert result.verdict == "reproduced with Yates only"
    assert result.others["chi-square"] == pytest.approx(0.0610, abs=1e-4)


def test_another_test_that_gives_the_printed_value_is_named():
    result = recompute(row(exactly(0.061, 3), counts=SEX))
    assert result.verdict == "reproduced by chi-square only"
    assert not result.misprint


def test_a_value_that_no_test_gives_is_a_misprint_and_says_what_they_give():
    result = recompute(row(exactly(0.03, 2), counts=SEX))
    assert result.misprint
    assert "0.08" in result.notes[-1] and "Fisher exact gives" in result.notes[-1]


def test_digits_that_were_cut_off_are_called_so():
    result = recompute(row(exactly(0.5, 1), counts=np.array([[30, 25], [20, 25]])))  # p = 0.42
    assert "cut off" not in " ".join(result.notes)
    result = recompute(row(exactly(0.060, 3), counts=SEX))  # 0.0610 without Yates, 0.0804 with
    assert result.misprint and "cut off" not in " ".join(result.notes)
    result = recompute(row(exactly(0.07, 2), counts=np.array([[10, 20], [20, 20], [30, 20]])))
    assert result.verdict == "reproduced"  # 0.0695
    result = recompute(row(exactly(0.06, 2), counts=np.array([[10, 20], [20, 20], [30, 20]])))
    assert result.misprint and "the digits are cut off, not rounded" in result.notes


def test_a_named_test_is_made():
    assert recompute(row(PrintedP(""), counts=SEX, test=FISHER)).result.test == FISHER
    moments = np.array([[7.6, 14.0], [6.6, 5.6], [215, 167]])
    student = recompute(row(PrintedP(""), moments=moments, test=STUDENT))
    assert (student.result.test, student.verdict) == (STUDENT, "no printed p")


def test_a_named_test_that_does_not_fit_the_numbers_is_said_not_to():
    result = recompute(row(PrintedP(""), counts=SEX, test=STUDENT))
    assert result.result.test == "chi-square, Yates"
    assert result.notes == ("Student t cannot be made from these numbers",)


def test_rounded_moments_get_the_benefit_of_the_doubt_and_no_more():
    moments = np.array([[10.0, 11.0], [3.0, 3.0], [40, 40]])
    halves = np.full((2, 2), 0.5)  # printed without decimals
    exact = recompute(row(PrintedP(""), moments=moments, halves=halves))
    low, high = exact.p_range
    assert low < 0.05 < exact.result.p < high == 1.0  # the means may even be equal
    assert recompute(row(exactly(0.3, 1), moments=moments, halves=halves)).verdict == "reproduced within rounding"
    fine = recompute(row(exactly(0.3, 1), moments=moments, halves=halves / 100))
    assert fine.verdict == "not reproduced"


def test_rounded_percentages_stand_for_every_count_that_rounds_to_them():
    near = [SEX, np.array([[146, 60], [69, 44]])]
    result = recompute(row(exactly(0.1, 1), counts=SEX, counts_range=near))
    assert result.p_range[1] > result.result.p


def test_a_test_of_scans_says_that_it_takes_them_as_independent():
    scans = PublishedRow("2", "scanner", "scan", PrintedP(""), counts=SEX)
    assert recompute(scans).notes == ("counts every scan as independent",)


def test_what_cannot_be_tested_says_why():
    medians = recompute(row(exactly(0.01, 2), why_not="median only"))
    constant = recompute(row(exactly(0.01, 2), counts=np.array([[5, 6], [0, 0]])))
    assert medians.verdict == constant.verdict == "not testable"
    assert medians.notes == ("median only",) and "nothing differs" in constant.notes[0]
    assert np.isnan(medians.result.p)


def test_more_than_two_groups_are_compared():
    table = np.array([[10, 20, 30], [30, 20, 10]])
    assert recompute(row(PrintedP("<0.001", "<", 0.001, 3), counts=table)).verdict == "reproduced"
    moments = np.array([[1.0, 2.0, 3.0], [1.0, 1.0, 1.0], [30, 30, 30]])
    assert recompute(row(PrintedP("<0.001", "<", 0.001, 3), moments=moments)).result.test == "Welch ANOVA"


def test_the_summary_counts_verdicts():
    results = [recompute(row(exactly(p, 2), counts=SEX)) for p in (0.08, 0.03)]
    assert summary(results) == "2 rows: 1 reproduced, 1 not reproduced"
