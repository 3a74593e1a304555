"""Counts and distributions per stratum."""

import numpy as np
import pytest

from relevox.statistics.balance import balance, distribution


def test_scans_patients_and_classes_are_counted_per_stratum_with_unknown_last():
    found = balance(["b", "a", "a", "", "a"], [1, 0, 1, 1, 1], ["p", "q", "r", "s", "r"])
    assert [row.stratum for row in found] == ["a", "b", ""]
    first = found[0]
    assert (first.n, first.n_patients, first.n_class_1, first.n_patients_1) == (3, 2, 2, 1)
    assert first.share_class_1 == pytest.approx(2 / 3)
    assert sum(row.share_of_cohort for row in found) == pytest.approx(1)


def test_a_variable_is_described_per_stratum_and_class():
    found = distribution([30, 50, np.nan, 40, 60], ["a", "a", "a", "a", "b"], [0, 0, 0, 1, 1])
    a0, a1, b0, b1 = found
    assert (a0.n, a0.missing, a0.mean, a0.sd, a0.low, a0.high) == (3, 1, 40, pytest.approx(np.sqrt(200)), 30, 50)
    assert (a1.mean, b1.mean) == (40, 60) and np.isnan(a1.sd)
    assert b0.n == 0 and np.isnan(b0.mean)
