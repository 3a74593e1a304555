"""How one network is trained (paper 2.3.2, SPEC 3): one loop, to be read from top to bottom."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from relevox.config import TrainingSettings
from relevox.errors import EngineError, SettingsError
from relevox.learning.augmentation import add_noise, mirror, training_samples
from relevox.learning.checkpoint import Checkpoint, Epoch, Progress, Sources, capture, restore
from relevox.learning.device import choose_device, choose_precision
from relevox.learning.group import ALONE, Group
from relevox.learning.inputs import bring, channels_last, load_batch
from relevox.learning.recipe import Schedule, class_weights, make_optimiser, shuffled_batches

LOOKS_AT_THE_LOSS_EVERY = 16
"""Batches; on a GPU every look waits for the device."""


@dataclass(frozen=True)
class Trained:
    """A trained network and how it came to be."""

    network: nn.Module
    """In evaluation mode, on the processor."""
    history: tuple[Epoch, ...]
    """One row an epoch."""
    epoch: int
    """The epoch whose weights were kept."""
    stopped: str
    """``all epochs`` or ``early stopping``."""
    n_samples: int
    """Training samples an epoch, mirrored scans included."""
    class_weights: tuple[float, float]
    """Of the loss."""
    device: str
    """``cpu`` or ``cuda``."""
    precision: str
    """Number format of the convolutions: ``float32`` or ``bfloat16``."""


def train(
    network: nn.Module,
    inputs: np.ndarray,
    labels: np.ndarray,
    train_rows: np.ndarray,
    validation_rows: np.ndarray,
    settings: TrainingSettings,
    seed: int = 0,
    covariates: np.ndarray | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
    on_batch: Callable[[int, int, int], None] | None = None,
    on_checkpoint: Callable[[Checkpoint], None] | None = None,
    resume: Checkpoint | None = None,
    group: Group = ALONE,
) -> Trained:
    """Train a network on some scans, watching others.

    1. Draw which training scans are also shown mirrored, and weigh the classes.
    2. Every epoch: show all samples in random order with fresh noise, then measure the validation loss.
    3. Stop early when that loss has not improved for a while; keep the best or the last weights.
    4. If asked, measure the BatchNorm statistics again over the training scans.

    Parameters
    ----------
    network : Module
        ``(b, c, x, y, z)`` to logits ``(b, 2)``; it is trained in place.
    inputs : array-like, (n, c, x, y, z)
        Scans with background 0. A memory-mapped array is read batch by batch.
    labels : ndarray, (n,)
        0 or 1.
    train_rows, validation_rows : ndarray
        Rows of ``inputs``.
    settings : TrainingSettings
        Optimiser, schedule, augmentation, stopping, precision, device.
    seed : int
        Of the mirrors, the order and the noise (not of the network's first weights).
    covariates : ndarray, (n, k), optional
        Raw values, NaN where unknown: the network's second argument.
    on_epoch : callable, optional
        Called with each row of the history as it is made.
    on_batch : callable, optional
        Called with epoch, number of the batch and number of batches, after each batch.
    on_checkpoint : callable, optional
        Called after each epoch with all that is needed to go on from there.
    resume : Checkpoint, optional
        Of a training with the same arguments: its epochs are not computed again,
        and on a processor the result is the same bit for bit.
    group : Group, optional
        The processes that train together; ``batch_size`` counts the scans of all.

    Raises
    ------
    EngineError
        When the loss is not a finite number any more; no checkpoint is made of that epoch.
    SettingsError
        For a device that does not exist here, or more processes than scans in a batch.
    """
    device, precision = placement(network, inputs.shape, settings)
    sources = Sources(np.random.default_rng(seed), torch.Generator(device).manual_seed(seed))
    labels = np.asarray(labels, dtype=np.int64)
    covariates = None if covariates is None else torch.from_numpy(np.asarray(covariates, np.float32)).to(device)

    samples = training_samples(labels, train_rows, sources.numpy, settings.mirror_positives, settings.mirror_negatives)
    weights = class_weights(labels[samples.rows], settings.class_weights)
    weight = torch.tensor(weights, dtype=torch.float32, device=device)
    targets = torch.from_numpy(labels).to(device)
    n_batches = _count_batches(len(samples), settings.batch_size, group)
    inputs = bring(inputs, np.concatenate([train_rows, validation_rows]), device)

    network.to(device, memory_format=torch.channels_last_3d)
    model = group.parallel(network)
    optimiser = make_optimiser(network, settings)
    schedule = Schedule(optimiser, settings, n_batches)
    progress = Progress() if resume is None else restore(resume, network, optimiser, schedule, sources)

    while progress.epoch < settings.max_epochs and not progress.waited(settings.early_stopping_patience):
        started, number = time.perf_counter(), progress.epoch + 1
        model.train()
        total_loss = torch.zeros((), device=device)
        for n, batch in enumerate(shuffled_batches(samples, n_batches, sources.numpy), start=1):
            mine = group.share(len(batch))
            rows, mirrored = batch.rows[mine], torch.from_numpy(batch.mirrored[mine]).to(device)
            x = mirror(load_batch(inputs, rows, device), mirrored)
            if settings.noise_sigma > 0:
                noise = torch.randn((len(batch), *x.shape[1:]), generator=sources.noise, device=device)
                x = add_noise(x, noise[mine[0] : mine[-1] + 1], settings.noise_sigma)
            with _autocast(device, precision):
                logits = model(channels_last(x), *_extra(covariates, rows))
            # the mean over the batch of all processes: each adds its part, and DDP divides by their number
            summed = functional.cross_entropy(logits.float(), targets[rows], weight=weight, reduction="sum")
            loss = summed / weight[targets[batch.rows]].sum()
            optimiser.zero_grad()
            (loss * group.size).backward()
            optimiser.step()
            schedule.after_batch()
            total_loss = total_loss + summed.detach()
            if n % LOOKS_AT_THE_LOSS_EVERY == 0:
                _check_finite(number, "training", float(total_loss))
            if on_batch is not None:
                on_batch(number, n, n_batches)

        train_loss = float(group.total(total_loss) / weight[targets[samples.rows]].sum())
        _check_finite(number, "training", train_loss)
        validation_loss, balanced_accuracy = validate(
            network, inputs, labels, validation_rows, weight, settings.batch_size, precision, covariates, group
        )
        _check_finite(number, "validation", validation_loss)
        seconds = time.perf_counter() - started
        row = Epoch(
            epoch=number,
            train_loss=train_loss,
            validation_loss=validation_loss,
            validation_balanced_accuracy=balanced_accuracy,
            learning_rate=optimiser.param_groups[0]["lr"],
            seconds=seconds,
            seconds_left=seconds * (settings.max_epochs - number),
        )
        progress.history.append(row)
        schedule.after_epoch(validation_loss)
        if validation_loss < progress.best_loss:
            progress.best_loss, progress.best_epoch = validation_loss, number
            if settings.restore_best:
                progress.best_state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        if on_checkpoint is not None:
            on_checkpoint(capture(network, optimiser, schedule, sources, progress))
        if on_epoch is not None:
            on_epoch(row)

    kept = progress.epoch
    if settings.restore_best:
        network.load_state_dict(progress.best_state)
        kept = progress.best_epoch
    if settings.reestimate_batch_norm:
        reestimate_batch_norm(network, inputs, train_rows, settings.batch_size, precision, covariates)
    return Trained(
        network=network.to("cpu").eval(),
        history=tuple(progress.history),
        epoch=kept,
        stopped="early stopping" if progress.waited(settings.early_stopping_patience) else "all epochs",
        n_samples=len(samples),
        class_weights=weights,
        device=device.type,
        precision=str(precision).removeprefix("torch."),
    )


def placement(
    network: nn.Module, inputs_shape: tuple[int, ...], settings: TrainingSettings
) -> tuple[torch.device, torch.dtype]:
    """Return where a training is computed, and in which precision.

    Raises
    ------
    SettingsError
        For a device that does not exist here, or a precision that would be wrong there.
    """
    device = choose_device(settings.device)
    n_pools = sum(isinstance(module, nn.MaxPool3d) for module in network.modules())
    first_edges = [inputs_shape[2] // 2**n for n in range(n_pools)]  # of the grid that each block sees
    return device, choose_precision(settings.precision, device, first_edges)


@torch.no_grad()
def validate(
    network: nn.Module,
    inputs: np.ndarray,
    labels: np.ndarray,
    rows: np.ndarray,
    weight: torch.Tensor,
    batch_size: int,
    precision: torch.dtype = torch.float32,
    covariates: torch.Tensor | None = None,
    group: Group = ALONE,
) -> tuple[float, float]:
    """Measure weighted cross-entropy and balanced accuracy in evaluation mode.

    Parameters
    ----------
    network : Module
        On the device of ``weight``; it is left in evaluation mode.
    inputs : array-like, (n, c, x, y, z)
        Scans.
    labels : ndarray, (n,) int
        Their classes.
    rows : ndarray, (v,)
        Which scans.
    weight : Tensor, (2,)
        Class weights.
    batch_size : int
        Scans computed at once.
    precision : torch.dtype
        float32 or bfloat16.
    covariates : Tensor, (n, k), optional
        The network's second argument.
    group : Group, optional
        Processes that share the scans among them; all get the same answer.

    Returns
    -------
    loss, balanced_accuracy : float
        The latter is NaN when a class is missing.
    """
    network.eval()
    device, rows = weight.device, np.asarray(rows)
    mine = group.share(len(rows))
    answer = torch.zeros((len(rows), 2), device=device)
    for part in np.array_split(mine, max(1, math.ceil(len(mine) / batch_size))):
        if len(part) == 0:
            continue
        x = load_batch(inputs, rows[part], device)
        with _autocast(device, precision):
            logits = network(channels_last(x), *_extra(covariates, rows[part]))
        answer[part] = logits.float()
    answer = group.total(answer)
    target = torch.from_numpy(labels[rows]).to(device)
    loss = functional.cross_entropy(answer, target, weight=weight)
    right = (answer.argmax(dim=1) == target).float()
    recalls = [float(right[target == label].mean()) if (target == label).any() else math.nan for label in (0, 1)]
    return float(loss), sum(recalls) / 2


@torch.no_grad()
def reestimate_batch_norm(
    network: nn.Module,
    inputs: np.ndarray,
    rows: np.ndarray,
    batch_size: int,
    precision: torch.dtype = torch.float32,
    covariates: torch.Tensor | None = None,
) -> None:
    """Measure the running statistics of every BatchNorm again, as plain means over the training scans.

    The moving averages of training lag behind weights that still change; after
    an annealed schedule they do not, and this changes little.
    """
    layers = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # torch then takes the plain mean over batches
    device = next(network.parameters()).device
    network.train()
    for part in np.array_split(np.asarray(rows), math.ceil(len(rows) / batch_size)):
        x = load_batch(inputs, part, device)
        with _autocast(device, precision):
            network(channels_last(x), *_extra(covariates, part))
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    network.eval()


def _autocast(device: torch.device, precision: torch.dtype) -> torch.autocast:
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == torch.bfloat16)


def _extra(covariates: torch.Tensor | None, rows: np.ndarray) -> tuple[torch.Tensor, ...]:
    """Arguments of the network beside the scans."""
    return () if covariates is None else (covariates[rows],)


def _count_batches(n_samples: int, batch_size: int, group: Group) -> int:
    if group.size > min(batch_size, n_samples):
        raise SettingsError(
            f"{group.size} processes cannot share batches of {batch_size} scans",
            code="processes-too-many",
            row="training.batch_size",
            remedy="use fewer processes or larger batches",
        )
    # no batch may have fewer scans than there are processes
    return min(math.ceil(n_samples / batch_size), n_samples // group.size)


def _check_finite(epoch: int, which: str, loss: float) -> None:
    if not math.isfinite(loss):
        raise EngineError(
            f"expected a finite loss, but got {loss} ({which}) in epoch {epoch}",
            code="loss-not-finite",
            remedy="lower training.learning_rate, or set training.precision to float32",
        )
