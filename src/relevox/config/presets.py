"""Named studies and simulated cohorts."""

from __future__ import annotations

import re

from pydantic import ValidationError

from relevox.config.section import nearest
from relevox.config.simulation import PhantomSettings, PlantSettings
from relevox.config.study import (
    AnalysisSettings,
    AttributionSettings,
    ChecksSettings,
    EvaluationSettings,
    NetworkSettings,
    PreprocessingSettings,
    Settings,
    TrainingSettings,
)
from relevox.errors import SettingsError

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
    "demo": PhantomSettings(
        n_patients=150, n_repeated=14, voxel_size_mm=4, confounding=0.0, counterfactuals=8, native_heads=2
    ),
    # place varies more than in the paper's cohort, so that the volumes do not already know what the network should find
    "bench": PhantomSettings(
        n_patients=640, n_repeated=0, voxel_size_mm=4, label="all", counterfactuals=40, location_spread=2.5
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
            remedy=nearest(name, PRESETS),
        )
    return PRESETS[name]


def phantom_preset(name: str, **changes: object) -> PhantomSettings:
    """Return the settings of a simulated cohort by name.

    Parameters
    ----------
    name : str
        A key of ``PHANTOM_PRESETS``.
    **changes
        Fields that shall differ from the preset's. With another ``n_patients`` the share of those who are scanned
        twice stays, unless ``n_repeated`` is given.

    Raises
    ------
    SettingsError
        For a name that is not known, and for values that are impossible.
    """
    if name not in PHANTOM_PRESETS:
        raise SettingsError(
            f"unknown simulated cohort {name!r}; expected one of {', '.join(PHANTOM_PRESETS)}",
            code="preset-unknown",
            remedy=nearest(name, PHANTOM_PRESETS),
        )
    preset = PHANTOM_PRESETS[name]
    if not changes:
        return preset
    size = changes.get("n_patients")
    if isinstance(size, int) and "n_repeated" not in changes:
        changes["n_repeated"] = round(preset.n_repeated * size / preset.n_patients)
    try:
        return PhantomSettings.model_validate(preset.model_dump() | changes)
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
            remedy=nearest(wrong, known) if known else None,
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
