"""The brain inside a realistic head: sulci, uneven tissue, lesions with soft edges.

The template is an average, so its convexity is smooth. Sulci are added where
a random pattern on the brain's surface crosses zero, and reach down along the
radius; grey matter lines them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from relevox.phantom.anatomy import Anatomy
from relevox.phantom.atrophy import thinned
from relevox.phantom.contrast import Scanner, tissue_signals
from relevox.phantom.lesions import Lesions
from relevox.phantom.random_fields import random_field
from relevox.phantom.warping import look_up

_PATTERN_MM = 3.4
"""Scale of the pattern: zero crossings about 15 mm apart on a sphere of the brain's size."""

_PATTERN_RADIUS_MM = 62.0
_WINDING_SCALE_MM, _WINDING_MM = 12.0, 2.0
_CORTEX_MM = 1.5
"""Grey matter that lines a sulcus where it meets white matter: less than a cortex, so that its volume is kept."""

_LESION_EDGE_MM = 0.6
_TEXTURE_SCALES_MM, _TEXTURE_SDS = (1.2, 5.0), (0.018, 0.02)
_RIM_MM = 3.0
_RIM = 0.14
"""White matter along the ventricles is brighter on FLAIR, in everybody."""

_HALO_MM, _HALO = 3.0, 0.5
"""Around lesions white matter is a little like them: reach, and share of their contrast beside them."""


class BrainSignal(NamedTuple):
    """What one sequence sees of the brain; ``(x, y, z)`` on the anatomy's grid."""

    signal: np.ndarray
    """Signal times share of brain, white matter = 1."""
    share: np.ndarray
    """Share of brain in the voxel."""


def sulcal_width_mm(age_years: float) -> float:
    """Half the width of a sulcus at its mouth."""
    return float(np.clip(0.55 + 0.010 * (age_years - 35), 0.4, 1.1))


def fold(anatomy: Anatomy, depth_mm: np.ndarray, half_width_mm: float, rng: np.random.Generator) -> Anatomy:
    """Add sulci to the cerebrum.

    Parameters
    ----------
    anatomy : Anatomy
        The patient, 1 mm.
    depth_mm : np.ndarray
        ``(x, y, z)`` depth below the closed brain's surface.
    half_width_mm : float
        Half the width of a sulcus at its mouth.
    rng : np.random.Generator
        Source of the pattern.

    Returns
    -------
    Anatomy
        With other shares of grey matter, white matter and fluid; their sum is kept in every voxel.

    Notes
    -----
    The patient's volumes are kept, too: what sulci opened and turned is made good where voxels of the cerebrum hold
    several tissues, so that fluid spread over blurred borders becomes fluid in sulci.
    """
    pattern, bottom = (_radial(anatomy.grey.shape, depth_mm, scale, rng) for scale in (_PATTERN_MM, 2 * _PATTERN_MM))
    slope = np.sqrt(sum(g**2 for g in np.gradient(pattern))) + 0.02
    beside = np.abs(pattern) / slope  # mm from the middle of the sulcus
    bottom = 11 + 4 * bottom
    cerebrum = np.clip(1 - 2 * anatomy.infratentorial, 0, 1) * _step(bottom - depth_mm, 1.0)
    width = half_width_mm * np.clip(1.15 - 0.6 * depth_mm / np.maximum(bottom, 4), 0.35, None)

    ribbon = _step(width + _CORTEX_MM - beside, 0.4) * cerebrum * (anatomy.ventricle_distance_mm > 8)
    turned = anatomy.white * ribbon
    grey, white = anatomy.grey + turned, anatomy.white - turned
    open_ = np.maximum(_step(width - beside, 0.3), _valleys(anatomy, half_width_mm))
    opened = grey * open_ * cerebrum
    folded = np.stack([grey - opened, white, anatomy.csf + opened])

    where = (anatomy.ventricle_distance_mm > 8) & (anatomy.infratentorial < 0.5)
    volumes = [image[where].sum(dtype=np.float64) for image in (anatomy.grey, anatomy.white)]
    column = folded[:, where][:, :, None, None]  # as a block of one voxel by one
    logs = np.log(volumes / column.reshape(3, -1)[:2].sum(axis=1, dtype=np.float64))
    folded[:, where] = thinned(column, *logs)[:, :, 0, 0]
    return anatomy._replace(grey=folded[0], white=folded[1], csf=folded[2])


def _valleys(anatomy: Anatomy, half_width_mm: float) -> np.ndarray:
    """Find the template's own sulci: between two banks of cortex, farthest from white matter, there is fluid."""
    away = ndimage.distance_transform_edt(anatomy.white < 0.5).astype(np.float32)
    away = ndimage.gaussian_filter(away, 0.6)
    crest = away - ndimage.maximum_filter(away, size=5)  # 0 in the middle of a sulcus
    inside = (anatomy.cortex_distance_mm < 1.5) & (anatomy.ventricle_distance_mm > 8)
    return _step(away - 1.7, 0.3) * _step(crest + half_width_mm, 0.2) * inside


def brain_signals(
    anatomy: Anatomy, lesions: Lesions, scanner: Scanner, rng: np.random.Generator
) -> dict[str, BrainSignal]:
    """Give tissue its contrast.

    Parameters
    ----------
    anatomy : Anatomy
        The patient with sulci, 1 mm.
    lesions : Lesions
        Their lesions.
    scanner : Scanner
        Field strength and timing.
    rng : np.random.Generator
        Source of the texture.

    Returns
    -------
    dict
        ``t1w`` and ``flair``.
    """
    shape = anatomy.grey.shape
    # a lesion's edge is soft, its volume is kept to first order
    soft = ndimage.gaussian_filter(lesions.mask.astype(np.float32), _LESION_EDGE_MM)
    halo = _HALO * np.clip(ndimage.gaussian_filter(soft, _HALO_MM) - 0.15, 0, None) * (1 - soft)
    solid = anatomy.grey + anatomy.white
    texture = 1 + random_field(shape, _TEXTURE_SCALES_MM, _TEXTURE_SDS, 1.0, rng)
    severity = np.clip(1 + 0.3 * random_field(shape, (6.0,), (1.0,), 1.0, rng), 0.4, 1.8)  # some are black holes
    rim = np.exp(-anatomy.ventricle_distance_mm / _RIM_MM)
    share = np.clip(solid + anatomy.csf, 0, 1)

    signals = {}
    for kind, (of_grey, of_white, of_csf, of_lesion) in tissue_signals(scanner).items():
        healthy = anatomy.grey * of_grey + anatomy.white * of_white * (1 + (_RIM * rim if kind == "flair" else 0))
        sick = np.clip(soft + halo, 0, 1) * solid * severity * (of_lesion - of_white)
        replaced = anatomy.grey * (of_white - of_grey) * soft  # where the lesion took grey matter's place
        signal = (healthy + replaced + sick) * texture + anatomy.csf * of_csf
        signals[kind] = BrainSignal(np.clip(signal, 0, None).astype(np.float32), share)
    return signals


def _radial(shape: tuple[int, ...], depth_mm: np.ndarray, scale_mm: float, rng: np.random.Generator) -> np.ndarray:
    """Draw a pattern of variance 1 on a sphere around the middle and spread it along the radius."""
    field = random_field(shape, (scale_mm,), (1.0,), 1.0, rng)
    middle = (np.array(shape, dtype=np.float32) - 1) / 2
    offset = np.stack(
        np.meshgrid(*[np.arange(n, dtype=np.float32) - m for n, m in zip(shape, middle, strict=True)], indexing="ij")
    )
    radius = np.sqrt((offset**2).sum(axis=0)) + 1e-3
    # sulci wind along the surface and lean as they go down
    position = offset * ((_PATTERN_RADIUS_MM - 0.25 * depth_mm) / radius)
    position += np.stack([random_field(shape, (_WINDING_SCALE_MM,), (_WINDING_MM,), 1.0, rng) for _ in range(3)])
    position += middle[:, None, None, None]
    return look_up(field[None], position.reshape(3, -1))[0].reshape(shape)


def _step(values: np.ndarray, width: float) -> np.ndarray:
    """Soft step from 0 to 1."""
    return 1 / (1 + np.exp(np.clip(-values / width, -30, 30)))
