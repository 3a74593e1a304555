"""Grey matter, white matter and cerebrospinal fluid (CSF)."""

from __future__ import annotations

import numpy as np

TEMPLATE_GREY, TEMPLATE_WHITE, TEMPLATE_CSF = 0.655, 0.88, 0.22
"""Intensities of pure tissue in the ICBM152 2009a T1, as shares of its maximum."""


def template_fractions(
    t1: np.ndarray, grey: np.ndarray, white: np.ndarray, brain_mask: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Separate CSF from the template's tissue maps.

    The ICBM152 grey-matter map holds the fluid of the sulci; the T1 template
    tells how much, since CSF is dark on it.

    Parameters
    ----------
    t1 : np.ndarray
        ``(x, y, z)``, template scaled to a maximum of 1.
    grey, white : np.ndarray
        ``(x, y, z)``, the template's maps, 0 to 1.
    brain_mask : np.ndarray
        ``(x, y, z)`` bool.

    Returns
    -------
    grey, white, csf : np.ndarray
        float32 fractions that sum to 1 inside the brain mask and are 0 outside.
    """
    t1, grey, white = (np.asarray(image, dtype=np.float32) for image in (t1, grey, white))
    tissue = grey + white
    solid = np.maximum(tissue, 0.05)
    expected = np.where(tissue > 0.05, (TEMPLATE_GREY * grey + TEMPLATE_WHITE * white) / solid, TEMPLATE_GREY)
    csf = np.clip((expected - t1) / (expected - TEMPLATE_CSF), 0, 1)
    csf = np.maximum(csf, 1 - np.clip(tissue, 0, 1)) * brain_mask
    share = np.where(tissue > 0, grey / np.where(tissue > 0, tissue, 1), 0)
    grey_left = (1 - csf) * share * brain_mask
    white_left = (1 - csf) * (1 - share) * brain_mask
    return tuple(np.asarray(f, dtype=np.float32) for f in (grey_left, white_left, csf))
