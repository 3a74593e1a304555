"""The same patient with one cause changed: what the image would look like without it, or with more of it.

Lesions of one kind are healed, or one lobe's sulci widen at the expense of its
cortex. Both change the image where the cause is and nowhere else, and leave
every other cause as it was. Ventricles cannot grow alone: what lies around
them moves.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from relevox.phantom.anatomy import Anatomy, TemplateMaps, make_anatomy
from relevox.phantom.atrophy import LOBES, VENTRICLES, thinned
from relevox.phantom.causes import LESIONS, REGIONS
from relevox.phantom.cohort import PlannedScan
from relevox.phantom.patient import Patient, shares_with

LOSS, GROWTH = 0.10, 0.20
"""Taken from the log volume of a lobe's cortex, added to the ventricles'."""

CHANGES = {
    **dict.fromkeys(LESIONS, "removed: healthy tissue in its place"),
    **dict.fromkeys(LOBES, f"log volume lower by {LOSS:g}: fluid takes the place of cortex within voxels"),
    VENTRICLES: f"log volume higher by {GROWTH:g}: the tissue around them moves",
}
"""What is changed, by cause."""


def changed_shares(maps: TemplateMaps, planned: PlannedScan, patient: Patient) -> Iterator[tuple[str, np.ndarray]]:
    """Yield each cause with the tissue shares of the patient in whom it alone is changed.

    Parameters
    ----------
    maps : TemplateMaps
        The template.
    planned : PlannedScan
        What was drawn.
    patient : Patient
        What was made of it.

    Yields
    ------
    str
        A key of ``CHANGES``.
    np.ndarray
        ``(4, x, y, z)`` as :func:`patient.tissue_shares`. Where a region changes, lesions stay in their voxels.
    """
    inner, outer = patient.lesions
    for cause, left in zip(LESIONS, (outer, inner), strict=True):
        yield cause, shares_with(patient.anatomy, left)
    for lobe in LOBES:
        yield lobe, shares_with(_atrophied(patient, lobe), patient.lesions.mask)
    grown = dict(planned.change) | {VENTRICLES: planned.change[VENTRICLES] + GROWTH}
    yield VENTRICLES, shares_with(make_anatomy(maps, patient.velocity, grown), patient.lesions.mask)


def _atrophied(patient: Patient, lobe: str) -> Anatomy:
    """Move the borders within a lobe's voxels until its cortex has lost ``LOSS`` of log volume to fluid."""
    where = patient.regions == REGIONS.index(lobe) + 1
    fractions = np.stack([patient.anatomy.grey, patient.anatomy.white, patient.anatomy.csf])
    column = fractions[:, where][:, :, None, None]  # as a block of one voxel by one
    fractions[:, where] = thinned(column, -LOSS, 0.0)[:, :, 0, 0]
    grey, white, csf = fractions
    return patient.anatomy._replace(grey=grey, white=white, csf=csf)
