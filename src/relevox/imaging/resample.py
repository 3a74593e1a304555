"""One resampling through any chain of transforms.

A transform is the map that resampling needs: from a point of the *target*
grid to the point of the *source* image, both in RAS+ millimetres. Affine
parts are ``(4, 4)`` matrices, composed by ``@`` before any voxel is touched;
a displacement field is added to the target's points first. So each image is
interpolated once, however many registrations stand behind it.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from relevox.imaging.crop import Grid
from relevox.records import Volume


def resample(
    source: Volume,
    grid: Grid,
    matrix: np.ndarray | None = None,
    displacement: Volume | None = None,
    order: int = 1,
) -> np.ndarray:
    """Bring an image onto a grid.

    Parameters
    ----------
    source : Volume
        ``(x, y, z)``, or ``(channels, x, y, z)`` for several images on one grid.
    grid : Grid
        Target.
    matrix : np.ndarray, optional
        ``(4, 4)`` target point to source point; identity when absent.
    displacement : Volume
        ``(3, x, y, z)`` millimetres added to a target point before ``matrix``; on any grid that covers
        the target (beyond it the displacement is 0).
    order : int
        1 = trilinear, 0 = nearest neighbour (labels).

    Returns
    -------
    np.ndarray
        Of the grid's shape (after the channels), 0 outside the source; float32, or the source's type for
        ``order=0``.
    """
    matrix = np.eye(4) if matrix is None else matrix
    data = np.asarray(source.data)
    data = data.astype(np.float32, copy=False) if order else data
    to_source = np.linalg.inv(source.affine) @ matrix
    channels = data if data.ndim == 4 else data[None]
    if displacement is None:
        to_voxel = to_source @ grid.affine
        moved = [
            ndimage.affine_transform(c, to_voxel[:3, :3], to_voxel[:3, 3], output_shape=grid.shape, order=order)
            for c in channels
        ]
    else:
        coordinates = _voxels_of(grid, to_source, displacement)
        moved = [ndimage.map_coordinates(c, coordinates, order=order) for c in channels]
    return np.stack(moved) if data.ndim == 4 else moved[0]


def _voxels_of(grid: Grid, to_source: np.ndarray, displacement: Volume) -> np.ndarray:
    """Source voxel coordinates ``(3, x, y, z)`` float32 of every displaced target point."""
    shift = resample(displacement, grid)
    to_voxel = (to_source @ grid.affine).astype(np.float32)
    x, y, z = np.ogrid[tuple(slice(0, n) for n in grid.shape)]
    coordinates = np.empty(shift.shape, dtype=np.float32)
    for row in range(3):
        linear = to_source[row, :3].astype(np.float32)
        coordinates[row] = to_voxel[row, 0] * x + to_voxel[row, 1] * y + to_voxel[row, 2] * z + to_voxel[row, 3]
        coordinates[row] += np.tensordot(linear, shift, axes=1)
    return coordinates


def isotropic(volume: Volume, voxel_size_mm: float) -> Volume:
    """Resample an image along its own axes to cubic voxels, smoothed first where they grow.

    Parameters
    ----------
    volume : Volume
        ``(x, y, z)``.
    voxel_size_mm : float
        Edge of the new voxels.

    Returns
    -------
    Volume
        It covers the same box.
    """
    size = volume.voxel_size_mm
    factor = voxel_size_mm / size
    # A Gaussian of 0.4 new voxels stands for the box over which a larger voxel averages.
    sigma = np.where(factor > 1, 0.4 * factor, 0)
    smooth = ndimage.gaussian_filter(np.asarray(volume.data, dtype=np.float32), sigma)
    shape = tuple(max(1, int(np.ceil(n / f - 0.01))) for n, f in zip(smooth.shape, factor, strict=True))
    affine = volume.affine.copy()
    affine[:3, :3] *= factor
    affine[:3, 3] += volume.affine[:3, :3] @ ((factor - 1) / 2)
    return Volume(resample(Volume(smooth, volume.affine), Grid(shape, affine)), affine)
