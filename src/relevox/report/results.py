"""What a report is made of: the results of a study, collected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from relevox.config import CohortSettings, Settings
from relevox.imaging.crop import study_grid
from relevox.records import GROUPS, Ballot, Cohort, Prediction, ScanId
from relevox.report.planted_results import PlantedResults
from relevox.statistics.novelty import Novelty, TrainingRange

Row = Mapping[str, Any]
"""A row of a table; numbers are floats, NaN where missing."""


def signed(text: str) -> str:
    """Write ``>=`` and ``<=`` as one sign."""
    return text.replace(">=", "\N{GREATER-THAN OR EQUAL TO}").replace("<=", "\N{LESS-THAN OR EQUAL TO}")


def class_names(settings: CohortSettings) -> tuple[str, str]:
    """Name class 0 and class 1 as a reader would: ``EDSS < 3`` and ``EDSS >= 3``, with the sign."""
    first, second = settings.class_words
    return signed(first), signed(second)


def _score(scores: Sequence[Row], model: str, measure: str, level: str) -> Row | None:
    for row in scores:
        if (row["model"], row["measure"], row["level"]) == (model, measure, level):
            return row
    return None


@dataclass(frozen=True)
class RegionShare:
    """One region in one attention map (SPEC 6.1)."""

    name: str
    """As in ``imaging.regions``."""
    voxel_share: float
    """Share of the voxels above the threshold that lie in it."""
    relevance_share: float
    """Share of the positive relevance that lies in it."""
    volume_share: float
    """Share of the brain that it is."""
    occlusion: float = np.nan
    """Fall of the explained class's margin when it is replaced by the cohort's mean; NaN where unknown."""

    @property
    def enrichment(self) -> float:
        """Voxel share over volume share: 1 is chance."""
        return self.voxel_share / self.volume_share if self.volume_share > 0 else np.nan


@dataclass(frozen=True)
class Example:
    """One scan shown in full."""

    prediction: Prediction
    """Scan, class and probability."""
    score: float
    """Its clinical score."""
    method: str
    """Attribution method."""
    target: int
    """Explained class."""
    flair: np.ndarray
    """``(x, y, z)`` in template space."""
    relevance: np.ndarray
    """``(x, y, z)``, summed over the channels."""
    brain_mask: np.ndarray
    """``(x, y, z)`` bool: the scan's own brain."""
    regions: tuple[RegionShare, ...]
    """One a region."""


@dataclass(frozen=True)
class ExternalResults:
    """What the models reach on another cohort."""

    name: str
    """In the study folder."""
    settings: CohortSettings
    """Its score and threshold."""
    cohort: Cohort
    """Scans with their outcome."""
    flow: Sequence[Row]
    """As for the study."""
    quality: Sequence[Row]
    """As for the study."""
    volume_names: Sequence[str]
    """k names."""
    volumes_ml: np.ndarray
    """``(n, k)`` native millilitres."""
    ballots: Sequence[Ballot]
    """All models."""
    scores: Sequence[Row]
    """``model, level, measure, value, ci_low, ci_high, wilson_low, ..., n``."""
    comparisons: Sequence[Row]
    """``model, against, level, test, measure, difference, statistic, p, n``."""
    calibration: Sequence[Row]
    """``model, level, slope, intercept, n``."""
    leaks: Sequence[Row]
    """``check, part, against, patients, scans, shared, verdict, who``."""
    characteristics: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """As for the study."""
    simulated: bool = False
    """The patients do not exist."""

    @property
    def classes(self) -> tuple[str, str]:
        """Names of class 0 and class 1."""
        return class_names(self.settings)

    def score(self, model: str, measure: str, level: str = "scan") -> Row | None:
        """Return one row of the scores, or None."""
        wanted = (model, measure, level)
        return next((row for row in self.scores if (row["model"], row["measure"], row["level"]) == wanted), None)


@dataclass(frozen=True)
class StudyResults:
    """Everything the report shows. Optional parts are empty or None where a study lacks them."""

    settings: Settings
    """As the study ran."""
    cohort: Cohort
    """Scans with their outcome."""
    flow: Sequence[Row]
    """How many scans each rule removed."""
    folds: np.ndarray
    """``(n,)`` fold of each scan."""
    volume_names: Sequence[str]
    """k names."""
    volumes_ml: np.ndarray
    """``(n, k)`` native millilitres."""
    quality: Sequence[Row]
    """``participant_id, session_id, status, flags``."""
    scores: Sequence[Row]
    """``model, level, measure, value, ci_low, ci_high, fold_mean, fold_sd, n``."""
    predictions: Sequence[Prediction]
    """Out-of-fold, all models."""
    histories: Mapping[int, Sequence[Row]]
    """By fold."""
    template_t1: np.ndarray
    """``(x, y, z)`` background of the group maps."""
    brain_mask: np.ndarray
    """``(x, y, z)`` bool: the template's brain."""
    comparisons: Sequence[Row] = ()
    """``model, against, level, test, difference, statistic, p, n``."""
    calibration: Sequence[Row] = ()
    """``model, level, probability, slope, intercept, brier, ece, n``; with the ends of their intervals."""
    evaluation: Mapping[str, Sequence[Row]] = field(default_factory=dict)
    """The other tables of the evaluation by kind (``statistics.evaluation.tables.COLUMNS``); absent where not made."""
    regions: Sequence[Row] = ()
    """``group, method, region, n_scans, percentile, voxel_share, volume_share, mean_relevance_display, ...``"""
    occlusion: Sequence[Row] = ()
    """``group, region, n_scans, mean_delta, sd_delta, mean_absolute_delta``."""
    groups: Sequence[Row] = ()
    """``group, n_scans, n_patients, r2_mean, r2_expected, r2_expected_permuted, ..., note``."""
    regressors: Sequence[Row] = ()
    """``group, regressor, partial_r2_median, n_permutations, voxels_tested, voxels_fwe, peak_t, ..., note``."""
    characteristics: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Further columns of the cohort table by name, one text a scan; empty = missing."""
    acquisition: Sequence[Row] = ()
    """One row an image: scanner, contrast, times, voxel size."""
    input_leak: Sequence[Row] = ()
    """``channel, correlation_lesion_load, correlation_label, auc_label``."""
    maps: Mapping[tuple[str, str, str], np.ndarray] = field(default_factory=dict)
    """(group, desc, statistic) to ``(x, y, z)``."""
    examples: Sequence[Example] = ()
    """Scans shown in full."""
    checks: Sequence[Row] = ()
    """``check, method, step, position, measure, value, ci_low, ci_high, n_scans, n_patients``: of the maps."""
    benchmark: Sequence[Row] = ()
    """``method, target, measure, value, ci_low, ci_high, n``; simulated cohorts only."""
    explained: Sequence[Row] = ()
    """``group, model, n_scans, variance_share, variance_share_expected, r2_mean, ...``; simulated cohorts only."""
    bayes: Row | None = None
    """``bayes_accuracy, bayes_auc, label, causes, confounding``; simulated cohorts only."""
    simulated: bool = False
    """The patients do not exist."""
    steps: Sequence[tuple[str, int]] = ()
    """What preprocessing did, in words, and to how many scans."""
    relevance_sums: Mapping[str, Sequence[tuple[float, float]]] = field(default_factory=dict)
    """Method to (start, sum) per map."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Package to version."""
    leaks: Sequence[Row] = ()
    """Leak audit: ``check, part, against, patients, scans, shared, verdict, who``."""
    external: Sequence[ExternalResults] = ()
    """Other cohorts on which the models voted."""
    planted: Sequence[PlantedResults] = ()
    """Signals that were planted in copies of the scans."""
    missing: Sequence[str] = ()
    """Optional parts that the study folder does not hold, in words."""

    @property
    def classes(self) -> tuple[str, str]:
        """Names of class 0 and class 1, for example ``EDSS < 3`` and ``EDSS >= 3`` (with the sign)."""
        return class_names(self.settings.cohort)

    @property
    def affine(self) -> np.ndarray:
        """Voxel to MNI millimetres, ``(4, 4)``."""
        return study_grid(self.settings.preprocessing.voxel_size_mm).affine

    @property
    def group_counts(self) -> Mapping[str, int]:
        """Scans of the CNN in each prediction group."""
        named = [p.group for p in self.predictions if p.model == "cnn"]
        return {group: named.count(group) for group in GROUPS}

    def score(self, model: str, measure: str, level: str = "scan") -> Row | None:
        """Return one row of the scores, or None."""
        return _score(self.scores, model, measure, level)


@dataclass(frozen=True)
class ModelCard:
    """Where the models of a one-patient page, or of a bundle, come from."""

    settings: Settings
    """Of the study that trained them."""
    cohort: Mapping[str, Any]
    """Training cohort in counts and moments: ``n_scans, n_patients, simulated, patients_by_scanner, ...``."""
    scores: Sequence[Row]
    """Rows of the training study's ``scores.tsv`` (any models; scan level is shown)."""
    training_range: TrainingRange
    """Volumes and quality measures of the training scans."""
    map_checks: Sequence[Row]
    """What the study's checks found of its LRP maps; empty where none were made."""
    n_models: int
    """Networks that vote, one a fold."""
    n_parameters: int
    """Of one network."""
    version: str
    """relevox version that trained them."""
    fingerprint: str
    """Hash over all weights."""

    @property
    def classes(self) -> tuple[str, str]:
        """Names of class 0 and class 1 (:func:`class_names`)."""
        return class_names(self.settings.cohort)

    @property
    def simulated(self) -> bool:
        """Trained on patients who do not exist."""
        return bool(self.cohort["simulated"])

    def score(self, model: str, measure: str, level: str = "scan") -> Row | None:
        """Return one row of the scores, or None."""
        return _score(self.scores, model, measure, level)


@dataclass(frozen=True)
class PatientPage:
    """One new patient: what the page of ``relevox predict`` shows."""

    id: ScanId
    """Patient and session."""
    probability: float
    """Mean over the models of the probability of class 1."""
    vote_share: float
    """Share of the models that answer class 1."""
    predicted: int
    """The ensemble's answer (majority vote)."""
    fold_probabilities: Sequence[float]
    """One a model."""
    t1w: np.ndarray
    """``(x, y, z)`` on the study grid, as the network saw it."""
    flair: np.ndarray
    """``(x, y, z)`` on the study grid."""
    relevance: np.ndarray
    """``(x, y, z)`` summed over channels (mean over the models, each scaled to sum 1)."""
    brain_mask: np.ndarray
    """``(x, y, z)`` bool."""
    regions: Sequence[RegionShare]
    """One a region; may be empty."""
    model: ModelCard
    """Where the models come from."""
    novelty: Novelty
    """The scan against the training scans."""
    method: str = "lrp"
    """Attribution method."""
    target: int = 1
    """Explained class."""
    percentile: float = 95.0
    """Threshold of the attention map."""
    covariates: Mapping[str, float] = field(default_factory=dict)
    """What the models were told beside the images; NaN where it was not given. Empty for models of images alone."""
    volumes_ml: Mapping[str, float] = field(default_factory=dict)
    """Native volumes, for example ``{"lesions": 12.3}``."""
    quality_status: str = "ok"
    """``ok``, ``flagged`` or ``failed``."""
    quality_flags: Sequence[str] = ()
    """In words."""
    steps: Sequence[str] = ()
    """What preprocessing did, in words."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Package to version."""

    @property
    def spread(self) -> tuple[float, float, float]:
        """Lowest, highest and standard deviation (ddof 1) of the models' probabilities."""
        found = np.asarray(self.fold_probabilities, dtype=float)
        return float(found.min()), float(found.max()), float(found.std(ddof=1)) if len(found) > 1 else np.nan
