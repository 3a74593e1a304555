"""Train the network that finds the brain, on simulated heads alone.

The weights in the package were made by this command with its defaults and one
thread; anybody can make them again. It needs no scan: heads are painted around the template brain
(``phantom.heads``) while the network learns, and none is used twice.
"""

from __future__ import annotations

import copy
import logging
import math
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from torch.nn import functional as F

import relevox
from relevox.imaging import brain_network
from relevox.imaging.brain_network import BrainNetwork
from relevox.phantom.head_space import HeadGrid
from relevox.phantom.head_template import HeadTemplate, head_template
from relevox.phantom.heads import Head, simulate_heads
from relevox.store import tables, template, weights

log = logging.getLogger("relevox")

BATCH_SIZE = 2
LEARNING_RATE, LAST_LEARNING_RATE = 2e-3, 1e-5
WARM_UP_STEPS = 60
MAX_GRADIENT_NORM = 1.0
EMA_DECAY = 0.99
"""The weights kept are an exponential moving average over about a hundred steps."""
CLIP_MM = 12.0
"""Distances beyond this are all the same to the loss."""
SAVE_EVERY_S = 180.0


@dataclass(frozen=True)
class Batch:
    """Heads ready for a training step; all ``(n, 1, x, y, z)``."""

    image: torch.Tensor
    """Normalised intensities."""
    distance_mm: torch.Tensor
    """Signed distance to the brain's surface, > 0 inside."""
    valid: torch.Tensor
    """1 in the field of view, else 0."""


def run(
    out_dir: Path,
    seed: int = 0,
    n_heads: int = 4500,
    device: str = "auto",
    threads: int = 2,
    shape: tuple[int, int, int] = (64, 72, 64),
    widths: tuple[int, ...] = brain_network.WIDTHS,
) -> Path:
    """Train and save ``brain_network.safetensors`` and its card.

    1. Derive the head template from the ICBM152 maps.
    2. Learn from ``n_heads`` simulated heads, two at a time, each seen once.
    3. Every few minutes, and at the end, save the averaged weights (16-bit)
       and a card that says how they were made.

    Parameters
    ----------
    out_dir : Path
        Where both files go.
    seed : int, default 0
        Seed of the heads and of the initial weights.
    n_heads : int, default 4500
        Length of the training. The same seed, heads and threads on the same
        machine give the same weights.
    device : str, default ``"auto"``
        ``auto`` takes a GPU where there is one.
    threads : int, default 2
        Of the processor. With more than one, the next heads are painted while
        the network learns.
    shape, widths
        Size of the heads' grid and of the network.

    Returns
    -------
    Path
        The weights.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(max(1, threads - 1))
    full = template.full()
    brain = head_template(full.csf, full.grey, full.white, full.brain_mask, full.affine).to(device)
    grid = HeadGrid(shape, brain_network.VOXEL_SIZE_MM, device)
    return train(brain, grid, Path(out_dir), seed, n_heads, overlap=threads > 1, widths=widths)


def train(
    brain: HeadTemplate,
    grid: HeadGrid,
    out_dir: Path,
    seed: int,
    n_heads: int,
    overlap: bool = False,
    widths: tuple[int, ...] = brain_network.WIDTHS,
) -> Path:
    """Steps 2 and 3 of :func:`run`; ``overlap``: paint and learn at the same time."""
    torch.manual_seed(seed)
    network = BrainNetwork(widths).to(grid.device, memory_format=torch.channels_last_3d)
    average = copy.deepcopy(network)
    optimiser = torch.optim.Adam(network.parameters(), LEARNING_RATE)
    n_steps = math.ceil(n_heads / BATCH_SIZE)
    started = saved = time.monotonic()
    recent = deque(maxlen=100)
    for step, batch in enumerate(batches(brain, grid, seed, n_heads, overlap)):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step, n_steps)
        with torch.autocast(torch.device(grid.device).type, torch.bfloat16):
            predicted = network(batch.image)
        distance_loss, overlap_loss = losses(predicted.float(), batch)
        optimiser.zero_grad()
        (distance_loss + overlap_loss).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), MAX_GRADIENT_NORM)
        optimiser.step()
        decay = min(EMA_DECAY, (step + 1) / (step + 21))
        with torch.no_grad():
            for kept, new in zip(average.parameters(), network.parameters(), strict=True):
                kept.lerp_(new, 1 - decay)

        recent.append((float(distance_loss.detach()), float(overlap_loss.detach())))
        now, last = time.monotonic(), step == n_steps - 1
        if step % 50 == 49 or last:
            means = [sum(values) / len(recent) for values in zip(*recent, strict=True)]
            log.info(
                "heads %d of %d: distance loss %.4f, overlap loss %.4f, %.2f s a head",
                min(n_heads, (step + 1) * BATCH_SIZE), n_heads, *means,
                (now - started) / ((step + 1) * BATCH_SIZE),
            )  # fmt: skip
        if last or now - saved > SAVE_EVERY_S:
            saved = now
            card = {
                "network": "BrainNetwork",
                "widths": list(widths),
                "voxel_size_mm": grid.voxel_size_mm,
                "grid": list(grid.shape),
                "trained_on": "simulated heads around the ICBM152 2009a symmetric brain; no real scan",
                "seed": seed,
                "n_heads": min(n_heads, (step + 1) * BATCH_SIZE),
                "n_heads_planned": n_heads,
                "distance_loss": round(sum(r[0] for r in recent) / len(recent), 5),
                "overlap_loss": round(sum(r[1] for r in recent) / len(recent), 5),
                "seconds": round(now - started),
                "device": torch.device(grid.device).type,
                "torch": torch.__version__,
                "version": relevox.__version__,
            }
            path = save(average, card, out_dir)
    return path


def batches(brain: HeadTemplate, grid: HeadGrid, seed: int, n_heads: int, overlap: bool = False) -> Iterator[Batch]:
    """Yield the heads of a seed, two at a time; ``overlap``: one batch ahead, in a thread of its own."""
    heads = simulate_heads(brain, grid, seed, stop=n_heads)

    def next_batch() -> Batch | None:
        some = list(islice(heads, BATCH_SIZE))
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


def collate(heads: list[Head]) -> Batch:
    """Stack heads."""
    return Batch(
        image=torch.stack([brain_network.normalise(head.image) for head in heads])[:, None],
        distance_mm=torch.stack([head.distance_mm for head in heads])[:, None],
        valid=torch.stack([head.valid for head in heads])[:, None].float(),
    )


def learning_rate(step: int, n_steps: int) -> float:
    """Linear warm-up, then half a cosine down to ``LAST_LEARNING_RATE``."""
    warm = min(1.0, (step + 1) / WARM_UP_STEPS)
    cosine = (1 + math.cos(math.pi * step / n_steps)) / 2
    return max(LAST_LEARNING_RATE, LEARNING_RATE * warm * cosine)


def losses(predicted_mm: torch.Tensor, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Distance loss and overlap loss; their sum is minimised.

    The first is a smooth L1 over distances clipped to 12 mm, three times as
    heavy at the surface as far from it; the second one minus a soft Dice.
    Nothing outside the field of view counts.
    """
    true_mm = batch.distance_mm
    weight = batch.valid * (1 + 2 * torch.exp(-((true_mm / 4) ** 2)))
    error = F.smooth_l1_loss(
        predicted_mm.clamp(-CLIP_MM - 4, CLIP_MM + 4), true_mm.clamp(-CLIP_MM, CLIP_MM), reduction="none"
    )
    distance_loss = (weight * error).sum() / weight.sum().clamp(min=1) / CLIP_MM
    predicted = torch.sigmoid(predicted_mm / 1.2) * batch.valid
    true = torch.sigmoid(true_mm / 1.2) * batch.valid
    axes = (1, 2, 3, 4)
    shared = 2 * (predicted * true).sum(axes)
    dice = (shared + 1) / ((predicted**2).sum(axes) + (true**2).sum(axes) + 1)
    return distance_loss, 1 - dice.mean()


def save(network: BrainNetwork, card: dict, out_dir: Path) -> Path:
    """Write weights (16-bit) and card; the card last, since it vouches for the weights."""
    out_dir.mkdir(parents=True, exist_ok=True)
    path = out_dir / "brain_network.safetensors"
    state = {name: value.detach().cpu().half().contiguous() for name, value in network.state_dict().items()}
    digest = weights.save(path, state)
    tables.write_json(out_dir / "brain_network.json", {"sha256": digest, **card})
    return path
