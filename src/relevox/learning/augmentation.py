"""Mirrors and noise: what a training scan may become (SPEC 3).

Which scans are mirrored is drawn once and kept; noise is drawn anew whenever
a batch is made. Both are drawn first and applied by functions that draw nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True)
class Samples:
    """What one epoch shows to the network."""

    rows: np.ndarray
    """``(m,)`` row of the inputs."""
    mirrored: np.ndarray
    """``(m,)`` bool: shown left-right mirrored."""

    def __len__(self) -> int:
        return len(self.rows)


def training_samples(
    labels: np.ndarray,
    rows: np.ndarray,
    rng: np.random.Generator,
    mirror_positives: float = 1.0,
    mirror_negatives: float = 0.75,
) -> Samples:
    """Add mirrored scans to the training scans.

    Parameters
    ----------
    labels : ndarray, (n,)
        Class of every scan.
    rows : ndarray, (t,)
        Training scans.
    rng : numpy Generator
        Chooses the scans where a share is below 1.
    mirror_positives, mirror_negatives : float
        Share of each class that is added mirrored; counts are rounded, halves up.

    Returns
    -------
    Samples
        First the scans as they are, then the mirrored ones.

    Notes
    -----
    Paper 2.3.2: all positives and 75 % of the negatives, as extra samples, which
    also brings the classes closer together (in the paper's training folds 275
    scans become about 511 samples).
    """
    rows = np.asarray(rows)
    chosen = []
    for label, share in ((1, mirror_positives), (0, mirror_negatives)):
        candidates = rows[np.asarray(labels)[rows] == label]
        count = int(np.floor(share * len(candidates) + 0.5))
        chosen.append(np.sort(rng.permutation(candidates)[:count]))
    mirrored = np.concatenate(chosen)
    return Samples(
        rows=np.concatenate([rows, mirrored]),
        mirrored=np.repeat([False, True], [len(rows), len(mirrored)]),
    )


def mirror(x: torch.Tensor, mirrored: torch.Tensor) -> torch.Tensor:
    """Exchange left and right in the marked scans.

    Parameters
    ----------
    x : Tensor, (b, c, x, y, z)
        Scans on a RAS+ grid: the first image axis runs from left to right.
    mirrored : Tensor, (b,) bool
        Which ones.
    """
    return torch.where(mirrored[:, None, None, None, None], x.flip(2), x)


def add_noise(x: torch.Tensor, noise: torch.Tensor, sigma: float) -> torch.Tensor:
    """Add noise inside the brain, so that the background stays 0.

    Parameters
    ----------
    x : Tensor, (b, c, x, y, z)
        Scans whose background is exactly 0 in every channel.
    noise : Tensor, (b, c, x, y, z)
        Standard normal draws.
    sigma : float
        Standard deviation of the noise, in the units of ``x``.
    """
    brain = (x != 0).any(dim=1, keepdim=True)  # (b, 1, x, y, z)
    return torch.addcmul(x, noise, brain.to(x.dtype), value=sigma)
