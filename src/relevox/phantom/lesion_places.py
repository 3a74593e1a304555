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
    positions = np.meshgrid(*axes, indexing="ij", sparse=True)
    pull = np.zeros(tuple(shape), dtype=np.float32)
    for line, reach_mm, size in (
        (OUTER_EDGE_MM, _LINE_REACH_MM, 1.0),
        (TEMPORAL_HORN_MM, _LINE_REACH_MM, 1.0),
        ((CAPSULE_MM, CAPSULE_MM), _CAPSULE_REACH_MM, -_SPARED),
    ):
        pull += np.float32(size) * np.exp(squared_distance(positions, line) / np.float32(-2 * reach_mm**2))
    return pull


def squared_distance(positions: Sequence[np.ndarray], corners: Sequence[Sequence[float]]) -> np.ndarray:
    """Return squared distances to a line of straight pieces.

    Parameters
    ----------
    positions : sequence of np.ndarray
        x, y and z, of shapes that go together.
    corners : sequence
        Of the line, at least two.

    Returns
    -------
    np.ndarray
        float32, of their common shape.
    """
    points = np.array(corners, dtype=np.float32)
    least = np.float32(np.inf)
    for start, piece in zip(points[:-1], np.diff(points, axis=0), strict=True):
        offset = [values - first for values, first in zip(positions, start, strict=True)]
        length = max(np.float32((piece**2).sum()), np.float32(1e-6))
        share = np.clip(sum(o * p for o, p in zip(offset, piece, strict=True)) / length, 0, 1)
        least = np.minimum(least, sum((o - share * p) ** 2 for o, p in zip(offset, piece, strict=True)))
    return least
