"""How alike two maps are, over the voxels of a brain."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import rankdata

from relevox.errors import InputError

TOP = 0.05
"""Share of the voxels whose places are compared."""


@dataclass(frozen=True)
class Similarity:
    """Two maps of one scan; NaN where either is constant."""

    pearson: float
    """Correlation of the values."""
    spearman: float
    """Correlation of their ranks."""
    spearman_absolute: float
    """Correlation of the ranks of the absolute values: do both look at the same places, whatever the sign?"""
    dice_top: float
    """Overlap (Dice) of the voxels with the 5 % largest absolute values; 0.05 is chance."""


def similarity(a: np.ndarray, b: np.ndarray) -> Similarity:
    """Compare two maps.

    Parameters
    ----------
    a, b : array-like, (v,)
        Relevance over the same voxels, summed over the channels.

    Raises
    ------
    InputError
        For lengths that differ or values that are not finite.

    Examples
    --------
    >>> similarity([0.0, 1.0, 2.0, 5.0], [0.0, -1.0, -2.0, -5.0]).spearman_absolute
    1.0
    """
    a, b = (np.asarray(values, dtype=np.float64) for values in (a, b))
    if a.ndim != 1 or a.shape != b.shape or not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise InputError(
            f"expected two finite maps over the same voxels, but got {a.shape} and {b.shape}", code="maps-shape"
        )
    absolute = np.abs(a), np.abs(b)
    return Similarity(
        pearson=_correlation(a, b),
        spearman=_correlation(rankdata(a), rankdata(b)),
        spearman_absolute=_correlation(*map(rankdata, absolute)),
        dice_top=_dice(*map(top_voxels, absolute)),
    )


def top_voxels(values: np.ndarray, share: float = TOP) -> np.ndarray:
    """Return which voxels hold the largest values: ``share`` of them, at least one; none where all are equal."""
    if len(values) == 0 or np.ptp(values) == 0:
        return np.zeros(len(values), dtype=bool)
    n = max(1, round(share * len(values)))
    chosen = np.zeros(len(values), dtype=bool)
    chosen[np.argpartition(values, -n)[-n:]] = True
    return chosen


def brain_values(relevance: torch.Tensor, brain: np.ndarray) -> list[np.ndarray]:
    """Sum ``(b, c, x, y, z)`` over the channels and take each scan's voxels from ``(b, x, y, z)`` bool."""
    maps = relevance.detach().sum(dim=1).cpu().numpy()
    if maps.shape != np.shape(brain):
        raise InputError(f"expected brains of shape {maps.shape}, but got {np.shape(brain)}", code="brain-shape")
    return [one[np.asarray(mask, dtype=bool)] for one, mask in zip(maps, brain, strict=True)]


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    # before the means are taken: rounding would leave a constant map a spread
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    a, b = a - a.mean(), b - b.mean()
    a, b = a / np.abs(a).max(), b / np.abs(b).max()  # squares of tiny relevance would vanish
    return float(np.clip(a @ b / np.sqrt((a @ a) * (b @ b)), -1, 1))


def _dice(a: np.ndarray, b: np.ndarray) -> float:
    total = int(a.sum() + b.sum())
    return 2 * int((a & b).sum()) / total if a.any() and b.any() else float("nan")
