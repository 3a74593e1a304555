"""The maps of a prediction group, written and read.

A NIfTI of ours holds no NaN: where nothing was fitted a map is 0, and a mask
beside it (``fitted``, one a regressor) says where that is.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from relevox.records import Volume
from relevox.store import images, layout

STATISTICS = {
    "mean": "mean over the group",
    "r2": "share of the variance over scans that the regressors explain",
    "adjustedr2": "the same, corrected for the number of regressors",
    "terms": "number of regressors that were fitted",
    "n": "scans in the fit",
    "partialr2": "share of what the others leave that one regressor explains",
    "beta": "standardised coefficient",
    "fitted": "1 where the regressor was fitted",
    "t": "t of the regressor",
    "logpuncorrected": "-log10 p by permutation, voxel by voxel",
    "logpfwe": "-log10 p of the largest |t| over all voxels: corrected for looking at all of them",
    "tfce": "threshold-free cluster enhancement of t",
    "logptfce": "-log10 p of the largest enhanced |t| over all voxels",
}
"""What follows ``desc-..._`` in the name of a group map."""


class GroupMaps:
    """Writes the maps of one group over the voxels of a brain, and keeps their paths.

    Parameters
    ----------
    study : Path
        The study folder.
    group : str
        ``TP``, ``FP``, ``TN``, ``FN`` or ``all``.
    brain : ndarray of bool, ``(x, y, z)``
        Where the v voxels lie.
    affine : ndarray, ``(4, 4)``
        Of the grid.
    """

    def __init__(self, study: Path, group: str, brain: np.ndarray, affine: np.ndarray) -> None:
        self.study, self.group, self.brain, self.affine = study, group, brain, affine
        self.written: list[Path] = []

    def write(self, desc: str, statistic: str, values: np.ndarray) -> None:
        """Write ``(v,)`` values; NaN becomes 0."""
        assert statistic in STATISTICS, statistic
        image = np.zeros(self.brain.shape, dtype=values.dtype)
        image[self.brain] = values if values.dtype == bool else np.nan_to_num(values, nan=0.0)
        place = layout.path(self.study, "group_map", group=self.group, desc=desc, statistic=statistic)
        self.written.append(images.write(place, Volume(image, self.affine)))


def blank_unfitted(
    maps: Mapping[tuple[str, str], np.ndarray], fitted: Mapping[str, np.ndarray]
) -> dict[tuple[str, str], np.ndarray]:
    """Put NaN where nothing was fitted: the maps on disk hold 0 there, and 0 would be a finding.

    Parameters
    ----------
    maps : mapping of (desc, statistic) to ndarray
        Of one group.
    fitted : mapping of regressor to ndarray of bool
        Their ``fitted`` masks; empty where nothing was fitted at all.
    """
    anywhere = np.any(list(fitted.values()), axis=0) if fitted else None
    blanked = {}
    for (desc, statistic), image in maps.items():
        if statistic == "mean" or anywhere is None:
            blanked[desc, statistic] = image
        else:
            blanked[desc, statistic] = np.where(fitted.get(desc, anywhere), image, np.nan)
        if statistic == "t":  # fitted, but lesioned in too few scans to be tested
            blanked[desc, statistic] = np.where(image != 0, blanked[desc, statistic], np.nan)
    return blanked
