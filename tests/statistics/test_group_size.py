"""Which differences of R2 are the sizes of the groups."""

import numpy as np

from relevox.statistics.group_size import size_effects


def test_a_small_group_that_only_looks_better_is_named():
    observed = {"TP": 0.057, "FP": 0.096, "TN": 0.085, "FN": 0.097}
    expected = {"TP": 0.015, "FP": 0.053, "TN": 0.014, "FN": 0.056}
    found = {(e.larger, e.smaller): e for e in size_effects(observed, expected)}
    assert set(found) == {("FN", "TP"), ("FP", "TP")}  # TN is of the size of TP: a difference of its own
    assert found["FN", "TP"].left < 0.001
    assert found["FP", "TP"].expected > 0.9 * found["FP", "TP"].difference


def test_nothing_is_said_where_chance_is_the_same_or_nothing_is_known():
    assert size_effects({"TP": 0.1, "FN": 0.3}, {"TP": 0.02, "FN": 0.02}) == []
    assert size_effects({"TP": 0.1, "FN": np.nan}, {"TP": 0.02, "FN": 0.2}) == []
    assert size_effects({}, {}) == []


def test_the_largest_difference_comes_first():
    found = size_effects({"a": 0.1, "b": 0.2, "c": 0.4}, {"a": 0.1, "b": 0.2, "c": 0.4})
    assert (found[0].larger, found[0].smaller) == ("c", "a")
