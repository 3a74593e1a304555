"""Maps from one space to another: integrating velocities, resampling through displacements, their determinant.

A displacement ``u`` stands for the map ``psi(y) = y + u(y)``, in millimetres, on the grid of its images.
"""

from __future__ import annotations

from functools import lru_cache, partial

import numpy as np
from scipy.fft import dctn, idctn

from relevox.compiled import compiled

_SQUARINGS = 6
"""A velocity is integrated in 2 ** 6 steps."""


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
    spectrum /= _laplacian(spectrum.shape, voxel_size_mm)
    spectrum[0, 0, 0] = 0.0
    potential = idctn(spectrum, type=2, norm="ortho", overwrite_x=True)
    return np.stack(np.gradient(potential, np.float32(voxel_size_mm))).astype(np.float32, copy=False)


@lru_cache(maxsize=2)
def _laplacian(shape: tuple[int, int, int], voxel_size_mm: float) -> np.ndarray:
    """Eigenvalues of the Laplacian under the cosine transform; 1 for the mean, which has none."""
    x, y, z = np.meshgrid(*[np.cos(np.pi * np.arange(n) / n) for n in shape], indexing="ij", sparse=True)
    laplacian = ((2 * (x + y + z) - 6) / voxel_size_mm**2).astype(np.float32)
    laplacian[0, 0, 0] = 1.0
    return laplacian


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
    displacement = np.ascontiguousarray(velocity, dtype=np.float32) / np.float32(2**_SQUARINGS)
    for _ in range(_SQUARINGS):
        further = _sample(displacement, displacement, np.float32(1 / voxel_size_mm))
        further += displacement
        displacement = further
    return displacement


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
    source = np.ascontiguousarray(images, dtype=np.float32)
    steps = np.ascontiguousarray(displacement, dtype=np.float32)
    return _sample(source, steps, np.float32(1 / voxel_size_mm))


def look_up(images: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Take images at any points, linear, edges repeated.

    Parameters
    ----------
    images : np.ndarray
        ``(channels, x, y, z)``.
    points : np.ndarray
        ``(3, n)`` in voxels; 0 is the centre of the first one.

    Returns
    -------
    np.ndarray
        ``(channels, n)`` float32.
    """
    return _look_up(np.ascontiguousarray(images, dtype=np.float32), np.ascontiguousarray(points, dtype=np.float32))


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
    return _determinant(np.ascontiguousarray(displacement, dtype=np.float32), np.float32(voxel_size_mm))


@partial(compiled, inline="always")
def _interpolate(values, shape, place, count, first, weight, out, start):  # pragma: no cover - compiled
    # first where each value comes from and how its neighbours weigh, then channel by channel, so that the processor
    # works on many of a row at once
    channels, nx, ny, nz = shape
    top_x, top_y, top_z = np.float32(nx - 1), np.float32(ny - 1), np.float32(nz - 1)
    last_x, last_y, last_z = np.int32(nx - 2), np.int32(ny - 2), np.int32(nz - 2)
    next_y, next_x = np.int32(nz), np.int32(ny * nz)
    zero, one = np.float32(0), np.float32(1)
    for z in range(count):
        px, py = min(max(place[0, z], zero), top_x), min(max(place[1, z], zero), top_y)
        pz = min(max(place[2, z], zero), top_z)
        i, j, k = min(np.int32(px), last_x), min(np.int32(py), last_y), min(np.int32(pz), last_z)
        fx, fy, fz = px - np.float32(i), py - np.float32(j), pz - np.float32(k)
        weight[0, z], weight[1, z] = (one - fx) * (one - fy), (one - fx) * fy
        weight[2, z], weight[3, z] = fx * (one - fy), fx * fy
        weight[4, z], weight[5, z] = one - fz, fz
        first[z] = i * next_x + j * next_y + k
    for channel in range(channels):
        value = values[channel]
        for z in range(count):
            n = first[z]
            near = (
                weight[0, z] * value[n]
                + weight[1, z] * value[n + next_y]
                + weight[2, z] * value[n + next_x]
                + weight[3, z] * value[n + next_x + next_y]
            )
            n += np.int32(1)
            far = (
                weight[0, z] * value[n]
                + weight[1, z] * value[n + next_y]
                + weight[2, z] * value[n + next_x]
                + weight[3, z] * value[n + next_x + next_y]
            )
            out[channel, start + z] = weight[4, z] * near + weight[5, z] * far


@compiled
def _sample(source, displacement, per_mm):  # pragma: no cover - compiled
    channels, nx, ny, nz = source.shape
    values = source.reshape(channels, nx * ny * nz)
    sampled = np.empty(source.shape, np.float32)
    flat = sampled.reshape(channels, nx * ny * nz)
    place, first, weight = np.empty((3, nz), np.float32), np.empty(nz, np.int32), np.empty((6, nz), np.float32)
    for x in range(nx):
        for y in range(ny):
            for z in range(nz):
                place[0, z] = np.float32(x) + displacement[0, x, y, z] * per_mm
                place[1, z] = np.float32(y) + displacement[1, x, y, z] * per_mm
                place[2, z] = np.float32(z) + displacement[2, x, y, z] * per_mm
            _interpolate(values, source.shape, place, nz, first, weight, flat, (x * ny + y) * nz)
    return sampled


@compiled
def _look_up(images, points):  # pragma: no cover - compiled
    channels, nx, ny, nz = images.shape
    values = images.reshape(channels, nx * ny * nz)
    n = points.shape[1]
    found = np.empty((channels, n), np.float32)
    row = 512
    place, first, weight = np.empty((3, row), np.float32), np.empty(row, np.int32), np.empty((6, row), np.float32)
    for start in range(0, n, row):
        count = min(row, n - start)
        for axis in range(3):
            for z in range(count):
                place[axis, z] = points[axis, start + z]
        _interpolate(values, images.shape, place, count, first, weight, found, start)
    return found


@compiled
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


@compiled
def _determinant(displacement, voxel_size_mm):  # pragma: no cover - compiled
    _, nx, ny, nz = displacement.shape
    determinant = np.empty((nx, ny, nz), np.float32)
    one, both = np.float32(1), np.float32(2) * voxel_size_mm
    slope = np.empty((3, 3), np.float32)  # of each component along each axis; one-sided at the faces
    for x in range(nx):
        x0, x1 = max(x - 1, 0), min(x + 1, nx - 1)
        dx = both if x1 - x0 == 2 else voxel_size_mm
        for y in range(ny):
            y0, y1 = max(y - 1, 0), min(y + 1, ny - 1)
            dy = both if y1 - y0 == 2 else voxel_size_mm
            for z in range(nz):
                z0, z1 = max(z - 1, 0), min(z + 1, nz - 1)
                dz = both if z1 - z0 == 2 else voxel_size_mm
                for component in range(3):
                    u = displacement[component]
                    slope[component, 0] = (u[x1, y, z] - u[x0, y, z]) / dx
                    slope[component, 1] = (u[x, y1, z] - u[x, y0, z]) / dy
                    slope[component, 2] = (u[x, y, z1] - u[x, y, z0]) / dz
                xx, xy, xz = one + slope[0, 0], slope[0, 1], slope[0, 2]
                yx, yy, yz = slope[1, 0], one + slope[1, 1], slope[1, 2]
                zx, zy, zz = slope[2, 0], slope[2, 1], one + slope[2, 2]
                determinant[x, y, z] = xx * (yy * zz - yz * zy) - xy * (yx * zz - yz * zx) + xz * (yx * zy - yy * zx)
    return determinant
