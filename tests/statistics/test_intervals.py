"""Intervals of proportions against R and statsmodels."""

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

from relevox.errors import InputError
from relevox.statistics.intervals import proportion, proportion_scores


def test_wilson_and_clopper_pearson_are_those_of_r():
    """313 of 440, R 4.2.2."""
    wilson, exact = proportion(313, 440), proportion(313, 440, "clopper-pearson")
    assert (wilson.ci_low, wilson.ci_high) == pytest.approx((0.667339, 0.751730), abs=1e-6)
    assert (exact.ci_low, exact.ci_high) == pytest.approx((0.666564, 0.753295), abs=1e-6)
    assert wilson.value == exact.value == 313 / 440


@pytest.mark.parametrize(("successes", "n"), [(0, 7), (7, 7), (1, 30), (50, 99)])
def test_they_agree_with_statsmodels_at_the_ends_too(successes, n):
    for ours, theirs in (("wilson", "wilson"), ("clopper-pearson", "beta")):
        found = proportion(successes, n, ours, confidence=0.9)
        expected = proportion_confint(successes, n, alpha=0.1, method=theirs)
        assert (found.ci_low, found.ci_high) == pytest.approx(expected, abs=1e-12)


def test_no_unit_has_no_share_and_impossible_counts_are_refused():
    assert np.isnan(proportion(0, 0).value)
    for counts, method in (((3, 2), "wilson"), ((-1, 2), "wilson"), ((1, 2), "wald")):
        with pytest.raises(InputError):
            proportion(*counts, method)


def test_the_scores_count_what_is_right_among_all_and_in_each_class():
    y, p = [1, 1, 1, 0, 0], [0.9, 0.8, 0.2, 0.5, 0.7]
    found = proportion_scores(y, p)
    assert {name: (of.successes, of.n) for name, of in found.items()} == {
        "accuracy": (3, 5),
        "sensitivity": (2, 3),
        "specificity": (1, 2),
    }
    assert np.isnan(proportion_scores([1, 1], [0.9, 0.2])["specificity"].value)
