"""Sidecars and headers of raw images."""

import math

import numpy as np
import pytest

from relevox.records import Scan, ScanId, Volume
from relevox.store import acquisition, images, tables
from relevox.store.clinical import Circumstances

SCAN = ScanId("sub-1", "ses-1")


@pytest.fixture
def scan(tmp_path):
    """A T1w of 1 mm and a FLAIR with thick axial slices."""
    folder = tmp_path / "sub-1" / "ses-1" / "anat"
    made = {}
    for suffix, voxel in (("T1w", (1, 1, 1)), ("FLAIR", (0.5, 0.5, 3))):
        path = folder / f"{SCAN.key}_{suffix}.nii.gz"
        made[suffix] = images.write(path, Volume(np.ones((3, 3, 3), np.float32), np.diag([*voxel, 1.0])))
    return Scan(SCAN, made["T1w"], made["FLAIR"])


def read(root, scan, **about):
    rows = acquisition.read(root, [scan], {SCAN: Circumstances(**about)})
    return {row["contrast"]: row for row in rows}


def test_times_are_milliseconds_and_the_nearest_sidecar_wins(tmp_path, scan):
    tables.write_json(tmp_path / "FLAIR.json", {"RepetitionTime": 8.5, "InversionTime": 2.44, "FlipAngle": 150})
    tables.write_json(acquisition.beside(scan.flair), {"RepetitionTime": 9, "Manufacturer": "Siemens"})
    flair = read(tmp_path, scan)["FLAIR"]
    assert (flair["repetition_time_ms"], flair["inversion_time_ms"], flair["flip_angle_deg"]) == (9000, 2440, 150)
    assert flair["manufacturer"] == "Siemens"
    assert math.isnan(flair["echo_time_ms"])


def test_voxels_are_sorted_and_thick_slices_have_a_plane(tmp_path, scan):
    rows = read(tmp_path, scan, scanner="Avanto", field_strength_t=1.5)
    edges = [rows["FLAIR"][f"voxel_{name}_mm"] for name in ("fine", "middle", "thick")]
    assert edges == [0.5, 0.5, 3.0]
    assert (rows["FLAIR"]["plane"], rows["T1w"]["plane"]) == ("axial", "")
    assert (rows["T1w"]["scanner"], rows["T1w"]["field_strength_t"]) == ("Avanto", 1.5)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("SIEMENS", "Siemens"),
        ("GE MEDICAL SYSTEMS", "GE"),
        ("Philips Healthcare", "Philips"),
        ("UIH", "United Imaging"),
        ("Dr Doe", ""),
    ],
)
def test_a_maker_has_one_spelling_and_unknown_text_is_not_passed_on(tmp_path, scan, text, name):
    tables.write_json(acquisition.beside(scan.t1w), {"Manufacturer": text, "MRAcquisitionType": "3d"})
    row = read(tmp_path, scan)["T1w"]
    assert (row["manufacturer"], row["acquisition_type"]) == (name, "3D")


def test_only_the_fields_of_the_table_are_taken(tmp_path, scan):
    tables.write_json(
        acquisition.beside(scan.t1w),
        {"PatientName": "DOE^JOHN", "EchoTime": "MRN12345", "RepetitionTime": [1, 2], "FlipAngle": True}
        | {"Manufacturer": "DOE^JOHN", "MRAcquisitionType": "MRN12345"},
    )
    row = read(tmp_path, scan)["T1w"]
    assert "DOE^JOHN" not in str(row) and "MRN12345" not in str(row)
    assert math.isnan(row["repetition_time_ms"]) and math.isnan(row["flip_angle_deg"])
    assert set(row) == {"participant_id", "session_id", *acquisition.COLUMNS}


def test_a_damaged_header_is_no_error_here(tmp_path, scan):
    scan.t1w.write_bytes(b"no image")
    assert math.isnan(read(tmp_path, scan)["T1w"]["voxel_thick_mm"])


def test_derivatives_may_have_a_sidecar_but_no_voxel_of_the_scanner(tmp_path, scan):
    derived = Scan(SCAN, derivatives={"space_t1w": scan.t1w})
    tables.write_json(acquisition.beside(scan.t1w), {"EchoTime": 0.003})
    rows = read(tmp_path, derived)
    assert set(rows) == {"T1w"}
    assert rows["T1w"]["echo_time_ms"] == pytest.approx(3)
    assert math.isnan(rows["T1w"]["voxel_fine_mm"])
