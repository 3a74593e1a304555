"""Every setting, frozen, with its default from the specification.

One ``study.toml`` holds them; ``paper`` and ``demo`` are presets of the same
code. An unknown key is refused and the nearest known one is named.
"""

from __future__ import annotations

import difflib
import math
import re
import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from relevox.errors import SettingsError

PositiveInt = Annotated[int, Field(gt=0)]
PositiveFloat = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Regressor = Literal["lesion", "jacobian", "age", "disease_duration"]
Method = Literal["lrp", "integrated_gradients", "gradient_input", "smoothgrad", "gradcam"]

KNOWN_CHARACTERISTICS = (
    "ms_type",
    "topography",
    "confirmed_diagnosis",
    "oligoclonal_bands",
    "treatment",
    "age_at_onset",
    "age_at_diagnosis",
)
"""Columns that cohort tables of multiple sclerosis show (paper, Table 2)."""

PAPER_CROP_MM = (144, 184, 152)
"""Size of the input in millimetres (paper 2.2)."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CohortSettings(_Section):
    """Who is in the study and what is predicted (SPEC 1)."""

    score: str = "EDSS"
    """Column that holds the clinical score."""
    threshold: float = 3.0
    """Scores that reach it are class 1."""
    direction: Literal["at_least", "at_most"] = "at_least"
    """Which side of the threshold is class 1."""
    exclude_between: tuple[float, float] | tuple[()] = ()
    """Scans whose score lies strictly between these two are left out: ``[2.0, 4.0]`` keeps EDSS <= 2 and >= 4."""
    window_from_days: Annotated[int, Field(ge=0)] = 0
    """A score must be dated at least this many days from the scan; above 0 it is a later visit's."""
    window_days: Annotated[int, Field(ge=0)] = 183
    """A score may be dated at most this many days from the scan."""
    window_direction: Literal["after", "before", "both"] = "after"
    """On which side of the scan the score may lie."""
    window_choice: Literal["closest", "first", "last"] = "closest"
    """Which score of the window counts: the closest to the scan, the earliest or the latest."""
    score_at_scan: Literal["ignored", "recorded", "required"] = "ignored"
    """Whether the score at the time of the scan is kept beside a later outcome; what a model has to beat."""
    score_at_scan_days: Annotated[int, Field(ge=0)] = 183
    """The score at the scan is the closest one dated at most this many days before or after it."""
    outcome: Literal["threshold", "worsening"] = "threshold"
    """Class 1 is a score that reaches the threshold, or one that is worse than the score at the scan by a step."""
    worsening_step: PositiveFloat = 1.0
    """Change that counts as worsening."""
    worsening_high_above: float = 5.5
    """Above this score at the scan a smaller change counts (the EDSS is coarser there)."""
    worsening_high_step: PositiveFloat = 0.5
    """That smaller change."""

    describe: tuple[str, ...] = KNOWN_CHARACTERISTICS
    """Further columns of participants.tsv and the sessions tables that the cohort table describes. Those of the
    default may be missing."""

    @property
    def valid_scores(self) -> tuple[float, ...]:
        """Values the score can take; empty when the score is not one we know."""
        if self.score.upper() == "EDSS":
            return (0.0, *(step / 2 for step in range(2, 21)))  # 0.5 does not exist
        if self.score.upper() == "PDDS":
            return tuple(float(step) for step in range(9))
        return ()

    @property
    def needs_score_at_scan(self) -> bool:
        """Whether a scan without a score at its time is left out."""
        return self.score_at_scan == "required" or self.outcome == "worsening"

    @property
    def keeps_score_at_scan(self) -> bool:
        """Whether the score at the scan is looked for."""
        return self.needs_score_at_scan or self.score_at_scan == "recorded"

    @property
    def window_words(self) -> str:
        """When the score was given: ``0 to 183 days after the scan``."""
        side = {"after": "after", "before": "before", "both": "before or after"}[self.window_direction]
        return f"{self.window_from_days} to {self.window_days} days {side} the scan"

    @property
    def class_words(self) -> tuple[str, str]:
        """Short names of class 0 and class 1: ``EDSS < 3`` and ``EDSS >= 3``."""
        if self.outcome == "worsening":
            return f"{self.score} not worse", f"{self.score} worse"
        later = "later " if self.window_from_days else ""
        if self.exclude_between:
            low, high = self.exclude_between
            ends = f"{later}{self.score} <= {low:g}", f"{later}{self.score} >= {high:g}"
            return ends if self.direction == "at_least" else ends[::-1]
        signs = ("<", ">=") if self.direction == "at_least" else (">", "<=")
        return tuple(f"{later}{self.score} {sign} {self.threshold:g}" for sign in signs)

    @property
    def outcome_words(self) -> str:
        """What class 1 means, in full: ``EDSS >= 3``."""
        if self.outcome == "worsening":
            change = "rise" if self.direction == "at_least" else "fall"
            return (
                f"{change} of the {self.score} by {self.worsening_step:g} or more ({self.worsening_high_step:g} or "
                f"more from above {self.worsening_high_above:g}), {self.window_words}"
            )
        return self.class_words[1].removeprefix("later ") + (f", {self.window_words}" if self.window_from_days else "")

    def excludes(self, score: float) -> bool:
        """Whether a score lies strictly inside ``exclude_between``."""
        return bool(self.exclude_between) and self.exclude_between[0] < score < self.exclude_between[1]

    def label(self, score: float, at_scan: float = math.nan) -> int:
        """Class of a score.

        Parameters
        ----------
        score : float
            The matched score.
        at_scan : float
            The score at the scan, needed where the outcome is worsening.
        """
        if self.outcome == "worsening":
            assert math.isfinite(at_scan)
            change = score - at_scan if self.direction == "at_least" else at_scan - score
            high = at_scan > self.worsening_high_above
            return int(change >= (self.worsening_high_step if high else self.worsening_step))
        return int(score >= self.threshold if self.direction == "at_least" else score <= self.threshold)

    @model_validator(mode="after")
    def _check(self) -> CohortSettings:
        if self.exclude_between:
            low, high = self.exclude_between
            # a score that is kept must lie on its own side of the threshold
            if not (low < self.threshold <= high if self.direction == "at_least" else low <= self.threshold < high):
                raise ValueError(f"exclude_between needs a score on either side of the threshold {self.threshold:g}")
            if self.outcome == "worsening":
                raise ValueError("exclude_between has no meaning where the outcome is worsening")
        if self.window_from_days > self.window_days:
            raise ValueError(f"window_from_days {self.window_from_days} is above window_days {self.window_days}")
        if self.keeps_score_at_scan and self.window_from_days <= self.score_at_scan_days:
            raise ValueError(
                f"a later outcome needs window_from_days above score_at_scan_days ({self.score_at_scan_days}), "
                "or one score could be both"
            )
        return self


class PreprocessingSettings(_Section):
    """From scan to input (SPEC 2)."""

    space: Literal["MNI152NLin2009aSym"] = "MNI152NLin2009aSym"
    """Template: the ICBM152 2009a symmetric T1 inside nilearn."""
    voxel_size_mm: Literal[1, 2, 4, 8] = 1
    """Edge of a voxel of the network's input; coarser grids are block means of the 1 mm grid."""
    normalisation: Literal["median", "percentile", "minmax"] = "median"
    """``minmax`` is the paper's; ``median`` (clip at 0, divide by the brain's median) lets neither one hot voxel nor
    the lesion load set the scale; ``percentile`` (clip to 0.5-99.5 %) is safe from hot voxels, but the upper
    percentile of a FLAIR is a lesion as soon as lesions are half a percent of the brain."""
    max_crop_loss: Share = 0.005
    """A scan that loses a larger share of its brain to the crop fails."""
    registration_starts: PositiveInt = 2
    """Affine registrations from which the best is kept."""
    brain_extraction: Literal["network", "hdbet", "synthstrip"] = "network"
    """Who finds the brain where no mask is given: our own network, or a program that is installed."""
    lesions: Literal["own", "lst_ai"] = "own"
    """Who finds lesions where no mask is given."""
    parcellation: Literal["template", "fastsurfer"] = "template"
    """Where regions come from when none are given: the template's labels through the warp, or FastSurfer."""
    registration: Literal["ants", "flirt"] = "ants"
    """Who registers linearly; the warp is always ANTs'. ``flirt`` is the paper's."""
    program_timeout_s: PositiveInt = 3600
    """Seconds after which another program is stopped."""
    use_derivatives: bool = True
    """Take masks, parcellations and preprocessed images from BIDS derivatives where they exist."""
    periventricular_mm: PositiveFloat = 10.0
    """White matter this near to the lateral ventricles is periventricular."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels of the input along x, y, z: (144, 184, 152) at 1 mm."""
        return tuple(-(-size // self.voxel_size_mm) for size in PAPER_CROP_MM)


class NetworkSettings(_Section):
    """The 3D ResNet (paper Fig. 2)."""

    widths: tuple[PositiveInt, ...] = (16, 32, 64, 128)
    """Kernels of the residual blocks."""
    head_widths: tuple[PositiveInt, PositiveInt] = (128, 64)
    """Kernels of the 1x1x1 convolutions between the global max-pool and the logits."""
    negative_slope: Annotated[float, Field(ge=0, lt=1)] = 0.01
    """Of the LeakyReLU."""


class TrainingSettings(_Section):
    """How a fold is trained (SPEC 3)."""

    n_folds: Annotated[int, Field(ge=3)] = 7
    """Test fold i, validation fold i + 1, the others train: at least three."""
    optimiser: Literal["adam", "adamw"] = "adam"
    learning_rate: PositiveFloat = 1e-4
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """Of the weights of convolutions only; decoupled with ``adamw``, a penalty with ``adam``."""
    schedule: Literal["plateau", "one_cycle"] = "plateau"
    plateau_factor: Annotated[float, Field(gt=0, lt=1)] = 0.5
    plateau_patience: PositiveInt = 10
    one_cycle_warm_up: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of the steps in which the one-cycle schedule rises."""
    early_stopping_patience: Annotated[int, Field(ge=0)] = 20
    """Epochs without a better validation loss; 0 trains to the end."""
    restore_best: bool = True
    """Keep the weights of the best validation loss; False keeps the last."""
    max_epochs: PositiveInt = 200
    batch_size: PositiveInt = 2
    mirror_positives: Share = 1.0
    """Share of class-1 training scans that are added left-right mirrored."""
    mirror_negatives: Share = 0.75
    """The same for class 0: a fixed random choice."""
    noise_sigma: Annotated[float, Field(ge=0)] = 0.02
    """Of the Gaussian noise inside the brain, redrawn every epoch."""
    class_weights: Literal["inverse_frequency", "none"] = "inverse_frequency"
    """Counted after augmentation."""
    covariates: tuple[Literal["age", "sex", "disease_duration"], ...] = ()
    """Of each scan, fused into the network's head; a value that is unknown becomes the training mean."""
    unseen_scanner: str = ""
    """Scans of this scanner train no model and watch none; they are predicted all the same: how models do on a scanner
    they have never seen. Nor do other scans of its patients, or scans of unknown scanner. Empty: all scanners train."""
    reestimate_batch_norm: bool = False
    """Measure BatchNorm statistics again over the training scans after training."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """``auto`` uses bfloat16 where the processor computes it natively."""
    device: str = "auto"
    """``auto``, ``cpu``, ``cuda``, ``cuda:1``, ..."""


class EvaluationSettings(_Section):
    """Scores and their intervals (SPEC 7)."""

    n_bootstrap: PositiveInt = 2000
    """Patient-cluster bootstrap samples."""
    n_permutations: PositiveInt = 2000
    """Of patients' classes, for the test against chance."""
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    age_bands: tuple[PositiveFloat, ...] = (30.0, 40.0, 50.0)
    """Where the bands of the age subgroups begin, in years."""
    smallest_group: PositiveInt = 10
    """Subgroups of fewer patients show no score."""
    smallest_class: PositiveInt = 5
    """Nor do measures that need a class of which a subgroup has fewer patients."""
    conformal_alpha: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of conformal sets that may miss the true class."""
    posthoc: tuple[tuple[float, float], ...] = ((2.0, 4.0),)
    """Subsets of the predictions that are scored too: without the scores strictly between each pair."""


class AttributionSettings(_Section):
    """How scans are explained (SPEC 6)."""

    methods: tuple[Method, ...] = ("lrp", "integrated_gradients")
    """Voxel-wise maps; region occlusion is always made beside them."""
    target: Literal["predicted", "positive", "negative", "true"] = "predicted"
    """Explained class."""
    lrp_start: Literal["probability", "logit", "one"] = "probability"
    integrated_gradients_steps: PositiveInt = 16
    baseline: Literal["mean", "zero"] = "mean"
    """Where the path of the integrated gradients starts: the mean of the fold's training scans, or an empty image."""
    smoothgrad_samples: PositiveInt = 16
    """Noisy copies of a scan whose gradients are averaged."""
    smoothgrad_noise: PositiveFloat = 0.15
    """Standard deviation of that noise, as a share of each channel's standard deviation inside the brain."""
    gradcam_layer: str = ""
    """Dotted name of the layer, ``blocks.block3`` say; empty: the last one with more than one position."""


class ChecksSettings(_Section):
    """How far the maps can be believed: what is measured on some test scans of every fold."""

    methods: tuple[Method, ...] = ("lrp", "integrated_gradients", "gradient_input", "gradcam")
    """Whose maps are checked; they need not be among those that are written."""
    scans_per_fold: Annotated[int, Field(ge=0)] = 2
    """Of different patients, drawn by the seed; 0 checks nothing."""
    supervoxels: PositiveInt = 200
    """Patches a brain is cut into."""
    perturbation_steps: PositiveInt = 10
    """Measurements along an order of regions or supervoxels."""
    random_orders: PositiveInt = 4
    """Orders by chance a scan, whose mean the maps are held against."""


class AnalysisSettings(_Section):
    """Group analysis of the maps (SPEC 6.1-6.3)."""

    percentile: Annotated[float, Field(ge=0, lt=100)] = 95.0
    """Threshold over the positive relevance in the brain."""
    percentile_sweep: tuple[Annotated[float, Field(ge=0, lt=100)], ...] = (90.0, 95.0, 97.5, 99.0)
    """Further thresholds for the region tables."""
    parcellation: Literal["template", "subject"] = "template"
    """Regions of the template, or the ones found in each scan."""
    normalise: bool = True
    """Scale every map to sum 1 before averages and regressions."""
    average: Literal["scans", "patients"] = "scans"
    """Group means count every scan alike, or every patient: the scans of one patient are then averaged first."""
    regressors: Annotated[tuple[Regressor, ...], Field(min_length=1, max_length=4)] = ("lesion", "jacobian")
    """Of the voxel-wise regression; age and disease duration are one number a scan, and scans without it are left
    out."""
    n_permutations: Annotated[int, Field(ge=0)] = 1000
    """Of whole patients, for the p-values of the voxel-wise regression; 0 makes none."""
    min_lesion_scans: PositiveInt = 5
    """Lesions are tested in voxels where this many scans of the group have one, and as many have none: a slope that
    one or two scans carry reaches any t, also by chance, and no other voxel could pass the largest of them."""
    tfce: bool = False
    """Threshold-free cluster enhancement beside the largest |t|: slower, seconds a permutation at 1 mm."""

    @model_validator(mode="after")
    def _check(self) -> AnalysisSettings:
        if len(set(self.regressors)) < len(self.regressors):
            raise ValueError("regressors must differ from each other")
        return self


class Settings(_Section):
    """A whole study."""

    seed: Annotated[int, Field(ge=0)] = 0
    """Everything random starts from it."""
    cohort: CohortSettings = CohortSettings()
    preprocessing: PreprocessingSettings = PreprocessingSettings()
    network: NetworkSettings = NetworkSettings()
    training: TrainingSettings = TrainingSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    attribution: AttributionSettings = AttributionSettings()
    checks: ChecksSettings = ChecksSettings()
    analysis: AnalysisSettings = AnalysisSettings()


class PlantSettings(_Section):
    """A known signal inserted into a study's scans, to see whether the maps find it."""

    kind: Literal["blob", "atrophy"] = "blob"
    """A lesion-like blob (bright on FLAIR, dark on T1w), or a region that has lost volume."""
    region: str = ""
    """Where the signal lies in class 1, a name of ``imaging.regions``; empty: deep_grey for a blob, frontal_cortex for
    atrophy. The decoys lie elsewhere."""
    strength: PositiveFloat | None = None
    """Of a blob: contrast on FLAIR in medians of the brain (default 0.6). Of atrophy: loss of log volume (0.4)."""
    radius_mm: PositiveFloat = 8.0
    """Of a blob."""
    start: Literal["study", "scratch"] = "study"
    """Fine-tune the study's networks, or train new ones."""
    folds: PositiveInt = 2
    """How many of the study's folds are trained and tested."""
    epochs: PositiveInt = 6
    learning_rate: PositiveFloat = 1e-3
    """Highest of the one-cycle schedule (AdamW)."""
    explained_scans: PositiveInt = 20
    """Test scans a fold whose maps are scored: those with the signal first in the list."""

    @property
    def where(self) -> str:
        """Region of the signal."""
        return self.region or {"blob": "deep_grey", "atrophy": "frontal_cortex"}[self.kind]

    @property
    def how_strong(self) -> float:
        """Contrast of a blob, loss of log volume of atrophy."""
        return self.strength or {"blob": 0.6, "atrophy": 0.4}[self.kind]

    @property
    def name(self) -> str:
        """Of the folder with the results."""
        return f"{self.kind}-{self.where}".replace("_", "-")


Cause = Literal[
    "periventricular_lesions",
    "other_lesions",
    "frontal_cortex",
    "temporal_cortex",
    "parietal_cortex",
    "occipital_cortex",
    "cerebellar_cortex",
    "lateral_ventricles",
    "total_lesions",
    "frontotemporal_cortex",
    "parietooccipital_cortex",
]
"""What can make a simulated patient disabled."""


class PhantomSettings(_Section):
    """A simulated cohort (PHANTOM: patients with known causes)."""

    n_patients: Annotated[int, Field(ge=2)] = 12
    """One alone has no class that others have not."""
    first_patient: Annotated[int, Field(ge=0)] = 0
    """Number of the first patient: cohorts of one seed that share no number share no patient and no id."""
    n_repeated: Annotated[int, Field(ge=0)] = 2
    """Patients who are scanned a second time."""
    follow_up_years: Annotated[int, Field(ge=0, le=20)] = 0
    """Years after the first scan with one more score each, without a scan; every tenth visit is missed."""
    score: Literal["EDSS", "PDDS"] = "EDSS"
    """Which clinical score the patients have; 3 or more is class 1."""
    scanner_mix: Literal["cohort", "external"] = "cohort"
    """Scanners of Table 1, or four other models with one 3D protocol."""
    voxel_size_mm: Literal[1, 2, 4, 8] = 8
    """Grid of the template-space images."""
    label: Literal["paper", "frontotemporal", "location", "location_atrophy", "load", "all"] = "location"
    """Cause of disability: ``paper`` frontotemporal and cerebellar atrophy and periventricular lesions, or
    ``frontotemporal`` atrophy alone, or *where, not how much*: ``location`` periventricular minus other lesions,
    ``location_atrophy`` frontotemporal minus parieto-occipital atrophy; or the ``load`` of all lesions. ``all``
    makes one data set a label, all of the same anatomies."""
    weights: dict[Cause, float] = {}
    """Causal weights of one's own in place of the label's: of standardised causes; cortex counts as volume, so that
    -1 makes its loss disabling."""
    label_noise: Annotated[float, Field(ge=0)] | None = None
    """Standard deviation of what the causes do not explain, in units of their weighted sum's; None: the label's."""
    label_draw: Annotated[int, Field(ge=0)] = 0
    """Number of the draw: another one gives the same anatomies new label noise, scanners and image noise."""
    effect: PositiveFloat = 1.0
    """Spread of lesion load, lesion location and cortical atrophy between patients; 1 is that of the paper's cohort."""
    location_spread: PositiveFloat = 2.0
    """Standard deviation, over patients, of the log odds that a lesion is periventricular."""
    prevalence: Annotated[float, Field(gt=0, lt=1)] = 0.437
    """Share of class 1 (Table 2: 167 of 382 scans)."""
    confounding: Share = 1.0
    """How far scanner frequencies differ between the classes; 1 is Table 2, 0 none."""
    counterfactuals: Annotated[int, Field(ge=0)] = 0
    """First patients of whom every scan is made once more for each cause, with that cause alone changed."""
    native_heads: Annotated[int, Field(ge=0)] = 0
    """First patients whose scans are raw images of a whole head, with skull, pose and slices, instead of template
    space; their anatomy is made at 1 mm."""

    @model_validator(mode="after")
    def _check(self) -> PhantomSettings:
        if self.n_repeated > self.n_patients:
            raise ValueError("n_repeated cannot exceed n_patients")
        if self.weights and self.label == "all":
            raise ValueError("weights of one's own are one label, but label is 'all'")
        if self.weights and not any(self.weights.values()):
            raise ValueError("one of the weights must differ from 0")
        return self


_SIMULATED_RECIPE = TrainingSettings(
    optimiser="adamw",
    learning_rate=1e-3,
    weight_decay=1e-4,
    batch_size=8,
    schedule="one_cycle",
    max_epochs=12,
    early_stopping_patience=0,
    restore_best=False,
)
"""What learns on simulated cohorts, where constant small rates do not."""

PRESETS: dict[str, Settings] = {
    "default": Settings(),
    "paper": Settings(preprocessing=PreprocessingSettings(normalisation="minmax")),
    "demo": Settings(
        preprocessing=PreprocessingSettings(voxel_size_mm=4),
        network=NetworkSettings(widths=(8, 16, 32, 64), head_widths=(64, 32)),
        # mirrored scans double every epoch; more of them only fit the noise of the labels
        training=_SIMULATED_RECIPE.model_copy(update={"max_epochs": 6}),
        attribution=AttributionSettings(integrated_gradients_steps=8),
        checks=ChecksSettings(scans_per_fold=1),
        analysis=AnalysisSettings(n_permutations=500),
    ),
    "bench": Settings(
        preprocessing=PreprocessingSettings(voxel_size_mm=4),
        training=_SIMULATED_RECIPE,
    ),
    "tiny": Settings(
        preprocessing=PreprocessingSettings(voxel_size_mm=8),
        network=NetworkSettings(widths=(4, 8, 8, 8), head_widths=(8, 8)),
        training=_SIMULATED_RECIPE.model_copy(update={"n_folds": 3, "max_epochs": 2, "batch_size": 4}),
        evaluation=EvaluationSettings(n_bootstrap=200),
        attribution=AttributionSettings(integrated_gradients_steps=4),
        checks=ChecksSettings(scans_per_fold=1, supervoxels=40, perturbation_steps=4, random_orders=2),
        analysis=AnalysisSettings(n_permutations=99, min_lesion_scans=1),
    ),
}
"""Named studies. ``tiny`` and ``bench`` go with the simulated cohorts of those names: tests in seconds, and the paper's
network on a 4 mm grid to mark methods of attribution with."""

_EXTERNAL = {"n_repeated": 0, "score": "PDDS", "scanner_mix": "external", "prevalence": 0.5}
"""Another centre, as in the paper: other scanners, another score, as many of either class."""

PHANTOM_PRESETS: dict[str, PhantomSettings] = {
    "tiny": PhantomSettings(counterfactuals=3),
    "demo": PhantomSettings(n_patients=220, n_repeated=20, voxel_size_mm=4, confounding=0.0, counterfactuals=8),
    # place varies more than in the paper's cohort, so that the volumes do not already know what the network should find
    "bench": PhantomSettings(
        n_patients=640, n_repeated=0, voxel_size_mm=4, label="all", counterfactuals=40, location_spread=3.0
    ),
    "paper": PhantomSettings(n_patients=319, n_repeated=63, voxel_size_mm=1, label="paper", native_heads=319),
    "paper_external": PhantomSettings(
        n_patients=440, first_patient=1000, voxel_size_mm=1, label="paper", native_heads=440, **_EXTERNAL
    ),
    "demo_external": PhantomSettings(n_patients=80, first_patient=1000, voxel_size_mm=4, confounding=0.0, **_EXTERNAL),
    "tiny_external": PhantomSettings(n_patients=8, first_patient=100, **_EXTERNAL),
}
"""Named simulated cohorts."""


def preset(name: str) -> Settings:
    """Return a preset by name.

    Raises
    ------
    SettingsError
        For a name that is not known.
    """
    if name not in PRESETS:
        raise SettingsError(
            f"unknown preset {name!r}; expected one of {', '.join(PRESETS)}",
            code="preset-unknown",
            remedy=_nearest(name, PRESETS),
        )
    return PRESETS[name]


def phantom_preset(name: str, **changes: object) -> PhantomSettings:
    """Return the settings of a simulated cohort by name.

    Parameters
    ----------
    name : str
        A key of ``PHANTOM_PRESETS``.
    **changes
        Fields that shall differ from the preset's.

    Raises
    ------
    SettingsError
        For a name that is not known, and for values that are impossible.
    """
    if name not in PHANTOM_PRESETS:
        raise SettingsError(
            f"unknown simulated cohort {name!r}; expected one of {', '.join(PHANTOM_PRESETS)}",
            code="preset-unknown",
            remedy=_nearest(name, PHANTOM_PRESETS),
        )
    if not changes:
        return PHANTOM_PRESETS[name]
    try:
        return PhantomSettings.model_validate(PHANTOM_PRESETS[name].model_dump() | changes)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"] if part != "[key]") or "simulated cohort"
        known = PhantomSettings.model_fields if first["type"] == "extra_forbidden" else _choices(first)
        got = "" if first["type"] == "value_error" else f", but got {first['input']!r}"
        wrong = str(first["loc"][-1] if first["type"] == "extra_forbidden" else first["input"])
        raise SettingsError(
            f"{first['msg']}{got}",
            code="setting-invalid",
            row=place,
            remedy=_nearest(wrong, known) if known else None,
        ) from None


def _choices(error) -> list[str]:
    """List the names among which one had to be chosen, if that was the mistake."""
    expected = error.get("ctx", {}).get("expected", "") if error["type"] == "literal_error" else ""
    return re.findall(r"'([^']*)'", expected)


def plant_settings(**given: object) -> PlantSettings:
    """Return the settings of a planted signal; what is None keeps its default.

    Raises
    ------
    SettingsError
        For impossible values.
    """
    try:
        return PlantSettings.model_validate({key: value for key, value in given.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        raise SettingsError(
            f"{name}: {first['msg']}, but got {first['input']!r}", code="setting-invalid", row=name
        ) from None


def from_toml(text: str, base: Settings | None = None, file: str | Path | None = None) -> Settings:
    """Read settings from TOML, on top of a base.

    Parameters
    ----------
    text : str
        TOML; keys that are absent keep the base's value.
    base : Settings, optional
        Default: ``PRESETS["default"]``.
    file : path-like, optional
        Named in errors.

    Raises
    ------
    SettingsError
        For TOML that cannot be read, unknown keys and impossible values.
    """
    if len(text) > 1_000_000:
        raise SettingsError("settings larger than 1 MB", code="settings-unreadable", file=file)
    try:
        given = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise SettingsError(f"not valid TOML: {error}", code="settings-unreadable", file=file) from None
    merged = (base or PRESETS["default"]).model_dump()
    for key, value in given.items():
        if isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = merged[key] | value
        else:
            merged[key] = value
    return _validated(merged, file)


def to_toml(settings: Settings) -> str:
    """Write settings as TOML; :func:`from_toml` reads them back equal."""
    lines, sections = [], []
    for key, value in settings.model_dump().items():
        if isinstance(value, dict):
            sections += ["", f"[{key}]", *(f"{k} = {_toml(v)}" for k, v in value.items())]
        else:
            lines.append(f"{key} = {_toml(value)}")
    return "\n".join(lines + sections) + "\n"


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        plain = {'"': '\\"', "\\": "\\\\"}
        # TOML knows no bare control characters
        return '"' + "".join(plain.get(c, c if c.isprintable() else f"\\U{ord(c):08x}") for c in value) + '"'
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return repr(value)


def _validated(values: dict, file: str | Path | None) -> Settings:
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        place = [str(part) for part in first["loc"]]
        name = ".".join(place)
        if first["type"] == "extra_forbidden":
            section = values if len(place) == 1 else PRESETS["default"].model_dump()[place[0]]
            known = section if len(place) > 1 else Settings.model_fields
            raise SettingsError(
                f"unknown setting {name!r}",
                code="setting-unknown",
                file=file,
                remedy=_nearest(place[-1], known),
            ) from None
        # a rule between several settings speaks for itself; its input is the whole section
        got = "" if first["type"] == "value_error" else f", but got {first['input']!r}"
        raise SettingsError(f"{name}: {first['msg']}{got}", code="setting-invalid", file=file, row=name) from None


def _nearest(name: str, known) -> str:
    match = difflib.get_close_matches(name, list(known), n=1, cutoff=0.4)
    return f"did you mean {match[0]!r}?" if match else f"known: {', '.join(sorted(known))}"
