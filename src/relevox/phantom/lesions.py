"""White-matter lesions: a prior of place plus a random field, cut where the loads are met.

Two numbers are solved for, so that both loads are exact: a threshold gives
the total, and a tilt towards the ventricles divides it into periventricular
and other lesions.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from relevox.phantom.anatomy import Anatomy
from relevox.phantom.random_fields import random_field

PERIVENTRICULAR_MM = 10.0
"""Lesion voxels this near to the lateral ventricles are periventricular."""

LESION_SCALES_MM = (1.6, 4.0, 10.0)
LESION_WEIGHTS = (0.85, 0.9, 0.85)
"""Scales of the random field: ragged edges, single lesions, clusters. It is weak beside the prior, so that patients
share places."""

_CANDIDATE_WHITE = 0.4
"""Lesions arise where at least this share of a voxel is white matter."""

_TILT_WIDTH_MM = 2.0
"""The tilt fades over this distance around the border, so that no lesion is cut there."""

_LARGEST_TILT = 60.0
_BISECTIONS = 40


class Lesions(NamedTuple):
    """The lesions of one scan."""

    periventricular: np.ndarray
    """``(x, y, z)`` bool."""
    other: np.ndarray
    """``(x, y, z)`` bool."""

    @property
    def mask(self) -> np.ndarray:
        """All lesions, ``(x, y, z)`` bool."""
        return self.periventricular | self.other


def log_prior(anatomy: Anatomy) -> np.ndarray:
    """Return where lesions like to be, ``(x, y, z)`` float32 up to a constant.

    Along the ventricles' outer edge, near the ventricles at all, away from the
    cortex, seldom below the tentorium (3 % of the volume in real consensus masks).
    """
    near = 1.5 * np.exp(-anatomy.ventricle_distance_mm / 10.0)
    cortical = 1.5 * np.exp(-anatomy.cortex_distance_mm / 3.0)
    return 5.5 * anatomy.lesion_places + near - cortical - 0.8 * anatomy.infratentorial


def lesion_field(shape: tuple[int, int, int], voxel_size_mm: float, rng: np.random.Generator) -> np.ndarray:
    """Draw the random field that makes a patient's lesions their own; repeated scans share it."""
    return random_field(shape, LESION_SCALES_MM, LESION_WEIGHTS, voxel_size_mm, rng)


def make_lesions(
    anatomy: Anatomy, field: np.ndarray, periventricular_ml: float, other_ml: float, voxel_ml: float
) -> Lesions:
    """Place lesions with given loads.

    Parameters
    ----------
    anatomy : Anatomy
        The patient without lesions.
    field : np.ndarray
        ``(x, y, z)`` random field (:func:`lesion_field`).
    periventricular_ml, other_ml : float
        Wanted native volumes.
    voxel_ml : float
        Native volume of a voxel.

    Returns
    -------
    Lesions
        Their volumes differ from the wanted ones by less than a voxel each, as long as there is room.

    Notes
    -----
    The score of a voxel is prior + field + tilt * w, with w falling from 1 to
    0 around the border. The voxels with the highest scores are taken; raising
    the tilt only ever trades other voxels for periventricular ones, so that
    bisection finds the share. What ties leave over is settled voxel by voxel.
    """
    candidates = np.flatnonzero((anatomy.white >= _CANDIDATE_WHITE) & (anatomy.ventricles < 0.3))
    distance = anatomy.ventricle_distance_mm.ravel()[candidates]
    inner = distance <= PERIVENTRICULAR_MM
    n_inner, n_outer = round(periventricular_ml / voxel_ml), round(other_ml / voxel_ml)
    room_inner, room_outer = np.count_nonzero(inner), np.count_nonzero(~inner)
    # what a very small brain cannot hold near the ventricles lies elsewhere
    n_inner, n_outer = min(n_inner, room_inner), n_outer + max(n_inner - room_inner, 0)
    assert n_outer <= room_outer, (n_outer, room_outer)

    score = (log_prior(anatomy) + field).ravel()[candidates].astype(np.float64)
    towards = 1.0 / (1.0 + np.exp((distance - PERIVENTRICULAR_MM) / _TILT_WIDTH_MM))
    low, high = -_LARGEST_TILT, _LARGEST_TILT
    total = n_inner + n_outer
    chosen = np.zeros(candidates.size, dtype=bool)
    for _ in range(_BISECTIONS if total else 0):
        tilt = (low + high) / 2
        chosen = _highest(score + tilt * towards, total)
        excess = np.count_nonzero(chosen & inner) - n_inner
        if excess == 0:
            break
        low, high = (low, tilt) if excess > 0 else (tilt, high)
    tilted = score + (low + high) / 2 * towards
    masks = []
    for zone, wanted in ((inner, n_inner), (~inner, n_outer)):
        selected = chosen & zone
        if np.count_nonzero(selected) != wanted:
            selected = _highest(np.where(zone, tilted, -np.inf), wanted)
        mask = np.zeros(anatomy.white.size, dtype=bool)
        mask[candidates[selected]] = True
        masks.append(mask.reshape(anatomy.white.shape))
    return Lesions(*masks)


def _highest(score: np.ndarray, n: int) -> np.ndarray:
    """Mark the n highest scores."""
    chosen = np.zeros(score.size, dtype=bool)
    if n:
        chosen[np.argpartition(score, score.size - n)[score.size - n :]] = True
    return chosen
