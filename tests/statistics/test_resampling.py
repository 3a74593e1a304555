"""Patient-bootstrap intervals of means and correlations."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from relevox.statistics.resampling import (
    correlation,
    correlation_over_patients,
    mean_over_patients,
    means_over_patients,
    resample,
)


def drawn(n=60, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(n)
    return x, 0.6 * x + rng.standard_normal(n), np.arange(n)


def test_the_samples_are_those_of_drawing_patients_with_all_of_their_scans():
    values, _, patients = drawn()
    patients = patients // 2
    found = resample(lambda w: (w @ values / w.sum(axis=1))[None], patients, n_bootstrap=50, seed=3)
    draws = np.random.default_rng(3).multinomial(30, np.full(30, 1 / 30), size=50)
    slow = [np.concatenate([np.repeat(values[patients == p], n) for p, n in enumerate(draw)]).mean() for draw in draws]
    np.testing.assert_allclose(found.draws[0], slow)
    np.testing.assert_allclose(found.left_out[0], [values[patients != p].mean() for p in range(30)])


@pytest.mark.parametrize("seed", range(3))
def test_the_interval_is_scipys_bca_interval_at_the_level_widened_for_small_samples(seed):
    rng = np.random.default_rng(seed)
    values = rng.exponential(size=14)
    found = resample(lambda w: (w @ values / w.sum(axis=1))[None], np.arange(14), n_bootstrap=999, seed=seed)
    tail = np.sqrt(14 / 13) * stats.t.ppf(0.975, 13)
    drawn = SimpleNamespace(bootstrap_distribution=found.draws[0])
    oracle = stats.bootstrap(
        (values,), np.mean, n_resamples=0, bootstrap_result=drawn, confidence_level=2 * stats.norm.cdf(tail) - 1
    )
    assert found.interval(0.95)[0] == pytest.approx(tuple(oracle.confidence_interval), rel=1e-9)


def test_the_symmetric_interval_of_a_mean_is_students():
    """The bootstrap's standard error of a mean is sd / sqrt(n) with ddof 0; n / (n - 1) makes it ddof 1."""
    values = np.random.default_rng(4).normal(0.3, 1, 20)
    found = resample(lambda w: (w @ values / w.sum(axis=1))[None], np.arange(20), n_bootstrap=100_000)
    student = stats.ttest_1samp(values, 0)
    assert found.symmetric_interval()[0] == pytest.approx(tuple(student.confidence_interval()), abs=0.005)
    assert found.p_zero()[0] == pytest.approx(student.pvalue, rel=0.02)


def test_p_is_one_less_the_confidence_at_which_the_interval_meets_zero():
    values = np.random.default_rng(5).exponential(size=25) - 0.7
    found = resample(lambda w: (w @ values / w.sum(axis=1))[None], np.arange(25), n_bootstrap=500)
    p = float(found.p_zero()[0])
    assert 0.02 < p < 0.5
    assert found.symmetric_interval(1 - p)[0, 0] == pytest.approx(0, abs=1e-12)


def test_samples_taken_in_blocks_are_the_same_samples(monkeypatch):
    values, _, patients = drawn()
    expected = mean_over_patients(values, patients, 200)
    monkeypatch.setattr("relevox.statistics.resampling.WEIGHTS_AT_ONCE", 500)
    assert mean_over_patients(values, patients, 200) == expected


def test_one_patient_has_no_interval():
    found = mean_over_patients(np.array([1.0, 2.0]), np.array(["a", "a"]))
    assert found.value == 1.5 and np.isnan([found.ci_low, found.ci_high]).all()


def test_what_is_always_zero_has_p_one():
    found = resample(lambda w: np.zeros((1, len(w))), np.arange(9), n_bootstrap=50)
    assert found.p_zero()[0] == 1.0
    assert np.isnan(resample(lambda w: np.ones((1, len(w))), np.arange(9), n_bootstrap=50).p_zero()[0])


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


def test_many_means_at_once_are_the_means_one_by_one():
    rng = np.random.default_rng(0)
    values, patients = rng.standard_normal((3, 20)), np.repeat(np.arange(10), 2)
    together = means_over_patients(values, patients, n_bootstrap=200)
    alone = [mean_over_patients(row, patients, n_bootstrap=200) for row in values]
    for a, b in zip(together, alone, strict=True):
        assert [*vars(a).values()] == pytest.approx([*vars(b).values()])


def test_each_of_many_means_is_over_the_scans_where_it_is_known():
    values = np.array([[1.0, np.nan, 3.0], [np.nan] * 3, [5.0, 5.0, 5.0]])
    first, none, constant = means_over_patients(values, np.array(["a", "b", "c"]), n_bootstrap=100)
    assert (first.value, first.n) == (2.0, 2)
    assert first.ci_low < 2 < first.ci_high
    assert np.isnan(none.value) and none.n == 0
    assert (constant.value, constant.ci_low, constant.ci_high, constant.n) == (5.0, 5.0, 5.0, 3)
