import socket
import sys

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from relevox.engines import tensorboard
from relevox.errors import SettingsError


def test_tensorboard_reads_the_steps_of_all_files_as_one_run(tmp_path):
    for step, loss in enumerate([0.7, 0.5, 0.25], start=1):
        path = tensorboard.append(tmp_path / "fold-0", step, {"loss/training": loss, "rate": 1e-3})
        assert socket.gethostname() not in path.name
    run = EventAccumulator(str(tmp_path / "fold-0")).Reload()
    assert [(event.step, event.value) for event in run.Scalars("loss/training")] == [
        (1, pytest.approx(0.7)),
        (2, 0.5),
        (3, 0.25),
    ]
    assert set(run.Tags()["scalars"]) == {"loss/training", "rate"}


def test_without_it_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(SettingsError, match=r"extra-missing.*relevox\[tensorboard\]"):
        tensorboard.check_installed()
