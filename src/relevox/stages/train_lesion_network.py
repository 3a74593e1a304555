"""Train the network that finds lesions, on simulated scans alone.

The weights in the package were made by this command with its defaults and one
thread. It needs no scan: patches are painted on the template's anatomy
(``phantom.lesion_scans``) while the network learns, and none is used twice.
"""

from __future__ import annotations

import copy
import logging
import math
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

import relevox
from relevox.imaging import lesion_network
from relevox.imaging.lesion_network import LesionNetwork, network_input
from relevox.imaging.regions import REGIONS
from relevox.imaging.template import Template
from relevox.phantom.head_space import HeadGrid
from relevox.phantom.lesion_scans import Patch, simulate_patches
from relevox.phantom.lesion_space import LesionTemplate, lesion_template
from relevox.store import tables, template, weights

log = logging.getLogger("relevox")

BATCH_SIZE = 4
LEARNING_RATE, LAST_LEARNING_RATE = 2e-3, 1e-5
WARM_UP_STEPS = 60
MAX_GRADIENT_NORM = 1.0
EMA_DECAY = 0.99
"""The weights kept are an exponential moving average over about a hundred steps."""
SAVE_EVERY_S = 180.0


def run(
    out_dir: Path,
    seed: int = 0,
    n_patches: int = 8000,
    device: str = "auto",
    threads: int = 2,
    side: int = lesion_network.PATCH,
    widths: tuple[int, ...] = lesion_network.WIDTHS,
) -> Path:
    """Train and save ``lesion_network.safetensors`` and its card.

    1. Derive the lesion template from the ICBM152 maps.
    2. Learn from ``n_patches`` simulated patches, four at a time, each seen once.
    3. Every few minutes, and at the end, save the averaged weights (16-bit)
       and a card that says how they were made.

    Parameters
    ----------
    out_dir : Path
        Where both files go.
    seed : int, default 0
        Seed of the patches and of the initial weights.
    n_patches : int, default 8000
        Length of the training. The same seed, patches and threads on the same
        machine give the same weights.
    device : str, default ``"auto"``
        ``auto`` takes a GPU where there is one.
    threads : int, default 2
        Of the processor. With more than one, the next patches are painted
        while the network learns.
    side : int
        Edge of a patch in voxels of 1 mm.
    widths : tuple of int
        Size of the network.

    Returns
    -------
    Path
        The weights.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(max(1, threads - 1))
    grid = HeadGrid((side,) * 3, 1.0, device)
    return train(maps_of(template.full()).to(device), grid, Path(out_dir), seed, n_patches, threads > 1, widths)


def maps_of(head: Template) -> LesionTemplate:
    """Derive what patches are painted on from the template."""

    def zone(*groups: str, name: str | None = None) -> np.ndarray:
        chosen = [region.index for region in REGIONS if region.group in groups or region.name == name]
        return np.isin(head.regions, chosen)

    return lesion_template(
        head.grey,
        head.white,
        head.csf,
        head.brain_mask,
        ventricles=zone(name="lateral_ventricles"),
        cortex=zone("cortex"),
        infratentorial=zone("infratentorial"),
        voxel_size_mm=float(head.affine[0, 0]),
    )


def train(
    maps: LesionTemplate,
    grid: HeadGrid,
    out_dir: Path,
    seed: int,
    n_patches: int,
    overlap: bool = False,
    widths: tuple[int, ...] = lesion_network.WIDTHS,
) -> Path:
    """Steps 2 and 3 of :func:`run`; ``overlap``: paint and learn at the same time."""
    torch.manual_seed(seed)
    network = LesionNetwork(widths).to(grid.device, memory_format=torch.channels_last_3d)
    average = copy.deepcopy(network)
    optimiser = torch.optim.Adam(network.parameters(), LEARNING_RATE)
    n_steps = math.ceil(n_patches / BATCH_SIZE)
    started = saved = time.monotonic()
    recent = deque(maxlen=100)
    for step, (x, lesion, mask) in enumerate(batches(maps, grid, seed, n_patches, overlap)):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step, n_steps)
        with torch.autocast(torch.device(grid.device).type, torch.bfloat16):
            log_odds = network(x)
        entropy, overlap_loss = losses(log_odds.float(), lesion, mask)
        optimiser.zero_grad()
        (entropy + overlap_loss).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), MAX_GRADIENT_NORM)
        optimiser.step()
        decay = min(EMA_DECAY, (step + 1) / (step + 21))
        with torch.no_grad():
            new_state = network.state_dict()
            for name, kept in average.state_dict().items():
                if kept.is_floating_point():  # weights, and the running means of the normalisation
                    kept.lerp_(new_state[name], 1 - decay)

        recent.append((float(entropy.detach()), float(overlap_loss.detach())))
        now, last = time.monotonic(), step == n_steps - 1
        done = min(n_patches, (step + 1) * BATCH_SIZE)
        if step % 50 == 49 or last:
            means = [sum(values) / len(recent) for values in zip(*recent, strict=True)]
            log.info(
                "patches %d of %d: cross-entropy %.4f, overlap loss %.4f, %.2f s a patch",
                done, n_patches, *means, (now - started) / done,
            )  # fmt: skip
        if last or now - saved > SAVE_EVERY_S:
            saved = now
            card = {
                "network": "LesionNetwork",
                "widths": list(widths),
                "voxel_size_mm": grid.voxel_size_mm,
                "grid": list(grid.shape),
                "trained_on": "simulated patches of the ICBM152 2009a symmetric brain; no real scan",
                "seed": seed,
                "n_patches": done,
                "n_patches_planned": n_patches,
                "cross_entropy": round(sum(r[0] for r in recent) / len(recent), 5),
                "overlap_loss": round(sum(r[1] for r in recent) / len(recent), 5),
                "seconds": round(now - started),
                "device": torch.device(grid.device).type,
                "torch": torch.__version__,
                "version": relevox.__version__,
            }
            path = save(average, card, out_dir)
    return path


Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
"""What the network sees ``(n, 4, x, y, z)``, lesions and brain mask ``(n, 1, x, y, z)``."""


def batches(maps: LesionTemplate, grid: HeadGrid, seed: int, n_patches: int, overlap: bool = False) -> Iterator[Batch]:
    """Yield the patches of a seed, four at a time; ``overlap``: one batch ahead, in a thread of its own."""
    patches = simulate_patches(maps, grid, seed, stop=n_patches)

    def next_batch() -> Batch | None:
        some = list(islice(patches, BATCH_SIZE))
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


def collate(patches: list[Patch]) -> Batch:
    """Stack patches."""
    return (
        torch.stack([network_input(patch.image, patch.priors) for patch in patches]),
        torch.stack([patch.lesion for patch in patches])[:, None],
        torch.stack([patch.mask for patch in patches])[:, None],
    )


def learning_rate(step: int, n_steps: int) -> float:
    """Linear warm-up, then half a cosine down to ``LAST_LEARNING_RATE``."""
    warm = min(1.0, (step + 1) / WARM_UP_STEPS)
    cosine = (1 + math.cos(math.pi * step / n_steps)) / 2
    return max(LAST_LEARNING_RATE, LEARNING_RATE * warm * cosine)


def losses(log_odds: torch.Tensor, lesion: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross-entropy (times ten: lesions are a hundredth of the brain) and one minus a soft Dice.

    The Dice is that of the whole batch, since a patch may hold no lesion. Nothing outside the brain mask counts.
    """
    entropy = F.binary_cross_entropy_with_logits(log_odds, lesion, weight=mask, reduction="sum") / mask.sum().clamp(
        min=1
    )
    predicted = torch.sigmoid(log_odds) * mask
    shared = 2 * (predicted * lesion).sum()
    return 10 * entropy, 1 - (shared + 1) / (predicted.sum() + lesion.sum() + 1)


def save(network: LesionNetwork, card: dict, out_dir: Path) -> Path:
    """Write weights (16-bit) and card; the card last, since it vouches for the weights."""
    out_dir.mkdir(parents=True, exist_ok=True)
    path = out_dir / "lesion_network.safetensors"
    state = {
        name: (value.half() if value.is_floating_point() else value).detach().cpu().contiguous()
        for name, value in network.state_dict().items()
    }
    digest = weights.save(path, state)
    tables.write_json(out_dir / "lesion_network.json", {"sha256": digest, **card})
    return path
