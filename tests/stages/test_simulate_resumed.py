"""simulate, stopped in the middle: raw heads that are there stay, what is missing is made, bytes are the same."""

import numpy as np
import pytest

from relevox.config import PhantomSettings
from relevox.phantom.native_head import NativePair, NativeTruth
from relevox.records import Volume
from relevox.stages import simulate, simulate_anatomies, simulate_native
from relevox.store import bids, layout, template

THREE = PhantomSettings(n_patients=3, n_repeated=0, voxel_size_mm=8, native_heads=2)


class Killed(BaseException):
    """Nobody catches it, as nobody catches a kill."""


@pytest.fixture(autouse=True)
def small_heads(monkeypatch):
    """Raw heads of some voxels in place of whole ones, and the anatomies of other patients at 4 mm."""

    def pair(_patient, _surroundings, planned, seed):
        rng = np.random.default_rng([seed, planned.index])
        volumes = [Volume(rng.integers(0, 99, (4, 5, 6)).astype(np.int16), np.eye(4)) for _ in range(2)]
        masks = [Volume(rng.random((4, 5, 6)) < 0.5, np.eye(4)) for _ in range(3)]
        return NativePair(*volumes, True, NativeTruth(np.eye(4), np.eye(4), *masks, {"grey_matter": 1.0}))

    class Patient:
        class anatomy:
            displacement = np.zeros((3, 8, 8, 8), np.float32)

    monkeypatch.setattr(simulate_anatomies, "_grid_mm", lambda scan, phantom: 4)
    monkeypatch.setattr(simulate_native, "prepared", lambda _: None)
    monkeypatch.setattr(simulate_native, "surroundings", lambda: None)
    monkeypatch.setattr(simulate_native, "make_patient", lambda *_: Patient)
    monkeypatch.setattr(simulate_native, "native_pair", pair)


def files_below(root):
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def killed_at(call):
    """Do as the function does until that call, which writes half of its files and never returns."""
    calls = []
    write = simulate_native.write_native

    def writing(root, planned, seed):
        calls.append(planned.id)
        written = write(root, planned, seed)
        if len(calls) == call:
            layout.path(root, "raw_flair", planned.id).write_bytes(b"half of a f")
            raise Killed
        return written

    return writing


def test_a_killed_simulation_makes_only_what_is_missing_and_ends_with_the_same_bytes(tmp_path, monkeypatch):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    simulate.run(whole, THREE, seed=1)
    made = simulate_native.write_native
    with monkeypatch.context() as patch:
        patch.setattr(simulate_native, "write_native", killed_at(2))
        with pytest.raises(Killed):
            simulate.run(stopped, THREE, seed=1)
    assert files_below(stopped).keys() < files_below(whole).keys()
    again = []
    monkeypatch.setattr(simulate_native, "write_native", lambda *job: again.append(job[1].index) or made(*job))
    monkeypatch.setattr(simulate_anatomies, "scan_anatomy", lambda *_: pytest.fail("an anatomy was made again"))
    simulate.run(stopped, THREE, seed=1)
    assert again == [2]
    assert files_below(stopped) == files_below(whole)


def test_raw_heads_are_those_of_the_last_patients(tmp_path):
    simulate.run(tmp_path, THREE, seed=1)
    scans = bids.index(tmp_path, template.SPACE)
    assert [scan.t1w is not None for scan in scans] == [False, True, True]
    assert ["space_t1w" in scan.derivatives for scan in scans] == [True, False, False]
