"""The scanner: coil sensitivity, noise and an arbitrary intensity scale."""

from __future__ import annotations

import numpy as np

from relevox.phantom.random_fields import random_field

_BIAS_SCALE_MM = 45.0
_BIAS_SD = 0.03
"""What N4 leaves of the bias field in a preprocessed scan."""

_TEXTURE_SCALE_MM = 3.0
_TEXTURE_SD = 0.015
"""Tissue is not uniform."""


def acquire(
    signal: np.ndarray, brain_mask: np.ndarray, noise: float, voxel_size_mm: float, rng: np.random.Generator
) -> np.ndarray:
    """Turn an ideal signal into an image.

    Parameters
    ----------
    signal : np.ndarray
        ``(x, y, z)``, white matter about 1.
    brain_mask : np.ndarray
        ``(x, y, z)`` bool.
    noise : float
        Standard deviation of the complex noise per channel, in units of white matter.
    voxel_size_mm : float
        Edge of a voxel.
    rng : np.random.Generator
        Source of texture, bias, noise and scale.

    Returns
    -------
    np.ndarray
        ``(x, y, z)`` float32: never negative, 0 outside the brain. The scale is the scanner's own;
        nothing should depend on it.
    """
    shape = signal.shape
    texture = 1 + random_field(shape, (_TEXTURE_SCALE_MM,), (_TEXTURE_SD,), voxel_size_mm, rng)
    bias = np.exp(random_field(shape, (_BIAS_SCALE_MM,), (_BIAS_SD,), voxel_size_mm, rng))
    real, imaginary = noise * rng.standard_normal((2, *shape), dtype=np.float32)
    magnitude = np.hypot(signal * texture * bias + real, imaginary)  # Rician: a magnitude is never below 0
    scale = 300 * np.exp(0.3 * rng.standard_normal())
    return np.where(brain_mask, scale * magnitude, 0).astype(np.float32)
