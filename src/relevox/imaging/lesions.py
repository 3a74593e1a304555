"""White-matter lesions without training: bright on FLAIR against the patient's own grey matter.

The line of the lesion growth algorithm (Schmidt et al. 2012): seeds far above
grey matter grow into what is somewhat above it, within white matter. Lesions
below the tentorium are not looked for.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from relevox.imaging.regions import REGION_INDEX, REGIONS

SEED_Z, GROW_Z = 3.0, 1.0
"""Robust z-scores against grey matter that a lesion must reach somewhere, and everywhere."""

SMOOTHING_MM = 0.6
MIN_WHITE_PRIOR = 0.3
MIN_DEPTH_MM = 3.0
"""Distance from the brain mask's edge: CSF pulsation and residual skull are bright there."""

MIN_VOXELS = 10

_EXCLUDED = tuple(
    region.index
    for region in REGIONS
    if region.group == "infratentorial" or region.index == REGION_INDEX["lateral_ventricles"]
)


def segment_lesions(
    flair: np.ndarray,
    mask: np.ndarray,
    grey: np.ndarray,
    white_prior: np.ndarray,
    regions: np.ndarray,
    voxel_size_mm: float = 1.0,
) -> np.ndarray:
    """Find white-matter lesions.

    Parameters
    ----------
    flair : np.ndarray
        ``(x, y, z)``, bias-corrected, on cubic voxels.
    mask : np.ndarray
        ``(x, y, z)`` bool, the brain.
    grey : np.ndarray
        ``(x, y, z)`` probability of grey matter, from T1w.
    white_prior : np.ndarray
        ``(x, y, z)`` the template's white matter brought to the patient. (T1w cannot tell: a third to a
        half of lesion voxels look like grey matter on it.)
    regions : np.ndarray
        ``(x, y, z)`` labels of ``REGIONS``.
    voxel_size_mm : float
        Edge of a voxel.

    Returns
    -------
    np.ndarray
        bool; all False when no grey matter is there to compare with.
    """
    z = against_grey(flair, mask, grey)
    if z is None:
        return np.zeros(mask.shape, dtype=bool)
    z = ndimage.gaussian_filter(z, SMOOTHING_MM / voxel_size_mm)
    depth = ndimage.distance_transform_edt(mask, sampling=voxel_size_mm)
    possible = (depth > MIN_DEPTH_MM) & (white_prior > MIN_WHITE_PRIOR) & ~np.isin(regions, _EXCLUDED)
    components, n = ndimage.label(possible & (z > GROW_Z))
    if n == 0:
        return np.zeros(mask.shape, dtype=bool)
    found = components > 0
    brightest = np.full(n + 1, -np.inf)
    np.maximum.at(brightest, components[found], z[found])
    size = np.bincount(components[found], minlength=n + 1)
    kept = (brightest > SEED_Z) & (size >= MIN_VOXELS)
    kept[0] = False
    return kept[components]


def against_grey(flair: np.ndarray, mask: np.ndarray, grey: np.ndarray) -> np.ndarray | None:
    """FLAIR in robust standard deviations (1.4826 median absolute deviations) above the patient's grey matter.

    Parameters
    ----------
    flair, mask, grey : np.ndarray
        As for :func:`segment_lesions`.

    Returns
    -------
    np.ndarray or None
        ``(x, y, z)``; None when no grey matter is there, or it has one intensity only.
    """
    reference = flair[mask & (grey > 0.5)]
    if reference.size == 0:
        return None
    median = np.median(reference)
    spread = 1.4826 * np.median(np.abs(reference - median))
    return (flair - median) / spread if spread > 0 else None
