"""Maps from one space to another: integrating velocities, resampling through displacements, their determinant.

A displacement ``u`` stands for the map ``psi(y) = y + u(y)``, in millimetres, on the grid of its images.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numba import njit
from scipy.fft import dctn, idctn

_SQUARINGS = 6
"""A velocity is integrated in 2 ** 6 steps."""


def _compiled(function: Callable) -> Callable:
    """Compile on the first call and keep the machine code on disk, where that can be written."""
    try:
        return njit(cache=True, nogil=True)(function)
    except RuntimeError:
        return njit(nogil=True)(function)


def velocity_from_log_jacobian(log_jacobian: np.ndarray, voxel_size_mm: float) -> np.ndarray:
    """Return the potential flow with a prescribed divergence.

    The divergence of a velocity is, to first order, the logarithm of the
    Jacobian of its exponential: ``div v = log J``, solved for ``v = grad p``
    by a cosine transform (nothing flows through the grid's faces).

    Parameters
    ----------
    log_jacobian : np.ndarray
        ``(x, y, z)`` wanted log J; its mean is taken off, since the box keeps its volume.
    voxel_size_mm : float
        Edge of a voxel.

    Returns
    -------
    np.ndarray
        ``(3, x, y, z)`` float32, millimetres.
    """
    spectrum = dctn(np.asarray(log_jacobian, dtype=np.float32), type=2, norm="ortho")
    x, y, z = np.meshgrid(*[np.cos(np.pi * np.arange(n) / n) for n in spectrum.shape], indexing="ij", sparse=True)
    laplacian = ((2 * (x + y + z) - 6) / voxel_size_mm**2).astype(np.float32)
    laplacian[0, 0, 0] = 1.0
    spectrum /= laplacian
    spectrum[0, 0, 0] = 0.0
    potential = idctn(spectrum, type=2, norm="ortho")
    return np.stack(np.gradient(potential, np.float32(voxel_size_mm))).astype(np.float32)


def exponential(velocity: np.ndarray, voxel_size_mm: float) -> np.ndarray:
    """Integrate a stationary velocity field by scaling and squaring.

    Parameters
    ----------
    velocity : np.ndarray
        ``(3, x, y, z)`` millimetres.
    voxel_size_mm : float
        Edge of a voxel.

    Returns
    -------
    np.ndarray
        ``(3, x, y, z)`` displacement ``psi(y) - y`` in millimetres.
    """
    # the components of a voxel side by side throughout: no copies between the steps
    displacement = np.ascontiguousarray(np.moveaxis(velocity, 0, -1), dtype=np.float32) / np.float32(2**_SQUARINGS)
    for _ in range(_SQUARINGS):
        displacement = displacement + _sample(displacement, displacement, np.float32(1 / voxel_size_mm))
    return np.ascontiguousarray(np.moveaxis(displacement, -1, 0))


def resample(images: np.ndarray, displacement: np.ndarray, voxel_size_mm: float) -> np.ndarray:
    """Take images at displaced positions: ``image(y + displacement(y))``, linear, edges repeated.

    Parameters
    ----------
    images : np.ndarray
        ``(channels, x, y, z)``.
    displacement : np.ndarray
        ``(3, x, y, z)`` millimetres.
    voxel_size_mm : float
        Edge of a voxel.

    Returns
    -------
    np.ndarray
        ``(channels, x, y, z)`` float32.
    """
    # the channels of a voxel side by side: its eight neighbours are fetched once for all of them
    source = np.ascontiguousarray(np.moveaxis(images, 0, -1), dtype=np.float32)
    steps = np.ascontiguousarray(np.moveaxis(displacement, 0, -1), dtype=np.float32)
    return np.ascontiguousarray(np.moveaxis(_sample(source, steps, np.float32(1 / voxel_size_mm)), -1, 0))


def shares_taken(displacement: np.ndarray, voxel_size_mm: float) -> np.ndarray:
    """Return how many voxels' worth is taken from every voxel: the transpose of :func:`resample`.

    For any image ``f``, ``resample(f).sum() == (f * shares_taken).sum()``, so that the volumes of many regions
    in the patient are dot products, without resampling each.

    Parameters
    ----------
    displacement : np.ndarray
        ``(3, x, y, z)`` millimetres.
    voxel_size_mm : float
        Edge of a voxel.

    Returns
    -------
    np.ndarray
        ``(x, y, z)`` float64; sums to the number of voxels.
    """
    return _spread(np.ascontiguousarray(displacement, dtype=np.float32), np.float32(1 / voxel_size_mm))


def jacobian_determinant(displacement: np.ndarray, voxel_size_mm: float) -> np.ndarray:
    """Return det(1 + grad u), ``(x, y, z)`` float32, by central differences.

    Parameters
    ----------
    displacement : np.ndarray
        ``(3, x, y, z)`` millimetres.
    voxel_size_mm : float
        Edge of a voxel.
    """
    rows = [np.gradient(component, voxel_size_mm) for component in displacement]
    (a, b, c), (d, e, f), (g, h, i) = rows
    a, e, i = 1 + a, 1 + e, 1 + i
    return (a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)).astype(np.float32)


@_compiled
def _sample(source, displacement, per_mm):  # pragma: no cover - compiled
    nx, ny, nz, channels = source.shape
    sampled = np.empty(source.shape, np.float32)
    top_x, top_y, top_z = np.float32(nx - 1), np.float32(ny - 1), np.float32(nz - 1)
    zero, one = np.float32(0), np.float32(1)
    for x in range(nx):
        for y in range(ny):
            for z in range(nz):
                px = min(max(np.float32(x) + displacement[x, y, z, 0] * per_mm, zero), top_x)
                py = min(max(np.float32(y) + displacement[x, y, z, 1] * per_mm, zero), top_y)
                pz = min(max(np.float32(z) + displacement[x, y, z, 2] * per_mm, zero), top_z)
                i, j, k = min(int(px), nx - 2), min(int(py), ny - 2), min(int(pz), nz - 2)
                fx, fy, fz = px - np.float32(i), py - np.float32(j), pz - np.float32(k)
                a, b = (one - fx) * (one - fy), (one - fx) * fy
                c, d = fx * (one - fy), fx * fy
                gz = one - fz
                for t in range(channels):
                    near = (
                        a * source[i, j, k, t]
                        + b * source[i, j + 1, k, t]
                        + c * source[i + 1, j, k, t]
                        + d * source[i + 1, j + 1, k, t]
                    )
                    far = (
                        a * source[i, j, k + 1, t]
                        + b * source[i, j + 1, k + 1, t]
                        + c * source[i + 1, j, k + 1, t]
                        + d * source[i + 1, j + 1, k + 1, t]
                    )
                    sampled[x, y, z, t] = gz * near + fz * far
    return sampled


@_compiled
def _spread(displacement, per_mm):  # pragma: no cover - compiled
    _, nx, ny, nz = displacement.shape
    taken = np.zeros((nx, ny, nz))
    top_x, top_y, top_z = np.float32(nx - 1), np.float32(ny - 1), np.float32(nz - 1)
    zero, one = np.float32(0), np.float32(1)
    for x in range(nx):
        for y in range(ny):
            for z in range(nz):
                px = min(max(np.float32(x) + displacement[0, x, y, z] * per_mm, zero), top_x)
                py = min(max(np.float32(y) + displacement[1, x, y, z] * per_mm, zero), top_y)
                pz = min(max(np.float32(z) + displacement[2, x, y, z] * per_mm, zero), top_z)
                i, j, k = min(int(px), nx - 2), min(int(py), ny - 2), min(int(pz), nz - 2)
                fx, fy, fz = px - np.float32(i), py - np.float32(j), pz - np.float32(k)
                for dx in range(2):
                    wx = fx if dx else one - fx
                    for dy in range(2):
                        wxy = wx * (fy if dy else one - fy)
                        taken[i + dx, j + dy, k] += wxy * (one - fz)
                        taken[i + dx, j + dy, k + 1] += wxy * fz
    return taken
