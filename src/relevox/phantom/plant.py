"""A known signal in anybody's scans: a lesion-like blob, or the atrophy of one region.

Every scan gets two signals of the same kind and size. In class 1 one of them
lies in the region in question, in class 0 both lie elsewhere. So neither their
number nor their brightness tells the classes apart, only their place; and a map
that merely marks what stands out cannot tell the signal from its decoys.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from relevox.phantom.warping import exponential, resample, velocity_from_log_jacobian

_SOFT_SHARE = 0.25
"""A blob fades over this share of its radius."""

_T1W_SHARE = -0.5
"""A lesion is dark on T1w: its contrast there, as a share of the contrast on FLAIR."""

_SMOOTHING_MM = 3.0
"""Patterns of loss are smoothed, so that the finite grid can carry them."""

_REACH_MM = 8.0
"""How far from a region the fluid lies that takes its place: over this distance its share falls to 1/e."""


def draw_centre(where: np.ndarray, radius_mm: float, voxel_size_mm: float, rng: np.random.Generator) -> np.ndarray:
    """Draw the middle of a blob among the voxels of a mask that lie deepest in it.

    Parameters
    ----------
    where : ndarray, (x, y, z) bool
        Where it may lie; not empty.
    radius_mm : float
        Of the blob. A mask without room for it gives up some of the margin.
    voxel_size_mm : float
        Edge of a voxel.
    rng : Generator
        Source of the place.

    Returns
    -------
    ndarray, (3,) int
        A voxel of the mask.
    """
    assert where.any()
    depth = ndimage.distance_transform_edt(where, sampling=voxel_size_mm)
    deep = depth >= min(radius_mm, np.quantile(depth[where], 0.75))
    candidates = np.argwhere(deep & where)
    return candidates[rng.integers(len(candidates))]


def blob(shape: tuple[int, int, int], centre: Sequence[int], radius_mm: float, voxel_size_mm: float) -> np.ndarray:
    """Draw a soft ball: 1 inside, 0 outside, ``(x, y, z)`` float32."""
    squares = [((np.arange(n) - c) * voxel_size_mm) ** 2 for n, c in zip(shape, centre, strict=True)]
    distance = np.sqrt(sum(np.meshgrid(*squares, indexing="ij", sparse=True)))
    return np.clip((radius_mm - distance) / (_SOFT_SHARE * radius_mm) + 0.5, 0, 1).astype(np.float32)


def add_blobs(x: np.ndarray, brain_mask: np.ndarray, blobs: Sequence[np.ndarray], contrast: float) -> np.ndarray:
    """Add lesion-like blobs: bright on FLAIR, half as much darker on T1w.

    Parameters
    ----------
    x : ndarray, (2, x, y, z)
        T1w and FLAIR; 0 outside the brain.
    brain_mask : ndarray, (x, y, z) bool
        Where the scan has brain; nothing changes outside.
    blobs : sequence of ndarray, (x, y, z)
        Shares of each voxel that a blob fills (:func:`blob`).
    contrast : float
        On FLAIR, in medians of the scan's own brain.

    Returns
    -------
    ndarray, (2, x, y, z) float32
        Nothing below 0.
    """
    filled = np.clip(sum(blobs), 0, 1) * brain_mask
    changed = np.array(x, dtype=np.float32)
    for channel, share in zip(changed, (_T1W_SHARE, 1.0), strict=True):
        channel += share * contrast * np.median(channel[brain_mask]) * filled
    return np.maximum(changed, 0)


def loss_velocity(region: np.ndarray, fluid: np.ndarray, brain_mask: np.ndarray, voxel_size_mm: float) -> np.ndarray:
    """Return the flow by which a region loses volume and the fluid around it takes its place.

    Parameters
    ----------
    region : ndarray, (x, y, z)
        Of the template: how much of each voxel belongs to it, 0 to 1.
    fluid : ndarray, (x, y, z)
        Fraction of cerebrospinal fluid.
    brain_mask : ndarray, (x, y, z) bool
        Of the template.
    voxel_size_mm : float
        Edge of a voxel.

    Returns
    -------
    ndarray, (3, x, y, z) float32
        Stationary velocity in millimetres, for a loss of 1 in log volume; velocities of several regions add.

    Notes
    -----
    As in :mod:`.anatomy`, a potential flow with a prescribed divergence: +1 in
    the region (the map from the patient's space to the template's stretches
    what was lost), balanced by the fluid nearby and a little by all other tissue.
    """
    region = np.asarray(region, dtype=np.float64)
    distance = ndimage.distance_transform_edt(region < 0.5, sampling=voxel_size_mm)
    near = np.exp(-distance / _REACH_MM)
    sigma = _SMOOTHING_MM / voxel_size_mm
    lost = ndimage.gaussian_filter(region, sigma)
    gained = ndimage.gaussian_filter(near * (np.asarray(fluid, dtype=np.float64) + 0.1 * brain_mask), sigma)
    pattern = lost - gained * (lost.sum() / gained.sum())
    # one unit is one unit of log volume, to first order, however thin the region
    pattern *= region.sum() / (pattern * region).sum()
    return velocity_from_log_jacobian(pattern, voxel_size_mm)


def deform(x: np.ndarray, velocity: np.ndarray, voxel_size_mm: float) -> np.ndarray:
    """Deform a scan in template space by the exponential of a velocity.

    Parameters
    ----------
    x : ndarray, (c, x, y, z)
        Any channels.
    velocity : ndarray, (3, x, y, z)
        Millimetres (:func:`loss_velocity` times the loss).
    voxel_size_mm : float
        Edge of a voxel.

    Returns
    -------
    ndarray, (c, x, y, z) float32
        ``x(y + u(y))``, linear.
    """
    return resample(x, exponential(velocity, voxel_size_mm), voxel_size_mm)
