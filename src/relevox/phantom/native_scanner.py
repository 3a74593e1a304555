"""Where a scanner's voxels lie and what it makes of an ideal signal: slices, coils, noise, whole numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.fft import fftn, ifftn

from relevox.phantom.contrast import EXTERNAL_SCANNERS, Scanner
from relevox.records import Volume

_CHUNK = 6
"""Slices rendered at once."""

_LARGEST = 4095
"""12 bits, as scanners store them."""


class Protocol(NamedTuple):
    """Geometry of one sequence (paper, Table 1)."""

    plane: str
    """``sagittal`` (3D) or ``axial`` (2D)."""
    voxel_mm: tuple[float, float, float]
    """Acquired, along the right, front and top of the slab."""
    matrix: tuple[int, int, int]
    """Voxels along the same axes."""
    interpolation: int
    """In-plane zero filling: 2 halves the stored voxels."""
    profile: tuple[tuple[float, float], ...]
    """Positions across a slice, in slices, and their weights."""
    jitter_mm: float
    """Standard deviation of the patient's move between the two interleaved packages of a 2D sequence."""


class Placement(NamedTuple):
    """An image's grid before it is stored."""

    shape: tuple[int, int, int]
    """Acquired voxels."""
    affine: np.ndarray
    """``(4, 4)`` voxel to world, RAS+ millimetres; axes nearly right, front, top."""


_THIN = ((0.0, 1.0),)
_THICK = ((-0.42, 0.22), (-0.15, 0.28), (0.15, 0.28), (0.42, 0.22))
"""A slice of a 2D sequence has soft edges and is a little thicker than its distance."""


def protocol(scanner: Scanner, kind: str, slices: int) -> Protocol:
    """Return the geometry of a sequence.

    Parameters
    ----------
    scanner : Scanner
        One of ``contrast.ALL_SCANNERS``.
    kind : str
        ``t1w`` or ``flair``.
    slices : int
        Of a 2D sequence.
    """
    if kind == "t1w" or scanner in EXTERNAL_SCANNERS:
        thickness = 1.2 if scanner.name == "Symphony" else 1.0
        return Protocol("sagittal", (thickness, 1.0, 1.0), (round(176 / thickness), 240, 256), 1, _THIN, 0.0)
    interpolation = 2 if scanner.name in ("Symphony", "Tim Trio") else 1
    return Protocol("axial", (0.97, 0.97, 3.0), (224, 256, slices), interpolation, _THICK, 0.15)


def place(geometry: Protocol, rotation: np.ndarray, centre_mm: np.ndarray) -> Placement:
    """Put the slab's middle at a point of the world, turned."""
    affine = np.eye(4)
    affine[:3, :3] = rotation * geometry.voxel_mm
    affine[:3, 3] = centre_mm - affine[:3, :3] @ ((np.array(geometry.matrix) - 1) / 2)
    return Placement(geometry.matrix, affine)


def expose(
    signal_at: Callable[[np.ndarray], np.ndarray],
    geometry: Protocol,
    placement: Placement,
    rng: np.random.Generator,
) -> np.ndarray:
    """Average the signal over the profile of every slice.

    Parameters
    ----------
    signal_at : callable
        Maps ``(3, n)`` float32 world points to ``(n,)`` values.
    geometry : Protocol
        Slice profile.
    placement : Placement
        Grid.
    rng : np.random.Generator
        Source of the move between interleaved packages.

    Returns
    -------
    np.ndarray
        ``(x, y, z)`` float32.
    """
    axis = 0 if geometry.plane == "sagittal" else 2
    moved = rng.normal(0, geometry.jitter_mm, (2, 3)).astype(np.float32) if geometry.jitter_mm else np.zeros((2, 3))
    moved -= moved.mean(axis=0)
    image = np.zeros(placement.shape, dtype=np.float32)
    for start in range(0, placement.shape[axis], _CHUNK):
        stop = min(start + _CHUNK, placement.shape[axis])
        chunk = tuple(slice(start, stop) if a == axis else slice(None) for a in range(3))
        for offset, weight in geometry.profile:
            where = [np.arange(n, dtype=np.float32) for n in placement.shape]
            where[axis] = where[axis][start:stop]
            shift = moved[np.arange(start, stop) % 2].T  # (3, slices)
            shift = shift.reshape(3, *[-1 if a == axis else 1 for a in range(3)])
            where[axis] = where[axis] + np.float32(offset)
            points = positions(placement.affine, where) + shift
            values = signal_at(points.reshape(3, -1).astype(np.float32))
            image[chunk] += np.float32(weight) * values.reshape(image[chunk].shape)
    return image


def positions(affine: np.ndarray, where: list[np.ndarray]) -> np.ndarray:
    """World points of voxels given axis by axis, ``(3, x, y, z)``; sums, whose order no library changes."""
    i, j, k = np.meshgrid(*where, indexing="ij", sparse=True)
    return np.stack([row[0] * i + row[1] * j + row[2] * k + row[3] for row in affine[:3].astype(np.float32)])


def zero_filled(image: np.ndarray, factor: int) -> np.ndarray:
    """Interpolate in the plane by zeros around k-space, as scanners do, ``(factor x, factor y, z)``; magnitude."""
    if factor == 1:
        return np.abs(image)
    spectrum = np.fft.fftshift(fftn(image, axes=(0, 1)), axes=(0, 1))
    x, y = image.shape[:2]
    before = [(factor * n) // 2 - n // 2 for n in (x, y)]
    padded = np.pad(spectrum, [(b, factor * n - n - b) for b, n in zip(before, (x, y), strict=True)] + [(0, 0)])
    wide = ifftn(np.fft.ifftshift(padded, axes=(0, 1)), axes=(0, 1)) * factor**2
    return np.abs(wide).astype(np.float32)


def zero_filled_affine(affine: np.ndarray, factor: int) -> np.ndarray:
    """Voxels of a zero-filled image: the first one stays, the step shrinks."""
    return affine @ np.diag([1 / factor, 1 / factor, 1.0, 1.0])


def coil_sensitivity(shape: tuple[int, int, int], strength: float, rng: np.random.Generator) -> np.ndarray:
    """Draw a smooth positive field, ``(x, y, z)`` float32: a few cosines and a fall towards the neck.

    Parameters
    ----------
    shape : tuple of int
        Voxels along right, front, top.
    strength : float
        Standard deviation of its logarithm, about.
    rng : np.random.Generator
        Source.
    """
    order = 4
    n = np.arange(order)
    size = np.sqrt(sum(f**2 for f in np.meshgrid(n, n, n, indexing="ij")))
    weights = rng.standard_normal((order,) * 3) / (0.5 + size) ** 1.5
    weights[0, 0, 0] = 0
    weights *= strength / np.sqrt((weights**2).sum() / 4)
    bases = [np.cos(np.pi * n * (np.arange(m)[:, None] + 0.5) / m).astype(np.float32) for m in shape]
    field = np.einsum("abc,xa,yb,zc->xyz", weights.astype(np.float32), *bases, optimize=True)
    fall = np.clip(0.42 - (np.arange(shape[2], dtype=np.float32) + 0.5) / shape[2], 0, None)
    return np.exp(field - 3.0 * strength * fall)


def detect(image: np.ndarray, noise: float, scale: float, factor: int, rng: np.random.Generator) -> np.ndarray:
    """Add complex noise, interpolate, take the magnitude and store whole numbers.

    Parameters
    ----------
    image : np.ndarray
        ``(x, y, z)`` signal under the coil, white matter about 1.
    noise : float
        Standard deviation per channel in an acquired voxel.
    scale : float
        Stored value of 1.
    factor : int
        In-plane zero filling.
    rng : np.random.Generator
        Source of the noise.

    Returns
    -------
    np.ndarray
        int16, never negative.
    """
    real, imaginary = np.float32(noise) * rng.standard_normal((2, *image.shape), dtype=np.float32)
    magnitude = zero_filled(image + real + 1j * imaginary, factor)
    return np.clip(np.rint(scale * magnitude), 0, _LARGEST).astype(np.int16)


def stored(data: np.ndarray, affine: np.ndarray, codes: str) -> Volume:
    """Turn an image to other voxel axes without moving it.

    Parameters
    ----------
    data : np.ndarray
        ``(x, y, z)``, axes nearly right, front, top.
    affine : np.ndarray
        ``(4, 4)``.
    codes : str
        Where the new axes grow to, such as ``PSR``.

    Examples
    --------
    >>> turned = stored(np.arange(6).reshape(1, 2, 3), np.eye(4), "PSR")
    >>> turned.data.shape, turned.affine[:3, 0].tolist(), turned.affine[:3, 3].tolist()
    ((2, 3, 1), [0.0, -1.0, 0.0], [0.0, 1.0, 0.0])
    """
    axes = [("RL".find(c) >= 0) * 1 + ("AP".find(c) >= 0) * 2 + ("SI".find(c) >= 0) * 3 - 1 for c in codes]
    flipped = [c in "LPI" for c in codes]
    change = np.zeros((4, 4))
    change[3, 3] = 1
    for new, (old, flip) in enumerate(zip(axes, flipped, strict=True)):
        change[old, new] = -1 if flip else 1
        change[old, 3] = data.shape[old] - 1 if flip else 0
    turned = np.transpose(data, axes)[tuple(slice(None, None, -1) if flip else slice(None) for flip in flipped)]
    return Volume(np.ascontiguousarray(turned), affine @ change)
