"""Patient-bootstrap intervals of means and correlations."""

import numpy as np
import pytest

from relevox.statistics.resampling import correlation, correlation_over_patients, mean_over_patients


def drawn(n=60, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(n)
    return x, 0.6 * x + rng.standard_normal(n), np.arange(n)


def test_the_mean_and_its_interval_are_those_of_drawing_patients_one_by_one():
    values, _, patients = drawn()
    patients = patients // 2
    found = mean_over_patients(values, patients, n_bootstrap=4000)
    rng = np.random.default_rng(1)
    slow = []
    for _ in range(4000):
        chosen = rng.choice(30, 30)
        slow.append(np.concatenate([values[patients == p] for p in chosen]).mean())
    assert found.value == pytest.approx(values.mean())
    np.testing.assert_allclose([found.ci_low, found.ci_high], np.quantile(slow, [0.025, 0.975]), atol=0.02)


def test_repeating_every_scan_leaves_the_interval_unchanged():
    x, y, patients = drawn()
    for once, thrice in (
        (mean_over_patients(x, patients), mean_over_patients(np.tile(x, 3), np.tile(patients, 3))),
        (
            correlation_over_patients(x, y, patients),
            correlation_over_patients(np.tile(x, 3), np.tile(y, 3), np.tile(patients, 3)),
        ),
    ):
        assert thrice.n == 3 * once.n
        np.testing.assert_allclose(
            [thrice.value, thrice.ci_low, thrice.ci_high], [once.value, once.ci_low, once.ci_high], rtol=1e-9
        )


def test_the_correlation_is_that_of_numpy_whatever_the_offset():
    x, y, patients = drawn()
    expected = np.corrcoef(x, y)[0, 1]
    assert correlation(x, y) == pytest.approx(expected)
    found = correlation_over_patients(1e6 + x, y - 1e6, patients)
    assert found.value == pytest.approx(expected, abs=1e-6)
    assert found.ci_low < expected < found.ci_high


def test_scans_without_a_value_are_left_out():
    x, y, patients = drawn()
    gaps = np.where(np.arange(60) % 3 == 0, np.nan, x)
    known = np.isfinite(gaps)
    assert mean_over_patients(gaps, patients).value == pytest.approx(x[known].mean())
    assert correlation_over_patients(gaps, y, patients).n == known.sum()
    assert correlation(gaps, y) == pytest.approx(np.corrcoef(x[known], y[known])[0, 1])


def test_what_is_not_defined_is_nan():
    assert np.isnan(mean_over_patients(np.full(3, np.nan), np.arange(3)).value)
    assert np.isnan(correlation(np.ones(5), np.arange(5)))
    assert np.isnan(correlation(np.array([1.0]), np.array([2.0])))
    assert np.isnan(correlation_over_patients(np.ones(5), np.arange(5), np.arange(5)).ci_low)
