"""Each adapter calls a small script of the program's name, which checks its arguments as the real one would."""

import stat
import sys
import time

import numpy as np
import pytest

from relevox.engines import fastsurfer, fsl, hdbet, lst_ai, synthstrip
from relevox.engines.program import Program
from relevox.errors import EngineError
from relevox.records import Volume
from relevox.store import images

HEADER = """
import argparse, sys, shutil
from pathlib import Path
sys.stdout.write("speaks\\n")
p = argparse.ArgumentParser(allow_abbrev=False)
"""

FAKES = {
    "hd-bet": """
p.add_argument("-i"); p.add_argument("-o"); p.add_argument("-device", choices=["cpu", "cuda", "mps"])
p.add_argument("--disable_tta", action="store_true"); p.add_argument("--save_bet_mask", action="store_true")
a = p.parse_args()
assert a.save_bet_mask and a.o.endswith(".nii.gz")
shutil.copy(a.i, a.o); shutil.copy(a.i, a.o[:-7] + "_bet.nii.gz")
""",
    "mri_synthstrip": """
p.add_argument("-i"); p.add_argument("-o"); p.add_argument("-m"); p.add_argument("-b", type=float)
a = p.parse_args()
shutil.copy(a.i, a.o); shutil.copy(a.i, a.m)
""",
    "run_fastsurfer.sh": """
for flag in ("--seg_only", "--no_cereb", "--no_hypothal"): p.add_argument(flag, action="store_true")
for name in ("--t1", "--sid", "--sd", "--device"): p.add_argument(name, required=True)
p.add_argument("--threads", type=int)
a = p.parse_args()
assert a.seg_only
out = Path(a.sd) / a.sid / "mri" / "aparc.DKTatlas+aseg.deep.mgz"
out.parent.mkdir(parents=True); shutil.copy(a.t1, out)
""",
    "lst": """
for name in ("--t1", "--flair", "--output", "--temp", "--device"): p.add_argument(name, required=True)
p.add_argument("--threads", type=int); p.add_argument("--segment_only", action="store_true")
a = p.parse_args()
assert a.segment_only and not Path(a.output).is_file()
Path(a.output).mkdir(); shutil.copy(a.flair, Path(a.output) / "space-flair_seg-lst.nii.gz")
""",
}


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Put scripts on PATH, and nothing else but the system's own."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def put(name, body, header=HEADER):
        script = folder / name
        script.write_text(f"#!{sys.executable}\n{header}{body}")
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
        return script

    return put


@pytest.fixture
def image(tmp_path):
    data = np.zeros((6, 7, 8), dtype=bool)
    data[2:4, 2:5, 2:6] = True
    return images.write(tmp_path / "in" / "t1w.nii.gz", Volume(data, np.diag([1.0, 1.0, 2.0, 1.0])))


@pytest.fixture
def room(tmp_path):
    folder = tmp_path / "room with a space; and a semicolon"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("engine", [hdbet, synthstrip])
def test_brain_masks_come_from_the_real_programs_arguments(engine, install, image, room):
    install(engine.PROGRAM.command, FAKES[engine.PROGRAM.command])
    mask = engine.extract(image, room, timeout_s=20)
    assert np.array_equal(images.read_labels(mask).data, images.read_labels(image).data)


def test_lesions_lie_on_the_flair(install, image, room):
    install("lst", FAKES["lst"])
    found = lst_ai.segment(image.with_name("missing.nii.gz"), image, room, timeout_s=20, threads=2)
    assert images.read_labels(found).data.sum() == images.read_labels(image).data.sum()


def test_labels_come_where_fastsurfer_puts_them(install, image, room):
    install("run_fastsurfer.sh", FAKES["run_fastsurfer.sh"])
    assert fastsurfer.parcellate(image, room, timeout_s=20).read_bytes() == image.read_bytes()


def test_a_missing_program_says_how_to_get_it(install, image, room):
    for call in (hdbet.extract, synthstrip.extract, fastsurfer.parcellate):
        with pytest.raises(EngineError) as missing:
            call(image, room, timeout_s=5)
        assert missing.value.code == "program-missing"
        assert "install" in missing.value.remedy and "doctor" in missing.value.remedy


def test_a_program_that_fails_is_quoted_but_not_in_the_message(install, image, room):
    """Messages go into tables that travel; what a program says may hold paths."""
    install("hd-bet", 'sys.exit("no weights in /home/somebody")')
    with pytest.raises(EngineError) as failed:
        hdbet.extract(image, room, timeout_s=20)
    assert failed.value.code == "program-failed" and "exit code 1" in failed.value.message
    assert "no weights in" in failed.value.remedy and "somebody" not in failed.value.message


def test_a_program_that_leaves_nothing_or_an_empty_file_is_found_out(install, image, room):
    install("hd-bet", "")
    for _ in range(2):
        with pytest.raises(EngineError) as left:
            hdbet.extract(image, room, timeout_s=20)
        assert left.value.code == "program-output"
        (room / "brain_bet.nii.gz").touch()


def test_a_program_that_hangs_is_stopped_with_its_children(install, room):
    slow = Program("Slow", "slow", "", "", "")
    install(
        "slow",
        f"""
import subprocess, sys
subprocess.run([sys.executable, "-c", "import time; time.sleep(2); open({str(room / "late")!r}, 'w')"])
""",
        header="",
    )
    start = time.monotonic()
    with pytest.raises(EngineError) as stopped:
        slow.run([], timeout_s=0.5)
    assert stopped.value.code == "program-timeout"
    assert time.monotonic() - start < 1.9
    time.sleep(2)
    assert not (room / "late").exists()


def test_a_version_is_read_even_from_a_program_that_ends_badly(install):
    install("tells", 'print("Tells 2.0.1"); sys.exit(3)')
    assert Program("Tells", "tells", "", "", "", version_arguments=("--version",)).version() == "Tells 2.0.1"
    assert Program("Tells", "tells", "", "", "").version() == ""
    assert Program("Other", "is-not-there", "", "", "", version_arguments=("-v",)).version() == ""


def test_weights_are_looked_for_where_they_would_lie(tmp_path, monkeypatch):
    monkeypatch.setenv("WEIGHTS_HOME", str(tmp_path))
    program = Program("P", "p", "", "", "", weights=("$WEIGHTS_HOME/here",))
    assert program.has_weights() is False
    (tmp_path / "here").mkdir()
    assert program.has_weights() is False  # an empty folder holds none
    (tmp_path / "here" / "fold_0.pth").write_text("x")
    assert program.has_weights() is True
    assert Program("P", "p", "", "", "").has_weights() is None


def oblique(shape, size, degrees, shift):
    angle = np.deg2rad(degrees)
    affine = np.eye(4)
    affine[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    affine[:3, :3] = affine[:3, :3] @ np.diag(size)
    affine[:3, 3] = shift
    return Volume(np.zeros(shape, dtype=np.float32), affine)


FIXED = oblique((20, 24, 18), (1.0, 1.5, 2.0), 0, (-10, -20, 5))
MOVING = oblique((30, 16, 22), (0.8, 2.0, 1.0), 12, (3, 4, -8))


def test_an_identity_of_flirt_lays_corner_on_corner_with_the_first_axis_turned():
    """FLIRT counts from the corner where x is largest in a right-handed image: that corner is the origin."""
    found = fsl.from_flirt(np.eye(4), FIXED, MOVING)
    corner = FIXED.affine @ [19, 0, 0, 1]
    assert np.allclose(found @ corner, MOVING.affine @ [29, 0, 0, 1])
    # 3 mm along the fixed image's turned x are 3 mm along the moving image's turned x
    assert np.allclose(found @ (FIXED.affine @ [16, 0, 0, 1]), MOVING.affine @ [29 - 3 / 0.8, 0, 0, 1])


def test_a_map_goes_to_flirt_and_back():
    rng = np.random.default_rng(0)
    matrix = np.eye(4)
    matrix[:3] += rng.normal(0, 0.1, (3, 4))
    left_handed = Volume(FIXED.data, FIXED.affine @ np.diag([-1.0, 1, 1, 1]))
    for fixed, moving in ((FIXED, MOVING), (left_handed, MOVING), (MOVING, left_handed)):
        assert np.allclose(fsl.from_flirt(fsl.to_flirt(matrix, fixed, moving), fixed, moving), matrix)


FLIRT = """
for name in ("-in", "-ref", "-omat", "-init", "-cost"): p.add_argument(name, required=True)
p.add_argument("-dof", type=int, choices=(6, 12)); p.add_argument("-nosearch", action="store_true")
a = p.parse_args()
assert a.nosearch and Path(getattr(a, "in")).is_file() and Path(a.ref).is_file()
"""


def test_flirt_starts_where_it_is_told_and_its_answer_comes_back(install):
    install("flirt", FLIRT + "shutil.copy(a.init, a.omat)")
    start = np.eye(4)
    start[:3, 3] = (4, -2, 7)
    flirt = fsl.Flirt(images.write, timeout_s=20)
    assert np.allclose(flirt.rigid(FIXED, MOVING, start), start, atol=1e-6)
    assert np.allclose(flirt.affine(FIXED, MOVING), np.eye(4), atol=1e-6)


def test_a_matrix_that_cannot_be_used_is_refused(install):
    for matrix in ("nan 0 0 0\\n0 1 0 0\\n0 0 1 0\\n0 0 0 1", "1 0 0\\n0 1 0", "words"):
        install("flirt", FLIRT + f"Path(a.omat).write_text('{matrix}')")
        with pytest.raises(EngineError) as refused:
            fsl.Flirt(images.write, timeout_s=20).affine(FIXED, MOVING)
        assert refused.value.code == "program-output"
