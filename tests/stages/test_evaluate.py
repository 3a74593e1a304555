from itertools import combinations

import numpy as np
import pytest

from relevox.errors import ModelError, StudyError
from relevox.learning.ensemble import predict
from relevox.stages import evaluate, train
from relevox.statistics.evaluation import scores
from relevox.statistics.scores import classification_scores
from relevox.store import layout, models, tables

MODELS = ["cnn", "volumes", "volumes_chosen", "volumes_scanner", "scanner", "age_sex"]


def test_every_scan_is_predicted_once_by_each_model_of_its_own_fold(trained_study, tiny_settings):
    evaluate.run(trained_study, tiny_settings)
    cohort = tables.read_cohort(trained_study)
    fold_of = dict(zip(cohort.ids, tables.read_folds(trained_study, cohort), strict=True))
    predictions = tables.read_predictions(trained_study)
    assert list(dict.fromkeys(p.model for p in predictions)) == MODELS
    for model in MODELS:
        mine = [p for p in predictions if p.model == model]
        assert [p.id for p in mine] == list(cohort.ids)
        assert [p.label for p in mine] == cohort.labels.tolist()
        assert all(p.fold == fold_of[p.id] for p in mine)


def test_the_networks_predictions_are_those_of_the_stored_model(trained_study, tiny_settings):
    evaluate.run(trained_study, tiny_settings)
    inputs = np.load(layout.path(trained_study, "inputs"))
    cohort = tables.read_cohort(trained_study)
    folds = tables.read_folds(trained_study, cohort)
    stored = np.array([p.probability for p in tables.read_predictions(trained_study) if p.model == "cnn"])
    for fold in range(3):
        network, _ = models.load(trained_study, fold)
        rows = np.flatnonzero(folds == fold)
        np.testing.assert_allclose(stored[rows], predict(network, inputs, rows, batch_size=1), atol=1e-6)


def test_scores_are_those_of_the_predictions(trained_study, tiny_settings):
    evaluate.run(trained_study, tiny_settings)
    rows = tables.read(layout.path(trained_study, "scores"))
    assert list(rows[0]) == list(scores.COLUMNS)
    assert len(rows) == (len(MODELS) + 1) * 2 * 6  # and the best subset of the volumes
    predictions = [p for p in tables.read_predictions(trained_study) if p.model == "volumes"]
    expected = classification_scores([p.label for p in predictions], [p.probability for p in predictions])
    for row in rows:
        if (row["model"], row["level"]) == ("volumes", "scan"):
            assert float(row["value"]) == pytest.approx(getattr(expected, row["measure"]), abs=1e-9)
            assert float(row["ci_low"]) <= float(row["value"]) <= float(row["ci_high"])
            assert row["n"] == "14"
        if row["level"] == "patient":
            assert row["n"] == "12"


def test_a_second_run_changes_nothing_and_a_retrained_fold_is_evaluated_again(trained_study, tiny_settings):
    evaluate.run(trained_study, tiny_settings)
    file = layout.path(trained_study, "scores")
    before = file.stat().st_mtime_ns
    evaluate.run(trained_study, tiny_settings)
    assert file.stat().st_mtime_ns == before
    training = tiny_settings.training.model_copy(update={"max_epochs": 1})
    other = tiny_settings.model_copy(update={"training": training})
    train.run(trained_study, other)
    evaluate.run(trained_study, other)
    assert file.stat().st_mtime_ns > before


def test_a_missing_fold_is_an_error_not_fewer_predictions(trained_study, tiny_settings):
    layout.path(trained_study, "model", fold=2).unlink()
    with pytest.raises(StudyError, match="study-incomplete"):
        evaluate.run(trained_study, tiny_settings)


def test_changed_weights_are_refused(trained_study, tiny_settings):
    file = layout.path(trained_study, "model_weights", fold=1)
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(content)
    with pytest.raises(ModelError, match="model-changed"):
        evaluate.run(trained_study, tiny_settings)


def test_the_network_is_compared_with_every_baseline_and_every_model_with_chance(trained_study, tiny_settings):
    evaluate.run(trained_study, tiny_settings)
    rows = tables.read(layout.path(trained_study, "comparisons"))
    against = {row["against"] for row in rows if row["model"] == "cnn"}
    scored = ["cnn", "volumes", "volumes_best", *MODELS[2:]]
    assert against == {"chance", *scored[1:]}
    assert {row["model"] for row in rows if row["against"] == "chance"} == set(scored)
    pairs = {(row["model"], row["against"]) for row in rows if row["against"] != "chance"}
    assert pairs == set(combinations(scored, 2))
    for name in against - {"chance"}:
        tests = [row["test"] for row in rows if (row["model"], row["against"]) == ("cnn", name)]
        assert tests[:4] == ["delong", "mcnemar_durkalski", "mcnemar_obuchowski", "corrected_t"]
        assert tests[4:] == ["paired_bootstrap"] * 8  # four measures, per scan and per patient
    found = {
        (row["model"], row["level"], row["measure"]): float(row["value"])
        for row in tables.read(layout.path(trained_study, "scores"))
    }
    for row in rows:
        if row["test"] == "delong":
            expected = found[row["model"], "patient", "auc"] - found[row["against"], "patient", "auc"]
            assert float(row["difference"]) == pytest.approx(expected, abs=1e-9)
        if row["test"].startswith("mcnemar"):
            expected = found[row["model"], "scan", "accuracy"] - found[row["against"], "scan", "accuracy"]
            assert float(row["difference"]) == pytest.approx(expected, abs=1e-9)
    calibrated = tables.read(layout.path(trained_study, "calibration"))
    assert [row["model"] for row in calibrated if row["probability"] == "raw"] == MODELS
    assert [row["model"] for row in calibrated if row["probability"] == "temperature"] == MODELS


def test_validation_scans_are_predicted_by_the_models_of_the_fold_before_theirs(trained_study, tiny_settings):
    evaluate.run(trained_study, tiny_settings)
    cohort = tables.read_cohort(trained_study)
    fold_of = dict(zip(cohort.ids, tables.read_folds(trained_study, cohort), strict=True))
    predictions = tables.read_predictions(trained_study, "validation")
    for model in MODELS:
        mine = [p for p in predictions if p.model == model]
        assert [p.id for p in mine] == list(cohort.ids)
        assert all((p.fold + 1) % 3 == fold_of[p.id] for p in mine)


def test_every_subset_of_the_volumes_stands_in_its_own_table_and_in_no_other(trained_study, tiny_settings):
    evaluate.run(trained_study, tiny_settings)
    rows = tables.read(layout.path(trained_study, "subset_scores"))
    assert len(rows) == 63 * 2
    per_patient = [row for row in rows if row["level"] == "patient"]
    assert sum(int(row["folds_that_chose_it"]) for row in per_patient) == 3
    predictions = {p.model for p in tables.read_predictions(trained_study)}
    assert not predictions & {row["subset"] for row in rows}
    whole = next(row for row in per_patient if row["n_features"] == "6")
    scores_ = tables.read(layout.path(trained_study, "scores"))
    volumes = {(row["model"], row["level"], row["measure"]): row["value"] for row in scores_}
    assert whole["auc"] == volumes["volumes", "patient", "auc"]
    assert float(whole["cnn_auc_difference"]) == pytest.approx(
        float(volumes["cnn", "patient", "auc"]) - float(whole["auc"])
    )
