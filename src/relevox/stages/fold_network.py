"""The network of one fold: resumed where it was interrupted, watched while it learns, written when it is done."""

from __future__ import annotations

import logging
import shutil
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from relevox import __version__
from relevox.config import Settings
from relevox.engines import tensorboard
from relevox.engines.progress import show_within
from relevox.errors import EngineError
from relevox.learning import training
from relevox.learning.checkpoint import Checkpoint, Epoch
from relevox.learning.fusion import covariate_values
from relevox.learning.group import ALONE, Group
from relevox.learning.network import ResNet3d
from relevox.records import Cohort, Fold
from relevox.store import checkpoints, layout, models, provenance, tables
from relevox.store.models import ModelCard

logger = logging.getLogger("relevox")

SILENCE_S = 60.0
"""A line is written within an epoch when none was for so long."""


def train_network(
    unit: provenance.Unit,
    settings: Settings,
    cohort: Cohort,
    fold: Fold,
    turns_behind: int = 0,
    group: Group = ALONE,
    events: bool = False,
    start: ResNet3d | None = None,
) -> list[Path]:
    """Train the network of a fold, and return its weights and card as they were written.

    Every epoch leaves a checkpoint and a row of ``history.tsv``. A checkpoint
    that was made from the same things is gone on with.

    Parameters
    ----------
    unit : Unit
        What the fold is made from.
    settings : Settings
        Of the study.
    cohort : Cohort
        In the order of the inputs.
    fold : Fold
        Who trains and who watches.
    turns_behind : int
        Folds that this worker trains afterwards, for the time left.
    group : Group
        Processes that train this fold together; the leading one writes.
    events : bool
        Write event files for TensorBoard, too.
    start : ResNet3d, optional
        A trained network to go on from; default: random weights.

    Raises
    ------
    EngineError
        When the training diverges; the checkpoint of the last good epoch stays.
    """
    study = unit.study
    inputs = np.load(layout.existing(study, "inputs"), mmap_mode="r")
    # hashed, so that fold 1 of seed 0 is not fold 0 of seed 1
    seed = int(np.random.SeedSequence([settings.seed, fold.index]).generate_state(1)[0])
    torch.manual_seed(seed)
    network = ModelCard.of(settings, fold.index, {}).build() if start is None else start
    covariates = None
    if settings.training.covariates:
        covariates = covariate_values(cohort.observations, settings.training.covariates)
        network.standardise_by(covariates[fold.train])

    device, precision = training.placement(network, inputs.shape, settings.training)
    made_from = {
        "version": __version__,
        "settings": dict(unit.settings),
        "inputs": dict(unit.inputs),
        "computed": [device.type, str(precision)],  # elsewhere it would go on, but not alike
    }
    resume, reason = checkpoints.load(study, fold.index, made_from)
    watcher = Watcher(study, fold.index, settings.training.max_epochs, turns_behind, group.leads, events)
    watcher.begin(resume, reason)

    def keep(checkpoint: Checkpoint) -> None:
        if group.leads:
            checkpoints.save(study, fold.index, checkpoint, made_from)

    try:
        trained = training.train(
            network,
            inputs,
            cohort.labels,
            fold.train,
            fold.validation,
            settings.training,
            seed,
            covariates,
            on_epoch=watcher.epoch,
            on_batch=watcher.batch,
            on_checkpoint=keep,
            resume=resume,
            group=group,
        )
    except EngineError as error:
        raise _diverged(study, fold.index, error) from None
    if not group.leads:
        return []
    summary = _summary(settings, cohort, fold, trained, seed)
    write_history(study, fold.index, trained.history)
    return models.save(study, ModelCard.of(settings, fold.index, summary), trained.network)


def write_history(study: Path, fold: int, history: tuple[Epoch, ...] | list[Epoch]) -> Path:
    """Write ``history.tsv``, one row an epoch."""
    return tables.write(layout.path(study, "history", fold=fold), [asdict(epoch) for epoch in history])


class Watcher:
    """Tells a person how far the training of a fold has come.

    Parameters
    ----------
    study : Path
        Where the history is written.
    fold : int
        Which one.
    max_epochs : int
        At most.
    turns_behind : int
        Folds that wait for this one.
    speaks : bool
        Whether this process writes anything.
    events : bool
        Whether it writes event files for TensorBoard.
    """

    def __init__(
        self, study: Path, fold: int, max_epochs: int, turns_behind: int, speaks: bool, events: bool = False
    ) -> None:
        self.study, self.fold, self.max_epochs = study, fold, max_epochs
        self.turns_behind, self.speaks, self.events = turns_behind, speaks, events
        self.history: list[Epoch] = []
        self.spoken = self.started = time.monotonic()

    def begin(self, resume: Checkpoint | None, reason: str) -> None:
        """Say what is gone on with, or why not."""
        if resume is not None:
            self.history = [Epoch(**row) for row in resume.values["history"]]
            self._say("goes on after epoch %d of %d", len(self.history), self.max_epochs)
        elif reason:
            self._say("starts over: there is a checkpoint, but %s", reason)
        if resume is None and self.speaks:
            shutil.rmtree(layout.path(self.study, "tensorboard", fold=self.fold), ignore_errors=True)

    def batch(self, epoch: int, n: int, n_batches: int) -> None:
        """Show where in a long epoch the training is."""
        now = time.monotonic()
        if n == 1:
            self.started = now
        if not self.speaks:
            return
        if not show_within(f"epoch {epoch}", n, n_batches) and now - self.spoken > SILENCE_S:
            left = (now - self.started) / max(1, n - 1) * (n_batches - n)
            self._say("epoch %d/%d, batch %d/%d, %s left in it", epoch, self.max_epochs, n, n_batches, duration(left))

    def epoch(self, row: Epoch) -> None:
        """Write a line, and the history so far."""
        self.history.append(row)
        if not self.speaks:
            return
        write_history(self.study, self.fold, self.history)
        if self.events:
            tensorboard.append(
                layout.path(self.study, "tensorboard", fold=self.fold),
                row.epoch,
                {
                    "loss/training": row.train_loss,
                    "loss/validation": row.validation_loss,
                    "balanced accuracy/validation": row.validation_balanced_accuracy,
                    "learning rate": row.learning_rate,
                    "seconds": row.seconds,
                },
            )
        whole = np.mean([past.seconds for past in self.history]) * self.max_epochs
        self._say(
            "epoch %*d/%d  loss %.3f  validation: loss %.3f, balanced accuracy %.3f  rate %.1e  %.1f s  "
            "left at most: %s, run %s",
            len(str(self.max_epochs)),
            row.epoch,
            self.max_epochs,
            row.train_loss,
            row.validation_loss,
            row.validation_balanced_accuracy,
            row.learning_rate,
            row.seconds,
            duration(row.seconds_left),
            duration(row.seconds_left + self.turns_behind * whole),
        )

    def _say(self, text: str, *values: object) -> None:
        if self.speaks:
            logger.info("train: fold-%d " + text, self.fold, *values)
            self.spoken = time.monotonic()


def duration(seconds: float) -> str:
    """Write a duration as a person says it.

    Examples
    --------
    >>> duration(42), duration(250), duration(12_345), duration(400_000)
    ('42 s', '4 min', '3 h 26 min', '4 d 15 h')
    """
    if seconds < 99:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def _summary(settings: Settings, cohort: Cohort, fold: Fold, trained: training.Trained, seed: int) -> dict[str, object]:
    """Describe the training in numbers, for the model's card."""
    kept = trained.history[trained.epoch - 1]
    names = settings.training.covariates
    told = dict(zip(("mean", "sd"), (trained.network.mean, trained.network.sd), strict=True)) if names else {}
    return {
        "covariates": {name: {key: float(values[n]) for key, values in told.items()} for n, name in enumerate(names)},
        "settings": settings.training.model_dump(),
        "seed": seed,
        "n_train_scans": len(fold.train),
        "n_train_patients": len(np.unique(cohort.patients[fold.train])),
        "n_train_samples": trained.n_samples,
        "n_validation_scans": len(fold.validation),
        "class_weights": trained.class_weights,
        "epochs": len(trained.history),
        "epoch_kept": trained.epoch,
        "stopped": trained.stopped,
        "validation_loss": kept.validation_loss,
        "validation_balanced_accuracy": kept.validation_balanced_accuracy,
        "device": trained.device,
        "precision": trained.precision,
        "torch": torch.__version__,
    }


def _diverged(study: Path, fold: int, error: EngineError) -> EngineError:
    kept = layout.path(study, "checkpoint", fold=fold)
    state = f"; the last good epoch is kept in {kept.name}" if kept.exists() else ""
    return EngineError(
        f"{error.message} of fold {fold}{state}",
        code=error.code,
        file=kept.parent.relative_to(study),
        remedy=error.remedy,
    )
