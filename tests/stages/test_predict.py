"""One new patient; preprocessing, which has tests of its own, gives a made-up scan here."""

import json
import shutil

import numpy as np
import pytest
import torch

from relevox import config
from relevox.config import preset
from relevox.engines import chain
from relevox.errors import ImageError, ModelError, StudyError
from relevox.imaging.regions import REGIONS
from relevox.learning import ensemble
from relevox.records import Volume
from relevox.report import drawing
from relevox.stages import export, predict
from relevox.store import images, layout, models, tables

AFFINE = np.diag([8, 8, 8, 1.0])
MEASURES = {"mask_dice": 0.955, "never_measured_in_training": 1.0}
VOLUMES = dict.fromkeys(tables.VOLUME_NAMES, 500.0)


@pytest.fixture(autouse=True)
def blank_drawings(monkeypatch):
    """Pages are read here, not looked at."""
    monkeypatch.setattr(drawing, "to_png", lambda figure: b"blank")


def made_up(measures=MEASURES, volumes=VOLUMES):
    """A scan as preprocessing leaves it."""
    rng, shape = np.random.default_rng(5), (18, 23, 19)
    mask = np.zeros(shape, dtype=bool)
    mask[2:-2, 2:-2, 2:-2] = True
    regions = np.where(mask, rng.integers(1, len(REGIONS) + 1, shape), 0).astype(np.int32)
    image = (mask * rng.uniform(0.5, 1.5, shape)).astype(np.float32)
    other = (mask * rng.uniform(0.5, 1.5, shape)).astype(np.float32)
    volume = {
        name: Volume(data, AFFINE)
        for name, data in {
            "t1w": image,
            "flair": other,
            "brain_mask": mask,
            "lesion_mask": mask & (image > 1.4),
            "jacobian": np.ones(shape, dtype=np.float32),
            "regions": regions,
            "warp": np.zeros((3, 2, 2, 2), dtype=np.float32),
            "native_t1w": image,
        }.items()
    }
    eye = {"flair_to_t1w": np.eye(4), "t1w_to_template": np.eye(4), "native_mask": mask}
    said = {"flags": (), "steps": ("made up",), "seconds": {"all": 1.0}}
    return chain.Preprocessed(**volume, **eye, **said, volumes_ml=dict(volumes), quality=dict(measures))


@pytest.fixture
def pair(tmp_path, monkeypatch):
    """Two raw images, and a chain that turns any pair into the made-up scan."""
    monkeypatch.setattr(chain, "to_template", lambda *images, **options: made_up())
    rng = np.random.default_rng(6)
    files = tmp_path / "DOE^JOHN_T1w.nii.gz", tmp_path / "DOE^JOHN_FLAIR.nii.gz"
    for file in files:
        images.write(file, Volume(rng.random((4, 4, 4)).astype(np.float32), np.eye(4)))
    return files


def content(folder):
    return {f.relative_to(folder): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


def test_a_bundle_answers_what_its_study_answers_byte_for_byte(sharable_study, pair, tmp_path):
    bundle = export.run(sharable_study, tmp_path / "bundle")
    predict.run(sharable_study, *pair, tmp_path / "by_study")
    shutil.rmtree(sharable_study)
    predict.run(bundle, *pair, tmp_path / "by_bundle")
    first, second = content(tmp_path / "by_study"), content(tmp_path / "by_bundle")
    assert len(first) == 10 and first == second


def test_mean_votes_and_spread_are_those_of_all_models(sharable_study, pair, tmp_path):
    predict.run(sharable_study, *pair, tmp_path / "out")
    answer = tables.read_json(layout.path(tmp_path / "out", "prediction"))
    scan = made_up()
    inputs = np.stack([scan.t1w.data, scan.flair.data])[None].astype(np.float16)
    each = [ensemble.predict(models.load(sharable_study, fold)[0], inputs)[0] for fold in range(3)]
    np.testing.assert_allclose(answer["fold_probabilities"], each, rtol=1e-6)
    assert answer["probability"] == pytest.approx(np.mean(each))
    assert answer["vote_share"] == np.mean(np.array(each) > 0.5)
    spread = [answer[f"probability_{name}"] for name in ("min", "max", "sd")]
    assert spread == pytest.approx([min(each), max(each), np.std(each, ddof=1)])


def test_a_scan_outside_the_training_scans_is_warned_of_everywhere(sharable_study, pair, tmp_path, monkeypatch, caplog):
    predict.run(sharable_study, *pair, tmp_path / "inside")
    assert "outside" not in caplog.text
    usual = tables.read_json(layout.path(tmp_path / "inside", "prediction"))["outside_training_scans"]
    assert usual["outside"] is False and usual["warnings"] == []
    strange = made_up({"mask_dice": 0.4}, VOLUMES | {"lesions": 5000.0})
    monkeypatch.setattr(chain, "to_template", lambda *images, **options: strange)
    page = predict.run(sharable_study, *pair, tmp_path / "outside")
    found = tables.read_json(layout.path(tmp_path / "outside", "prediction"))["outside_training_scans"]
    assert {m["measure"] for m in found["measures"] if m["outside"]} == {"mask_dice", "lesions_ml"}
    for text in (caplog.text, " ".join(found["warnings"]), page.read_text(encoding="utf-8")):
        assert "mask Dice is 0.4; training scans: mean 0.9" in text
    assert "This scan lies outside the training scans" in page.read_text(encoding="utf-8")


def test_a_model_of_simulated_patients_says_so(sharable_study, pair, tmp_path, caplog):
    tables.write_json(layout.path(sharable_study, "cohort_card"), {"simulated": True})
    bundle = export.run(sharable_study, tmp_path / "bundle")
    page = predict.run(bundle, *pair, tmp_path / "out")
    assert "says nothing about a person" in caplog.text
    assert "says nothing about a person" in page.read_text(encoding="utf-8")
    assert tables.read_json(layout.path(tmp_path / "out", "prediction"))["trained_on_simulated_patients"] is True


def test_names_of_the_files_that_were_given_stay_out(sharable_study, pair, tmp_path):
    predict.run(sharable_study, *pair, tmp_path / "out")
    for name, data in content(tmp_path / "out").items():
        assert b"DOE^JOHN" not in data and "DOE" not in str(name)


def test_a_folder_that_is_neither_study_nor_bundle_is_refused(pair, tmp_path):
    with pytest.raises(StudyError, match="model-unknown"):
        predict.run(tmp_path, *pair, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_one_image_given_twice_is_refused(sharable_study, pair, tmp_path):
    with pytest.raises(ImageError, match="same-image"):
        predict.run(sharable_study, pair[0], pair[0], tmp_path / "out")


def test_two_of_three_models_are_refused(sharable_study, pair, tmp_path):
    layout.path(sharable_study, "model", fold=1).unlink()
    with pytest.raises(ModelError, match="model-missing"):
        predict.run(sharable_study, *pair, tmp_path / "out")


def test_settings_of_another_grid_are_refused(sharable_study, pair, tmp_path):
    file = layout.path(sharable_study, "settings")
    file.write_text(file.read_text().replace("voxel_size_mm = 8", "voxel_size_mm = 4"))
    with pytest.raises(ModelError, match="voxel_size_mm 4, not 8"):
        predict.run(sharable_study, *pair, tmp_path / "out")


def test_nan_is_null_in_the_answer(sharable_study, pair, tmp_path):
    predict.run(sharable_study, *pair, tmp_path / "out")
    text = layout.path(tmp_path / "out", "prediction").read_text()
    assert "NaN" not in text and json.loads(text)["outside_training_scans"]["squared_distance"] is None


def test_models_that_are_told_covariates_are_shared_too(sharable_study, pair, tmp_path, caplog):
    given = preset("tiny")
    training = given.training.model_copy(update={"covariates": ("age", "sex")})
    told = given.model_copy(update={"training": training})
    layout.path(sharable_study, "settings").write_text(config.to_toml(told))
    for fold in range(3):
        torch.manual_seed(fold)
        network = models.ModelCard.of(told, fold, {}).build()
        network.standardise_by(np.array([[30.0, 0], [50.0, 1]]))
        models.save(sharable_study, models.ModelCard.of(told, fold, {}), network)
    bundle = export.run(sharable_study, tmp_path / "bundle")
    assert "age, sex" in layout.path(bundle, "bundle_text").read_text(encoding="utf-8")
    page = predict.run(sharable_study, *pair, tmp_path / "by_study", covariates={"age": 43.0})
    predict.run(bundle, *pair, tmp_path / "by_bundle", covariates={"age": 43.0})
    assert content(tmp_path / "by_study") == content(tmp_path / "by_bundle")
    assert "sex was not given" in caplog.text
    assert tables.read_json(layout.path(tmp_path / "by_study", "prediction"))["covariates"] == {"age": 43, "sex": None}
    assert "told: age 43 years, sex not given (the training scans&#39; mean)" in page.read_text(encoding="utf-8")
