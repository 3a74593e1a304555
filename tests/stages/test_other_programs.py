"""Programs that the settings ask for, played by small scripts: what reaches the chain, and what is refused."""

import stat
import sys

import numpy as np
import pytest

from relevox.config import preset
from relevox.engines import fsl
from relevox.errors import EngineError
from relevox.records import Volume
from relevox.stages import other_programs

T1W = Volume(np.random.default_rng(0).random((8, 9, 10)).astype(np.float32), np.diag([1.0, 1.0, 1.2, 1.0]))
FLAIR = Volume(np.random.default_rng(1).random((7, 8, 6)).astype(np.float32), np.diag([1.0, 1.0, 3.0, 1.0]))

MASK = """
import sys
from pathlib import Path
import nibabel as nib, numpy as np
def made_from(source, target, value=1):
    image = nib.load(source)
    data = np.zeros(image.shape, dtype=np.uint8 if value < 256 else np.int16); data[2:5, 2:5, 2:5] = value
    kind = nib.MGHImage if str(target).endswith("mgz") else nib.Nifti1Image
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    nib.save(kind(data, image.affine), target)
given = dict(zip(sys.argv[1:], sys.argv[2:]))
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    other_programs._version.cache_clear()

    def put(name, body):
        script = tmp_path / name
        script.write_text(f"#!{sys.executable}\n{MASK}{body}")
        script.chmod(script.stat().st_mode | stat.S_IXUSR)

    yield put
    other_programs._version.cache_clear()


def settings(**changes):
    return preset("tiny").preprocessing.model_copy(update=changes)


def test_nothing_is_called_and_nothing_written_by_default(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert other_programs.masks(T1W, FLAIR, settings(), {}) == {"made_by": {}}
    assert other_programs.versions(settings(), {}) == {}


@pytest.mark.parametrize("name", ["hdbet", "synthstrip"])
def test_the_brain_comes_from_the_program_that_was_asked_for(name, install):
    command = {"hdbet": "hd-bet", "synthstrip": "mri_synthstrip"}[name]
    target = {"hdbet": 'given["-o"][:-7] + "_bet.nii.gz"', "synthstrip": 'given["-m"]'}[name]
    install(command, f'made_from(given["-i"], {target})')
    asked = settings(brain_extraction=name)
    found = other_programs.masks(T1W, FLAIR, asked, {})
    assert found["brain_mask"].data.sum() == 27 and np.allclose(found["brain_mask"].affine, T1W.affine)
    assert list(found["made_by"]) == ["brain_mask"]
    assert other_programs.versions(asked, {}) == {command: "unknown"}


def test_what_is_given_comes_first(install):
    """No program is installed: none may be called."""
    mask = Volume(np.ones(T1W.data.shape, dtype=np.int32), T1W.affine)
    given = dict.fromkeys(("brain_mask", "lesion_mask", "parcellation"), mask)
    asked = settings(brain_extraction="hdbet", lesions="lst_ai", parcellation="fastsurfer")
    assert other_programs.masks(T1W, FLAIR, asked, given) == given | {"made_by": {}}
    assert other_programs.versions(asked, given) == {}


def test_a_missing_program_is_said_before_any_scan_is_computed(install):
    with pytest.raises(EngineError) as missing:
        other_programs.versions(settings(registration="flirt"), {})
    assert missing.value.code == "program-missing"


def test_lesions_stay_on_the_flairs_grid_and_may_be_none(install):
    install("lst", 'made_from(given["--flair"], given["--output"] + "/space-flair_seg-lst.nii.gz", 0)')
    found = other_programs.masks(T1W, FLAIR, settings(lesions="lst_ai"), {})
    assert found["flair_lesion_mask"].data.shape == FLAIR.data.shape
    assert not found["flair_lesion_mask"].data.any()


def test_freesurfers_own_format_is_read_and_thick_slices_are_refused(install):
    install(
        "run_fastsurfer.sh",
        "made_from(given[\"--t1\"], f\"{given['--sd']}/{given['--sid']}/mri/aparc.DKTatlas+aseg.deep.mgz\", 1028)",
    )
    asked = settings(parcellation="fastsurfer")
    found = other_programs.masks(T1W, FLAIR, asked, {})
    assert set(np.unique(found["parcellation"].data)) == {0, 1028}
    with pytest.raises(EngineError) as thick:
        other_programs.masks(FLAIR, T1W, asked, {})
    assert thick.value.code == "slices-too-thick"


def test_a_mask_of_another_grid_and_an_empty_one_are_refused(install):
    asked = settings(brain_extraction="synthstrip")
    install("mri_synthstrip", 'made_from(given["-i"], given["-m"], 0)')
    with pytest.raises(EngineError, match="empty"):
        other_programs.masks(T1W, FLAIR, asked, {})
    install("mri_synthstrip", 'nib.save(nib.Nifti1Image(np.ones((3, 3, 3), np.uint8), np.eye(4)), given["-m"])')
    with pytest.raises(EngineError, match="grid"):
        other_programs.masks(T1W, FLAIR, asked, {})


def test_flirt_takes_the_place_of_ants(install):
    install("flirt", "")
    assert isinstance(other_programs.masks(T1W, FLAIR, settings(registration="flirt"), {})["linear"], fsl.Flirt)
