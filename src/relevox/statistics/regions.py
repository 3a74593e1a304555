"""Which regions an attention map points at (SPEC 6.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from relevox.errors import InputError


@dataclass(frozen=True)
class RegionShares:
    """Region table of one map; columns follow the regions that were asked for."""

    percentiles: tuple[float, ...]
    """p thresholds, as percentiles of the positive relevance in the brain."""
    thresholds: np.ndarray
    """``(p,)`` their values; NaN for a map without positive relevance."""
    voxel_share: np.ndarray
    """``(p, r)`` share of the brain's supra-threshold voxels that lie in the region; NaN where there are none."""
    relevance_share: np.ndarray
    """``(r,)`` share of the brain's positive relevance; NaN where there is none."""
    volume_share: np.ndarray
    """``(r,)`` share of the brain's voxels."""
    mean_relevance: np.ndarray
    """``(r,)`` mean of the relevance, signs kept; NaN for a region without a voxel."""

    @property
    def enrichment(self) -> np.ndarray:
        """``(p, r)`` voxel share over volume share: 1 is chance; NaN for a region without a voxel."""
        with np.errstate(invalid="ignore"):
            return self.voxel_share / np.where(self.volume_share > 0, self.volume_share, np.nan)


class RegionTable:
    """Counts by region over a brain whose voxels are looked up once.

    Parameters
    ----------
    labels : array-like, (x, y, z)
        Region of each voxel, int >= 0; 0 is brain without a region.
    brain : array-like, (x, y, z)
        Bool: the voxels that count.
    regions : sequence of int
        Labels, in the order of the tables' columns; a label without a voxel has volume share 0.

    Raises
    ------
    InputError
        For shapes that differ, labels that are no regions, or an empty brain.
    """

    def __init__(self, labels: np.ndarray, brain: np.ndarray, regions: Sequence[int]) -> None:
        labels, brain = np.asarray(labels), np.asarray(brain, dtype=bool)
        if labels.shape != brain.shape:
            raise InputError(
                f"expected labels on the brain's grid {brain.shape}, but got {labels.shape}", code="labels-shape"
            )
        if not np.issubdtype(labels.dtype, np.integer) or labels.min(initial=0) < 0:
            raise InputError("expected whole numbers >= 0 as region labels", code="labels-invalid")
        if not brain.any():
            raise InputError("expected a brain, but the mask is empty", code="brain-empty")
        self.shape = brain.shape
        self.regions = np.asarray(regions, dtype=int)
        self.voxels = np.flatnonzero(brain)
        self.label = labels.ravel()[self.voxels].astype(np.intp)  # what bincount counts without a copy
        self.n_labels = max(int(self.label.max()), int(self.regions.max(initial=0))) + 1
        self.size = self._count(self.label)

    def shares(self, relevance: np.ndarray, percentiles: Sequence[float] = (95.0,)) -> RegionShares:
        """Describe one map.

        Parameters
        ----------
        relevance : array-like, (x, y, z)
            Summed over the channels.
        percentiles : sequence of float
            Of the positive relevance in the brain; voxels that reach the value count.

        Raises
        ------
        InputError
            For a map of another shape, or with NaN.

        Examples
        --------
        A uniform map has the share of the volume everywhere:

        >>> labels = np.array([1, 1, 1, 2]).reshape(4, 1, 1)
        >>> shares = RegionTable(labels, labels > 0, [1, 2]).shares(np.ones((4, 1, 1)))
        >>> shares.relevance_share.tolist(), shares.enrichment.tolist()
        ([0.75, 0.25], [[1.0, 1.0]])
        """
        relevance = np.asarray(relevance)
        if relevance.shape != self.shape:
            raise InputError(f"expected a map of shape {self.shape}, but got {relevance.shape}", code="relevance-shape")
        values = relevance.ravel()[self.voxels].astype(np.float64)
        if not np.isfinite(values).all():
            raise InputError("expected finite relevance in the brain", code="relevance-not-finite")
        positive = values[values > 0]
        thresholds = np.percentile(positive, percentiles) if len(positive) else np.full(len(percentiles), np.nan)
        with np.errstate(invalid="ignore"):  # 0 / 0 is NaN: no share of nothing
            mass = self._count(self.label, np.maximum(values, 0.0))
            above = np.stack([self._count(self.label[values >= threshold]) for threshold in thresholds])
            return RegionShares(
                percentiles=tuple(float(p) for p in percentiles),
                thresholds=np.asarray(thresholds, dtype=float),
                voxel_share=(above / above.sum(axis=1, keepdims=True))[:, self.regions],
                relevance_share=(mass / mass.sum())[self.regions],
                volume_share=(self.size / self.size.sum())[self.regions],
                mean_relevance=(self._count(self.label, values) / self.size)[self.regions],
            )

    def _count(self, labels: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
        return np.bincount(labels, weights, minlength=self.n_labels).astype(np.float64)
