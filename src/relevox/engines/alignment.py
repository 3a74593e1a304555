"""Linear alignments of one scan: FLAIR to T1w, T1w to template; several starts, and the best by what it shows."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from scipy import ndimage

from relevox.config import PreprocessingSettings
from relevox.engines.brain import move_mask
from relevox.imaging import quality
from relevox.imaging.crop import Grid
from relevox.imaging.intensity import truncate
from relevox.imaging.resample import isotropic, resample
from relevox.imaging.template import Template
from relevox.records import Volume

RIGID_MM = 1.5
"""Edge of the voxels for FLAIR to T1w: at 2 mm the error doubles."""

START_PITCHES_DEGREES = (0.0, 15.0, -15.0, 30.0, -30.0)
"""Poses from which the affine registration starts: heads are mostly nodded in the scanner."""

FLAIR_PITCHES_DEGREES = (0.0, 25.0, -25.0)
"""Poses from which FLAIR is tried again, its centre on that of the T1w."""

MASK_MARGIN_MM = 10.0
"""What lies further from the brain takes no part in the registration of FLAIR to T1w."""

MIN_COVERAGE = 0.85
"""A registration is trusted when this much of the template's surroundings lies in the field of view."""

MIN_RIGID_NMI = 1.04
"""Below it the headers did not bring FLAIR and T1w near enough, and another start is tried."""


class Linear(Protocol):
    """A program that registers linearly (:mod:`relevox.engines.ants`, :class:`relevox.engines.fsl.Flirt`)."""

    def rigid(self, fixed: Volume, moving: Volume, start: np.ndarray | None = None, threads: int = 1) -> np.ndarray:
        """Map from fixed to moving points by rotation and translation."""

    def affine(self, fixed: Volume, moving: Volume, start: np.ndarray | None = None, threads: int = 1) -> np.ndarray:
        """Map from fixed to moving points by 12 degrees of freedom."""


def flair_to_t1w(t1w: Volume, flair: Volume, mask: np.ndarray, linear: Linear, threads: int) -> np.ndarray:
    """Map from T1w points to FLAIR points: from the headers, and from other starts where those mislead.

    Parameters
    ----------
    t1w, flair : Volume
        ``(x, y, z)``, bias-corrected, each on its own grid.
    mask : np.ndarray
        ``(x, y, z)`` bool, the brain on the T1w's grid.
    linear : Linear
        Who registers.
    threads : int
        For it.

    Returns
    -------
    np.ndarray
        ``(4, 4)`` RAS+ millimetres: of all that were found, and the headers alone, the one with the largest
        normalised mutual information in the brain.
    """
    near = ndimage.distance_transform_edt(~mask, sampling=t1w.voxel_size_mm) <= MASK_MARGIN_MM
    fixed = isotropic(Volume(truncate(t1w.data) * near, t1w.affine), RIGID_MM)
    moving = isotropic(Volume(truncate(flair.data), flair.affine), RIGID_MM)
    grid = Grid(fixed.data.shape, fixed.affine)
    inside = move_mask(Volume(mask, t1w.affine), grid, np.eye(4))

    def nmi(matrix: np.ndarray) -> float:
        moved = resample(moving, grid, matrix)
        value = quality.normalised_mutual_information(fixed.data[inside], moved[inside])
        return -np.inf if np.isnan(value) else value

    found = linear.rigid(fixed, moving, threads=threads)
    if nmi(found) < MIN_RIGID_NMI:
        centres = _centre(fixed), _centre(moving)
        for degrees in FLAIR_PITCHES_DEGREES:
            found = max(found, linear.rigid(fixed, moving, _pitched(*centres, degrees), threads), key=nmi)
            if nmi(found) >= MIN_RIGID_NMI:
                break
    return max(np.eye(4), found, key=nmi)


def t1w_to_template(
    fixed: Volume,
    moving: Volume,
    template: Template,
    native_mask: Volume,
    settings: PreprocessingSettings,
    linear: Linear,
    threads: int,
) -> np.ndarray:
    """Map from template points to T1w points: the best of several affine registrations.

    They are compared by normalised mutual information around the template's brain, among those that keep
    most of it in the field of view: over whole images mutual information ranks them backwards.

    Parameters
    ----------
    fixed, moving : Volume
        ``(x, y, z)`` template and T1w, brains only, on cubic voxels.
    template : Template
        On its whole 1 mm grid.
    native_mask : Volume
        ``(x, y, z)`` bool, the brain on the T1w's grid.
    settings : PreprocessingSettings
        Number of starts.
    linear : Linear
        Who registers.
    threads : int
        For it.
    """
    grid = Grid(fixed.data.shape, fixed.affine)
    around = move_mask(Volume(template.brain_mask, template.affine), grid, np.eye(4))
    around = ndimage.binary_dilation(around, iterations=2)
    field_of_view = Volume(np.ones(native_mask.data.shape, dtype=np.float32), native_mask.affine)

    def worth(matrix: np.ndarray) -> tuple[bool, float]:
        covered = resample(field_of_view, grid, matrix)[around] > 0.5
        moved = resample(moving, grid, matrix)
        nmi = quality.normalised_mutual_information(fixed.data[around], moved[around])
        return bool(covered.mean() > MIN_COVERAGE), -np.inf if np.isnan(nmi) else nmi

    candidates = []
    for pitch in START_PITCHES_DEGREES[: settings.registration_starts]:
        start = _pitched(_centre(fixed), _centre(native_mask), pitch)
        turned = linear.rigid(fixed, moving, start, threads)
        candidates.append(linear.affine(fixed, moving, turned, threads))
    return max(candidates, key=worth)


def _pitched(fixed_centre: np.ndarray, moving_centre: np.ndarray, degrees: float) -> np.ndarray:
    """Start that puts the centres on each other and nods the head."""
    angle = np.deg2rad(degrees)
    start = np.eye(4)
    start[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    start[:3, 3] = moving_centre - start[:3, :3] @ fixed_centre
    return start


def _centre(volume: Volume) -> np.ndarray:
    """Centre of mass in RAS+ millimetres."""
    voxel = np.array(ndimage.center_of_mass(np.asarray(volume.data, dtype=np.float32)))
    return volume.affine[:3, :3] @ voxel + volume.affine[:3, 3]
