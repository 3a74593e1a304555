"""What is typed for a benchmark."""

import pytest
from typer.testing import CliRunner

from relevox.cli import app
from relevox.errors import SettingsError, StudyError


@pytest.mark.parametrize("typed", [["OUT"], ["BIDS", "OUT", "--plant", "blob"]])
def test_simulated_patients_need_two_folders_and_a_planted_signal_one(typed, tmp_path):
    folders = [str(tmp_path / word) if word.isupper() else word for word in typed]
    result = CliRunner().invoke(app, ["benchmark", *folders])
    assert isinstance(result.exception, SettingsError)
    assert result.exception.code == "benchmark-folders"
    assert not any(tmp_path.iterdir())


def test_a_signal_is_planted_in_studies_only(tmp_path):
    result = CliRunner().invoke(app, ["benchmark", str(tmp_path / "none"), "--plant", "blob"])
    assert isinstance(result.exception, StudyError)
    assert not any(tmp_path.iterdir())
