"""An external cohort: who votes, what is refused, what is kept."""

import logging

import numpy as np
import pytest
from tests.stages.conftest import make_study

from relevox.config import CohortSettings
from relevox.errors import CohortError, ModelError, SettingsError, StudyError
from relevox.learning import ensemble
from relevox.records import Volume
from relevox.stages import train, validate
from relevox.statistics.scores import classification_scores
from relevox.store import images, inputs, layout, models, tables

N_SCANS, N_PATIENTS = 10, 8


@pytest.fixture
def study(trained_study, tiny_settings):
    """A trained study with a preprocessed external cohort of eight other patients on one known and one new scanner."""
    own = validate.folder(trained_study, "external")
    make_study(own, tiny_settings, first=50, n_patients=N_PATIENTS, scanners=("Avanto", "Skyra"))
    return trained_study


def run(study, settings, **options):
    validate.run(study, "external", settings, **options)
    return tables.read_ballots(study, "external")


def test_all_networks_vote_on_every_scan(study, tiny_settings):
    ballots = run(study, tiny_settings)
    own = layout.path(study, "external", name="external")
    cohort = tables.read_cohort(own)
    cnn = [ballot for ballot in ballots if ballot.model == "cnn"]
    assert [b.id for b in cnn] == list(cohort.ids) and [b.label for b in cnn] == cohort.labels.tolist()
    x = np.stack([inputs.read_scan(own, scan, tiny_settings.preprocessing) for scan in cohort.ids])
    answers = np.array([ensemble.predict(models.load(study, fold)[0], x) for fold in range(3)])
    np.testing.assert_allclose([b.fold_probabilities for b in cnn], answers.T, atol=1e-6)
    np.testing.assert_allclose([b.probability for b in cnn], answers.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose([b.share for b in cnn], (answers > 0.5).mean(axis=0))
    assert [b.predicted for b in cnn] == ((answers > 0.5).sum(axis=0) >= 2).astype(int).tolist()


def test_every_baseline_votes_with_the_fits_of_all_folds(study, tiny_settings):
    ballots = run(study, tiny_settings)
    fitted = tables.read_json(layout.path(study, "baselines", fold=0))
    assert {b.model for b in ballots} == {"cnn", *fitted}
    assert all(len(b.fold_probabilities) == 3 for b in ballots)
    # a scanner that was never seen tells nothing: the same answer for all of its scans
    own = layout.path(study, "external", name="external")
    new = {o.id for o in tables.read_cohort(own) if o.scanner == "Skyra"}
    assert len({b.probability for b in ballots if b.model == "scanner" and b.id in new}) == 1


def test_scores_follow_the_vote_and_the_auc_the_mean_probability(study, tiny_settings):
    ballots = run(study, tiny_settings)
    own = layout.path(study, "external", name="external")
    rows = {(r["model"], r["level"], r["measure"]): r for r in tables.read(layout.path(own, "scores"))}
    for model in {b.model for b in ballots}:
        mine = [b for b in ballots if b.model == model]
        truth = np.array([b.label for b in mine])
        accuracy = np.mean(truth == [b.predicted for b in mine])
        assert float(rows[model, "scan", "accuracy"]["value"]) == pytest.approx(accuracy)
        auc = classification_scores(truth, [b.probability for b in mine]).auc
        assert float(rows[model, "scan", "auc"]["value"]) == pytest.approx(auc)
    scan, patient = rows["cnn", "scan", "accuracy"], rows["cnn", "patient", "accuracy"]
    assert (scan["n"], patient["n"]) == (str(N_SCANS), str(N_PATIENTS))
    # scans of one patient are not independent: no interval of a proportion for them
    assert scan["wilson_low"] == "n/a" and float(patient["wilson_low"]) < float(patient["value"])
    assert float(patient["clopper_pearson_low"]) < float(patient["wilson_low"])
    assert "n/a" not in (rows["cnn", "scan", "auc_within_scanner"]["n"],)
    tests = {(r["against"], r["test"]) for r in tables.read(layout.path(own, "comparisons")) if r["model"] == "cnn"}
    assert {("chance", "permutation"), ("volumes", "delong"), ("volumes", "mcnemar_durkalski")} <= tests
    assert "corrected_t" not in {test for _, test in tests}  # there are no folds


def test_a_second_run_changes_nothing_and_an_interrupted_one_goes_on(study, tiny_settings, caplog):
    before = run(study, tiny_settings)
    own = layout.path(study, "external", name="external")
    files = {path: path.stat().st_mtime_ns for path in sorted(study.rglob("*")) if path.is_file()}
    run(study, tiny_settings, workers=1)
    assert {path: path.stat().st_mtime_ns for path in sorted(study.rglob("*")) if path.is_file()} == files
    lost = tables.read_cohort(own).ids[3]
    layout.path(own, "provenance", stage="validate", unit=lost.key).unlink()
    layout.path(study, "predictions", cohort="external").unlink()
    with caplog.at_level(logging.INFO, logger="relevox"):
        assert run(study, tiny_settings) == before
    assert [m for m in caplog.messages if "models say" in m] == [m for m in caplog.messages if f"{lost}," in m] != []


@pytest.mark.parametrize("kind", ["model", "model_weights", "baselines"])
def test_a_missing_model_is_an_error_not_a_smaller_vote(study, tiny_settings, kind):
    layout.path(study, kind, fold=1).unlink()
    with pytest.raises(ModelError, match=r"model-missing.*models of 3 folds.*fold-1"):
        run(study, tiny_settings)
    assert not layout.path(study, "predictions", cohort="external").exists()


def test_a_baseline_that_a_fold_lacks_is_named(study, tiny_settings):
    file = layout.path(study, "baselines", fold=2)
    tables.write_json(file, {k: v for k, v in tables.read_json(file).items() if k != "scanner"})
    with pytest.raises(ModelError, match="fold 2 differs in scanner"):
        run(study, tiny_settings)


def test_a_patient_of_both_cohorts_is_refused_by_id(trained_study, tiny_settings):
    make_study(validate.folder(trained_study, "external"), tiny_settings, first=8)
    with pytest.raises(CohortError, match=r"leak-found.*same patient id.*sub-08, sub-09, sub-10, sub-11") as caught:
        run(trained_study, tiny_settings)
    assert "sub-12" not in caught.value.message
    run(trained_study, tiny_settings, ids_are_related=False)  # two centres that both count from 01


def test_the_same_image_under_another_id_is_refused(study, tiny_settings):
    own, space = layout.path(study, "external", name="external"), tiny_settings.preprocessing.space
    ours, theirs = tables.read_cohort(study).ids[5], tables.read_cohort(own).ids[2]
    place = layout.path(own, "flair", theirs, space=space)
    place.write_bytes(layout.path(study, "flair", ours, space=space).read_bytes())
    with pytest.raises(CohortError, match=f"same image.*{theirs} = {ours}"):
        run(study, tiny_settings, ids_are_related=False)
    audit = tables.read(layout.path(own, "leak_audit"))
    assert {row["check"]: row["verdict"] for row in audit}["same image"] == "leak"


def test_one_brain_in_both_cohorts_is_suspected(study, tiny_settings, caplog):
    own, space = layout.path(study, "external", name="external"), tiny_settings.preprocessing.space
    ours, theirs = tables.read_cohort(study).ids[5], tables.read_cohort(own).ids[2]
    image = images.read(layout.path(study, "t1w", ours, space=space))
    images.write(layout.path(own, "t1w", theirs, space=space), Volume(image.data * 0.98, image.affine))
    with caplog.at_level(logging.WARNING, logger="relevox"):
        run(study, tiny_settings)
    assert any("alike brains" in m and f"{theirs} = {ours}" in m for m in caplog.messages)


def test_a_retrained_fold_votes_again(study, tiny_settings):
    before = run(study, tiny_settings)
    training = tiny_settings.training.model_copy(update={"max_epochs": 1})
    other = tiny_settings.model_copy(update={"training": training})
    train.run(study, other)
    assert run(study, other) != before


def test_a_cohort_that_was_not_made_yet_is_said_to_be_missing(trained_study, tiny_settings):
    with pytest.raises(StudyError, match="study-incomplete"):
        run(trained_study, tiny_settings)


def test_only_the_cohort_s_settings_may_differ_and_only_to_what_the_score_can_be(tiny_settings):
    made = validate.settings_for(tiny_settings, tiny_settings, "PDDS", 4)
    assert made.cohort == CohortSettings(score="PDDS", threshold=4)
    assert made.model_copy(update={"cohort": tiny_settings.cohort}) == tiny_settings
    with pytest.raises(SettingsError, match=r"threshold of 0 to 8 for PDDS, but got 9"):
        validate.settings_for(tiny_settings, tiny_settings, "PDDS", 9)
    finer = tiny_settings.model_copy(
        update={"preprocessing": tiny_settings.preprocessing.model_copy(update={"normalisation": "minmax"})}
    )
    with pytest.raises(SettingsError, match="preprocessing differs"):
        validate.settings_for(tiny_settings, finer)


@pytest.mark.parametrize("name", ["../x", "a b", "cohort", ""])
def test_a_name_that_is_no_word_is_refused(tmp_path, name):
    with pytest.raises(SettingsError, match="name-invalid"):
        validate.folder(tmp_path, name)
