"""Means over scans or patients first, against means taken one by one."""

import numpy as np
import pytest

from relevox.errors import InputError
from relevox.statistics.averaging import average_over, scan_weights, weighted_mean

PATIENTS = np.array(["a", "b", "a", "c", "a", "c"])


def some_values(missing=True):
    values = np.random.default_rng(0).normal(size=(6, 4))
    if missing:
        values[0, 1] = values[3, 1] = values[5, 1] = np.nan
        values[:, 3] = np.nan
    return values


def test_scans_are_averaged_where_they_are_known():
    values = some_values()
    found = average_over(values, PATIENTS)
    for column in range(3):
        known = values[~np.isnan(values[:, column]), column]
        assert found.mean[column] == pytest.approx(known.mean())
        assert found.sd[column] == pytest.approx(known.std(ddof=1))
        assert found.n[column] == len(known)
    assert np.isnan([found.mean[3], found.sd[3], found.ci_low[3], found.ci_high[3]]).all()


def test_a_patients_scans_are_averaged_first():
    values = some_values()
    found = average_over(values, PATIENTS, "patients")
    for column in range(3):
        means = []
        for patient in "abc":
            known = [v for v, p in zip(values[:, column], PATIENTS, strict=True) if p == patient and not np.isnan(v)]
            means += [np.mean(known)] if known else []
        assert found.mean[column] == pytest.approx(np.mean(means))
        assert found.sd[column] == pytest.approx(np.std(means, ddof=1))
        assert found.n[column] == len(means)


def test_the_weights_of_scans_give_the_same_means():
    values = some_values(missing=False)
    for average in ("scans", "patients"):
        weights = scan_weights(PATIENTS, average)
        assert weights.sum() == pytest.approx(1)
        expected = average_over(values, PATIENTS, average).mean
        np.testing.assert_allclose(weights @ values, expected)
        np.testing.assert_allclose(weighted_mean(lambda part: values[:, part], 4, weights, tile=3), expected)


def test_repeating_every_scan_leaves_the_interval_as_it_is():
    values = np.random.default_rng(1).normal(size=(30, 2))
    patients = np.arange(30)
    once = average_over(values, patients)
    thrice = average_over(np.repeat(values, 3, axis=0), np.repeat(patients, 3))
    np.testing.assert_allclose(once.ci_low, thrice.ci_low)
    np.testing.assert_allclose(once.ci_high, thrice.ci_high)
    assert (once.ci_low < once.mean).all() and (once.mean < once.ci_high).all()


def test_one_patient_has_no_interval():
    found = average_over(np.ones((3, 1)), np.array(["a", "a", "a"]))
    assert found.mean[0] == 1
    assert np.isnan([found.ci_low[0], found.ci_high[0]]).all()


def test_what_cannot_be_averaged_is_refused():
    with pytest.raises(InputError, match="n patients"):
        average_over(np.ones((3, 2)), np.array(["a", "b"]))
    with pytest.raises(InputError, match="scans, patients"):
        scan_weights(PATIENTS, "sessions")
