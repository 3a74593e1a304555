"""The template as arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Template:
    """The average head that every scan is brought to; all arrays on one grid, read-only."""

    t1: np.ndarray
    """``(x, y, z)`` float32, brain only, scaled to a maximum of 1 at 1 mm."""
    grey: np.ndarray
    """``(x, y, z)`` float32 fraction of grey matter, sulcal fluid removed."""
    white: np.ndarray
    """``(x, y, z)`` float32 fraction of white matter."""
    csf: np.ndarray
    """``(x, y, z)`` float32 fraction of cerebrospinal fluid, ventricles included."""
    brain_mask: np.ndarray
    """``(x, y, z)`` bool."""
    regions: np.ndarray
    """``(x, y, z)`` int32 labels of ``imaging.regions.REGIONS``, > 0 exactly inside the brain mask."""
    atlas: np.ndarray
    """``(x, y, z)`` int32 Desikan-Killiany labels as they stand; 0 where the atlas has none."""
    affine: np.ndarray
    """``(4, 4)`` voxel to RAS+ millimetres."""
