"""The brain around which heads are built: tissue shares and distances of the template."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage

SHARPENING, GAINS = 2.0, (1.6, 1.0, 2.6)
"""Exponent, then weights of fluid, grey and white matter: an average of 152 brains is blurred."""
CLOSING_MM = 9.0
"""Sulci and fissures narrower than twice this belong to the closed brain."""
NECK_MM = 80
"""Room added below the template, which ends at the foramen magnum."""


@dataclass(frozen=True)
class HeadTemplate:
    """Maps of one brain on an isotropic grid, voxel axes along RAS+."""

    tissue: torch.Tensor
    """``(3, x, y, z)`` shares of fluid, grey and white matter; their sum is 0 outside the brain."""
    distance_mm: torch.Tensor
    """``(2, x, y, z)`` signed distances to the closed brain and to the brain itself, > 0 outside."""
    origin_mm: tuple[float, float, float]
    """Centre of the first voxel."""
    voxel_size_mm: float
    """Edge of a voxel."""

    def to(self, device: str | torch.device) -> HeadTemplate:
        """Return the same maps on another device."""
        return HeadTemplate(self.tissue.to(device), self.distance_mm.to(device), self.origin_mm, self.voxel_size_mm)


def signed_distance(mask: np.ndarray) -> np.ndarray:
    """Distance of each voxel's centre to the surface of a mask, in voxels, > 0 outside.

    Examples
    --------
    >>> signed_distance(np.array([0, 0, 1, 1, 0], dtype=bool))
    array([ 1.5,  0.5, -0.5, -0.5,  0.5], dtype=float32)
    """
    outside = ndimage.distance_transform_edt(~mask)
    inside = ndimage.distance_transform_edt(mask)
    return np.where(mask, 0.5 - inside, outside - 0.5).astype(np.float32)


def sharpen(csf: np.ndarray, grey: np.ndarray, white: np.ndarray) -> np.ndarray:
    """Make tissue fractions more like those of one brain, ``(3, x, y, z)`` float32.

    Their sum is 1 where it was positive.

    Examples
    --------
    >>> sharpen(np.array(0.5), np.array(0.5), np.array(0.0)).round(2)
    array([0.62, 0.38, 0.  ], dtype=float32)
    """
    fractions = np.stack([csf, grey, white]).astype(np.float32)
    fractions = fractions**SHARPENING * np.reshape(GAINS, (3,) + (1,) * (fractions.ndim - 1))
    total = fractions.sum(axis=0)
    return (fractions / np.where(total > 0, total, 1)).astype(np.float32)


def head_template(
    csf: np.ndarray,
    grey: np.ndarray,
    white: np.ndarray,
    brain_mask: np.ndarray,
    affine: np.ndarray,
    factor: int = 2,
) -> HeadTemplate:
    """Derive the maps of a :class:`HeadTemplate` from the template's images.

    Parameters
    ----------
    csf, grey, white : np.ndarray
        ``(x, y, z)`` fractions, 0 outside the brain.
    brain_mask : np.ndarray
        ``(x, y, z)`` bool.
    affine : np.ndarray
        ``(4, 4)`` voxel to millimetres; isotropic, axes along RAS+.
    factor : int, default 2
        The maps are means over blocks of this many voxels along each axis.
    """
    edge = float(affine[0, 0])
    assert np.allclose(affine[:3, :3], np.eye(3) * edge), "the template's axes run along RAS+"
    below = int(NECK_MM / edge)
    pad = ((0, 0), (0, 0), (below, 0))
    brain = np.pad(brain_mask, pad)
    # Dilate and erode by distance, so that the ball is round; beyond the grid the dilated part goes on.
    margin = int(CLOSING_MM / edge) + 2
    dilated = signed_distance(np.pad(brain, margin)) <= CLOSING_MM / edge
    closed = signed_distance(dilated) <= -CLOSING_MM / edge
    closed = ndimage.binary_fill_holes(closed[(slice(margin, -margin),) * 3] | brain)
    distances = np.stack([signed_distance(closed), signed_distance(brain)]) * edge
    origin = affine[:3, 3] - [0, 0, below * edge] + (factor - 1) / 2 * edge
    tissue = np.pad(sharpen(csf, grey, white), ((0, 0), *pad))
    return HeadTemplate(
        tissue=torch.from_numpy(_block_means(tissue, factor)),
        distance_mm=torch.from_numpy(_block_means(distances, factor)),
        origin_mm=tuple(float(o) for o in origin),
        voxel_size_mm=edge * factor,
    )


def _block_means(maps: np.ndarray, factor: int) -> np.ndarray:
    """Mean over blocks along the last three axes; what fills no block is dropped."""
    shape = [n // factor for n in maps.shape[1:]]
    maps = maps[:, : shape[0] * factor, : shape[1] * factor, : shape[2] * factor]
    x, y, z = shape
    blocks = maps.reshape(-1, x, factor, y, factor, z, factor)
    return np.ascontiguousarray(blocks.mean(axis=(2, 4, 6), dtype=np.float32))
