"""The command line's own words; what the commands do is tested with the stages."""

import os

import pytest
from typer.testing import CliRunner

from relevox.cli import app
from relevox.engines import workers
from relevox.stages import doctor, simulate


def test_ctrl_c_says_how_to_go_on(monkeypatch):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(doctor, "run", interrupted)
    ended = CliRunner().invoke(app, ["doctor"])
    assert ended.exit_code == 130
    assert "run the same command again" in ended.output


@pytest.mark.parametrize(
    ("options", "processes"),
    [
        (["--native-heads", "2"], 4),  # whole heads at 1 mm take 3 GB each
        (["--native-heads", "2", "--workers", "9"], 9),
        ([], 16),
    ],
)
def test_raw_heads_are_simulated_by_as_many_processes_as_memory_holds(monkeypatch, tmp_path, options, processes):
    asked = []
    monkeypatch.setattr(workers, "cores", lambda: 16)
    monkeypatch.setattr(os, "sysconf", lambda name: {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 12 * 2**18}[name])
    monkeypatch.setattr(simulate, "run", lambda *job: asked.append(job[-1]))
    assert CliRunner().invoke(app, ["simulate", str(tmp_path / "bids"), *options]).exit_code == 0
    assert asked == [processes]
