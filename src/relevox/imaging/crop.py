"""The grid of the network's input: a box of the template, at 1 mm or in blocks of it (SPEC 2)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from relevox.errors import ImageError
from relevox.records import Volume

CROP_START = (26, 25, 1)
"""First voxel of the box on the template's 197 x 233 x 189 grid: it is centred on the template's brain."""

CROP_SHAPE = (144, 184, 152)
"""Size of the box in voxels of 1 mm (paper 2.2)."""

TEMPLATE_SHAPE = (197, 233, 189)
"""Voxels of the whole template at 1 mm."""

TEMPLATE_ORIGIN_MM = (-98.0, -134.0, -72.0)
"""Position of the template's first voxel, RAS+ millimetres."""


class Grid(NamedTuple):
    """Where the voxels of an image lie."""

    shape: tuple[int, int, int]
    """Voxels along x, y, z."""
    affine: np.ndarray
    """``(4, 4)`` voxel to RAS+ millimetres."""


def template_grid() -> Grid:
    """Return the whole template's grid at 1 mm."""
    affine = np.eye(4)
    affine[:3, 3] = TEMPLATE_ORIGIN_MM
    return Grid(TEMPLATE_SHAPE, affine)


def study_grid(voxel_size_mm: int = 1) -> Grid:
    """Return the grid of the network's input.

    Parameters
    ----------
    voxel_size_mm : int
        Edge of a voxel; it divides 8, so that the box holds whole blocks.

    Returns
    -------
    Grid
        ``(144, 184, 152)`` at 1 mm, ``(36, 46, 38)`` at 4 mm; the outer faces are the same for all.

    Examples
    --------
    >>> study_grid(4).shape
    (36, 46, 38)
    >>> study_grid(4).affine[:3, 3].tolist()
    [-70.5, -107.5, -69.5]
    """
    assert 8 % voxel_size_mm == 0, voxel_size_mm
    affine = np.diag([voxel_size_mm, voxel_size_mm, voxel_size_mm, 1.0])
    # The centre of the first block lies half a block, less half a voxel, from the first voxel's centre.
    affine[:3, 3] = np.add(TEMPLATE_ORIGIN_MM, CROP_START) + (voxel_size_mm - 1) / 2
    return Grid(tuple(size // voxel_size_mm for size in CROP_SHAPE), affine)


def crop(image: np.ndarray) -> np.ndarray:
    """Cut the box out of an image on the whole template's grid.

    Parameters
    ----------
    image : np.ndarray
        ``(197, 233, 189)``.

    Returns
    -------
    np.ndarray
        ``(144, 184, 152)``, a view.
    """
    assert image.shape == TEMPLATE_SHAPE, image.shape
    return image[tuple(slice(a, a + n) for a, n in zip(CROP_START, CROP_SHAPE, strict=True))]


def crop_loss(mask: np.ndarray) -> float:
    """Return the share of a mask that the box cuts off.

    Parameters
    ----------
    mask : np.ndarray
        ``(197, 233, 189)`` bool.

    Returns
    -------
    float
        Between 0 and 1; NaN for an empty mask.
    """
    total = np.count_nonzero(mask)
    return float(1 - np.count_nonzero(crop(mask)) / total) if total else float("nan")


def block_mean(image: np.ndarray, block: int) -> np.ndarray:
    """Average an image over cubes of voxels.

    Parameters
    ----------
    image : np.ndarray
        ``(x, y, z)``, each a multiple of ``block``.
    block : int
        Edge of a cube in voxels.

    Returns
    -------
    np.ndarray
        ``(x / block, y / block, z / block)`` float32.

    Examples
    --------
    >>> block_mean(np.arange(8).reshape(2, 2, 2), 2).item()
    3.5
    """
    if block == 1:
        return np.asarray(image, dtype=np.float32)
    return _blocks(np.asarray(image, dtype=np.float32), block).mean(axis=-1)


def block_majority(labels: np.ndarray, block: int) -> np.ndarray:
    """Give each cube of voxels its most frequent label, background left out.

    Parameters
    ----------
    labels : np.ndarray
        ``(x, y, z)`` int, 0 = background, none below it.
    block : int
        Edge of a cube in voxels.

    Returns
    -------
    np.ndarray
        int32; 0 where a cube is all background; of equally frequent labels the smaller.

    Examples
    --------
    >>> block_majority(np.array([0, 0, 0, 0, 0, 7, 7, 3]).reshape(2, 2, 2), 2).item()
    7
    """
    labels = np.asarray(labels, dtype=np.int32)
    if block == 1:
        return labels
    best = np.zeros([size // block for size in labels.shape], dtype=np.int32)
    most = np.zeros(best.shape, dtype=np.int32)
    for label, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is None:
            continue
        # whole cubes around the label only: most labels are small
        cubes = tuple(slice(side.start // block, -(-side.stop // block)) for side in box)
        inside = tuple(slice(side.start * block, side.stop * block) for side in cubes)
        count = _blocks(labels[inside] == label, block).sum(axis=-1, dtype=np.int32)
        more = count > most[cubes]
        best[cubes][more] = label
        most[cubes][more] = count[more]
    return best


def onto_study_grid(volume: Volume, voxel_size_mm: int, labels: bool = False) -> np.ndarray:
    """Bring an image that is in template space already to the study's grid, without interpolation.

    Parameters
    ----------
    volume : Volume
        ``(x, y, z)`` on the whole template's 1 mm grid, on the study's grid, or on a finer study grid.
    voxel_size_mm : int
        Of the study's grid.
    labels : bool
        Most frequent label instead of the mean of a block.

    Raises
    ------
    ImageError
        For any other grid.
    """
    data, found = volume.data, None
    if _lies_on(volume, template_grid()):
        data, found = crop(data), 1
    else:
        finer = (size for size in (1, 2, 4, 8) if size <= voxel_size_mm)
        found = next((size for size in finer if _lies_on(volume, study_grid(size))), None)
    if found is None:
        expected = study_grid(voxel_size_mm).shape
        raise ImageError(
            f"expected the whole template at 1 mm, or its box of {expected} voxels of {voxel_size_mm} mm (or "
            f"finer), but got {data.shape} voxels of {np.round(volume.voxel_size_mm, 3).tolist()} mm",
            code="image-grid",
            remedy="set preprocessing.voxel_size_mm to the grid of these images, or give the raw images",
        )
    return (block_majority if labels else block_mean)(data, voxel_size_mm // found)


def _lies_on(volume: Volume, grid: Grid) -> bool:
    return volume.data.shape == grid.shape and np.allclose(volume.affine, grid.affine, atol=1e-3)


def _blocks(image: np.ndarray, block: int) -> np.ndarray:
    """View an image as ``(x, y, z, block ** 3)``."""
    assert all(size % block == 0 for size in image.shape), (image.shape, block)
    x, y, z = (size // block for size in image.shape)
    cubes = image.reshape(x, block, y, block, z, block).transpose(0, 2, 4, 1, 3, 5)
    return cubes.reshape(x, y, z, block**3)
