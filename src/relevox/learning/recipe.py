"""What a training is made of beside the network: loss weights, batches, optimiser, learning rate (SPEC 3)."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn

from relevox.config import TrainingSettings
from relevox.learning.augmentation import Samples


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

    def state_dict(self) -> dict[str, object]:
        """Return where the schedule stands, as plain numbers."""
        return (self.plateau or self.cycle).state_dict()

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Go on where another schedule of the same settings stood."""
        (self.plateau or self.cycle).load_state_dict(state)


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
