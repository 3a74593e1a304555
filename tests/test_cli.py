"""The command line's own words; what the commands do is tested with the stages."""

from typer.testing import CliRunner

from relevox.cli import app
from relevox.stages import doctor


def test_ctrl_c_says_how_to_go_on(monkeypatch):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(doctor, "run", interrupted)
    ended = CliRunner().invoke(app, ["doctor"])
    assert ended.exit_code == 130
    assert "run the same command again" in ended.output
