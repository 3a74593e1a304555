import numpy as np
import pytest
from sklearn import metrics

from relevox.errors import InputError
from relevox.statistics.resampling import resample
from relevox.statistics.scores import (
    MEASURES,
    by_patient,
    checked,
    classification_scores,
    cross_validated_scores,
    patient_bootstrap,
    weighted_scores,
)


def predictions(n=120, seed=0, decimals=2):
    """Noisy predictions with ties."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    p = np.clip(0.5 + 0.2 * (y - 0.5) + 0.25 * rng.standard_normal(n), 0, 1).round(decimals)
    return y, p


@pytest.mark.parametrize("seed", range(3))
def test_every_score_agrees_with_scikit_learn(seed):
    y, p = predictions(seed=seed)
    scores, predicted = classification_scores(y, p), (p > 0.5).astype(int)
    assert (p == 0.5).any() or len(np.unique(p)) < len(p)
    assert scores.accuracy == pytest.approx(metrics.accuracy_score(y, predicted))
    assert scores.balanced_accuracy == pytest.approx(metrics.balanced_accuracy_score(y, predicted))
    assert scores.sensitivity == pytest.approx(metrics.recall_score(y, predicted))
    assert scores.specificity == pytest.approx(metrics.recall_score(y, predicted, pos_label=0))
    assert scores.auc == pytest.approx(metrics.roc_auc_score(y, p))
    assert scores.brier == pytest.approx(metrics.brier_score_loss(y, p))


def test_pairs_compared_in_blocks_are_the_same_pairs(monkeypatch):
    y, p = predictions(60)
    expected = classification_scores(y, p)
    monkeypatch.setattr("relevox.statistics.scores.PAIRS_AT_ONCE", 100)
    assert classification_scores(y, p) == expected


def test_brier_of_four_scans():
    assert classification_scores([0, 1, 1, 0], [0.1, 0.9, 0.8, 0.3]).brier == pytest.approx(0.0375)


def test_accuracy_and_balanced_accuracy_differ_where_the_classes_do():
    scores = classification_scores([0] * 9 + [1], [0.1] * 10)
    assert scores.accuracy == pytest.approx(0.9)
    assert scores.balanced_accuracy == pytest.approx(0.5)


def test_an_exact_tie_is_class_0():
    scores = classification_scores([0, 1], [0.5, 0.5])
    assert (scores.specificity, scores.sensitivity) == (1.0, 0.0)


def test_a_class_that_is_missing_gives_nan_not_zero():
    scores = classification_scores([0, 0, 0], [0.2, 0.7, 0.1])
    assert scores.specificity == pytest.approx(2 / 3)
    assert scores.accuracy == pytest.approx(2 / 3)
    assert np.isnan([scores.sensitivity, scores.balanced_accuracy, scores.auc]).all()


@pytest.mark.parametrize(
    ("y", "p", "code"),
    [
        ([], [], "scores-shape"),
        ([0, 1], [0.5], "scores-shape"),
        ([0, 2], [0.5, 0.5], "scores-classes"),
        ([0, 1], [0.5, np.nan], "scores-probability"),
        ([0, 1], [0.5, 1.5], "scores-probability"),
    ],
)
def test_input_that_cannot_be_scored_is_refused(y, p, code):
    with pytest.raises(InputError, match=code):
        classification_scores(y, p)


def test_three_copies_of_every_scan_leave_the_patient_interval_unchanged():
    y, p = predictions(60)
    patients = np.arange(60)
    once = patient_bootstrap(y, p, patients, 500)
    thrice = patient_bootstrap(np.repeat(y, 3), np.repeat(p, 3), np.repeat(patients, 3), 500)
    as_if_independent = patient_bootstrap(np.repeat(y, 3), np.repeat(p, 3), np.arange(180), 500)
    for name in MEASURES:
        assert thrice[name] == pytest.approx(once[name])
    ratio = np.diff(once["accuracy"])[0] / np.diff(as_if_independent["accuracy"])[0]
    assert ratio == pytest.approx(np.sqrt(3), rel=0.15)


def test_the_weighted_bootstrap_is_resampling_written_with_weights():
    y, p = predictions(30, seed=4)
    patients = np.arange(30) // 2
    draws = np.random.default_rng(7).multinomial(15, np.full(15, 1 / 15), size=40)
    copies = [np.repeat(np.arange(30), draw[patients]) for draw in draws]
    slow = [[getattr(classification_scores(y[rows], p[rows]), name) for rows in copies] for name in MEASURES]
    checked_y, checked_p = checked(y, p)
    fast = resample(lambda weights: weighted_scores(checked_y, checked_p, weights), patients, n_bootstrap=40, seed=7)
    np.testing.assert_allclose(fast.draws, slow)
    interval = patient_bootstrap(y, p, patients, n_bootstrap=40, seed=7, confidence=0.9)
    assert [interval[name] for name in MEASURES] == [tuple(row) for row in fast.interval(0.9).tolist()]


def test_the_bootstrap_interval_of_an_accuracy_is_about_the_binomial_one():
    y = np.array([0, 1] * 200)
    p = np.where(np.arange(400) < 300, y, 1 - y).astype(float)  # three in four are right
    low, high = patient_bootstrap(y, p, np.arange(400), 4000)["accuracy"]
    half_width = 1.96 * np.sqrt(0.75 * 0.25 / 400)
    assert (low, high) == pytest.approx((0.75 - half_width, 0.75 + half_width), abs=0.006)


def test_bootstrap_samples_without_a_class_are_left_out():
    interval = patient_bootstrap([0, 0, 1], [0.1, 0.6, 0.9], ["a", "b", "c"], 200)
    assert np.isfinite(interval["auc"]).all()
    assert np.isnan(patient_bootstrap([0, 0], [0.1, 0.6], ["a", "b"], 50)["auc"]).all()


def test_fold_means_and_sds_are_those_of_the_folds():
    y, p = predictions(90, seed=2)
    folds = np.arange(90) % 3
    spread = cross_validated_scores(y, p, np.arange(90), folds, n_bootstrap=50)
    aucs = [metrics.roc_auc_score(y[folds == k], p[folds == k]) for k in range(3)]
    assert spread["auc"].fold_mean == pytest.approx(np.mean(aucs))
    assert spread["auc"].fold_sd == pytest.approx(np.std(aucs, ddof=1))
    assert spread["auc"].value == pytest.approx(metrics.roc_auc_score(y, p))
    assert np.isnan(cross_validated_scores(y, p, np.arange(90), np.zeros(90), 50)["auc"].fold_sd)


def test_a_patients_probability_is_the_mean_of_the_scans():
    labels, probability, patients, first = by_patient([1, 0, 1, 1], [0.2, 0.1, 0.6, 0.4], ["b", "a", "b", "c"])
    assert patients.tolist() == ["a", "b", "c"]
    assert labels.tolist() == [0, 1, 1]
    assert probability.tolist() == pytest.approx([0.1, 0.4, 0.4])
    assert first.tolist() == [1, 0, 3]


def test_a_patient_who_changes_class_counts_once_in_each():
    labels, probability, patients, _ = by_patient([0, 1, 1], [0.1, 0.7, 0.9], ["a", "a", "a"])
    assert (labels.tolist(), patients.tolist()) == ([0, 1], ["a", "a"])
    assert probability.tolist() == pytest.approx([0.1, 0.8])


def test_with_one_scan_a_patient_both_levels_are_the_same():
    y, p = predictions(40)
    labels, probability, _, _ = by_patient(y, p, np.arange(40))
    assert classification_scores(labels, probability) == classification_scores(y, p)
