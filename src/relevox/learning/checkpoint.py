"""The whole state of a training between two epochs, so that it can go on as if nothing had happened.

Numbers that decide what comes next: weights, the optimiser's moments, the
schedule, every source of random numbers, early stopping and the best weights.
Tensors and plain JSON values are kept apart, so that nothing needs a pickle.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

import numpy as np
import torch
from torch import nn

from relevox.learning.recipe import Schedule


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
    seconds_left: float
    """Of the fold, if all remaining epochs take as long and none is saved by early stopping."""


@dataclass
class Progress:
    """How far a training has come."""

    history: list[Epoch] = field(default_factory=list)
    """One row a finished epoch."""
    best_loss: float = math.inf
    """Lowest validation loss so far."""
    best_epoch: int = 0
    """The epoch that reached it; 0 before the first."""
    best_state: dict[str, torch.Tensor] | None = None
    """The network after it; None where only the last weights are wanted."""

    @property
    def epoch(self) -> int:
        """Number of finished epochs."""
        return len(self.history)

    def waited(self, patience: int) -> bool:
        """Tell whether the loss has not improved for so many epochs; a patience of 0 is endless."""
        return 0 < patience <= self.epoch - self.best_epoch


@dataclass(frozen=True)
class Checkpoint:
    """A training between two epochs."""

    tensors: Mapping[str, torch.Tensor]
    """``network.*``, ``best.*``, ``optimiser.{parameter}.{moment}``, ``random.*``."""
    values: Mapping[str, object]
    """Everything else, JSON-able: history, best epoch, schedule, learning rates, numpy's random state."""


@dataclass(frozen=True)
class Sources:
    """Every source of random numbers of a training; torch's own global one belongs to it too."""

    numpy: np.random.Generator
    """Mirrors and order of the samples."""
    noise: torch.Generator
    """On the device."""


def capture(
    network: nn.Module, optimiser: torch.optim.Optimizer, schedule: Schedule, sources: Sources, progress: Progress
) -> Checkpoint:
    """Copy the state of a training; call it between two epochs."""
    tensors = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    if progress.best_state is not None:
        tensors |= {f"best.{name}": tensor for name, tensor in progress.best_state.items()}
    for number, moments in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{number}.{name}": tensor for name, tensor in moments.items()}
    tensors |= {"random.torch": torch.get_rng_state(), "random.noise": sources.noise.get_state()}
    values = {
        "history": [asdict(row) for row in progress.history],
        "best_loss": progress.best_loss,
        "best_epoch": progress.best_epoch,
        "schedule": schedule.state_dict(),
        "learning_rates": [group["lr"] for group in optimiser.param_groups],
        "numpy": sources.numpy.bit_generator.state,
    }
    return Checkpoint({name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}, values)


def restore(
    checkpoint: Checkpoint,
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    schedule: Schedule,
    sources: Sources,
) -> Progress:
    """Put a training that has just been set up into a captured state.

    Returns
    -------
    Progress
        How far it had come.
    """
    tensors, values = checkpoint.tensors, checkpoint.values
    network.load_state_dict(_below(tensors, "network."))
    best = _below(tensors, "best.")
    moments = {int(number): {} for number in sorted({name.split(".")[0] for name in _below(tensors, "optimiser.")})}
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    for name, tensor in _below(tensors, "optimiser.").items():
        number, moment = name.split(".")
        parameter = parameters[int(number)]
        if tensor.shape == parameter.shape:  # as they lay in memory: another order may round differently
            tensor = torch.empty_like(parameter).copy_(tensor)
        moments[int(number)][moment] = tensor
    optimiser.load_state_dict(optimiser.state_dict() | {"state": moments})
    schedule.load_state_dict(dict(values["schedule"]))
    for group, rate in zip(optimiser.param_groups, values["learning_rates"], strict=True):
        group["lr"] = rate
    torch.set_rng_state(tensors["random.torch"])
    sources.noise.set_state(tensors["random.noise"])
    sources.numpy.bit_generator.state = values["numpy"]
    return Progress(
        history=[Epoch(**row) for row in values["history"]],
        best_loss=values["best_loss"],
        best_epoch=values["best_epoch"],
        best_state=best or None,
    )


def _below(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
