"""simulate_native: raw images where the index finds them, and a truth where it does not."""

import nibabel as nib
import numpy as np
import pytest

from relevox.config import PhantomSettings
from relevox.imaging import crop
from relevox.phantom.cohort import draw_patients
from relevox.phantom.native_head import MARGIN_MM, NativePair, NativeTruth
from relevox.records import Volume
from relevox.stages import simulate_native
from relevox.store import bids, images, layout, tables, template

AFFINE = np.array([[0, 0, 1.0, -20], [-1, 0.1, 0, 30], [0.1, 1, 0, -10], [0, 0, 0, 1]])
WARP = np.zeros((3, *crop.CROP_SHAPE), np.float32)
TRUE = NativeTruth(
    np.eye(4),
    np.diag([1.0, 1, 1, 1]),
    *[Volume(np.ones((4, 5, 6), bool), AFFINE) for _ in range(3)],
    {"grey_matter": 800.0},
)
PAIR = NativePair(*[Volume(np.arange(120, dtype=np.int16).reshape(4, 5, 6), AFFINE) for _ in range(2)], True, TRUE)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """One native scan on a Tim Trio; the painting itself is tested beside it."""
    root = tmp_path_factory.mktemp("bids")
    planned = draw_patients(PhantomSettings(n_patients=2, n_repeated=0), 1)[0]
    planned = planned.__class__(**{**vars(planned), "scanner": 4})

    class Patient:
        class anatomy:
            displacement = WARP

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simulate_native, "prepared", lambda _: None)
        patch.setattr(simulate_native, "surroundings", lambda: None)
        patch.setattr(simulate_native, "make_patient", lambda *_: Patient)
        patch.setattr(simulate_native, "native_pair", lambda *_: PAIR)
        paths = simulate_native.write_native(root, planned, 1)
    return root, planned, paths


def test_everything_that_was_written_is_reported(written):
    root, _, paths = written
    assert sorted(paths) == sorted(path for path in root.rglob("*") if path.is_file())


def test_the_index_finds_the_raw_pair_and_nothing_of_the_truth(written):
    root, planned, _ = written
    (scan,) = bids.index(root, template.SPACE)
    assert scan.id == planned.id
    assert scan.t1w == layout.path(root, "raw_t1w", planned.id) and scan.flair is not None
    assert scan.derivatives == {}


def test_headers_say_the_same_twice_and_voxels_are_whole_numbers(written):
    root, planned, _ = written
    image = nib.load(layout.path(root, "raw_flair", planned.id))
    np.testing.assert_allclose(image.get_qform(), image.get_sform(), atol=1e-4)
    np.testing.assert_allclose(image.affine, AFFINE, atol=1e-4)
    assert min(int(image.header["qform_code"]), int(image.header["sform_code"])) > 0
    assert image.get_data_dtype() == np.int16


def test_sidecars_hold_the_protocol_of_table_1(written):
    root, planned, _ = written
    t1w, flair = (
        tables.read_json(layout.path(root, f"raw_{kind}", planned.id).with_suffix("").with_suffix(".json"))
        for kind in ("t1w", "flair")
    )
    assert (t1w["RepetitionTime"], t1w["EchoTime"], t1w["InversionTime"]) == (2.3, 0.00298, 0.9)
    assert (flair["RepetitionTime"], flair["EchoTime"], flair["InversionTime"]) == (9.0, 0.087, 2.5)
    assert (t1w["MRAcquisitionType"], flair["MRAcquisitionType"]) == ("3D", "2D")
    assert t1w["SliceThickness"] == 1.0 and flair["SliceThickness"] == 3.0
    assert "ScanOptions" not in t1w and flair["ScanOptions"] == "FS"
    assert flair["MagneticFieldStrength"] == 3.0 and flair["ManufacturersModelName"] == "Tim Trio"


def test_the_truth_keeps_masks_warp_and_poses(written):
    root, planned, _ = written
    truth = root / simulate_native.TRUTH
    assert images.read(layout.path(truth, "native_lesions_flair", planned.id)).data.sum() == 120
    warp = nib.load(layout.path(truth, "native_warp", planned.id, space=template.SPACE))
    assert warp.shape == (72, 92, 76, 3)
    card = tables.read_json(layout.path(truth, "native_truth", planned.id))
    np.testing.assert_array_equal(card["aligned_to_t1w"], np.eye(4))
    assert card["volumes_ml"] == {"grey_matter": 800.0}


def test_the_surroundings_hold_the_study_box_in_their_middle():
    image = np.zeros(crop.TEMPLATE_SHAPE, np.float32)
    image[crop.CROP_START] = 1
    around = simulate_native._around_box(image)
    assert around.shape == tuple(n + 2 * MARGIN_MM for n in crop.CROP_SHAPE)
    assert np.argwhere(around).tolist() == [[MARGIN_MM] * 3]
