import dataclasses
import json
import os

import pytest

from relevox.errors import StudyError
from relevox.store import layout, provenance


@pytest.fixture
def unit(tmp_path):
    return provenance.Unit(tmp_path, "explain", "sub-01", settings={"steps": (1, 2)}, inputs={"model": "abc"})


@pytest.fixture
def output(tmp_path):
    path = tmp_path / "map.nii.gz"
    path.write_bytes(b"relevance")
    return path


def test_what_has_no_record_does_not_count(unit, output):
    assert not unit.is_current()
    unit.record([output])
    assert unit.is_current()


@pytest.mark.parametrize("change", [{"settings": {"steps": (1, 3)}}, {"inputs": {"model": "abd"}}, {"name": "sub-02"}])
def test_other_settings_or_inputs_make_it_stale(unit, output, change):
    unit.record([output])
    assert not dataclasses.replace(unit, **change).is_current()


def test_a_lost_or_shortened_output_makes_it_stale(unit, output):
    unit.record([output])
    output.write_bytes(b"relev")
    assert not unit.is_current()
    output.unlink()
    assert not unit.is_current()


def test_a_half_written_record_does_not_count(unit, output):
    unit.record([output])
    unit.path.write_text(unit.path.read_text()[:20])
    assert not unit.is_current()


def test_the_digest_follows_the_content_of_the_outputs(tmp_path, unit, output):
    assert provenance.digest(tmp_path, "explain", "sub-01") == ""
    unit.record([output])
    first = provenance.digest(tmp_path, "explain", "sub-01")
    output.write_bytes(b"Relevance")
    unit.record([output])
    assert first and provenance.digest(tmp_path, "explain", "sub-01") != first


def test_two_runs_never_work_on_one_study(tmp_path):
    with (
        provenance.lock(tmp_path),
        pytest.raises(StudyError, match="another run"),
        provenance.lock(tmp_path),
    ):
        pass
    with provenance.lock(tmp_path):
        pass
    assert not layout.path(tmp_path, "lock").exists()


def test_the_lock_of_a_dead_run_is_taken_over(tmp_path):
    with provenance.lock(tmp_path):
        owner = json.loads(layout.path(tmp_path, "lock").read_text())
    process = os.fork()
    if process == 0:
        os._exit(0)
    os.waitpid(process, 0)
    layout.path(tmp_path, "lock").write_text(json.dumps(owner | {"pid": process}))
    with provenance.lock(tmp_path):
        assert json.loads(layout.path(tmp_path, "lock").read_text())["pid"] == os.getpid()


def test_a_log_is_part_of_its_unit_but_not_of_the_digest(tmp_path):
    result, log = tmp_path / "weights", tmp_path / "history"
    result.write_text("1")
    digests = []
    for seconds in ("8.0", "9.5"):
        log.write_text(seconds)
        unit = provenance.Unit(tmp_path, "train", "fold-0")
        unit.record([result], logs=[log])
        assert unit.is_current()
        digests.append(provenance.digest(tmp_path, "train", "fold-0"))
    assert digests[0] == digests[1] != ""
    log.unlink()
    assert not unit.is_current()
