"""The same patient with one cause changed: what the image would look like without it, or with more of it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from relevox.phantom.anatomy import LOBES, VENTRICLES, TemplateMaps, make_anatomy
from relevox.phantom.causes import LESIONS
from relevox.phantom.cohort import PlannedScan
from relevox.phantom.patient import Patient, shares_with

LOSS, GROWTH = 0.10, 0.40
"""Added to the log volume that a lobe has lost, and to the ventricles' log volume."""

CHANGES = {
    **dict.fromkeys(LESIONS, "removed: healthy tissue in its place"),
    **dict.fromkeys(LOBES, f"log volume lower by {LOSS:g}, as drawn"),
    VENTRICLES: f"log volume higher by {GROWTH:g}, as drawn",
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
    for region in (*LOBES, VENTRICLES):
        more = dict(planned.change)
        more[region] += GROWTH if region == VENTRICLES else LOSS
        yield region, shares_with(make_anatomy(maps, patient.velocity, more), patient.lesions.mask)
