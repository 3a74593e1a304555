"""Where lesions crowd in the white matter, in the template's coordinates.

Distance to the ventricles alone spreads lesions evenly around them. Real ones
crowd along the *outer edge* of the lateral ventricles, from the cap of the
frontal horn over the edge of the body to the trigone and the occipital horn,
and beside the temporal horn; they spare the internal capsule, which lies as
near. The points were read, to a few millimetres, off where the consensus masks
of 28 patients overlap most (Lesjak et al., Neuroinformatics 2017).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

OUTER_EDGE_MM = ((17, 29, 4), (18, 18, 20), (18, 2, 29), (18, -14, 30), (21, -26, 28), (26, -47, 16), (22, -68, 9))
"""Corners of a line along the right lateral ventricle, from the frontal to the occipital horn, RAS+ millimetres."""

TEMPORAL_HORN_MM = ((36, -30, -6), (37, -12, -13))
"""The same beside its temporal horn, from back to front."""

CAPSULE_MM = (22, -10, 8)
"""Middle of the right internal capsule."""

_LINE_REACH_MM, _CAPSULE_REACH_MM = 5.5, 10.0
_SPARED = 0.36
"""How much the capsule repels where a line attracts by 1."""


def lesion_places(shape: Sequence[int], voxel_size_mm: float, origin_mm: Sequence[float]) -> np.ndarray:
    """Return how much every voxel of the template draws lesions.

    Parameters
    ----------
    shape : sequence of int
        Voxels along x, y, z.
    voxel_size_mm : float
        Edge of a voxel.
    origin_mm : sequence of float
        Centre of the first voxel, RAS+ millimetres.

    Returns
    -------
    np.ndarray
        ``(x, y, z)`` float32: 1 on the lines of either side, falling with the distance as a Gaussian, below 0 in the
        capsule, near 0 elsewhere.
    """
    axes = [origin + voxel_size_mm * np.arange(n, dtype=np.float32) for n, origin in zip(shape, origin_mm, strict=True)]
    axes[0] = np.abs(axes[0])  # both sides alike
    positions = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).astype(np.float32)
    drawn = sum(
        np.exp(-squared_distance(positions, line) / (2 * _LINE_REACH_MM**2))
        for line in (OUTER_EDGE_MM, TEMPORAL_HORN_MM)
    )
    capsule = ((positions - np.float32(CAPSULE_MM)) ** 2).sum(axis=-1)
    return drawn - np.float32(_SPARED) * np.exp(-capsule / (2 * _CAPSULE_REACH_MM**2))


def squared_distance(positions: np.ndarray, corners: Sequence[Sequence[float]]) -> np.ndarray:
    """Return squared distances to a line of straight pieces.

    Parameters
    ----------
    positions : np.ndarray
        ``(..., 3)``.
    corners : sequence
        Of the line, at least two.

    Returns
    -------
    np.ndarray
        ``(...)`` float32.
    """
    points = np.array(corners, dtype=np.float32)
    least = np.full(positions.shape[:-1], np.inf, dtype=np.float32)
    for start, piece in zip(points[:-1], np.diff(points, axis=0), strict=True):
        offset = positions - start
        share = np.clip(offset @ piece / (piece @ piece), 0, 1)
        least = np.minimum(least, ((offset - share[..., None] * piece) ** 2).sum(axis=-1))
    return least
