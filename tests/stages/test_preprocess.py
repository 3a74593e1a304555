import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from relevox.config import preset
from relevox.engines import chain
from relevox.errors import CohortError, EngineError, ImageError, Problems, RelevoxError
from relevox.imaging import brain_network
from relevox.imaging.crop import study_grid
from relevox.imaging.quality import dice
from relevox.records import ScanId, Volume
from relevox.stages import own_networks, preprocess, scan_pictures
from relevox.store import images, layout, tables, template
from relevox.store.transforms import read_affine

SPACE = "MNI152NLin2009aSym"
VOLUMES = dict.fromkeys(tables.VOLUME_NAMES, 12.5)
SETTINGS = preset("tiny")


def raw_image(path, seed):
    data = np.random.default_rng(seed).random((12, 14, 10)).astype(np.float32) + 1
    affine = np.diag([2.0, 2.0, 3.0, 1.0])
    return images.write(path, Volume(data, affine))


@pytest.fixture
def raw(tmp_path):
    """Three scans of two patients, raw; the last has a brain mask among the derivatives."""
    root = tmp_path / "bids"
    for n, (patient, session) in enumerate((("sub-01", "ses-1"), ("sub-01", "ses-2"), ("sub-02", "ses-1"))):
        for k, suffix in enumerate(("T1w", "FLAIR")):
            raw_image(root / patient / session / "anat" / f"{patient}_{session}_{suffix}.nii.gz", 10 * n + k)
    mask = np.zeros((12, 14, 10), dtype=bool)
    mask[3:9, 3:9, 3:9] = True
    folder = root / "derivatives" / "masks" / "sub-02" / "ses-1" / "anat"
    images.write(folder / "sub-02_ses-1_desc-brain_mask.nii.gz", Volume(mask, np.diag([2.0, 2.0, 3.0, 1.0])))
    return root


@pytest.fixture
def pictures():
    """Ask for overlays: drawing them takes longer than everything else here."""


@pytest.fixture
def calls(monkeypatch, request):
    """Put a quick chain into the stage and keep what it was given."""
    seen = []
    if "pictures" not in request.fixturenames:
        monkeypatch.setattr(scan_pictures, "write", lambda *_: [])

    def to_template(t1w, flair, head, settings, brain_mask=None, lesion_mask=None, network=None, threads=1, **more):
        seen.append({"t1w": t1w, "flair": flair, "brain_mask": brain_mask, "network": network})
        placed = template.load(settings.voxel_size_mm)
        inside = placed.brain_mask
        rng = np.random.default_rng(len(seen))
        volume = {name: Volume(inside * rng.random(inside.shape, np.float32), placed.affine) for name in "tf"}
        return chain.Preprocessed(
            t1w=volume["t"],
            flair=volume["f"],
            brain_mask=Volume(inside, placed.affine),
            lesion_mask=Volume(placed.regions == 12, placed.affine),
            jacobian=Volume(np.ones(inside.shape, np.float32), placed.affine),
            regions=Volume(placed.regions, placed.affine),
            flair_to_t1w=np.eye(4),
            t1w_to_template=np.diag([0.9, 0.9, 0.9, 1.0]),
            warp=Volume(np.zeros((3, 4, 4, 4), np.float32), np.eye(4)),
            native_t1w=t1w,
            native_mask=np.ones(t1w.data.shape, bool) if brain_mask is None else brain_mask.data != 0,
            volumes_ml=VOLUMES | {"lesions": float(len(seen))},
            quality={"mask_ml": 1400.0, "crop_loss": 0.001},
            flags=("look at me",) if brain_mask is not None else (),
            steps=("a step",),
            seconds={"brain": 1.0},
        )

    monkeypatch.setattr(chain, "to_template", to_template)
    monkeypatch.setattr(own_networks, "_loaded", lambda name: f"a {name}")
    return seen


def content(study):
    return {p.relative_to(study): p.read_bytes() for p in sorted(study.rglob("*")) if p.is_file()}


def test_every_scan_gets_its_files_and_its_rows(raw, calls, pictures, tmp_path):
    study = tmp_path / "study"
    preprocess.run(raw, study, SETTINGS)
    scan = ScanId("sub-01", "ses-2")
    for kind in ("t1w", "flair", "jacobian", "regions", "brain_mask", "lesion_mask"):
        volume = images.read(layout.existing(study, kind, scan, space=SPACE))
        assert volume.data.shape == study_grid(8).shape, kind
        assert np.allclose(volume.affine, study_grid(8).affine), kind
    for desc in ("brainmask", "alignment", "template", "lesions"):
        assert layout.existing(study, "overlay", scan, desc=desc).read_bytes().startswith(b"\x89PNG")
    transform = layout.existing(study, "t1w_to_template", scan, space=SPACE)
    assert np.allclose(read_affine(transform), np.diag([0.9, 0.9, 0.9, 1.0]))
    rows = tables.read(layout.existing(study, "volumes"))
    assert [(r["participant_id"], r["session_id"], float(r["lesions_ml"])) for r in rows] == [
        ("sub-01", "ses-1", 1),
        ("sub-01", "ses-2", 2),
        ("sub-02", "ses-1", 3),
    ]
    quality = tables.read(layout.existing(study, "quality"))
    assert [row["status"] for row in quality] == ["ok", "ok", "flagged"]
    assert quality[2]["flags"] == "look at me"
    assert float(quality[0]["mask_ml"]) == 1400


def test_a_given_brain_mask_is_used_unless_the_settings_say_otherwise(raw, calls, tmp_path):
    preprocess.run(raw, tmp_path / "study", SETTINGS)
    assert [call["brain_mask"] is not None for call in calls] == [False, False, True]
    assert [call["network"] for call in calls] == ["a brain_network", "a brain_network", None]
    calls.clear()
    section = SETTINGS.preprocessing.model_copy(update={"use_derivatives": False})
    preprocess.run(raw, tmp_path / "other", SETTINGS.model_copy(update={"preprocessing": section}))
    assert not any(call["brain_mask"] for call in calls)


def test_what_is_up_to_date_is_skipped_and_what_changed_is_not(raw, calls, tmp_path):
    study = tmp_path / "study"
    preprocess.run(raw, study, SETTINGS)
    before = content(study)
    preprocess.run(raw, study, SETTINGS)
    assert len(calls) == 3
    assert content(study) == before

    layout.path(study, "t1w", ScanId("sub-01", "ses-1"), space=SPACE).unlink()  # lost
    raw_image(raw / "sub-02" / "ses-1" / "anat" / "sub-02_ses-1_T1w.nii.gz", 99)  # changed
    preprocess.run(raw, study, SETTINGS)
    assert len(calls) == 5


def test_an_interrupted_run_goes_on_where_it_stopped(raw, calls, tmp_path, monkeypatch):
    study, whole = tmp_path / "study", chain.to_template

    def dies(t1w, *args, **kwargs):
        if len(calls) == 1:
            raise KeyboardInterrupt
        return whole(t1w, *args, **kwargs)

    monkeypatch.setattr(chain, "to_template", dies)
    with pytest.raises(KeyboardInterrupt):
        preprocess.run(raw, study, SETTINGS)
    monkeypatch.setattr(chain, "to_template", whole)
    preprocess.run(raw, study, SETTINGS)
    assert len(calls) == 3
    assert len(tables.read(layout.existing(study, "volumes"))) == 3


def test_all_problems_are_listed_before_anything_is_computed(raw, calls, tmp_path):
    (raw / "sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz").write_bytes(b"text")
    damaged = raw / "sub-02/ses-1/anat/sub-02_ses-1_FLAIR.nii.gz"
    damaged.write_bytes(damaged.read_bytes()[:-6])
    black = Volume(np.zeros((12, 14, 10), np.float32), np.diag([2.0, 2.0, 3.0, 1.0]))
    images.write(raw / "sub-01/ses-2/anat/sub-01_ses-2_T1w.nii.gz", black)
    with pytest.raises(Problems) as refused:
        preprocess.run(raw, tmp_path / "study", SETTINGS)
    assert len(refused.value.problems) == 3
    assert refused.value.problems[1].code == "image-constant"
    assert not calls
    assert not (tmp_path / "study" / "volumes.tsv").exists()


def test_bad_scans_are_left_out_and_listed_when_asked(raw, calls, tmp_path):
    (raw / "sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz").write_bytes(b"text")
    study = tmp_path / "study"
    preprocess.run(raw, study, SETTINGS, skip_bad=True)
    quality = tables.read(layout.existing(study, "quality"))
    assert [row["status"] for row in quality] == ["failed", "ok", "flagged"]
    assert str(tmp_path) not in layout.existing(study, "quality").read_text()
    assert len(tables.read(layout.existing(study, "volumes"))) == 2


def test_a_scan_that_fails_on_the_way_does_not_stop_the_others(raw, calls, tmp_path, monkeypatch):
    whole = chain.to_template

    def fails(t1w, *args, **kwargs):
        result = whole(t1w, *args, **kwargs)
        if len(calls) == 2:
            raise EngineError("the crop would lose 3 %", code="crop-loss")
        return result

    monkeypatch.setattr(chain, "to_template", fails)
    study = tmp_path / "study"
    with pytest.raises(EngineError, match="sub-01_ses-2: the crop would lose"):
        preprocess.run(raw, study, SETTINGS)
    assert [row["status"] for row in tables.read(layout.existing(study, "quality"))] == ["ok", "failed", "flagged"]


def test_the_same_image_in_two_places_is_refused(raw, calls, tmp_path):
    first = raw / "sub-01/ses-1/anat"
    shutil.copy(first / "sub-01_ses-1_T1w.nii.gz", first / "sub-01_ses-1_FLAIR.nii.gz")
    with pytest.raises(ImageError) as same:
        preprocess.run(raw, tmp_path / "study", SETTINGS)
    assert same.value.code == "image-repeated"
    shutil.copy(first / "sub-01_ses-1_T1w.nii.gz", raw / "sub-02/ses-1/anat/sub-02_ses-1_T1w.nii.gz")
    with pytest.raises(Problems) as two:
        preprocess.run(raw, tmp_path / "study", SETTINGS)
    assert "sub-02_ses-1" in str(two.value)
    assert not calls


def test_participants_can_be_chosen(raw, calls, tmp_path):
    preprocess.run(raw, tmp_path / "study", SETTINGS, participants=["02"])
    assert len(calls) == 1
    with pytest.raises(CohortError):
        preprocess.run(raw, tmp_path / "study", SETTINGS, participants=["77"])


def in_space(root, scan, voxel_size_mm=4, **changes):
    """Write a scan in template space, as the simulator does."""
    head = template.load(voxel_size_mm)
    rng = np.random.default_rng(0)
    data = {
        "t1w": head.t1 * 500,
        "flair": (head.grey + 0.8 * head.white) * 300 + rng.random(head.t1.shape),
        "brain_mask": head.brain_mask,
        "lesion_mask": head.regions == 12,
        "jacobian": rng.uniform(0.8, 1.2, head.t1.shape),
    } | changes
    for kind, image in data.items():
        if image is not None:
            images.write(
                layout.path(root / "derivatives" / "made", kind, scan, space=SPACE), Volume(image, head.affine)
            )
    measures = {"volumes_ml": VOLUMES, "quality": {}, "flags": [], "steps": ["simulated"]}
    tables.write_json(layout.path(root / "derivatives" / "made", "measures", scan), measures)
    return data


@pytest.mark.parametrize("size", [4, 8])
def test_scans_in_template_space_are_placed_without_registration(tmp_path, calls, size):
    scan, study = ScanId("sub-01", "ses-1"), tmp_path / "study"
    data = in_space(tmp_path / "bids", scan)
    section = SETTINGS.preprocessing.model_copy(update={"voxel_size_mm": size})
    preprocess.run(tmp_path / "bids", study, SETTINGS.model_copy(update={"preprocessing": section}))
    assert not calls

    def read(kind):
        return images.read(layout.existing(study, kind, scan, space=SPACE)).data

    mask = read("brain_mask").astype(bool)
    jacobian, t1w = data["jacobian"], data["t1w"]
    if size == 8:
        jacobian, t1w = (image.reshape(18, 2, 23, 2, 19, 2).mean(axis=(1, 3, 5)) for image in (jacobian, t1w))
    assert np.allclose(read("jacobian"), jacobian, atol=1e-5)
    assert np.allclose(read("t1w")[mask], t1w[mask] / np.median(t1w[mask]), atol=1e-4)
    assert not read("t1w")[~mask].any()
    assert np.array_equal(read("regions"), template.load(size).regions * mask)
    row = tables.read(layout.existing(study, "volumes"))[0]
    assert float(row["intracranial_ml"]) == 12.5
    steps = tables.read_json(layout.existing(study, "measures", scan))["steps"]
    assert steps[0] == "simulated"


def test_images_on_a_coarser_or_foreign_grid_are_refused(tmp_path, calls):
    in_space(tmp_path / "bids", ScanId("sub-01"), voxel_size_mm=8)
    section = SETTINGS.preprocessing.model_copy(update={"voxel_size_mm": 4})
    with pytest.raises(ImageError) as coarse:
        preprocess.run(tmp_path / "bids", tmp_path / "study", SETTINGS.model_copy(update={"preprocessing": section}))
    assert coarse.value.code == "image-grid"


def test_incomplete_derivatives_without_raw_images_name_what_is_missing(tmp_path, calls):
    in_space(tmp_path / "bids", ScanId("sub-01"), jacobian=None)
    with pytest.raises(RelevoxError, match="space_jacobian"):
        preprocess.run(tmp_path / "bids", tmp_path / "study", SETTINGS)


def test_the_data_set_is_never_written_to(raw, calls, tmp_path):
    before = content(raw)
    preprocess.run(raw, tmp_path / "study", SETTINGS)
    assert content(raw) == before


@pytest.mark.real
@pytest.mark.skipif("RELEVOX_REAL_DATA" not in os.environ, reason="needs real scans")
def test_the_final_mask_of_a_real_scan_agrees_with_the_reference():
    data, key = Path(os.environ["RELEVOX_REAL_DATA"]) / "ms", "sub-04_ses-1"
    folder = data / "sub-04" / "ses-1" / "anat"
    t1w, flair = (images.read(folder / f"{key}_{suffix}.nii.gz") for suffix in ("T1w", "FLAIR"))
    reference = images.read_labels(
        data / "derivatives" / "reference" / "sub-04" / "ses-1" / "anat" / f"{key}_desc-brain_mask.nii.gz"
    )
    found = chain.to_template(
        t1w, flair, template.full(), preset("default").preprocessing, network=brain_network.load()
    )
    assert dice(found.native_mask, reference.data > 0) > 0.945


@pytest.mark.real
@pytest.mark.skipif("RELEVOX_REAL_DATA" not in os.environ, reason="needs real scans")
def test_a_real_scan_reaches_the_template(tmp_path):
    data, scan = Path(os.environ["RELEVOX_REAL_DATA"]) / "ms", ScanId("sub-12", "ses-1")
    settings = preset("default")
    root = tmp_path / "bids"
    shutil.copytree(data / scan.participant / scan.session, root / scan.participant / scan.session)
    preprocess.run(root, tmp_path / "study", settings)  # the brain network finds the brain
    measures = json.loads(layout.existing(tmp_path / "study", "measures", scan).read_text())
    quality, volumes = measures["quality"], measures["volumes_ml"]
    assert quality["mask_dice"] > 0.93
    assert quality["warped_correlation"] > 0.65
    assert quality["edge_agreement"] > 0.6
    assert quality["t1w_flair_nmi"] > 1.08
    assert quality["folded_share"] < 1e-3
    assert quality["crop_loss"] < 0.005
    assert 1.1 < quality["volume_factor"] < 1.7
    assert 1200 < volumes["intracranial"] < 1800
    assert 400 < volumes["white_matter"] < volumes["grey_matter"] < 900
    assert 5 < volumes["lateral_ventricles"] < 60
    flair_to_t1w = read_affine(layout.existing(tmp_path / "study", "flair_to_t1w", scan))
    reference = next((data / "derivatives" / "reference").rglob(f"{scan.key}_from-T1w_to-FLAIR_*_xfm.txt"))
    centre = np.array([0, -10, 20, 1.0])
    # the data set's file holds the map from FLAIR points to T1w points
    assert np.linalg.norm((flair_to_t1w @ centre - np.linalg.inv(read_affine(reference)) @ centre)[:3]) < 1.0


def test_a_scan_without_flair_is_left_out_when_asked(raw, calls, tmp_path):
    (raw / "sub-01/ses-1/anat/sub-01_ses-1_FLAIR.nii.gz").unlink()
    study = tmp_path / "study"
    preprocess.run(raw, study, SETTINGS, skip_bad=True)
    rows = tables.read(layout.existing(study, "quality"))
    assert [row["status"] for row in rows] == ["failed", "ok", "flagged"]
    assert "FLAIR image is missing" in rows[0]["flags"]
