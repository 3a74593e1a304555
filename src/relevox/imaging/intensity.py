"""Intensity scales: what the network sees of an image (SPEC 2)."""

from __future__ import annotations

import numpy as np

from relevox.errors import ImageError

PERCENTILES = (0.5, 99.5)
"""Clipping limits of the ``percentile`` scale, in percent of the brain's voxels."""


def normalise(image: np.ndarray, mask: np.ndarray, method: str = "median") -> np.ndarray:
    """Scale an image over the brain and set the background to 0.

    Parameters
    ----------
    image : np.ndarray
        ``(x, y, z)``.
    mask : np.ndarray
        ``(x, y, z)`` bool, the brain.
    method : str
        ``minmax``: the brain's minimum becomes 0 and its maximum 1 (the paper's).
        ``median``: negative voxels become 0 and the brain's median 1.
        ``percentile``: clipped to the brain's 0.5 and 99.5 percentiles, which become 0 and 1.

    Returns
    -------
    np.ndarray
        float32.

    Raises
    ------
    ImageError
        When the mask is empty, or the image constant inside it (or without a positive median).

    Notes
    -----
    Under ``minmax`` the brightest voxel of a FLAIR is a lesion, so that the
    lesion load rescales every voxel; ``median`` is our default for that reason.

    Examples
    --------
    >>> normalise(np.array([2.0, 4.0, 6.0, 9.0]), np.array([True, True, True, False]), "minmax").tolist()
    [0.0, 0.5, 1.0, 0.0]
    """
    inside = np.asarray(image, dtype=np.float32)[mask]
    if inside.size == 0:
        raise ImageError("expected a brain, but the mask is empty", code="mask-empty", remedy="check the brain mask")
    if method == "median":
        low, high = 0.0, float(np.median(np.clip(inside, 0, None)))
        scaled = np.clip(inside, 0, None)
    elif method == "percentile":
        low, high = (float(q) for q in np.percentile(inside, PERCENTILES))
        scaled = np.clip(inside, low, high)
    elif method == "minmax":
        low, high = float(inside.min()), float(inside.max())
        scaled = inside
    else:
        raise AssertionError(method)
    if inside.min() == inside.max() or not high > low:
        raise ImageError(
            f"expected an image that varies inside the brain, but it has no {method} scale there "
            f"(from {inside.min():g} to {inside.max():g})",
            code="image-constant",
            remedy="check that this is the right image and that it is not empty",
        )
    result = np.zeros(mask.shape, dtype=np.float32)
    result[mask] = (scaled - low) / (high - low)
    return result


def truncate(image: np.ndarray, upper_percentile: float = 99.5) -> np.ndarray:
    """Clip an image at 0 and at a percentile of its positive voxels, for registration.

    Parameters
    ----------
    image : np.ndarray
        ``(x, y, z)``.
    upper_percentile : float
        In percent.

    Raises
    ------
    ImageError
        When no voxel is positive.
    """
    positive = image[image > 0]
    if positive.size == 0:
        raise ImageError("expected an image, but no voxel is above 0", code="image-constant", remedy="check the image")
    return np.clip(image, 0, np.percentile(positive, upper_percentile)).astype(np.float32)
