import logging

import numpy as np
import pytest
import torch
from tests.stages.conftest import make_study

from relevox.attribution import attribute
from relevox.errors import SettingsError
from relevox.learning import ResNet3d
from relevox.learning.fusion import FusedResNet3d, image_only
from relevox.stages import evaluate, explain, predict, train, validate
from relevox.store import images, inputs, layout, models, tables


@pytest.fixture
def told_settings(tiny_settings):
    training = tiny_settings.training.model_copy(update={"covariates": ("age", "sex")})
    return tiny_settings.model_copy(update={"training": training})


def test_a_study_with_covariates_is_trained_evaluated_and_explained(tiny_study, told_settings, caplog):
    file = layout.path(tiny_study, "cohort")
    rows = tables.read(file)
    rows[3]["age_years"] = "n/a"
    tables.write(file, rows)
    with caplog.at_level(logging.WARNING, logger="relevox"):
        train.run(tiny_study, told_settings)
    assert "train: age is unknown for 1 of 14 scans: the network is told the training mean" in caplog.messages
    _, card = models.load(tiny_study, 0)
    assert card.covariates == ("age", "sex")
    assert 20 < card.training["covariates"]["age"]["mean"] < 60 and card.training["covariates"]["age"]["sd"] > 0
    evaluate.run(tiny_study, told_settings)
    predictions = [p for p in tables.read_predictions(tiny_study) if p.model == "cnn"]
    assert len(predictions) == 14 and all(np.isfinite(p.probability) for p in predictions)

    explain.run(tiny_study, told_settings)
    cohort, told = tables.read_cohort(tiny_study), predictions[5]
    row, place = cohort.ids.index(told.id), {"space": told_settings.preprocessing.space}
    network, _ = models.load(tiny_study, told.fold)
    x = torch.from_numpy(np.load(layout.path(tiny_study, "inputs"))[row][None].astype(np.float32))
    of_this_patient = image_only(network, cohort.observations[row])
    with torch.no_grad():
        assert float(of_this_patient(x).softmax(1)[0, 1]) == pytest.approx(told.probability, abs=1e-5)
    expected = attribute(of_this_patient, x, told.predicted, "lrp").relevance[0].sum(0).numpy()
    written = images.read(layout.path(tiny_study, "relevance", told.id, method="lrp", **place)).data
    np.testing.assert_allclose(written, expected, rtol=1e-3, atol=1e-6)


def test_a_covariate_nobody_has_is_refused(tiny_study, tiny_settings):
    training = tiny_settings.training.model_copy(update={"covariates": ("disease_duration",)})
    with pytest.raises(SettingsError, match=r"covariate-unknown.*training\.covariates"):
        train.run(tiny_study, tiny_settings.model_copy(update={"training": training}))


def test_models_of_a_new_patient_are_told_what_is_known_and_the_mean_otherwise(caplog):
    network = FusedResNet3d(ResNet3d(widths=(4, 4), head_widths=(4, 4)), ("age", "sex")).eval()
    network.standardise_by(np.array([[30.0, 0], [50.0, 1]]))
    (bound,) = predict._told([network], network.names, {"age": 60.0})
    assert [m for m in caplog.messages if "not given" in m] == [
        "predict: sex was not given: the models take the mean of their training scans"
    ]
    x = torch.rand(1, 2, 8, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(bound(x), network(x, torch.tensor([[60.0, 0.5]])))
    assert predict._told([bound], (), {}) == (bound,)


def test_an_external_scan_is_told_its_own_covariates_and_votes_again_when_they_change(tiny_study, told_settings):
    train.run(tiny_study, told_settings)
    own = validate.folder(tiny_study, "external")
    make_study(own, told_settings, first=50, n_patients=8)
    validate.run(tiny_study, "external", told_settings)
    before = {b.id: b for b in tables.read_ballots(tiny_study, "external") if b.model == "cnn"}
    cohort = tables.read_cohort(own)
    changed = cohort.observations[0]
    x = torch.from_numpy(inputs.read_scan(own, changed.id, told_settings.preprocessing)[None]).float()
    expected = []
    for fold in range(3):
        network, _ = models.load(tiny_study, fold)
        with torch.no_grad():
            expected.append(float(image_only(network, changed).eval()(x).softmax(1)[0, 1]))
    np.testing.assert_allclose(before[changed.id].fold_probabilities, expected, atol=1e-5)

    rows = tables.read(layout.path(own, "cohort"))
    rows[0]["age_years"] = "15"
    tables.write(layout.path(own, "cohort"), rows)
    validate.run(tiny_study, "external", told_settings)
    after = {b.id: b for b in tables.read_ballots(tiny_study, "external") if b.model == "cnn"}
    assert [scan for scan in before if before[scan].fold_probabilities != after[scan].fold_probabilities] == [
        changed.id
    ]


def test_the_volumes_are_told_what_the_network_is_told(tiny_study, told_settings):
    train.run(tiny_study, told_settings)
    fitted = tables.read_json(layout.path(tiny_study, "baselines", fold=0))
    assert fitted["clinical"]["features"] == ["age_years", "female"]
    assert fitted["volumes_clinical"]["features"] == [*fitted["volumes"]["features"], "age_years", "female"]
