"""simulate: a BIDS data set whose every file the other stages can use, the same whatever the workers."""

import numpy as np
import pytest

from relevox.config import PhantomSettings, Settings
from relevox.errors import InputError
from relevox.imaging.crop import study_grid
from relevox.records import ScanId
from relevox.stages import cohort, simulate, simulate_anatomies, simulate_scans
from relevox.store import bids, images, layout, tables, template

FEW = PhantomSettings(n_patients=5, n_repeated=1, voxel_size_mm=8, counterfactuals=1)


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
