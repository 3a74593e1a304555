"""A scanner that no model has seen: nothing learns from it, everything is tested, and the tables say so."""

import logging
import shutil

import numpy as np
import pytest

from relevox.errors import SettingsError
from relevox.records import Volume
from relevox.stages import evaluate, explain, fold_network, train
from relevox.store import images, layout, tables

OF = {("sub-00", "ses-01"): "Symphony", ("sub-05", "ses-01"): "Symphony", ("sub-10", "ses-01"): "n/a"}
"""The rest are Avanto or Tim Trio; the other scan of sub-00 is, too."""


def name_scanners(study):
    file = layout.path(study, "cohort")
    rows = tables.read(file)
    tables.write(file, [row | {"scanner": OF.get((row["participant_id"], row["session_id"]), row["scanner"])}
                        for row in rows])  # fmt: skip
    return study


def untouched(cohort):
    """Rows that may be learned from."""
    return {n for n, scan in enumerate(cohort.ids) if scan.participant not in ("sub-00", "sub-05", "sub-10")}


@pytest.fixture(scope="module")
def settings(tiny_settings):
    training = tiny_settings.training.model_copy(update={"unseen_scanner": "Symphony"})
    return tiny_settings.model_copy(update={"training": training})


@pytest.fixture(scope="module")
def once(made_study, tmp_path_factory, settings):
    """The tiny study, trained without the Symphony, and the rows of every fit."""
    study = name_scanners(shutil.copytree(made_study, tmp_path_factory.mktemp("unseen") / "study"))
    seen, fit, regress = [], fold_network.training.train, train.baselines.fit_all
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fold_network.training, "train", lambda *a, **k: (seen.append((a[3], a[4])), fit(*a, **k))[1])
        patch.setattr(train.baselines, "fit_all", lambda *a: (seen.append((a[2],)), regress(*a))[1])
        train.run(study, settings)
    return study, seen


@pytest.fixture
def trained(once, tmp_path):
    return shutil.copytree(once[0], tmp_path / "study")


def test_no_fit_is_given_a_scan_of_the_scanner_of_its_patients_or_of_an_unknown_one(once):
    study, seen = once
    assert len(seen) == 3 * 3  # folds: a network, the named regressions, and those on subsets
    learned = {row for sides in seen for rows in sides for row in np.asarray(rows).tolist()}
    assert learned == untouched(tables.read_cohort(study))
    cards = [tables.read_json(layout.path(study, "model", fold=fold))["training"] for fold in range(3)]
    assert [card["n_train_scans"] for card in cards] == [len(sides[0]) for sides in seen if len(sides) == 2]


def test_no_weight_depends_on_what_the_unseen_scans_show(once, made_study, tmp_path, settings):
    study = name_scanners(shutil.copytree(made_study, tmp_path / "other"))
    cohort, rng = tables.read_cohort(study), np.random.default_rng(5)
    for row, scan in enumerate(cohort.ids):
        if row not in untouched(cohort):
            for kind in ("t1w", "flair"):
                file = layout.path(study, kind, scan, space=settings.preprocessing.space)
                image = images.read(file)
                noise = rng.uniform(0, 3, image.data.shape).astype(np.float32)
                images.write(file, Volume(noise, image.affine))
    file = layout.path(study, "volumes")
    rows = tables.read(file)
    changed = [row if n in untouched(cohort) else row | {"lesions_ml": "9999.0"} for n, row in enumerate(rows)]
    tables.write(file, changed)
    train.run(study, settings)
    for fold in range(3):
        for kind in ("model_weights", "baselines", "subsets"):
            a, b = (layout.path(s, kind, fold=fold).read_bytes() for s in (once[0], study))
            assert a == b


def test_every_scan_is_predicted_and_only_that_scanner_is_called_never_seen(trained, settings):
    evaluate.run(trained, settings)
    cohort = tables.read_cohort(trained)
    cnn = [p for p in tables.read_predictions(trained) if p.model == "cnn"]
    assert [p.id for p in cnn] == list(cohort.ids)
    rows = tables.read(layout.path(trained, "left_out_scanners"))
    named = {row["scanner"]: row["training"] for row in rows if row["model"] == "cnn"}
    assert named == {
        "Avanto": "out_of_fold", "Tim Trio": "out_of_fold", "Symphony": "never_seen", "all": "mixed",
    }  # fmt: skip
    assert {row["training"] for row in rows if row["model"] != "cnn"} == {"refitted"}


def test_the_scanner_model_knows_nothing_of_the_unseen_scanner(trained, settings):
    evaluate.run(trained, settings)
    fitted = tables.read_json(layout.path(trained, "baselines", fold=0))["scanner"]
    assert fitted["features"] == ["scanner=Avanto", "scanner=Tim Trio"]
    intercept = 1 / (1 + np.exp(-fitted["intercept"]))
    answers = {p.id: p for p in tables.read_predictions(trained) if p.model == "scanner"}
    unknown = [p for p in answers.values() if p.fold == 0 and OF.get((p.id.participant, p.id.session))]
    assert unknown and all(p.probability == pytest.approx(intercept) for p in unknown)


def test_maps_start_from_the_mean_of_the_scans_that_trained(predicted_study, settings, monkeypatch):
    name_scanners(predicted_study)
    seen, mean = [], explain.mean_scan
    monkeypatch.setattr(explain, "mean_scan", lambda inputs, rows: (seen.append(rows), mean(inputs, rows))[1])
    quick = settings.attribution.model_copy(update={"methods": ("lrp",)})
    explain.run(predicted_study, settings.model_copy(update={"attribution": quick}))
    rows = set(np.concatenate(seen).tolist())
    assert rows == untouched(tables.read_cohort(predicted_study))


def test_the_log_and_the_leak_audit_count_them(made_study, tmp_path, settings, monkeypatch, caplog):
    study = name_scanners(shutil.copytree(made_study, tmp_path / "study"))
    monkeypatch.setattr(train, "train_fold", lambda *a, **k: None)
    with caplog.at_level(logging.INFO, logger="relevox"):
        train.run(study, settings)
    assert (
        "train: no model learns from 4 scans: 2 of Symphony, 1 of its patients on other scanners, 1 of unknown scanner"
        in caplog.messages
    )
    rows = [row for row in tables.read(layout.path(study, "leak_audit")) if row["check"] == "unseen scanner"]
    assert [(row["against"], row["shared"], row["verdict"]) for row in rows] == [("Symphony", "0", "none")] * 3
    assert not any("unknown values" in message for message in caplog.messages)


def test_without_the_setting_everything_is_fitted_again(trained, tiny_settings):
    before = {kind: layout.path(trained, kind, fold=0).read_bytes() for kind in ("model_weights", "baselines")}
    train.run(trained, tiny_settings)
    assert all(layout.path(trained, kind, fold=0).read_bytes() != content for kind, content in before.items())
    assert not any(row["check"] == "unseen scanner" for row in tables.read(layout.path(trained, "leak_audit")))


def test_a_scanner_that_the_cohort_does_not_have_stops_before_anything_is_gathered(tiny_study, settings):
    with pytest.raises(SettingsError, match=r"scanner-unknown.*'Symphony'.*use one of Avanto, Tim Trio"):
        train.run(tiny_study, settings)
    assert not layout.path(tiny_study, "inputs").exists()
