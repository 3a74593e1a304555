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
from relevox.errors import EngineError
from relevox.learning.augmentation import Samples, add_noise, mirror, training_samples
from relevox.learning.device import choose_device, choose_precision
from relevox.learning.ensemble import channels_last, load_batch


@dataclass(frozen=True)
class Epoch:
    """One row of the history."""

    epoch: int
    """1-based number."""
    train_loss: float
    """Weighted cross-entropy over the samples as they were shown (with noise, in training mode)."""
    validation_loss: float
    """The same over the validation scans, in evaluation mode."""
    validation_balanced_accuracy: float
    """Mean of sensitivity and specificity on the validation scans."""
    learning_rate: float
    """At the end of the epoch."""
    seconds: float
    """Wall-clock time of the epoch."""


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
    on_epoch: Callable[[Epoch], None] | None = None,
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
    on_epoch : callable, optional
        Called with each row of the history as it is made.

    Raises
    ------
    EngineError
        When the loss is not a finite number any more.
    SettingsError
        For a device that does not exist here.
    """
    device = choose_device(settings.device)
    n_pools = sum(isinstance(module, nn.MaxPool3d) for module in network.modules())
    first_edges = [inputs.shape[2] // 2**n for n in range(n_pools)]  # of the grid that each block sees
    precision = choose_precision(settings.precision, device, first_edges)
    rng = np.random.default_rng(seed)
    noise_source = torch.Generator(device).manual_seed(seed)
    labels = np.asarray(labels, dtype=np.int64)

    samples = training_samples(labels, train_rows, rng, settings.mirror_positives, settings.mirror_negatives)
    weights = class_weights(labels[samples.rows], settings.class_weights)
    weight = torch.tensor(weights, dtype=torch.float32, device=device)
    targets = torch.from_numpy(labels).to(device)

    network.to(device, memory_format=torch.channels_last_3d)
    optimiser = make_optimiser(network, settings)
    n_batches = math.ceil(len(samples) / settings.batch_size)
    schedule = Schedule(optimiser, settings, n_batches)

    history: list[Epoch] = []
    best_loss, best_epoch, best_state, stopped = math.inf, 0, None, "all epochs"
    for number in range(1, settings.max_epochs + 1):
        started = time.perf_counter()
        network.train()
        total_loss = total_weight = torch.zeros((), device=device)
        for batch in shuffled_batches(samples, n_batches, rng):
            x = load_batch(inputs, batch.rows, device)
            x = mirror(x, torch.from_numpy(batch.mirrored).to(device))
            if settings.noise_sigma > 0:
                noise = torch.randn(x.shape, generator=noise_source, device=device)
                x = add_noise(x, noise, settings.noise_sigma)
            target = targets[torch.from_numpy(batch.rows).to(device)]
            with torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == torch.bfloat16):
                logits = network(channels_last(x))
            loss = functional.cross_entropy(logits.float(), target, weight=weight)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.after_batch()
            batch_weight = weight[target].sum()
            total_loss = total_loss + loss.detach() * batch_weight
            total_weight = total_weight + batch_weight

        validation_loss, balanced_accuracy = validate(
            network, inputs, labels, validation_rows, weight, settings.batch_size, precision
        )
        row = Epoch(
            epoch=number,
            train_loss=float(total_loss / total_weight),
            validation_loss=validation_loss,
            validation_balanced_accuracy=balanced_accuracy,
            learning_rate=optimiser.param_groups[0]["lr"],
            seconds=time.perf_counter() - started,
        )
        history.append(row)
        if on_epoch is not None:
            on_epoch(row)
        _check_finite(row)
        schedule.after_epoch(validation_loss)
        if validation_loss < best_loss:
            best_loss, best_epoch = validation_loss, number
            if settings.restore_best:
                best_state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        if 0 < settings.early_stopping_patience <= number - best_epoch:
            stopped = "early stopping"
            break

    kept = number
    if settings.restore_best:
        network.load_state_dict(best_state)
        kept = best_epoch
    if settings.reestimate_batch_norm:
        reestimate_batch_norm(network, inputs, train_rows, settings.batch_size, precision)
    return Trained(
        network=network.to("cpu").eval(),
        history=tuple(history),
        epoch=kept,
        stopped=stopped,
        n_samples=len(samples),
        class_weights=weights,
        device=device.type,
        precision=str(precision).removeprefix("torch."),
    )


def class_weights(labels: np.ndarray, kind: str = "inverse_frequency") -> tuple[float, float]:
    """Weigh the classes of the samples by their inverse frequency; both weights are 1 when they are equal.

    Examples
    --------
    >>> class_weights(np.array([0, 0, 0, 1]))
    (0.6666666666666666, 2.0)
    """
    if kind == "none":
        return (1.0, 1.0)
    counts = np.bincount(labels, minlength=2)
    assert counts.min() > 0, "both classes must be among the training scans"
    return tuple((len(labels) / (2 * counts)).tolist())


def shuffled_batches(samples: Samples, n_batches: int, rng: np.random.Generator) -> list[Samples]:
    """Deal all samples into batches whose sizes differ by one at most.

    So no epoch ends in a batch of one scan, whose BatchNorm statistics mean little.
    """
    parts = np.array_split(rng.permutation(len(samples)), n_batches)
    return [Samples(samples.rows[part], samples.mirrored[part]) for part in parts]


def make_optimiser(network: nn.Module, settings: TrainingSettings) -> torch.optim.Optimizer:
    """Make Adam or AdamW; only the weights of convolutions decay, not biases and BatchNorm."""
    parameters = list(network.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[settings.optimiser]
    return kind(groups, lr=settings.learning_rate)


class Schedule:
    """The learning rate: a plateau decay, or one cycle.

    Parameters
    ----------
    optimiser : Optimizer
        Whose rate is set.
    settings : TrainingSettings
        ``schedule`` and its numbers.
    n_batches : int
        Per epoch.
    """

    def __init__(self, optimiser: torch.optim.Optimizer, settings: TrainingSettings, n_batches: int) -> None:
        self.plateau = self.cycle = None
        if settings.schedule == "plateau":
            self.plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
                optimiser, factor=settings.plateau_factor, patience=settings.plateau_patience
            )
        else:
            n_steps = n_batches * settings.max_epochs
            self.cycle = torch.optim.lr_scheduler.LambdaLR(
                optimiser, lambda step: one_cycle((step + 0.5) / n_steps, settings.one_cycle_warm_up)
            )

    def after_batch(self) -> None:
        """Step along the cycle."""
        if self.cycle is not None:
            self.cycle.step()

    def after_epoch(self, validation_loss: float) -> None:
        """Lower the rate when the validation loss has stopped falling."""
        if self.plateau is not None:
            self.plateau.step(validation_loss)


def one_cycle(progress: float, warm_up: float, start: float = 0.04) -> float:
    """Share of the learning rate at a point of the training (Smith and Topin 2019, with cosines).

    Parameters
    ----------
    progress : float
        0 at the first step, 1 behind the last.
    warm_up : float
        Share of the training in which the rate rises.
    start : float
        Share of the rate at the beginning; at the end it is 0.

    Examples
    --------
    >>> one_cycle(0.0, 0.2), one_cycle(0.2, 0.2), one_cycle(1.0, 0.2)
    (0.04, 1.0, 0.0)
    """
    if progress < warm_up:
        return start + (1 - start) * 0.5 * (1 - math.cos(math.pi * progress / warm_up))
    rest = min(1.0, (progress - warm_up) / (1 - warm_up))
    return 0.5 * (1 + math.cos(math.pi * rest))


@torch.no_grad()
def validate(
    network: nn.Module,
    inputs: np.ndarray,
    labels: np.ndarray,
    rows: np.ndarray,
    weight: torch.Tensor,
    batch_size: int,
    precision: torch.dtype = torch.float32,
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

    Returns
    -------
    loss, balanced_accuracy : float
        The latter is NaN when a class is missing.
    """
    network.eval()
    device = weight.device
    logits = []
    for start in range(0, len(rows), batch_size):
        x = load_batch(inputs, rows[start : start + batch_size], device)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == torch.bfloat16):
            logits.append(network(channels_last(x)).float())
    answer = torch.cat(logits)
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
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == torch.bfloat16):
            network(channels_last(x))
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    network.eval()


def _check_finite(row: Epoch) -> None:
    if not (math.isfinite(row.train_loss) and math.isfinite(row.validation_loss)):
        raise EngineError(
            f"expected a finite loss, but got {row.train_loss} (training) and {row.validation_loss} (validation) "
            f"in epoch {row.epoch}",
            code="loss-not-finite",
            remedy="lower training.learning_rate, or set training.precision to float32",
        )
