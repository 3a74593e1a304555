"""Train the network that finds the brain, on simulated heads alone.

The weights in the package were made by this command with its defaults and one
thread; anybody can make them again. It needs no scan: heads are painted around the template brain
(``phantom.heads``) while the network learns, and none is used twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn import functional as F

from relevox.imaging import brain_network
from relevox.imaging.brain_network import BrainNetwork
from relevox.phantom.head_space import HeadGrid
from relevox.phantom.head_template import HeadTemplate, head_template
from relevox.phantom.heads import Head, simulate_heads
from relevox.stages.network_training import Training, batched, device_of, learn
from relevox.store import template

BATCH_SIZE = 2
CLIP_MM = 12.0
"""Distances beyond this are all the same to the loss."""


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
    device = device_of(device, threads)
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
    training = Training(
        name="brain_network",
        out_dir=out_dir,
        items="heads",
        n_items=n_heads,
        batch_size=BATCH_SIZE,
        losses=("distance loss", "overlap loss"),
        device=grid.device,
        card={
            "voxel_size_mm": grid.voxel_size_mm,
            "grid": list(grid.shape),
            "trained_on": "simulated heads around the ICBM152 2009a symmetric brain; no real scan",
            "seed": seed,
        },
    )
    return learn(BrainNetwork(widths), batches(brain, grid, seed, n_heads, overlap), step_losses, training)


def batches(brain: HeadTemplate, grid: HeadGrid, seed: int, n_heads: int, overlap: bool = False) -> Iterator[Batch]:
    """Yield the heads of a seed, two at a time; ``overlap``: one batch ahead, in a thread of its own."""
    return batched(simulate_heads(brain, grid, seed, stop=n_heads), BATCH_SIZE, collate, overlap)


def collate(heads: list[Head]) -> Batch:
    """Stack heads."""
    return Batch(
        image=torch.stack([brain_network.normalise(head.image) for head in heads])[:, None],
        distance_mm=torch.stack([head.distance_mm for head in heads])[:, None],
        valid=torch.stack([head.valid for head in heads])[:, None].float(),
    )


def step_losses(network: BrainNetwork, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Predict, and say what the prediction costs."""
    with torch.autocast(batch.image.device.type, torch.bfloat16):
        predicted = network(batch.image)
    return losses(predicted.float(), batch)


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
