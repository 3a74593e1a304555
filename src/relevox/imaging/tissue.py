"""Grey matter, white matter and cerebrospinal fluid (CSF)."""

from __future__ import annotations

import numpy as np

from relevox.errors import ImageError

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


_START_QUANTILES = (0.08, 0.40, 0.80)
"""First guesses of the mean intensities of CSF, grey and white matter: quantiles of the brain on T1w."""

_ITERATIONS = 15
_PRIOR_FLOOR = 1e-3


def segment(
    t1w: np.ndarray, mask: np.ndarray, grey: np.ndarray, white: np.ndarray, csf: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Divide a brain into three tissues by expectation maximisation with spatial priors.

    A mixture of three normal distributions of the T1w intensity, whose
    weights in each voxel are the template's fractions brought to the patient
    (Ashburner and Friston 1997). FLAIR takes no part: its contrast is that of lesions.

    Parameters
    ----------
    t1w : np.ndarray
        ``(x, y, z)``, bias-corrected.
    mask : np.ndarray
        ``(x, y, z)`` bool.
    grey, white, csf : np.ndarray
        ``(x, y, z)`` priors on the same grid; they need not sum to 1.

    Returns
    -------
    grey, white, csf : np.ndarray
        float32 probabilities that sum to 1 inside the mask and are 0 outside.

    Raises
    ------
    ImageError
        When the image is constant inside the mask.
    """
    inside = np.clip(t1w[mask], 0, np.percentile(t1w[mask], 99.5)).astype(np.float64)
    if not inside.std() > 0:
        raise ImageError(
            "expected a T1w image that varies inside the brain", code="image-constant", remedy="check the T1w image"
        )
    prior = np.stack([csf[mask], grey[mask], white[mask]]).astype(np.float64) + _PRIOR_FLOOR  # (3, voxels)
    prior /= prior.sum(axis=0)
    mean = np.quantile(inside, _START_QUANTILES)
    sd = np.full(3, inside.std() / 2)
    for _ in range(_ITERATIONS):
        posterior = prior * np.exp(-0.5 * ((inside - mean[:, None]) / sd[:, None]) ** 2) / sd[:, None]
        posterior /= posterior.sum(axis=0) + 1e-300
        weight = posterior.sum(axis=1)
        mean = posterior @ inside / weight
        spread = (posterior * (inside - mean[:, None]) ** 2).sum(axis=1) / weight
        sd = np.sqrt(spread) + 1e-3 * inside.std()  # never a class of one intensity
    posterior /= posterior.sum(axis=0)
    maps = np.zeros((3, *mask.shape), dtype=np.float32)
    maps[:, mask] = posterior
    return maps[1], maps[2], maps[0]
