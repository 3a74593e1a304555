"""Train the network that finds lesions, on simulated scans alone.

The weights in the package were made by this command with its defaults and one
thread. It needs no scan: patches are painted on the template's anatomy
(``phantom.lesion_scans``) while the network learns, and none is used twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from relevox.imaging import lesion_network
from relevox.imaging.lesion_network import LesionNetwork, network_input
from relevox.imaging.regions import REGIONS
from relevox.imaging.template import Template
from relevox.phantom.head_space import HeadGrid
from relevox.phantom.lesion_scans import Patch, simulate_patches
from relevox.phantom.lesion_space import LesionTemplate, lesion_template
from relevox.stages.network_training import LEARNING_RATE, Training, batched, device_of, learn
from relevox.store import template

BATCH_SIZE = 4


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
    device = device_of(device, threads)
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
    training = Training(
        name="lesion_network",
        out_dir=out_dir,
        items="patches",
        n_items=n_patches,
        batch_size=BATCH_SIZE,
        losses=("cross-entropy", "overlap loss"),
        device=grid.device,
        card={
            "voxel_size_mm": grid.voxel_size_mm,
            "grid": list(grid.shape),
            "trained_on": "simulated patches of the ICBM152 2009a symmetric brain; no real scan",
            "seed": seed,
        },
        learning_rate=LEARNING_RATE,
    )
    return learn(LesionNetwork(widths), batches(maps, grid, seed, n_patches, overlap), step_losses, training)


Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
"""What the network sees ``(n, 5, x, y, z)``, lesions and brain mask ``(n, 1, x, y, z)``."""


def batches(maps: LesionTemplate, grid: HeadGrid, seed: int, n_patches: int, overlap: bool = False) -> Iterator[Batch]:
    """Yield the patches of a seed, four at a time; ``overlap``: one batch ahead, in a thread of its own."""
    return batched(simulate_patches(maps, grid, seed, stop=n_patches), BATCH_SIZE, collate, overlap)


def collate(patches: list[Patch]) -> Batch:
    """Stack patches."""
    return (
        torch.stack([network_input(patch.image, patch.flair_z, patch.priors) for patch in patches]),
        torch.stack([patch.lesion for patch in patches])[:, None],
        torch.stack([patch.mask for patch in patches])[:, None],
    )


def step_losses(network: LesionNetwork, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Predict, and say what the prediction costs."""
    x, lesion, mask = batch
    with torch.autocast(x.device.type, torch.bfloat16):
        log_odds = network(x)
    return losses(log_odds.float(), lesion, mask)


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
