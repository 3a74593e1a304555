"""Every setting of a study, with its default from the specification."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from relevox.config.cohort import CohortSettings
from relevox.config.section import PositiveFloat, PositiveInt, Section, Share

Regressor = Literal["lesion", "jacobian", "age", "disease_duration"]
Method = Literal["lrp", "integrated_gradients", "gradient_input", "smoothgrad", "gradcam"]

PAPER_CROP_MM = (144, 184, 152)
"""Size of the input in millimetres (paper 2.2)."""


class PreprocessingSettings(Section):
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
    lesions: Literal["own", "thresholds", "lst_ai"] = "own"
    """Who finds lesions where no mask is given: our own network, thresholds on FLAIR against grey matter (no
    training at all), or a program that is installed."""
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


class NetworkSettings(Section):
    """The 3D ResNet (paper Fig. 2)."""

    widths: tuple[PositiveInt, ...] = (16, 32, 64, 128)
    """Kernels of the residual blocks."""
    head_widths: tuple[PositiveInt, PositiveInt] = (128, 64)
    """Kernels of the 1x1x1 convolutions between the global max-pool and the logits."""
    negative_slope: Annotated[float, Field(ge=0, lt=1)] = 0.01
    """Of the LeakyReLU."""


class TrainingSettings(Section):
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


class EvaluationSettings(Section):
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


class AttributionSettings(Section):
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


class ChecksSettings(Section):
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


class AnalysisSettings(Section):
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


class Settings(Section):
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
