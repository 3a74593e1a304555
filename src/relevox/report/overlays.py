"""Pictures by which a person judges preprocessing. They hold brains, never faces."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from scipy import ndimage

from relevox.report.drawing import WIDTH_IN, axial_indices, grey_limits, house_style, show_strip, strip

_OUTLINE = "#E8432E"
_SECOND_OUTLINE = "#4CB3E6"
_ROOM_MM = 5.0
"""How far around the brain mask the head is shown: enough to see what the mask misses, too little for a face."""

_N_SLICES = 8


@house_style
def brain_mask_overlay(t1w: np.ndarray, mask: np.ndarray, voxel_size_mm: float) -> Figure:
    """Draw the outline of the brain mask on the T1w image.

    Parameters
    ----------
    t1w : ndarray, ``(x, y, z)``
        RAS+, cubic voxels.
    mask : ndarray of bool, ``(x, y, z)``
        The brain.
    voxel_size_mm : float
        Edge of a voxel.

    Returns
    -------
    Figure
        Two rows of axial slices; black further than 5 mm from the mask.
    """
    near = ndimage.distance_transform_edt(~mask, sampling=voxel_size_mm) <= _ROOM_MM
    slices = axial_indices(mask, 2 * _N_SLICES, 0.02, 0.98)
    return _rows([(t1w, slices[:_N_SLICES]), (t1w, slices[_N_SLICES:])], near, [(mask, _OUTLINE)], inside=mask)


@house_style
def alignment_overlay(t1w: np.ndarray, flair: np.ndarray, mask: np.ndarray, voxel_size_mm: float) -> Figure:
    """Draw the T1w's borders between fluid and tissue on the FLAIR: both must follow the same ventricles and sulci.

    Parameters
    ----------
    t1w, flair : ndarray, ``(x, y, z)``
        RAS+, on one grid of cubic voxels, FLAIR brought to the T1w.
    mask : ndarray of bool, ``(x, y, z)``
        The brain on T1w.
    voxel_size_mm : float
        Edge of a voxel.

    Returns
    -------
    Figure
        T1w above FLAIR, axial slices, the same lines on both; black further than 5 mm from the mask.
    """
    near = ndimage.distance_transform_edt(~mask, sampling=voxel_size_mm) <= _ROOM_MM
    slices = axial_indices(mask, _N_SLICES, 0.2, 0.85)
    smooth = ndimage.gaussian_filter(np.asarray(t1w, dtype=np.float32), 0.8 / voxel_size_mm)
    # the median of a brain on T1w lies in grey matter; fluid is darker than two thirds of it
    tissue = (smooth > 0.65 * np.median(smooth[mask])) & mask
    lines = [(tissue, _SECOND_OUTLINE), (mask, _OUTLINE)]
    return _rows([(t1w, slices), (flair, slices)], near, lines, inside=mask)


@house_style
def template_overlay(
    t1w: np.ndarray, flair: np.ndarray, brain_mask: np.ndarray, template_mask: np.ndarray, ventricles: np.ndarray
) -> Figure:
    """Draw the template's outline on the patient's images in template space.

    Parameters
    ----------
    t1w, flair : ndarray, ``(x, y, z)``
        Brain only.
    brain_mask : ndarray of bool, ``(x, y, z)``
        The patient's.
    template_mask, ventricles : ndarray of bool, ``(x, y, z)``
        The template's brain and lateral ventricles.

    Returns
    -------
    Figure
        T1w above FLAIR, axial slices.
    """
    slices = axial_indices(template_mask, _N_SLICES)
    shown = template_mask | brain_mask
    outlines = [(template_mask, _OUTLINE), (ventricles, _SECOND_OUTLINE)]
    return _rows([(t1w * brain_mask, slices), (flair * brain_mask, slices)], shown, outlines)


@house_style
def lesion_overlay(flair: np.ndarray, lesions: np.ndarray, brain_mask: np.ndarray) -> Figure:
    """Draw the outline of the lesions on the FLAIR image.

    Parameters
    ----------
    flair : ndarray, ``(x, y, z)``
        Brain only.
    lesions, brain_mask : ndarray of bool, ``(x, y, z)``
        On the same grid.

    Returns
    -------
    Figure
        Two rows of axial slices.
    """
    slices = axial_indices(brain_mask, 2 * _N_SLICES, 0.25, 0.9)
    rows = [(flair, slices[:_N_SLICES]), (flair, slices[_N_SLICES:])]
    return _rows(rows, brain_mask, [(lesions, _OUTLINE)])


def _rows(rows, shown: np.ndarray, outlines, inside: np.ndarray | None = None) -> Figure:
    """Lay rows of slices under each other, all cut to the box of ``shown``."""
    height, width = strip(shown, rows[0][1], shown).shape
    figure = Figure(figsize=(WIDTH_IN, len(rows) * WIDTH_IN * height / width), layout="constrained")
    figure.get_layout_engine().set(w_pad=0, h_pad=0.01, hspace=0, wspace=0)
    for axes, (image, slices) in zip(figure.subplots(len(rows), 1, squeeze=False)[:, 0], rows, strict=True):
        limits = grey_limits(image, shown if inside is None else inside)
        show_strip(axes, image, slices, shown, limits=limits, sides=True)
        for mask, colour in outlines:
            laid = np.nan_to_num(strip(mask, slices, shown))
            if laid.any():
                axes.contour(laid, [0.5], colors=colour, linewidths=0.5)
    return figure
