"""Lesion filling: T1w as it would be without lesions, before tissue is measured.

A lesion is as dark as grey matter, or as fluid, on T1w, and pulls the
intensities that tissue classes are fitted to. Its voxels are given the
intensity of the normal white matter around them (Chard et al. 2010; Battaglini
et al. 2012).
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

WINDOW_MM = 6.0
"""Standard deviation of the window in which white matter is looked at."""
MARGIN_MM = 2.0
"""Around a lesion white matter is not normal."""
WHITE_PRIOR = 0.9
"""White matter is normal where the template's share of it exceeds this,"""
SPREADS = 3.0
"""and its intensity lies within this many robust standard deviations of the median."""
_SEED = 0


def fill_lesions(
    t1w: np.ndarray, lesions: np.ndarray, white_prior: np.ndarray, mask: np.ndarray, voxel_size_mm: float = 1.0
) -> np.ndarray:
    """Replace lesions by noise about the intensity of the white matter near them.

    Parameters
    ----------
    t1w : np.ndarray
        ``(x, y, z)``, bias-corrected, on cubic voxels.
    lesions : np.ndarray
        ``(x, y, z)`` bool.
    white_prior : np.ndarray
        ``(x, y, z)`` the template's white matter brought to the patient.
    mask : np.ndarray
        ``(x, y, z)`` bool, the brain.
    voxel_size_mm : float
        Edge of a voxel.

    Returns
    -------
    np.ndarray
        float32; the same image outside lesions. Where no normal white matter is within reach, that of the
        whole brain is taken; where there is none at all, nothing is filled. The same input gives the same noise.
    """
    filled = np.array(t1w, dtype=np.float32)
    lesions = lesions & mask
    if not lesions.any():
        return filled
    near = ndimage.distance_transform_edt(~lesions, sampling=voxel_size_mm) <= MARGIN_MM
    normal = mask & ~near & (white_prior > WHITE_PRIOR)
    if not normal.any():
        return filled
    median = np.median(filled[normal])
    spread = 1.4826 * np.median(np.abs(filled[normal] - median))
    normal &= np.abs(filled - median) <= SPREADS * spread

    sigma = WINDOW_MM / voxel_size_mm
    reach = int(np.ceil(3 * sigma))
    box = tuple(
        slice(max(0, side.start - reach), side.stop + reach)
        for side in ndimage.find_objects(lesions.astype(np.int8))[0]
    )

    def window(image: np.ndarray) -> np.ndarray:
        return ndimage.gaussian_filter(image.astype(np.float32), sigma, mode="constant", truncate=3)

    weight = window(normal[box])
    # about the median, so that the difference of squares keeps its digits
    offset = np.where(normal[box], filled[box] - median, 0)
    within = weight > 1e-4
    mean, square = (np.where(within, window(o) / np.where(within, weight, 1), np.nan) for o in (offset, offset**2))
    mean = np.where(within, mean, 0) + median
    sd = np.where(within, np.sqrt(np.clip(square - (mean - median) ** 2, 0, None)), spread)
    noise = np.random.default_rng(_SEED).standard_normal(np.count_nonzero(lesions), dtype=np.float32)
    inside = lesions[box]
    filled[lesions] = np.clip(mean[inside] + noise * sd[inside], 0, None)
    return filled
