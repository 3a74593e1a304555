"""Gaussian random fields: smooth noise with several scales at once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from scipy.fft import irfftn, rfftn


def random_field(
    shape: tuple[int, int, int],
    scales_mm: Sequence[float],
    weights: Sequence[float],
    voxel_size_mm: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Draw a periodic Gaussian random field: independent smooth noises of several scales, added.

    Parameters
    ----------
    shape : tuple of int
        Voxels along x, y, z.
    scales_mm : sequence of float
        Standard deviation of each scale's smoothing kernel, millimetres.
    weights : sequence of float
        Standard deviation each scale contributes.
    voxel_size_mm : float
        Edge of a voxel.
    rng : np.random.Generator
        Source of the noise.

    Returns
    -------
    np.ndarray
        ``(x, y, z)`` float32 with expectation 0 and variance ``sum(weights ** 2)``.

    Notes
    -----
    The sum of independent Gaussian fields is a Gaussian field whose spectra
    add, so one Fourier transform makes all scales together.
    """
    noise = rfftn(rng.standard_normal(shape, dtype=np.float32))
    noise *= _amplitudes(tuple(shape), tuple(scales_mm), tuple(weights), voxel_size_mm)
    return irfftn(noise, s=shape, overwrite_x=True).astype(np.float32, copy=False)


@lru_cache(maxsize=8)
def _amplitudes(
    shape: tuple[int, int, int], scales_mm: tuple[float, ...], weights: tuple[float, ...], voxel_size_mm: float
) -> np.ndarray:
    """How strong each frequency is, ``(x, y, z // 2 + 1)`` float32; the same for every field of a kind."""
    frequencies = [np.fft.fftfreq(n, voxel_size_mm) for n in shape[:2]] + [np.fft.rfftfreq(shape[2], voxel_size_mm)]
    square = sum(f**2 for f in np.meshgrid(*frequencies, indexing="ij", sparse=True))
    # every frequency but 0 and the last stands for itself and its mirror image
    twice = np.full(frequencies[2].size, 2.0)
    twice[0] = 1.0
    if shape[2] % 2 == 0:
        twice[-1] = 1.0
    power = np.zeros(square.shape)
    for scale, weight in zip(scales_mm, weights, strict=True):
        kernel = np.exp(-4 * np.pi**2 * scale**2 * square)  # squared transform of the Gaussian kernel
        power += weight**2 * kernel / ((kernel * twice).sum() / np.prod(shape))
    return np.sqrt(power).astype(np.float32)
