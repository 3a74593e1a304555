import numpy as np
import pytest

from relevox.statistics.disclosure import moments, pooled_counts, sharable_levels


def patients(n):
    return [f"p{i}" for i in range(n)]


def test_patients_are_counted_not_scans():
    assert pooled_counts(["Trio"] * 10, ["a", "b", "c", "d", "e"] * 2) == {"Trio": 5}


def test_rare_values_are_pooled_and_too_few_are_not_told():
    values = ["Trio"] * 9 + ["Verio"] * 4 + ["Skyra"] * 3
    assert pooled_counts(values, patients(16)) == {"Trio": 9, "other": 7}
    assert pooled_counts(["Trio"] * 3, patients(3)) == {}


def test_a_small_rest_cannot_be_found_by_subtraction():
    values = ["Trio"] * 90 + ["Skyra"] * 8 + ["Verio"] * 2
    assert pooled_counts(values, patients(100)) == {"Trio": 90, "other": 10}
    assert pooled_counts(["F"] * 90 + ["M"] * 2, patients(92)) == {"other": 92}


@pytest.mark.parametrize("name", ["DOE^JOHN", "MRN12345", "/home/drdoe", "19700101", "Trio SN 450123"])
def test_what_may_be_more_than_a_scanners_model_is_never_a_name(name):
    assert pooled_counts([name] * 50 + ["Trio"] * 50, patients(100)) == {"Trio": 50, "other": 50}


def test_unknown_values_are_not_counted():
    assert pooled_counts(["Trio"] * 6 + [""] * 3, patients(9)) == {"Trio": 6}


def test_moments_of_fewer_than_five_patients_are_not_told():
    found = moments([1.0, 2.0, 3.0, 4.0, np.nan], patients(5))
    assert all(np.isnan(value) for value in found.values())
    assert moments([1.0, 2.0, 3.0, 4.0, 6.0], patients(5)) == {"n": 5, "mean": 3.2, "sd": pytest.approx(1.923538)}


def test_every_quantile_has_five_patients_on_either_side():
    assert sharable_levels((0.05, 0.5, 0.95), 100) == (0.05, 0.5, 0.95)
    assert sharable_levels((0.05, 0.5, 0.95), 99) == (0.5,)
    assert sharable_levels((0.05, 0.5, 0.95), 9) == ()
