"""Every setting, frozen, with its default from the specification.

One ``study.toml`` holds them; ``paper`` and ``demo`` are presets of the same
code. An unknown key is refused and the nearest known one is named.
"""

from relevox.config.cohort import KNOWN_CHARACTERISTICS, CohortSettings
from relevox.config.presets import PHANTOM_PRESETS, PRESETS, phantom_preset, plant_settings, preset
from relevox.config.simulation import Cause, PhantomSettings, PlantSettings
from relevox.config.study import (
    PAPER_CROP_MM,
    AnalysisSettings,
    AttributionSettings,
    ChecksSettings,
    EvaluationSettings,
    Method,
    NetworkSettings,
    PreprocessingSettings,
    Regressor,
    Settings,
    TrainingSettings,
)
from relevox.config.toml import from_toml, to_toml

__all__ = [
    "KNOWN_CHARACTERISTICS",
    "PAPER_CROP_MM",
    "PHANTOM_PRESETS",
    "PRESETS",
    "AnalysisSettings",
    "AttributionSettings",
    "Cause",
    "ChecksSettings",
    "CohortSettings",
    "EvaluationSettings",
    "Method",
    "NetworkSettings",
    "PhantomSettings",
    "PlantSettings",
    "PreprocessingSettings",
    "Regressor",
    "Settings",
    "TrainingSettings",
    "from_toml",
    "phantom_preset",
    "plant_settings",
    "preset",
    "to_toml",
]
