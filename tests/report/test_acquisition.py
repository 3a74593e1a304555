"""Acquisition by scanner."""

import numpy as np

from relevox.report.acquisition import HEADER, acquisition_table


def image(n, scanner="Tim Trio", contrast="FLAIR", **other):
    row = {"participant_id": f"sub-{n}", "session_id": "n/a", "contrast": contrast, "manufacturer": "Siemens"}
    row |= {"scanner": scanner, "field_strength_t": 3.0, "repetition_time_ms": 9000.0, "echo_time_ms": 87.0}
    row |= {"inversion_time_ms": 2500.0, "flip_angle_deg": np.nan, "acquisition_type": "2D", "plane": "axial"}
    row |= {"voxel_fine_mm": 0.488, "voxel_middle_mm": 0.488, "voxel_thick_mm": 3.0}
    return row | other


def cells(table):
    return [dict(zip(HEADER, row, strict=True)) for row in table.rows]


def test_2d_and_3d_scans_of_a_scanner_are_told_apart_with_their_shares():
    volumes = {"acquisition_type": "3D", "repetition_time_ms": 2300.0, "plane": "n/a"}
    rows = cells(acquisition_table([image(0), image(1), image(2, **volumes)], 4))
    assert [(row["type"], row["TR (ms)"], row["scans (%)"].replace("\N{NO-BREAK SPACE}", " ")) for row in rows] == [
        ("2D", "9000", "2 (50 %)"),
        ("3D", "2300", "1 (25 %)"),
    ]
    assert rows[0]["voxel (mm)"] == "0.49 x 0.49 x 3" and rows[0]["slices"] == "axial"


def test_few_values_are_listed_and_many_are_a_range():
    few = cells(acquisition_table([image(n, echo_time_ms=87.0 + n % 2) for n in range(4)], 4))
    many = cells(acquisition_table([image(n, echo_time_ms=87.0 + n) for n in range(5)], 5))
    assert few[0]["TE (ms)"] == "87, 88"
    assert many[0]["TE (ms)"] == "87 to 91"


def test_noise_in_the_header_is_no_other_protocol():
    rows = cells(acquisition_table([image(0, voxel_fine_mm=0.4883), image(1, voxel_fine_mm=0.4881)], 2))
    assert len(rows) == 1 and rows[0]["voxel (mm)"] == "0.49 x 0.49 x 3"


def test_what_is_not_recorded_is_a_dash_and_t1w_comes_first():
    rows = cells(acquisition_table([image(0), image(0, contrast="T1w", manufacturer="n/a")], 1))
    assert [row["contrast"] for row in rows] == ["T1w", "FLAIR"]
    assert rows[0]["manufacturer"] == rows[0]["flip angle (\N{DEGREE SIGN})"] == "\N{EN DASH}"
    assert acquisition_table([], 3) is None
