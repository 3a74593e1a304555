import io
import json
import stat

from rich.console import Console
from typer.testing import CliRunner

from relevox.cli import app
from relevox.report import diagnosis
from relevox.stages import doctor


def test_without_any_program_all_is_well_and_each_says_how_to_get_it(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    findings = doctor.run()
    assert not [f.name for f in findings if f.state == "broken"]
    programs = {f.name: f for f in findings if f.group == "program"}
    assert len(programs) == len(doctor.PROGRAMS)
    missing = [f for f in programs.values() if f.state == "missing"]
    assert {f.name for f in missing} >= {"HD-BET", "SynthStrip", "FSL FLIRT", "FastSurfer", "LST-AI"}
    assert all("PATH" in f.advice for f in missing)


def test_a_program_on_the_path_is_found_with_its_version_and_its_setting(tmp_path, monkeypatch):
    script = tmp_path / "flirt"
    script.write_text("#!/bin/sh\necho 'FLIRT version 6.0'\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    found = next(f for f in doctor.run() if f.name == "FSL FLIRT")
    assert (found.state, found.detail) == ("ok", "FLIRT version 6.0")
    assert "preprocessing.registration" in found.advice


def test_a_damaged_network_is_broken(monkeypatch):
    from relevox.errors import ModelError
    from relevox.imaging import brain_network

    def damaged():
        raise ModelError("weights changed", code="model-changed")

    monkeypatch.setattr(brain_network, "load", damaged)
    found = next(f for f in doctor.run() if f.name == "brain network")
    assert found.state == "broken" and "weights changed" in found.detail
    text = io.StringIO()
    diagnosis.show([found], Console(file=text, width=100))
    assert "relevox cannot work: brain network" in text.getvalue()


def test_the_command_prints_a_page_or_json():
    shown = CliRunner().invoke(app, ["doctor"])
    assert shown.exit_code == 0 and "Everything that relevox needs is there." in shown.output
    told = CliRunner().invoke(app, ["doctor", "--json"])
    assert {f["state"] for f in json.loads(told.stdout)["findings"]} <= {"ok", "missing", "broken"}
