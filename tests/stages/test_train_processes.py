"""Folds by torchrun, and by the workers of a cluster, as a user starts them."""

import os
import subprocess
import sys

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from relevox import config
from relevox.engines.cluster import cluster
from relevox.stages import train
from relevox.store import layout, tables


def history_of(study, fold=0):
    rows = tables.read(layout.path(study, "history", fold=fold))
    return np.array([[float(row["train_loss"]), float(row["validation_loss"])] for row in rows])


def test_two_processes_under_torchrun_train_what_one_trains(tiny_study, made_trained_study, tiny_settings):
    layout.path(tiny_study, "settings").write_text(config.to_toml(tiny_settings))
    command = [sys.executable, "-m", "relevox", "train", str(tiny_study), "--processes", "2"]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    for fold in range(3):
        # the last BatchNorm sees one voxel a scan here, and rounding grows (up to 1.1e-4 was seen)
        np.testing.assert_allclose(history_of(tiny_study, fold), history_of(made_trained_study, fold), rtol=1e-3)
        assert layout.path(tiny_study, "model", fold=fold).exists()
    assert not any(layout.find(tiny_study, "checkpoint"))
    assert done.stderr.count("fold-0 epoch 1/2") == 1  # one process speaks


def test_a_clusters_workers_train_the_same_weights(tiny_study, made_trained_study, tiny_settings):
    with cluster("local", 2), pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "threads_each", lambda workers: 1)
        train.run(tiny_study, tiny_settings, workers=2)
    for fold in range(3):
        ours, theirs = (
            tables.read_json(layout.path(study, "model", fold=fold))["sha256"]
            for study in (tiny_study, made_trained_study)
        )
        assert ours == theirs


def test_every_epoch_of_every_fold_is_in_tensorboard_when_it_is_asked_for(tiny_study, tiny_settings):
    train.run(tiny_study, tiny_settings, events=True)
    for fold in range(3):
        run = EventAccumulator(str(layout.path(tiny_study, "tensorboard", fold=fold))).Reload()
        events = run.Scalars("loss/validation")
        assert [event.step for event in events] == [1, 2]
        np.testing.assert_allclose([event.value for event in events], history_of(tiny_study, fold)[:, 1], rtol=1e-6)
