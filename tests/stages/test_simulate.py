"""simulate: a BIDS data set whose every file the other stages can use, the same whatever the workers."""

import numpy as np
import pytest

from relevox.config import PhantomSettings, Settings
from relevox.errors import InputError
from relevox.imaging.crop import study_grid
from relevox.phantom.causes import CAUSES, LABEL_MODELS
from relevox.records import ScanId
from relevox.stages import cohort, simulate, simulate_anatomies, simulate_scans
from relevox.store import bids, images, layout, tables, template

FEW = PhantomSettings(n_patients=5, n_repeated=1, voxel_size_mm=8, counterfactuals=1)


TISSUES = ("GM", "WM", "CSF", "lesion")


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    root = tmp_path_factory.mktemp("bids")
    simulate.run(root, FEW, seed=3)
    return root


def files_below(root):
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_the_index_finds_every_scan_in_template_space(simulated):
    scans = bids.index(simulated, template.SPACE)
    assert len(scans) == 6
    wanted = {"space_t1w", "space_flair", "space_brain_mask", "space_lesion_mask", "space_jacobian", "measures"}
    assert all(wanted <= scan.derivatives.keys() for scan in scans)


def test_scores_match_and_reproduce_the_drawn_labels(simulated, tmp_path):
    found = cohort.run(simulated, tmp_path, Settings())
    rows = tables.read(layout.path(simulated / simulate.TRUTH, "truth_table"))
    np.testing.assert_array_equal(found.labels, [int(row["label"]) for row in rows])
    assert [o.scanner for o in found] == [row["scanner"] for row in rows]
    assert all(np.isfinite([o.age_years, o.disease_duration_years, o.field_strength_t]).all() for o in found)


def test_images_lie_on_the_study_grid_with_lesions_bright_on_flair(simulated):
    grid = study_grid(8)
    for scan in bids.index(simulated, template.SPACE):
        t1w, flair, jacobian = (
            images.read(scan.derivatives[kind]) for kind in ("space_t1w", "space_flair", "space_jacobian")
        )
        brain, lesion = (
            images.read_labels(scan.derivatives[kind]).data > 0 for kind in ("space_brain_mask", "space_lesion_mask")
        )
        assert t1w.data.shape == grid.shape
        np.testing.assert_allclose(t1w.affine, grid.affine)
        assert (t1w.data[~brain] == 0).all() and (flair.data >= 0).all() and (jacobian.data > 0).all()
        assert (lesion <= brain).all()
        if lesion.sum() > 20:
            assert np.median(flair.data[lesion]) > 1.1 * np.median(flair.data[brain])


def test_the_truth_holds_both_loads_and_the_jacobian(simulated):
    truth = simulated / simulate.TRUTH
    rows = tables.read(layout.path(truth, "truth_table"))
    assert len(rows) == 6
    for row in rows:
        scan = ScanId(row["participant_id"], row["session_id"])
        volumes = tables.read_json(layout.path(simulated / simulate.SIMULATED, "measures", scan))["volumes_ml"]
        total = float(row["periventricular_ml"]) + float(row["other_ml"])
        assert volumes["lesions"] == pytest.approx(total, rel=1e-6)
        causes = images.read_labels(layout.path(truth, "causes", scan, space=template.SPACE)).data
        mask = images.read_labels(
            layout.path(simulated / simulate.SIMULATED, "lesion_mask", scan, space=template.SPACE)
        ).data
        np.testing.assert_array_equal(causes > 0, mask > 0)
        given = layout.path(simulated / simulate.SIMULATED, "jacobian", scan, space=template.SPACE)
        true = layout.path(truth, "true_jacobian", scan, space=template.SPACE)
        np.testing.assert_array_equal(images.read(given).data, images.read(true).data)
    answer = tables.read_json(layout.path(truth, "truth"))
    p = np.array([float(row["probability"]) for row in rows])
    assert answer["bayes_accuracy"] == pytest.approx(np.maximum(p, 1 - p).mean())
    assert 0.5 < answer["bayes_accuracy"] <= answer["bayes_auc"] <= 1


def test_native_volumes_are_a_head_s(simulated):
    for scan in bids.index(simulated, template.SPACE):
        ml = tables.read_json(scan.derivatives["measures"])["volumes_ml"]
        assert 1250 < ml["intracranial"] < 2200
        assert 0.7 < ml["white_matter"] / ml["grey_matter"] < 1.1
        assert 4 < ml["lateral_ventricles"] < 120
        assert 100 < ml["brainstem_cerebellum"] < 300
        assert ml["white_matter"] + ml["grey_matter"] < ml["intracranial"]


def test_a_second_run_makes_nothing_again(simulated, monkeypatch):
    for module, name in ((simulate_anatomies, "scan_anatomy"), (simulate_scans, "render")):
        monkeypatch.setattr(module, name, lambda *_: pytest.fail("a scan was made again"))
    before = files_below(simulated)
    simulate.run(simulated, FEW, seed=3)
    assert files_below(simulated) == before


def test_the_number_of_workers_changes_no_byte(simulated, tmp_path):
    simulate.run(tmp_path, FEW, seed=3, workers=2)
    assert files_below(tmp_path) == files_below(simulated)


def test_a_folder_with_other_patients_is_refused(tmp_path):
    (tmp_path / "sub-stranger").mkdir()
    with pytest.raises(InputError, match="folder-not-empty"):
        simulate.run(tmp_path, FEW)


def test_another_label_makes_other_images_of_the_same_anatomies(tmp_path, monkeypatch):
    simulate.run(tmp_path, FEW, seed=3)
    before = files_below(tmp_path)
    monkeypatch.setattr(simulate_anatomies, "scan_anatomy", lambda *_: pytest.fail("an anatomy was made again"))
    simulate.run(tmp_path, FEW.model_copy(update={"label": "paper", "label_draw": 1}), seed=3)
    after = files_below(tmp_path)
    assert before.keys() == after.keys()
    changed = {name for name in before if before[name] != after[name]}
    assert not any("/anatomies/" in name or "dseg" in name or "probseg" in name for name in changed)
    assert {name for name in before if "desc-preproc_T1w.nii" in name} <= changed
    assert tables.read_json(layout.path(tmp_path / simulate.TRUTH, "truth"))["label"] == "paper"


def test_every_label_gets_a_data_set_of_the_same_anatomies(tmp_path):
    settings = FEW.model_copy(update={"label": "all", "counterfactuals": 0, "n_repeated": 0})
    simulate.run(tmp_path, settings, seed=3)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["anatomies", *LABEL_MODELS])
    jacobians = set()
    for label in LABEL_MODELS:
        truth = tables.read_json(layout.path(tmp_path / label / simulate.TRUTH, "truth"))
        assert truth["label"] == label and truth["causes"] == LABEL_MODELS[label].weights
        scan = bids.index(tmp_path / label, template.SPACE)[0]
        jacobians.add(scan.derivatives["space_jacobian"].read_bytes())
    assert len(jacobians) == 1
    simulate.run(tmp_path, settings.model_copy(update={"label_draw": 1}), seed=3)
    assert (tmp_path / "paper_draw-1" / "participants.tsv").exists()


def test_the_truth_names_the_causes_that_drive_the_score_and_those_that_go_along(simulated):
    truth = tables.read_json(layout.path(simulated / simulate.TRUTH, "truth"))
    role = {target["cause"]: target["role"] for target in truth["targets"]}
    assert set(role) == set(CAUSES)
    assert {cause for cause, it in role.items() if it == "causal"} == {"periventricular_lesions", "other_lesions"}
    rows = tables.read(layout.path(simulated / simulate.TRUTH, "truth_table"))
    latent = [float(row["latent"]) for row in rows]
    for target in truth["targets"]:
        column = [float(row[f"cause_{target['cause']}"]) for row in rows]
        assert target["correlation_with_latent"] == pytest.approx(np.corrcoef(column, latent)[0, 1])
        if target["role"] != "causal":
            assert (abs(target["correlation_with_latent"]) >= 0.2) == (target["role"] == "associated")


def test_masks_of_the_causes_are_where_the_truth_says(simulated):
    truth, space = simulated / simulate.TRUTH, template.SPACE
    rows = tables.read(layout.path(truth, "truth_table"))
    # small lesions are no voxel of 8 mm: the scan with most of the rarer kind
    fewest = [min(float(row["periventricular_ml"]), float(row["other_ml"])) for row in rows]
    scan = bids.index(simulated, space)[int(np.argmax(fewest))].id
    shares = {kind: images.read(layout.path(truth, "tissue", scan, space=space, tissue=kind)).data for kind in TISSUES}
    brain = images.read_labels(layout.path(simulated / simulate.SIMULATED, "brain_mask", scan, space=space)).data > 0
    np.testing.assert_array_equal(sum(shares.values()) >= 0.5, brain)
    for target in tables.read_json(layout.path(truth, "truth"))["targets"]:
        mask = np.isin(images.read_labels(layout.path(truth, target["file"], scan, space=space)).data, target["labels"])
        tissue = "lesion" if "lesions" in target["cause"] else "CSF" if "ventricles" in target["cause"] else "GM"
        assert mask.any() and shares[tissue][mask].mean() > 1.2 * shares[tissue][brain].mean()


def test_counterfactual_scans_differ_from_the_scan_where_their_cause_is(simulated):
    truth, space = simulated / simulate.TRUTH, template.SPACE
    changes = tables.read_json(layout.path(truth, "truth"))["counterfactuals"]
    for scan in bids.index(simulated, space):
        for cause in changes:
            file = layout.path(truth, "counterfactual", scan.id, space=space, desc=f"changed_{cause}", suffix="FLAIR")
            assert file.exists() == (scan.id.participant == "sub-001")
            if file.exists() and cause != "lateral_ventricles":
                difference = images.read(file).data - images.read(scan.derivatives["space_flair"]).data
                assert np.abs(difference).max() > 0 and (difference == 0).mean() > 0.3
