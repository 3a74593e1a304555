"""The records that pass between rooms: frozen, named, with units.

Arrays follow the axes ``x, y, z`` of a RAS+ grid (first index grows to the
patient's right, second to the front, third to the top).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

GROUPS = ("TP", "FP", "TN", "FN")
"""Prediction groups: true and false positives and negatives."""


@dataclass(frozen=True, order=True)
class ScanId:
    """Which scan: one session of one patient."""

    participant: str
    """BIDS participant label with its prefix, for example ``sub-001``."""
    session: str = ""
    """BIDS session label with its prefix (``ses-01``); empty where a data set has no sessions."""

    @property
    def key(self) -> str:
        """File-name stem, ``sub-001_ses-01`` or ``sub-001``."""
        return f"{self.participant}_{self.session}" if self.session else self.participant

    def __str__(self) -> str:
        return self.key


@dataclass(frozen=True)
class Scan:
    """The files of one scan, before preprocessing."""

    id: ScanId
    """Patient and session."""
    t1w: Path | None = None
    """Raw T1-weighted image; None where only derivatives exist."""
    flair: Path | None = None
    """Raw T2-FLAIR image; None where only derivatives exist."""
    derivatives: Mapping[str, Path] = field(default_factory=dict)
    """What the user already has, by kind (see ``store.bids.DERIVATIVES``)."""


@dataclass(frozen=True)
class Observation:
    """One scan with its outcome and what else is known of it."""

    id: ScanId
    """Patient and session."""
    score: float
    """The clinical score matched with the scan."""
    label: int
    """1 where the score reaches the threshold, else 0."""
    age_years: float = np.nan
    """Age at the scan in years; NaN where unknown."""
    sex: str = ""
    """``F``, ``M`` or empty where unknown."""
    scanner: str = ""
    """Scanner model; empty where unknown."""
    field_strength_t: float = np.nan
    """Field strength in tesla; NaN where unknown."""
    disease_duration_years: float = np.nan
    """Years since the first attack; NaN where unknown."""
    score_at_scan: float = np.nan
    """The score at the time of the scan, where the outcome is a later one; NaN where unknown or not looked for."""


@dataclass(frozen=True)
class Cohort:
    """The scans of a study in a fixed order (sorted by patient, then session)."""

    observations: tuple[Observation, ...]
    """One row a scan."""

    def __len__(self) -> int:
        return len(self.observations)

    def __iter__(self) -> Iterator[Observation]:
        return iter(self.observations)

    @property
    def ids(self) -> tuple[ScanId, ...]:
        """Scan identifiers, one a row."""
        return tuple(o.id for o in self.observations)

    @property
    def labels(self) -> np.ndarray:
        """Class per scan, ``(n,)`` int32."""
        return np.array([o.label for o in self.observations], dtype=np.int32)

    @property
    def patients(self) -> np.ndarray:
        """Patient per scan, ``(n,)`` of str: the unit of folds and resampling."""
        return np.array([o.id.participant for o in self.observations])


@dataclass(frozen=True)
class Fold:
    """One round of the cross-validation, as row numbers of the cohort."""

    index: int
    """0-based number of the fold; its scans are the test scans."""
    train: np.ndarray
    """Rows used for training."""
    validation: np.ndarray
    """Rows used for early stopping: the next fold."""
    test: np.ndarray
    """Rows predicted by this fold's models."""


@dataclass(frozen=True)
class Volume:
    """An image: array and geometry travel together."""

    data: np.ndarray
    """``(x, y, z)`` or ``(channels, x, y, z)`` for maps with channels."""
    affine: np.ndarray
    """``(4, 4)`` voxel to RAS+ millimetres."""

    @property
    def voxel_size_mm(self) -> np.ndarray:
        """Edge lengths of a voxel in millimetres, ``(3,)``."""
        return np.sqrt((np.asarray(self.affine)[:3, :3] ** 2).sum(axis=0))

    @property
    def voxel_volume_ml(self) -> float:
        """Volume of a voxel in millilitres."""
        return float(abs(np.linalg.det(np.asarray(self.affine)[:3, :3])) / 1000)


@dataclass(frozen=True)
class Prediction:
    """One model's answer for one scan."""

    id: ScanId
    """Patient and session."""
    model: str
    """``cnn``, ``volumes``, ``scanner``, ``age_sex``, ..."""
    fold: int
    """Fold whose model answered."""
    label: int
    """True class."""
    probability: float
    """Probability of class 1."""

    @property
    def predicted(self) -> int:
        """Argmax; an exact tie goes to class 0 (SPEC 3)."""
        return int(self.probability > 0.5)

    @property
    def group(self) -> str:
        """``TP``, ``FP``, ``TN`` or ``FN``."""
        return prediction_group(self.label, self.predicted)


@dataclass(frozen=True)
class Ballot:
    """What the models of all folds say together about one scan of an external cohort (paper 2.5)."""

    id: ScanId
    """Patient and session."""
    model: str
    """``cnn``, ``volumes``, ..."""
    label: int
    """True class."""
    predicted: int
    """Class of the majority; an equal split is decided by the mean probability."""
    probability: float
    """Mean probability of class 1."""
    share: float
    """Share of the models that voted for class 1."""
    decision: float
    """Above 0.5 exactly where class 1 wins: the share, ties by the mean probability."""
    fold_probabilities: tuple[float, ...]
    """Probability of class 1, one a fold."""

    @property
    def group(self) -> str:
        """``TP``, ``FP``, ``TN`` or ``FN``."""
        return prediction_group(self.label, self.predicted)


def prediction_group(label: int, predicted: int) -> str:
    """Name the cell of the confusion matrix.

    Examples
    --------
    >>> prediction_group(1, 1), prediction_group(0, 1)
    ('TP', 'FP')
    """
    return ("T" if label == predicted else "F") + ("P" if predicted else "N")


@dataclass(frozen=True)
class AttributionMap:
    """The explanation of one scan by one method."""

    relevance: np.ndarray
    """``(channels, x, y, z)`` float32."""
    method: str
    """``lrp``, ``integrated_gradients``, ..."""
    rule: str
    """The rule and its options, in words."""
    target: int
    """Explained class."""
    start: float
    """Value from which the propagation started (or the explained difference)."""
    fold: int = -1
    """Fold whose model was explained; -1 where that has no meaning."""

    @property
    def total(self) -> float:
        """Sum of the relevance, to be held against ``start``."""
        return float(self.relevance.sum(dtype=np.float64))


@dataclass(frozen=True)
class VoxelwiseFit:
    """A linear model fitted in every voxel (SPEC 6.3); NaN where nothing could be fitted."""

    r2: np.ndarray
    """``(v,)`` explained share of the variance."""
    adjusted_r2: np.ndarray
    """``(v,)`` the same, corrected for the number of fitted regressors."""
    partial_r2: np.ndarray
    """``(k, v)`` share of the remaining variance each regressor explains."""
    standardised_beta: np.ndarray
    """``(k, v)`` b * sd(x) / sd(y)."""
    n: int
    """Number of scans."""
    fitted: np.ndarray
    """``(k, v)`` bool: the regressors that were not dropped."""
