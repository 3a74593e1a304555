"""How alike two brains are: scans of one person stay alike over years, those of two persons do not.

After subtraction of the cohort's mean, what remains of a T1w image in template space is the person's own
anatomy. It shows one patient who is in a study under two names, which no comparison of file hashes can.
"""

from __future__ import annotations

import numpy as np

EDGE_MM = 8.0
"""Voxels of a fingerprint are at least this large: coarse enough for another scanner's noise and a small shift."""

ALIKE = 0.8
"""Correlation of fingerprints from which two scans are taken for one person's."""


def fingerprint(image: np.ndarray, voxel_size_mm: float) -> np.ndarray:
    """Average an image over cubes, ``(x, y, z)`` to ``(v,)`` float32; what does not fill a cube is left out."""
    block = max(1, int(np.ceil(EDGE_MM / voxel_size_mm)))
    x, y, z = (size // block for size in image.shape)
    cut = np.asarray(image)[: x * block, : y * block, : z * block].astype(np.float32)
    return cut.reshape(x, block, y, block, z, block).mean(axis=(1, 3, 5)).ravel()


def fingerprints(inputs: np.ndarray, voxel_size_mm: float) -> np.ndarray:
    """Return the fingerprint of every scan's first channel, ``(n, c, x, y, z)`` to ``(n, v)``; scan by scan."""
    return np.stack([fingerprint(scan[0], voxel_size_mm) for scan in inputs])


def likeness(a: np.ndarray, b: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Correlate fingerprints after subtraction of a cohort's mean.

    Parameters
    ----------
    a, b : ndarray, (n, v) and (m, v)
        Fingerprints.
    mean : ndarray, (v,)
        Of the cohort.

    Returns
    -------
    ndarray, (n, m)
        Cosine of the angle between deviations from the mean; NaN for a scan that is the mean itself.
    """
    units = []
    for prints in (a, b):
        deviation = np.asarray(prints, dtype=np.float64) - mean
        length = np.sqrt((deviation**2).sum(axis=1, keepdims=True))
        units.append(deviation / np.where(length > 0, length, np.nan))
    return units[0] @ units[1].T
