"""DICOM in, BIDS out, through the real dcm2niix."""

import os
import stat

import numpy as np
import pytest
from typer.testing import CliRunner

from relevox.cli import app
from relevox.engines import dcm2niix
from relevox.errors import EngineError, InputError, Problems, StudyError
from relevox.records import ScanId
from relevox.stages import import_dicom
from relevox.store import bids as bids_store
from relevox.store import images, tables

from .dicom_writer import write_series

pytestmark = pytest.mark.skipif(dcm2niix.PROGRAM.find() is None, reason="needs dcm2niix")

FLAIR = {"description": "t2_flair_tra", "echo_ms": 90, "repetition_ms": 9000, "inversion_ms": 2500}
CANARIES = ("DOE", "JOHN", "MRN12345", "19700101", "1970-01-01", "2019", "Elsewhere", "mprage", "1.2.3.1")


def examination(folder, **more):
    t1w = write_series(folder / "a", number=1, **more)
    write_series(folder / "deep" / "er" / "b", number=2, **(more | FLAIR))
    return t1w


@pytest.fixture
def dicom(tmp_path):
    return tmp_path / "dicom"


def run(tmp_path, dicom, **more):
    return import_dicom.run(dicom, tmp_path / "bids", tmp_path / "private" / "ids.tsv", **more)


def test_both_images_arrive_with_their_voxels_and_the_times_of_their_acquisition(tmp_path, dicom):
    voxels = examination(dicom)
    assert run(tmp_path, dicom) == [ScanId("sub-001", "ses-01")]
    scan = bids_store.index(tmp_path / "bids", "MNI152NLin2009aSym")[0]
    volume = images.read(scan.t1w)
    # rows of DICOM run to the patient's left and back: in RAS+ both axes turn round
    assert np.array_equal(volume.data, voxels[::-1, ::-1, :])
    assert np.allclose(volume.voxel_size_mm, (1.1, 1.2, 1.5))
    sidecar = tables.read_json(scan.flair.with_name("sub-001_ses-01_FLAIR.json"))
    assert (sidecar["InversionTime"], sidecar["EchoTime"], sidecar["MagneticFieldStrength"]) == (2.5, 0.09, 1.5)


def test_nothing_in_the_data_set_names_a_patient_a_date_or_a_place(tmp_path, dicom):
    import gzip

    examination(dicom)
    run(tmp_path, dicom)
    files = [path for path in (tmp_path / "bids").rglob("*") if path.is_file()]
    assert len(files) == 6
    for path in files:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        for canary in CANARIES:
            assert canary.encode() not in content + path.as_posix().removeprefix(tmp_path.as_posix()).encode(), canary


def test_the_table_of_pseudonyms_is_private_kept_and_extended(tmp_path, dicom):
    examination(dicom / "one")
    examination(dicom / "two", patient="MRN777", name="ROE", study="1.2.3.2")
    first = run(tmp_path, dicom)
    assert {scan.participant for scan in first} == {"sub-001", "sub-002"}
    ids = tmp_path / "private" / "ids.tsv"
    assert stat.S_IMODE(os.stat(ids).st_mode) == 0o600
    before = {row["patient_id"]: row["participant_id"] for row in tables.read(ids)}
    examination(dicom / "later", study="1.2.3.3", date="20210101")  # the first patient again
    assert run(tmp_path, dicom) == [ScanId(before["MRN12345"], "ses-02")]
    rows = tables.read(ids)
    assert len(rows) == 3
    assert {row["patient_id"]: row["participant_id"] for row in rows} == before
    assert {row["study_date"] for row in rows} == {"2019-03-07", "2021-01-01"}


def test_sessions_follow_the_dates(tmp_path, dicom):
    examination(dicom / "a", study="1.2.3.1", date="20200505")
    examination(dicom / "b", study="1.2.3.9", date="20180505")
    run(tmp_path, dicom)
    rows = {row["study_date"]: row["session_id"] for row in tables.read(tmp_path / "private" / "ids.tsv")}
    assert rows == {"2018-05-05": "ses-01", "2020-05-05": "ses-02"}


def test_a_session_that_is_there_is_never_touched(tmp_path, dicom):
    examination(dicom)
    run(tmp_path, dicom)
    mine = tmp_path / "bids" / "sub-001" / "ses-01" / "anat" / "sub-001_ses-01_T1w.json"
    mine.write_text("{}")
    assert run(tmp_path, dicom) == []
    assert mine.read_text() == "{}"


def test_examinations_that_are_not_clear_are_all_listed_and_nothing_is_written(tmp_path, dicom):
    examination(dicom / "one")
    write_series(dicom / "one" / "again", number=5, description="t1_mprage_repeat")
    write_series(dicom / "two", patient="MRN777", study="1.2.3.2", number=1)
    with pytest.raises(Problems) as unclear:
        run(tmp_path, dicom)
    text = str(unclear.value)
    assert "series 1 't1_mprage_sag'" in text and "series 5 't1_mprage_repeat'" in text
    assert "expected one FLAIR image, but none looks like it" in text
    assert not (tmp_path / "bids").exists()


def test_a_person_chooses_among_series(tmp_path, dicom):
    examination(dicom)
    voxels = write_series(dicom / "again", number=5, description="t1_mprage_repeat")
    row = {"participant_id": "sub-001", "session_id": "ses-01", "series": "5", "suffix": "T1w"}
    chosen = tables.write(tmp_path / "series.tsv", [row])
    run(tmp_path, dicom, chosen=chosen)
    found = images.read(tmp_path / "bids/sub-001/ses-01/anat/sub-001_ses-01_T1w.nii.gz")
    assert np.array_equal(found.data, voxels[::-1, ::-1, :])


def test_an_image_after_contrast_agent_is_not_taken_for_the_t1w(tmp_path, dicom):
    examination(dicom)
    write_series(dicom / "gd", number=7, description="t1_mprage_KM")
    run(tmp_path, dicom)
    only = tmp_path / "only"
    write_series(only, number=1, description="t1_mprage_KM", patient="MRN9", study="1.2.9")
    write_series(only, number=2, patient="MRN9", study="1.2.9", **FLAIR)
    with pytest.raises(InputError, match=r"none looks like it.*after contrast agent"):
        run(tmp_path, only)


def test_an_examination_of_something_else_is_passed_over(tmp_path, dicom):
    examination(dicom / "head")
    write_series(dicom / "spine", number=1, study="1.2.3.8", description="t2_tse_sag", echo_ms=100, inversion_ms=0)
    assert run(tmp_path, dicom) == [ScanId("sub-001", "ses-01")]


def test_a_write_that_breaks_off_leaves_no_session(tmp_path, dicom, monkeypatch):
    examination(dicom)
    write, calls = images.write, []

    def full(path, *args, **kwargs):
        calls.append(path)
        if len(calls) == 2:
            raise StudyError("could not be written: no space left", code="write-failed")
        return write(path, *args, **kwargs)

    monkeypatch.setattr(images, "write", full)
    with pytest.raises(StudyError):
        run(tmp_path, dicom)
    assert not list((tmp_path / "bids").glob("*sub-*"))
    assert not list((tmp_path / "bids").glob(".sub-*"))
    monkeypatch.setattr(images, "write", write)
    assert run(tmp_path, dicom) == [ScanId("sub-001", "ses-01")]


def test_pseudonyms_inside_the_data_set_a_missing_folder_and_a_missing_program_are_refused(
    tmp_path, dicom, monkeypatch
):
    with pytest.raises(InputError, match="none is there"):
        run(tmp_path, dicom)
    examination(dicom)
    with pytest.raises(InputError, match="must not lie inside"):
        import_dicom.run(dicom, tmp_path / "bids", tmp_path / "bids" / "ids.tsv")
    monkeypatch.setattr(type(dcm2niix.PROGRAM), "find", lambda self: None)
    with pytest.raises(EngineError, match="not installed"):
        run(tmp_path, dicom)


def test_the_command_says_how_many_sessions_and_where_the_names_are(tmp_path, dicom):
    examination(dicom)
    ids = tmp_path / "private" / "ids.tsv"
    done = CliRunner().invoke(app, ["import", str(dicom), str(tmp_path / "bids"), "--ids", str(ids)])
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("1 session was written") and str(ids) in done.stdout
