import logging
import shutil
import signal
import subprocess
import sys
import time

import pytest

from relevox import config
from relevox.errors import EngineError
from relevox.learning import training
from relevox.stages import fold_network, train
from relevox.statistics.folds import rounds
from relevox.store import checkpoints, layout, tables


def weights_of(study, n_folds=3):
    return [tables.read_json(layout.path(study, "model", fold=fold))["sha256"] for fold in range(n_folds)]


def with_training(settings, **changes):
    return settings.model_copy(update={"training": settings.training.model_copy(update=changes)})


@pytest.fixture
def stop_after(monkeypatch):
    """Interrupt the training of a fold when so many of its epochs are on disk."""

    def arrange(n_epochs):
        original, seen = checkpoints.save, []

        def save(*arguments):
            original(*arguments)
            seen.append(1)
            if len(seen) == n_epochs:
                raise KeyboardInterrupt

        monkeypatch.setattr(checkpoints, "save", save)

    yield arrange
    monkeypatch.undo()


@pytest.mark.parametrize("n_epochs", [1, 2])
def test_an_interrupted_fold_goes_on_and_ends_with_the_same_weights(
    tiny_study, made_trained_study, tiny_settings, stop_after, monkeypatch, caplog, n_epochs
):
    stop_after(n_epochs)
    with pytest.raises(KeyboardInterrupt):
        train.run(tiny_study, tiny_settings)
    monkeypatch.undo()
    assert layout.path(tiny_study, "checkpoint", fold=0).exists()
    with caplog.at_level(logging.INFO, logger="relevox"):
        train.run(tiny_study, tiny_settings)
    assert f"train: fold-0 goes on after epoch {n_epochs} of 2" in caplog.messages
    assert weights_of(tiny_study) == weights_of(made_trained_study)
    assert not any(layout.find(tiny_study, "checkpoint"))


def first_fold(study, settings):
    """Train fold 0 as the stage does."""
    cohort = tables.read_cohort(study)
    train.gather_inputs(study, settings, cohort)
    folds = rounds(train.deal_folds(study, settings, cohort), cohort.labels, cohort.patients)
    train.train_fold(study, settings, folds[0])
    return tables.read_json(layout.path(study, "model", fold=0))["sha256"]


TRAIN_IN_A_PROCESS = """
import logging, pathlib, sys
from relevox import config
from tests.stages.test_fold_network import first_fold

logging.basicConfig(level=logging.INFO)
study = pathlib.Path(sys.argv[1])
first_fold(study, config.from_toml((study / "study.toml").read_text()))
"""


def test_kill_9_in_the_middle_of_a_fold_changes_no_bit_of_the_weights(tiny_study, tiny_settings, tmp_path, caplog):
    settings = with_training(tiny_settings, max_epochs=8, batch_size=2)
    whole = first_fold(shutil.copytree(tiny_study, tmp_path / "undisturbed"), settings)
    layout.path(tiny_study, "settings").write_text(config.to_toml(settings))
    checkpoint = layout.path(tiny_study, "checkpoint", fold=0)
    command = [sys.executable, "-c", TRAIN_IN_A_PROCESS, str(tiny_study)]
    killed = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while not checkpoint.exists():
        assert killed.poll() is None, killed.stderr.read()
        time.sleep(0.002)
    time.sleep(0.02)  # somewhere within a later epoch
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    assert not layout.path(tiny_study, "model", fold=0).exists()

    with caplog.at_level(logging.INFO, logger="relevox"):
        again = first_fold(tiny_study, settings)
    assert any("fold-0 goes on after epoch" in message for message in caplog.messages)
    assert again == whole
    history = tables.read(layout.path(tiny_study, "history", fold=0))
    assert [row["epoch"] for row in history] == [str(n) for n in range(1, 9)]
    assert not checkpoint.exists()


@pytest.mark.parametrize("changes", [{"learning_rate": 5e-4}, {"noise_sigma": 0.1}])
def test_other_settings_start_over_and_say_so(tiny_study, tiny_settings, stop_after, monkeypatch, caplog, changes):
    stop_after(1)
    with pytest.raises(KeyboardInterrupt):
        train.run(tiny_study, with_training(tiny_settings, **changes))
    monkeypatch.undo()
    with caplog.at_level(logging.INFO, logger="relevox"):
        train.run(tiny_study, tiny_settings)
    assert f"train: fold-0 starts over: there is a checkpoint, but {checkpoints.OTHER}" in caplog.messages
    assert len(tables.read(layout.path(tiny_study, "history", fold=0))) == 2


def test_a_fold_that_diverges_keeps_its_last_good_epoch_and_the_others_go_on(
    tiny_study, tiny_settings, monkeypatch, caplog
):
    original = training.validate

    def validate(network, inputs, labels, rows, *arguments, **options):
        loss, accuracy = original(network, inputs, labels, rows, *arguments, **options)
        calls.append(1)
        return (float("nan") if len(calls) == 2 else loss), accuracy

    calls = []
    monkeypatch.setattr(training, "validate", validate)
    with pytest.raises(EngineError) as caught:
        train.run(tiny_study, tiny_settings)
    monkeypatch.undo()
    error = caught.value
    assert error.code == "loss-not-finite" and error.file == "models/fold-0"
    assert "epoch 2 of fold 0; the last good epoch is kept in checkpoint.safetensors" in error.message
    assert "learning_rate" in error.remedy
    assert not layout.path(tiny_study, "model", fold=0).exists()
    assert all(layout.path(tiny_study, "model", fold=fold).exists() for fold in (1, 2))
    with caplog.at_level(logging.INFO, logger="relevox"):
        train.run(tiny_study, tiny_settings)
    assert "train: fold-0 goes on after epoch 1 of 2" in caplog.messages


def test_a_line_is_written_in_a_long_epoch_and_after_each(tiny_study, tiny_settings, monkeypatch, caplog):
    monkeypatch.setattr(fold_network, "SILENCE_S", 0.0)
    with caplog.at_level(logging.INFO, logger="relevox"):
        train.run(tiny_study, tiny_settings)
    lines = [message for message in caplog.messages if "fold-0 epoch 1/2" in message]
    assert "batch 1/" in lines[0] and "left in it" in lines[0]
    after = lines[-1]
    for part in ("loss", "validation: loss", "balanced accuracy", "rate", " s ", "left at most:", "run"):
        assert part in after
