"""How our own networks learn from what is simulated: the loop that they share.

A stage paints (``Iterator`` of simulated pieces), says what an answer costs,
and gives the rest to :func:`learn`: schedule, averaged weights, progress, and
weights with a card that says how they were made.
"""

from __future__ import annotations

import copy
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

import relevox
from relevox.store import tables, weights

log = logging.getLogger("relevox")

Item = TypeVar("Item")
Batch = TypeVar("Batch")

LEARNING_RATE, LAST_LEARNING_RATE = 2e-3, 1e-5
WARM_UP_STEPS = 60
MAX_GRADIENT_NORM = 1.0
EMA_DECAY = 0.99
"""The weights kept are an exponential moving average over about a hundred steps."""
SAVE_EVERY_S = 180.0


@dataclass(frozen=True)
class Training:
    """What is trained, how long, and where it goes."""

    name: str
    """Stem of both files: ``brain_network``, say."""
    out_dir: Path
    """Where both files go."""
    items: str
    """What is painted, in the plural: ``heads``. Names the card's counts."""
    n_items: int
    """Length of the training."""
    batch_size: int
    """Items a step."""
    losses: tuple[str, str]
    """Names of the two losses whose sum is minimised, as in ``distance loss``."""
    device: str | torch.device
    """``cpu`` or ``cuda``."""
    card: dict
    """What the card says beside the course of the training."""
    learning_rate: float = LEARNING_RATE
    """The largest of the schedule."""


def learn(
    network: nn.Module,
    batches: Iterable[Batch],
    step_losses: Callable[[nn.Module, Batch], tuple[torch.Tensor, torch.Tensor]],
    training: Training,
) -> Path:
    """Train a network on batches that are each seen once.

    Every few minutes, and at the end, the averaged weights (16-bit) and their card are saved.

    Parameters
    ----------
    network : nn.Module
        Untrained; has ``widths``.
    batches : iterable
        One for each step.
    step_losses : callable
        Of network and batch; it may run the network under automatic mixed precision, and computes the losses
        from ``float()``.
    training : Training
        What stands around the loop.

    Returns
    -------
    Path
        The weights.
    """
    network = network.to(training.device, memory_format=torch.channels_last_3d)
    average = copy.deepcopy(network)
    optimiser = torch.optim.Adam(network.parameters(), training.learning_rate)
    n_steps = math.ceil(training.n_items / training.batch_size)
    started = saved = time.monotonic()
    recent = deque(maxlen=100)
    for step, batch in enumerate(batches):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step, n_steps, training.learning_rate)
        losses = step_losses(network, batch)
        optimiser.zero_grad()
        sum(losses).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), MAX_GRADIENT_NORM)
        optimiser.step()
        follow(average, network, step)

        recent.append([float(loss.detach()) for loss in losses])
        now, last = time.monotonic(), step == n_steps - 1
        done = min(training.n_items, (step + 1) * training.batch_size)
        means = [sum(values) / len(recent) for values in zip(*recent, strict=True)]
        if step % 50 == 49 or last:
            log.info(
                f"{training.items} %d of %d: {training.losses[0]} %.4f, {training.losses[1]} %.4f, %.2f s each",
                done, training.n_items, *means, (now - started) / done,
            )  # fmt: skip
        if last or now - saved > SAVE_EVERY_S:
            saved = now
            course = {f"n_{training.items}": done, f"n_{training.items}_planned": training.n_items}
            course |= {
                name.replace(" ", "_").replace("-", "_"): round(mean, 5)
                for name, mean in zip(training.losses, means, strict=True)
            }
            path = save(average, training, course | {"seconds": round(now - started)})
    return path


def follow(average: nn.Module, network: nn.Module, step: int) -> None:
    """Move the averaged weights (and the running means of a normalisation) towards the network's."""
    decay = min(EMA_DECAY, (step + 1) / (step + 21))
    with torch.no_grad():
        new = network.state_dict()
        for name, kept in average.state_dict().items():
            if kept.is_floating_point():
                kept.lerp_(new[name], 1 - decay)


def learning_rate(step: int, n_steps: int, largest: float = LEARNING_RATE) -> float:
    """Linear warm-up, then half a cosine down to ``LAST_LEARNING_RATE``."""
    warm = min(1.0, (step + 1) / WARM_UP_STEPS)
    cosine = (1 + math.cos(math.pi * step / n_steps)) / 2
    return max(LAST_LEARNING_RATE, largest * warm * cosine)


def batched(
    items: Iterator[Item], size: int, collate: Callable[[list[Item]], Batch], overlap: bool = False
) -> Iterator[Batch]:
    """Yield batches of some items each; ``overlap``: one batch ahead, in a thread of its own."""

    def next_batch() -> Batch | None:
        some = list(islice(items, size))
        return collate(some) if some else None

    if not overlap:
        while (batch := next_batch()) is not None:
            yield batch
        return
    with ThreadPoolExecutor(max_workers=1) as painter:
        coming = painter.submit(next_batch)
        while (batch := coming.result()) is not None:
            coming = painter.submit(next_batch)
            yield batch


def save(network: nn.Module, training: Training, course: dict) -> Path:
    """Write weights (16-bit) and card; the card last, since it vouches for the weights."""
    training.out_dir.mkdir(parents=True, exist_ok=True)
    path = training.out_dir / f"{training.name}.safetensors"
    state = {
        name: (value.half() if value.is_floating_point() else value).detach().cpu().contiguous()
        for name, value in network.state_dict().items()
    }
    card = {"sha256": weights.save(path, state), "network": type(network).__name__, "widths": list(network.widths)}
    machine = {
        "device": torch.device(training.device).type,
        "torch": torch.__version__,
        "version": relevox.__version__,
    }
    tables.write_json(training.out_dir / f"{training.name}.json", card | training.card | course | machine)
    return path


def device_of(asked: str, threads: int) -> str:
    """Choose the device (``auto`` takes a GPU where there is one) and the threads of the processor.

    With more than one thread, one is left for painting the next batch.
    """
    torch.set_num_threads(max(1, threads - 1))
    if asked == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return asked
