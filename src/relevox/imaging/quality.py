"""Measures that tell whether preprocessing went well, and the flags they raise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import ndimage

LIMITS: dict[str, tuple[float, float]] = {
    "mask_ml": (1000, 2000),
    "volume_gap": (-0.02, 0.02),
    "mask_dice": (0.93, np.inf),
    "warped_correlation": (0.5, np.inf),
    "volume_factor": (1.1, 1.7),
    "folded_share": (-np.inf, 0),
    "t1w_missing_share": (-np.inf, 0.01),
    "flair_missing_share": (-np.inf, 0.01),
    "crop_loss": (-np.inf, 0.005),
    "t1w_flair_nmi": (1.05, 1.5),
    "edge_agreement": (0.53, np.inf),
    "t1w_clipped_share": (-np.inf, 0.01),
    "flair_clipped_share": (-np.inf, 0.01),
    "tissue_contrast": (1.0, np.inf),
    "t1w_minus_flair_correlation": (0, np.inf),
    "slice_thickness_mm": (0, 4.5),
}
"""Usual range of each measure; outside it the scan is flagged, and a person should look at it."""

_WORDS = {
    "mask_ml": "brain mask volume {value:.0f} ml",
    "volume_gap": "white and grey matter and fluid differ from the brain mask in volume by {value:+.1%}",
    "mask_dice": "brain mask overlaps the template's by a Dice of only {value:.3f}",
    "warped_correlation": "correlation with the template after the warp is only {value:.2f}",
    "volume_factor": "affine registration changes the volume by {value:.2f}",
    "folded_share": "the warp folds in {value:.4%} of the brain",
    "t1w_missing_share": "{value:.1%} of the brain lies outside the T1w image",
    "flair_missing_share": "{value:.1%} of the brain lies outside the FLAIR image",
    "crop_loss": "the crop loses {value:.2%} of the brain",
    "t1w_flair_nmi": "T1w and FLAIR are unusually far from, or near to, each other (NMI {value:.3f}): "
    "misaligned, of two patients, or the same image twice",
    "edge_agreement": "edges of T1w and FLAIR agree by only {value:.2f}: misaligned, or of two patients",
    "t1w_clipped_share": "{value:.1%} of the brain is clipped on T1w: its intensities were cut off",
    "flair_clipped_share": "{value:.1%} of the brain is clipped on FLAIR: its intensities were cut off",
    "tissue_contrast": "grey and white matter hardly differ on T1w ({value:.2f} standard deviations)",
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


def placed_measures(
    t1w: np.ndarray, flair: np.ndarray, mask: np.ndarray, template_t1w: np.ndarray, template_mask: np.ndarray
) -> dict[str, float]:
    """Measure what the network will see, the same way for raw scans and for those given in template space.

    Parameters
    ----------
    t1w, flair : np.ndarray
        ``(x, y, z)`` on the study's grid, normalised, 0 outside the brain.
    mask : np.ndarray
        ``(x, y, z)`` bool, the patient's brain.
    template_t1w : np.ndarray
        ``(x, y, z)`` on the same grid.
    template_mask : np.ndarray
        ``(x, y, z)`` bool.

    Returns
    -------
    dict of str to float
        ``mask_dice`` (overlap of the two brains), ``template_correlation`` (T1w and template where both are
        brain, before any warp), ``t1w_minus_flair_correlation`` (by how much FLAIR's is smaller),
        ``t1w_flair_nmi``. They depend on the grid: compare scans of one study.
    """
    both = mask & template_mask
    of_t1w, of_flair = (correlation(image[both], template_t1w[both]) for image in (t1w, flair))
    return {
        "mask_dice": dice(mask, template_mask),
        "template_correlation": of_t1w,
        "t1w_minus_flair_correlation": of_t1w - of_flair,
        "t1w_flair_nmi": normalised_mutual_information(t1w[mask], flair[mask]),
    }


BRIGHT_Z = 1.5
"""Robust standard deviations above the brain's median at which FLAIR is cut off: brighter than any healthy tissue."""


def edge_agreement(t1w: np.ndarray, flair: np.ndarray, mask: np.ndarray, depth_voxels: int = 5) -> float:
    """Return the correlation of two contrasts' edge strength, well inside the brain.

    Edges lie in the same places whatever the contrast; those of another head do not. Lesions are the exception: their
    borders are the strongest of FLAIR and faint on T1w. FLAIR is therefore cut off where it is brighter than healthy
    tissue, or a patient with many lesions would seem to be two patients.

    Parameters
    ----------
    t1w, flair : np.ndarray
        ``(x, y, z)`` on one grid.
    mask : np.ndarray
        ``(x, y, z)`` bool. The edge of the brain itself would agree for any two heads.
    depth_voxels : int
        How much of the mask's rim is left out.

    Returns
    -------
    float
        NaN where nothing is left, or an image is constant.
    """
    found = ndimage.find_objects(np.asarray(mask).view(np.int8))
    if not found:
        return float("nan")
    box = found[0]
    inside = ndimage.binary_erosion(mask[box], iterations=depth_voxels)
    inside &= (t1w[box] > 0) & (flair[box] > 0)
    levels = flair[box][inside]
    if not levels.size:
        return float("nan")
    median = np.median(levels)
    brightest = median + BRIGHT_Z * 1.4826 * np.median(np.abs(levels - median))
    images = t1w[box], np.minimum(flair[box], brightest)
    edges = [ndimage.gaussian_gradient_magnitude(image.astype(np.float32), 1.5)[inside] for image in images]
    return correlation(*edges)


def tissue_contrast(t1w: np.ndarray, grey: np.ndarray, white: np.ndarray) -> float:
    """Return how far white lies above grey matter: difference of the means over the pooled standard deviation.

    Parameters
    ----------
    t1w : np.ndarray
        ``(x, y, z)``.
    grey, white : np.ndarray
        ``(x, y, z)`` probabilities; voxels above 0.9 count.

    Returns
    -------
    float
        NaN where a tissue has fewer than two such voxels or both are constant.
    """
    groups = [t1w[tissue > 0.9] for tissue in (grey, white)]
    if min(group.size for group in groups) < 2:
        return float("nan")
    spread = np.sqrt(np.mean([group.var(dtype=np.float64) for group in groups]))
    difference = groups[1].mean(dtype=np.float64) - groups[0].mean(dtype=np.float64)
    return float(difference / spread) if spread > 0 else float("nan")


def clipped_share(inside: np.ndarray) -> float:
    """Return the share of the brain's voxels that hold the very largest value: many, where a scanner cut it off.

    Parameters
    ----------
    inside : np.ndarray
        ``(voxels,)`` intensities of the raw image in the brain.

    Returns
    -------
    float
        NaN for an empty brain.

    Examples
    --------
    >>> clipped_share(np.array([1.0, 2.0, 4095.0, 4095.0]))
    0.5
    """
    return float(np.mean(inside == inside.max())) if inside.size else float("nan")


MIN_COHORT = 10
"""Scans below which no scan is called unusual among them."""

MAX_ROBUST_Z = 5.0
"""Distance from the cohort's median beyond which a scan is flagged."""


def robust_z(values: np.ndarray) -> np.ndarray:
    """Return each value's distance from the median, in 1.4826 median absolute deviations.

    Parameters
    ----------
    values : np.ndarray
        ``(n,)``; NaN = not measured.

    Returns
    -------
    np.ndarray
        ``(n,)``; NaN where a value is, and everywhere with fewer than ``MIN_COHORT`` values or when more than
        half of them are equal.
    """
    values = np.asarray(values, dtype=float)
    known = values[np.isfinite(values)]
    if known.size < MIN_COHORT:
        return np.full(values.shape, np.nan)
    centre = np.median(known)
    spread = 1.4826 * np.median(np.abs(known - centre))
    return (values - centre) / spread if spread > 0 else np.full(values.shape, np.nan)


def cohort_flags(measures: Sequence[Mapping[str, float]]) -> list[tuple[str, ...]]:
    """Say for each scan which of its measures lie far from the other scans'.

    Parameters
    ----------
    measures : sequence of mapping of str to float
        One a scan; any measures.

    Returns
    -------
    list of tuple of str
        Empty tuples for usual scans, and for all where the cohort has fewer than ``MIN_COHORT`` scans.
    """
    names = list(dict.fromkeys(name for scan in measures for name in scan))
    found: list[list[str]] = [[] for _ in measures]
    for name in names:
        values = np.array([scan.get(name, np.nan) for scan in measures], dtype=float)
        for said, value, z in zip(found, values, robust_z(values), strict=True):
            if abs(z) > MAX_ROBUST_Z:
                title = name.replace("_", " ")
                said.append(f"{title} {value:.4g}: unusual among the cohort's scans (robust z {z:+.1f})")
    return [tuple(said) for said in found]


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
