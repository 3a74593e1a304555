"""Conformal sets: the counting rule, the promise, and repeated scans."""

import numpy as np
import pytest

from relevox.errors import InputError
from relevox.statistics.conformal import conformal_coverage, conformal_threshold, fit_conformal


def scans(n_patients, rng, most=1, patient_sd=1.0):
    """Labels, calibrated-looking probabilities and patients; 1 to ``most`` scans a patient."""
    size = rng.integers(1, most + 1, n_patients)
    patients = np.repeat(np.arange(n_patients), size)
    y = rng.integers(0, 2, n_patients)[patients]
    z = 1.5 * (y - 0.5) + patient_sd * rng.standard_normal(n_patients)[patients]
    return y, 1 / (1 + np.exp(-z - 0.3 * rng.standard_normal(len(y)))), patients


def test_nine_scores_have_a_threshold_at_one_tenth_and_eight_have_none():
    assert conformal_threshold(np.arange(9.0), 0.1) == 8.0
    assert conformal_threshold(np.arange(8.0), 0.1) == np.inf


@pytest.mark.parametrize("n", [5, 19, 20, 99, 100, 137])
@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.2])
def test_with_one_scan_a_patient_it_is_the_usual_order_statistic(n, alpha):
    scores = np.random.default_rng(n).random(n)
    rank = int(np.ceil(round((n + 1) * (1 - alpha), 9)))
    expected = np.sort(scores)[rank - 1] if rank <= n else np.inf
    assert conformal_threshold(scores, alpha) == expected


def test_copies_of_scans_change_nothing():
    rng = np.random.default_rng(1)
    y, p, patients = scans(40, rng)
    once = fit_conformal(y, p, patients)
    again = fit_conformal(np.r_[y, y[:9]], np.r_[p, p[:9]], np.r_[patients, patients[:9]])
    assert again.thresholds == once.thresholds
    assert again.n_patients == (40, 40)


def test_the_promise_is_kept_for_new_patients_though_scans_are_repeated_and_broken_when_scans_count():
    """400 studies of 20 calibration patients, one of whom has 60 scans."""
    rng = np.random.default_rng(2)
    held, naive = [], []
    for _ in range(400):
        y, p, patients = scans(19, rng, most=2, patient_sd=1.5)
        y0, p0, patients0 = scans(1, rng, most=1, patient_sd=1.5)
        y, p = np.r_[y, np.repeat(y0, 60)], np.r_[p, np.repeat(p0, 60)]
        patients = np.r_[patients, np.repeat(100 + patients0, 60)]
        new_y, new_p, _ = scans(200, rng, most=1, patient_sd=1.5)
        new_scores = np.where(new_y == 1, 1 - new_p, new_p)
        scores = np.where(y == 1, 1 - p, p)
        held.append((new_scores <= conformal_threshold(scores, 0.2, patients)).mean())
        naive.append((new_scores <= conformal_threshold(scores, 0.2)).mean())
    error = np.std(held) / np.sqrt(400)
    assert 0.8 - 3 * error < np.mean(held) < 0.8 + 1 / 21 + 3 * error
    assert np.mean(naive) < 0.8 - 3 * np.std(naive) / np.sqrt(400)


def test_by_class_the_promise_holds_in_the_rare_class_too():
    rng = np.random.default_rng(3)
    rare, rare_by_class = [], []
    for _ in range(200):
        y = np.repeat([0, 1], [180, 20])
        p = np.clip(rng.normal(np.where(y == 1, 0.45, 0.2), 0.15), 0, 1)
        new = np.clip(rng.normal(0.45, 0.15, 200), 0, 1)  # class 1
        for by_class, found in ((False, rare), (True, rare_by_class)):
            found.append(fit_conformal(y, p, np.arange(200), 0.1, by_class).sets(new)[:, 1].mean())
    assert np.mean(rare_by_class) > 0.9 - 3 * np.std(rare_by_class) / np.sqrt(200)
    assert np.mean(rare) < 0.6


def test_sets_hold_the_classes_that_are_not_too_unlikely():
    rule = fit_conformal([0] * 9 + [1] * 9, np.r_[np.arange(9) / 20, 1 - np.arange(9) / 20], np.arange(18), 0.3)
    assert rule.thresholds == pytest.approx((0.3, 0.3))
    assert rule.sets([0.1, 0.5, 0.9]).tolist() == [[True, False], [False, False], [False, True]]
    few = fit_conformal([0, 1], [0.1, 0.9], [0, 1])
    assert few.thresholds == (np.inf, np.inf) and few.sets([0.5]).all()


def test_coverage_counts_scans_patients_classes_and_sizes():
    sets = np.array([[1, 0], [1, 0], [1, 0], [0, 1], [1, 1], [0, 0]], dtype=bool)
    y, patients = [0, 0, 0, 0, 1, 1], ["a", "a", "a", "b", "c", "d"]
    found = conformal_coverage(y, sets, patients, n_bootstrap=100)
    assert found.scan.value == pytest.approx(4 / 6)
    assert found.patient.value == pytest.approx((1 + 0 + 1 + 0) / 4)
    assert (found.class_0.value, found.class_1.value) == (0.5, 0.5)
    assert found.size.value == pytest.approx(1.0)
    assert (found.empty, found.single, found.both) == pytest.approx((1 / 6, 4 / 6, 1 / 6))


def test_impossible_input_is_refused():
    with pytest.raises(InputError, match="conformal-alpha"):
        conformal_threshold([0.1], 1.0)
    with pytest.raises(InputError, match="conformal-scores"):
        conformal_threshold([np.nan], 0.1)
    with pytest.raises(InputError, match="conformal-sets"):
        conformal_coverage([0, 1], np.ones((2, 3), bool), [0, 1])
    assert conformal_threshold([], 0.1) == np.inf
