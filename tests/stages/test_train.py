import json
import logging

import numpy as np
import pytest

from relevox.errors import CohortError, ImageError, SettingsError, StudyError
from relevox.records import Volume
from relevox.stages import train
from relevox.store import images, layout, models, tables


def files_of(study):
    return {path: path.stat().st_mtime_ns for path in sorted(study.rglob("*")) if path.is_file()}


def test_every_fold_gets_weights_card_history_and_baselines(trained_study, tiny_settings):
    cohort = tables.read_cohort(trained_study)
    folds = tables.read_folds(trained_study, cohort)
    assert set(folds) == {0, 1, 2}
    for fold in range(3):
        network, card = models.load(trained_study, fold)
        assert not network.training
        assert card.shape == tiny_settings.preprocessing.shape
        assert card.channels == ("T1w", "FLAIR")
        assert card.outcome == "EDSS >= 3"
        assert card.training["n_train_scans"] == (~np.isin(folds, [fold, (fold + 1) % 3])).sum()
        history = tables.read(layout.path(trained_study, "history", fold=fold))
        assert list(history[0]) == [
            "epoch",
            "train_loss",
            "validation_loss",
            "validation_balanced_accuracy",
            "learning_rate",
            "seconds",
            "seconds_left",
        ]
        assert [row["epoch"] for row in history] == ["1", "2"]
        baselines = tables.read_json(layout.path(trained_study, "baselines", fold=fold))
        assert set(baselines) == {"volumes", "volumes_chosen", "volumes_scanner", "scanner", "age_sex"}
        subsets = tables.read_json(layout.path(trained_study, "subsets", fold=fold))
        assert len(subsets) == 63
        assert subsets["lesions"]["n_train"] == card.training["n_train_scans"]


def test_the_card_names_no_patient(trained_study):
    for kind in ("model", "baselines"):
        text = layout.path(trained_study, kind, fold=0).read_text()
        assert "sub-" not in text and "ses-" not in text


def test_inputs_are_the_preprocessed_images_in_the_cohorts_order(tiny_study, tiny_settings):
    cohort = tables.read_cohort(tiny_study)
    array = np.load(train.gather_inputs(tiny_study, tiny_settings, cohort), mmap_mode="r")
    assert array.shape == (14, 2, *tiny_settings.preprocessing.shape) and array.dtype == np.float16
    space = tiny_settings.preprocessing.space
    for row, scan in enumerate(cohort.ids):
        for channel, kind in enumerate(("t1w", "flair")):
            image = images.read(layout.path(tiny_study, kind, scan, space=space)).data
            np.testing.assert_array_equal(array[row, channel], image.astype(np.float16))
    index = tables.read(layout.path(tiny_study, "inputs_index"))
    assert [(r["participant_id"], r["session_id"]) for r in index] == [(s.participant, s.session) for s in cohort.ids]


def test_a_second_run_changes_nothing_and_an_interrupted_one_is_resumed(trained_study, tiny_settings, caplog):
    before = files_of(trained_study)
    train.run(trained_study, tiny_settings)
    assert files_of(trained_study) == before
    layout.path(trained_study, "provenance", stage="train", unit="fold-1").unlink()
    with caplog.at_level(logging.INFO, logger="relevox"):
        train.run(trained_study, tiny_settings)
    epochs = [message for message in caplog.messages if "epoch" in message]
    assert len(epochs) == 2 and all("fold-1 epoch" in message for message in epochs)
    changed = {path for path, time in files_of(trained_study).items() if before.get(path) != time}
    assert changed and all("fold-1" in path.as_posix() for path in changed)


def test_changed_volumes_fit_the_baselines_again_but_no_network(trained_study, tiny_settings):
    before = files_of(trained_study)
    file = layout.path(trained_study, "volumes")
    rows = tables.read(file)
    tables.write(file, [rows[0] | {"lesions_ml": "77.0"}, *rows[1:]])
    train.run(trained_study, tiny_settings)
    changed = {path.name for path, time in files_of(trained_study).items() if before.get(path) != time}
    assert "baselines.json" in changed and "subsets.json" in changed
    assert not changed & {"weights.safetensors", "model.json"}


def test_other_settings_train_again(trained_study, tiny_settings):
    before = layout.path(trained_study, "model_weights", fold=0).read_bytes()
    training = tiny_settings.training.model_copy(update={"learning_rate": 5e-4})
    train.run(trained_study, tiny_settings.model_copy(update={"training": training}))
    assert layout.path(trained_study, "model_weights", fold=0).read_bytes() != before


def test_a_changed_image_is_gathered_and_trained_again(tiny_study, tiny_settings):
    cohort = tables.read_cohort(tiny_study)
    train.gather_inputs(tiny_study, tiny_settings, cohort)
    file = layout.path(tiny_study, "t1w", cohort.ids[2], space=tiny_settings.preprocessing.space)
    image = images.read(file)
    images.write(file, Volume(image.data * 2, image.affine))
    array = np.load(train.gather_inputs(tiny_study, tiny_settings, cohort))
    np.testing.assert_array_equal(array[2, 0], (image.data * 2).astype(np.float16))


def test_the_same_seed_gives_the_same_weights_with_one_and_with_two_workers(trained_study, tiny_settings):
    first = {fold: tables.read_json(layout.path(trained_study, "model", fold=fold))["sha256"] for fold in range(3)}
    assert len(set(first.values())) == 3
    for fold in range(3):
        layout.path(trained_study, "provenance", stage="train", unit=f"fold-{fold}").unlink()
    train.run(trained_study, tiny_settings, workers=2)
    again = {fold: tables.read_json(layout.path(trained_study, "model", fold=fold))["sha256"] for fold in range(3)}
    assert again == first


def test_a_scan_without_images_is_named(tiny_study, tiny_settings):
    scan = tables.read_cohort(tiny_study).ids[4]
    layout.path(tiny_study, "flair", scan, space=tiny_settings.preprocessing.space).unlink()
    with pytest.raises(StudyError, match="study-incomplete") as caught:
        train.run(tiny_study, tiny_settings)
    assert scan.key in caught.value.file


def test_images_of_another_grid_or_scale_are_refused(tiny_study, tiny_settings):
    scan = tables.read_cohort(tiny_study).ids[0]
    file = layout.path(tiny_study, "t1w", scan, space=tiny_settings.preprocessing.space)
    image = images.read(file)
    images.write(file, Volume(image.data * 1e6, image.affine))
    with pytest.raises(ImageError, match="input-range"):
        train.run(tiny_study, tiny_settings)
    images.write(file, Volume(image.data[1:], image.affine))
    with pytest.raises(ImageError, match="input-shape"):
        train.run(tiny_study, tiny_settings)


def test_more_folds_than_patients_of_a_class_are_refused(tiny_study, tiny_settings):
    training = tiny_settings.training.model_copy(update={"n_folds": 7})
    with pytest.raises(CohortError, match=r"set training\.n_folds to 6"):
        train.run(tiny_study, tiny_settings.model_copy(update={"training": training}))


def test_a_network_that_is_too_deep_for_the_grid_is_refused(tiny_study, tiny_settings):
    network = tiny_settings.network.model_copy(update={"widths": (4, 4, 4, 4, 4)})
    with pytest.raises(SettingsError, match="network-too-deep"):
        train.run(tiny_study, tiny_settings.model_copy(update={"network": network}))


def test_a_training_that_diverges_leaves_no_model_behind(tiny_study, tiny_settings):
    training = tiny_settings.training.model_copy(update={"learning_rate": 1e30})
    with pytest.raises(Exception, match="loss-not-finite"):
        train.run(tiny_study, tiny_settings.model_copy(update={"training": training}))
    assert not layout.path(tiny_study, "model", fold=0).exists()


def test_a_baseline_with_nothing_to_learn_from_is_left_out_and_said_so(tiny_study, tiny_settings, caplog):
    file = layout.path(tiny_study, "cohort")
    rows = [row | {"scanner": "n/a"} for row in tables.read(file)]
    rows[3]["age_years"] = "n/a"
    tables.write(file, rows)
    with caplog.at_level(logging.WARNING, logger="relevox"):
        train.run(tiny_study, tiny_settings)
    assert any("scanner baseline is left out" in message for message in caplog.messages)
    assert any("age_sex baseline: unknown values" in m and "1 of age_years" in m for m in caplog.messages)
    fitted = set(json.loads(layout.path(tiny_study, "baselines", fold=0).read_text()))
    assert fitted == {"volumes", "volumes_chosen", "age_sex"}


def test_the_leak_audit_says_who_is_where_and_that_nothing_is_shared(trained_study):
    rows = tables.read(layout.path(trained_study, "leak_audit"))
    sizes = {row["part"]: int(row["scans"]) for row in rows if row["check"] == "size"}
    assert sum(sizes[f"fold {fold}, test"] for fold in range(3)) == 14
    checks = [row for row in rows if row["check"] != "size"]
    assert {row["check"] for row in checks} == {"same patient", "same image", "alike brains"}
    assert {row["verdict"] for row in checks} == {"none"} and {row["who"] for row in checks} == {"n/a"}


def test_one_image_under_two_patients_stops_the_training_and_names_both(tiny_study, tiny_settings):
    ids = tables.read_cohort(tiny_study).ids
    space = tiny_settings.preprocessing.space
    first, second = (layout.path(tiny_study, "t1w", scan, space=space) for scan in (ids[3], ids[9]))
    second.write_bytes(first.read_bytes())
    with pytest.raises(CohortError, match="leak-found") as caught:
        train.run(tiny_study, tiny_settings)
    assert ids[3].key in caught.value.message and ids[9].key in caught.value.message
    assert not layout.path(tiny_study, "model", fold=0).exists()


def test_an_image_saved_again_under_another_patient_is_suspected(tiny_study, tiny_settings, caplog):
    ids = tables.read_cohort(tiny_study).ids
    space = tiny_settings.preprocessing.space
    image = images.read(layout.path(tiny_study, "t1w", ids[3], space=space))
    images.write(layout.path(tiny_study, "t1w", ids[9], space=space), Volume(image.data * 1.001, image.affine))
    with caplog.at_level(logging.WARNING, logger="relevox"):
        train.run(tiny_study, tiny_settings)
    assert any("alike brains" in m and f"{ids[3].key} = {ids[9].key}" in m for m in caplog.messages)


def test_where_a_later_score_is_predicted_the_score_at_the_scan_is_a_model_to_beat(tiny_study, tiny_settings):
    file = layout.path(tiny_study, "cohort")
    rows = tables.read(file)
    tables.write(file, [row | {"score_at_scan": 1.5 + n % 3} for n, row in enumerate(rows)])
    cohort = tables.read_cohort(tiny_study)
    folds = train.deal_folds(tiny_study, tiny_settings, cohort)
    fold = train.cohort_rounds(cohort, folds)[0]
    train.fit_baselines(tiny_study, tiny_settings, cohort, fold)
    fitted = tables.read_json(layout.path(tiny_study, "baselines", fold=0))
    assert fitted["score_at_scan"]["features"] == ["score_at_scan"]
