"""Measures that tell whether preprocessing went well, and the flags they raise."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

LIMITS: dict[str, tuple[float, float]] = {
    "mask_ml": (1000, 2000),
    "mask_dice": (0.93, np.inf),
    "template_correlation": (0.5, np.inf),
    "volume_factor": (1.1, 1.7),
    "folded_share": (-np.inf, 0),
    "mask_border_voxels": (-np.inf, 0),
    "crop_loss": (-np.inf, 0.005),
    "t1w_flair_nmi": (1.04, 1.5),
    "t1w_minus_flair_correlation": (0, np.inf),
    "slice_thickness_mm": (0, 4.5),
}
"""Usual range of each measure; outside it the scan is flagged, and a person should look at it."""

_WORDS = {
    "mask_ml": "brain mask volume {value:.0f} ml",
    "mask_dice": "brain mask overlaps the template's by a Dice of only {value:.3f}",
    "template_correlation": "correlation with the template after the warp is only {value:.2f}",
    "volume_factor": "affine registration changes the volume by {value:.2f}",
    "folded_share": "the warp folds in {value:.4%} of the brain",
    "mask_border_voxels": "the brain touches the edge of the T1w image: part of it may be missing",
    "crop_loss": "the crop loses {value:.2%} of the brain",
    "t1w_flair_nmi": "T1w and FLAIR are unusually far from, or near to, each other (NMI {value:.3f}): "
    "misaligned, of two patients, or the same image twice",
    "t1w_minus_flair_correlation": "the FLAIR looks more like a T1w template than the T1w does: swapped?",
    "slice_thickness_mm": "slices of {value:.1f} mm",
}


def flags(measures: Mapping[str, float]) -> tuple[str, ...]:
    """Say which measures are outside their usual range.

    Parameters
    ----------
    measures : mapping of str to float
        Any of the keys of ``LIMITS``; others are passed over, and so are NaN.

    Examples
    --------
    >>> flags({"mask_ml": 700.0, "crop_loss": 0.001})
    ('brain mask volume 700 ml',)
    """
    return tuple(
        _WORDS[name].format(value=measures[name])
        for name, (low, high) in LIMITS.items()
        if name in measures and (measures[name] < low or measures[name] > high)
    )


def normalised_mutual_information(a: np.ndarray, b: np.ndarray, bins: int = 32) -> float:
    """Return (H(a) + H(b)) / H(a, b): 1 for independent images, 2 for one that determines the other.

    Parameters
    ----------
    a, b : np.ndarray
        ``(voxels,)`` of two images at the same places.
    bins : int
        Of the histogram along each image.

    Returns
    -------
    float
        NaN when one of them is constant.

    Examples
    --------
    >>> x = np.arange(64.0)
    >>> normalised_mutual_information(x, -x)
    2.0
    """
    if a.size == 0 or a.min() == a.max() or b.min() == b.max():
        return float("nan")
    joint = np.histogram2d(a, b, bins)[0]
    joint /= joint.sum()

    def entropy(p: np.ndarray) -> float:
        p = p[p > 0]
        return float(-(p * np.log(p)).sum())

    return (entropy(joint.sum(axis=1)) + entropy(joint.sum(axis=0))) / entropy(joint)


def dice(a: np.ndarray, b: np.ndarray) -> float:
    """Return the overlap 2 |a and b| / (|a| + |b|) of two masks; NaN when both are empty.

    Examples
    --------
    >>> dice(np.array([True, True, False]), np.array([True, False, False]))
    0.6666666666666666
    """
    total = np.count_nonzero(a) + np.count_nonzero(b)
    return float(2 * np.count_nonzero(a & b) / total) if total else float("nan")


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Return Pearson's correlation of two images at the same places; NaN when one is constant."""
    if a.size < 2 or a.min() == a.max() or b.min() == b.max():
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])


def border_voxels(mask: np.ndarray) -> int:
    """Count the mask's voxels on the faces of the image."""
    inner = np.zeros(mask.shape, dtype=bool)
    inner[1:-1, 1:-1, 1:-1] = True
    return int(np.count_nonzero(mask & ~inner))
