"""Compact patches of like brightness, in the place of an atlas."""

from __future__ import annotations

import numpy as np
from sklearn.cluster import KMeans

from relevox.errors import InputError


def supervoxels(
    x: np.ndarray, brain: np.ndarray, n: int = 200, compactness: float = 2.0, iterations: int = 10, seed: int = 0
) -> np.ndarray:
    """Cut a brain into patches: k-means on position and intensities (as SLIC; Achanta et al. 2012).

    Parameters
    ----------
    x : array-like, (c, x, y, z)
        The scan.
    brain : array-like of bool, (x, y, z)
        What is cut.
    n : int
        Patches that are aimed at; small brains give fewer.
    compactness : float
        Weight of the position: distances count in units of a patch's edge, times this, and
        intensities in standard deviations of their channel inside the brain.
    iterations : int
        Of k-means, which starts from a regular grid.
    seed : int
        Of the grid's offset.

    Returns
    -------
    ndarray, (x, y, z) int32
        From 1 on; 0 outside the brain. A patch may be of more than one piece.

    Raises
    ------
    InputError
        For shapes that do not fit, or a brain without a voxel.
    """
    x, brain = np.asarray(x, dtype=np.float64), np.asarray(brain, dtype=bool)
    if x.ndim != 4 or x.shape[1:] != brain.shape or not brain.any():
        raise InputError(
            f"expected a scan (c, x, y, z) and the voxels of its brain, but got {x.shape} and {brain.shape} "
            f"with {int(brain.sum())} voxels",
            code="supervoxels-shape",
        )
    places = np.argwhere(brain)  # (v, 3)
    edge = max(1.0, (len(places) / n) ** (1 / 3))
    values = x[:, brain].T  # (v, c)
    spread = values.std(axis=0)
    features = np.concatenate([compactness * places / edge, values / np.where(spread > 0, spread, 1)], axis=1)
    offset = np.random.default_rng(seed).uniform(size=3)
    _, cell = np.unique(np.floor(places / edge + offset), axis=0, return_inverse=True)
    size = np.bincount(cell.ravel())
    starts = np.stack([np.bincount(cell.ravel(), column) / size for column in features.T], axis=1)
    starts = np.unique(starts[size >= 0.25 * size.max()], axis=0)  # slivers at the surface join their neighbours
    found = KMeans(len(starts), init=starts, n_init=1, max_iter=iterations).fit_predict(features)
    labels = np.zeros(brain.shape, dtype=np.int32)
    labels[brain] = np.unique(found, return_inverse=True)[1] + 1
    return labels
