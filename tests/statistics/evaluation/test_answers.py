import numpy as np
import pytest

from relevox.errors import InputError
from relevox.records import Prediction, ScanId
from relevox.statistics.evaluation.answers import by_model, scans_of


def prediction(patient, session, model, label, probability, fold=0):
    return Prediction(ScanId(f"sub-{patient}", f"ses-{session}"), model, fold, label, probability)


def test_all_models_answer_in_the_same_order_of_scans():
    given = [prediction(2, 1, "cnn", 1, 0.8), prediction(1, 1, "cnn", 0, 0.1)]
    given += [prediction(1, 1, "scanner", 0, 0.3), prediction(2, 1, "scanner", 1, 0.4)]
    found = by_model(given)
    assert list(found) == ["cnn", "scanner"]
    assert found["cnn"].probability.tolist() == [0.1, 0.8]
    assert found["scanner"].probability.tolist() == [0.3, 0.4]
    assert [scan.key for scan in scans_of(given)] == ["sub-1_ses-1", "sub-2_ses-1"]
    assert found["scanner"].correct.tolist() == [True, False]


def test_a_patients_answer_is_the_mean_over_its_scans():
    given = [prediction(1, 1, "cnn", 1, 0.8, 3), prediction(1, 2, "cnn", 1, 0.4, 3), prediction(2, 1, "cnn", 0, 0.5, 1)]
    patients = by_model(given)["cnn"].at("patient")
    assert patients.probability == pytest.approx([0.6, 0.5])
    assert (patients.labels.tolist(), patients.folds.tolist()) == ([1, 0], [3, 1])
    assert patients.correct.tolist() == [True, True]  # exactly 0.5 answers class 0


def test_a_missing_or_a_double_answer_is_refused():
    given = [prediction(1, 1, "cnn", 1, 0.8), prediction(2, 1, "cnn", 0, 0.1), prediction(1, 1, "scanner", 1, 0.5)]
    with pytest.raises(InputError, match="predictions-incomplete"):
        by_model(given)
    with pytest.raises(InputError, match="predictions-incomplete"):
        by_model([*given[:2], given[0]])


def test_two_models_that_disagree_about_the_class_are_refused():
    with pytest.raises(InputError, match="predictions-classes"):
        by_model([prediction(1, 1, "cnn", 1, 0.8), prediction(1, 1, "scanner", 0, 0.8)])


def test_rows_are_kept_by_mask_or_number():
    answers = by_model([prediction(n, 1, "cnn", n % 2, 0.1 * n) for n in range(1, 6)])["cnn"]
    mask = np.array([True, False, True, False, False])
    assert answers.where(mask).probability.tolist() == answers.where(np.flatnonzero(mask)).probability.tolist()
