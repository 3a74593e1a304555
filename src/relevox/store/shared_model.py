"""The models of a study with all that a new scan needs, and nothing about one patient.

``predict`` and ``export`` start from the same record, so a bundle answers what
the study folder answers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from relevox import config
from relevox.attribution import mean_scan
from relevox.config import Settings
from relevox.errors import CohortError, StudyError
from relevox.learning.network import ResNet3d
from relevox.records import Cohort
from relevox.statistics.disclosure import SMALLEST_CELL, moments, pooled_counts
from relevox.statistics.novelty import TrainingRange, training_range
from relevox.store import layout, models, provenance, tables
from relevox.store.models import ModelCard

MAP_METHOD = "lrp"
"""Of the maps that a new scan gets."""

_NOT_MEASURES = ("participant_id", "session_id", "status", "flags")


@dataclass(frozen=True)
class SharedModel:
    """What is needed to predict and explain a new scan, and to know what the answer is worth."""

    settings: Settings
    """Of the study: what preprocessing, network and outcome are."""
    cards: Sequence[ModelCard]
    """One a fold, in their order."""
    networks: Sequence[ResNet3d]
    """One a fold, in evaluation mode."""
    mean_scan: np.ndarray
    """``(c, x, y, z)`` float32, mean input over the cohort: what a region is replaced by in occlusion."""
    cohort: Mapping[str, object]
    """The training cohort in counts and moments (:func:`describe_cohort`)."""
    scores: Sequence[Mapping[str, object]]
    """Rows of the study's ``scores.tsv``; numbers are floats."""
    training_range: TrainingRange
    """Volumes and quality measures of the training scans, in moments and quantiles."""
    map_checks: Sequence[Mapping[str, object]]
    """What the study's checks found of its LRP maps: rows of ``checks_summary.tsv``; empty where none were made."""

    @property
    def fingerprint(self) -> str:
        """One hash over all weights: the same for a study and its bundle."""
        return hashlib.sha256("".join(card.sha256 for card in self.cards).encode()).hexdigest()


def of_study(study: Path) -> SharedModel:
    """Collect the models of a study folder.

    Raises
    ------
    StudyError
        When the study has not been trained and evaluated, was trained again since, or left a scanner out.
    ModelError
        When a model is missing, was changed, or was trained for other settings.
    CohortError
        When the patients are too few to say anything about them.
    """
    text = layout.existing(study, "settings").read_text(encoding="utf-8")
    settings = config.from_toml(text, file=layout.PATTERNS["settings"])
    if scanner := settings.training.unseen_scanner:
        raise StudyError(
            f"expected models of all scans of the cohort, but these were trained without {scanner}",
            code="models-partial",
            file=layout.PATTERNS["settings"],
            row="training.unseen_scanner",
            remedy="they are for the study's own scores: share, or predict with, a study without this setting",
        )
    loaded = models.load_with_cards(study, settings)
    cohort = tables.read_cohort(study)
    if len(set(cohort.patients)) < SMALLEST_CELL:
        raise CohortError(
            f"expected models of at least {SMALLEST_CELL} patients, but got {len(set(cohort.patients))}",
            code="too-few-patients",
            file=layout.PATTERNS["cohort"],
            remedy="train on more patients: means of so few would tell of single ones",
        )
    _check_scores_are_theirs(study, settings)
    inputs = np.load(layout.existing(study, "inputs"), mmap_mode="r")
    simulated = bool(tables.read_json(layout.existing(study, "cohort_card"))["simulated"])
    return SharedModel(
        settings=settings,
        cards=tuple(card for _, card in loaded),
        networks=tuple(network for network, _ in loaded),
        mean_scan=mean_scan(inputs, np.arange(len(inputs))),
        cohort=describe_cohort(cohort, settings, simulated),
        scores=_rows(layout.existing(study, "scores"), tables.SCORE_NUMBERS),
        training_range=_training_range(study, cohort),
        map_checks=_map_checks(study),
    )


def _rows(file: Path, numbers: Sequence[str]) -> list[dict[str, object]]:
    return [row | {name: tables.number(row, name) for name in numbers} for row in tables.read(file)]


def _map_checks(study: Path) -> list[dict[str, object]]:
    """Read what was found of the maps, unless it tells of very few patients."""
    file = layout.path(study, "checks_summary")
    rows = _rows(file, tables.CHECK_NUMBERS) if file.exists() else []
    return [row for row in rows if row["method"] == MAP_METHOD and row["n_patients"] >= SMALLEST_CELL]


def _check_scores_are_theirs(study: Path, settings: Settings) -> None:
    """Refuse scores of models that were trained again since."""
    scored = provenance.inputs(study, "evaluate", "cohort")
    for fold in range(settings.training.n_folds):
        name = f"fold-{fold}"
        if name in scored and scored[name] != provenance.digest(study, "train", name):
            raise StudyError(
                f"the scores are those of other models: {name} was trained again since",
                code="scores-stale",
                file=layout.PATTERNS["scores"],
                remedy="run 'relevox evaluate' on the study again",
            )


def describe_cohort(cohort: Cohort, settings: Settings, simulated: bool) -> dict[str, object]:
    """Describe who the models were trained on, in counts of at least five patients.

    Parameters
    ----------
    cohort : Cohort
        The training cohort.
    settings : Settings
        Section ``cohort``.
    simulated : bool
        The patients do not exist.
    """
    patients = cohort.patients
    classes = [settings.cohort.class_words[o.label] for o in cohort]
    strengths = ["" if np.isnan(o.field_strength_t) else f"T{o.field_strength_t:g}" for o in cohort]
    return {
        "n_scans": len(cohort),
        "n_patients": len(set(patients)),
        "simulated": simulated,
        "patients_by_class": _by_class(classes, patients, settings),
        "patients_by_sex": pooled_counts([o.sex for o in cohort], patients),
        "patients_by_scanner": pooled_counts([o.scanner for o in cohort], patients),
        "patients_by_field_strength": {
            f"{name[1:]} T" if name.startswith("T") else name: count
            for name, count in pooled_counts(strengths, patients).items()
        },
        "age_years": moments([o.age_years for o in cohort], patients),
        "disease_duration_years": moments([o.disease_duration_years for o in cohort], patients),
        "score": moments([o.score for o in cohort], patients),
    }


def _by_class(classes: Sequence[str], patients: np.ndarray, settings: Settings) -> dict[str, int]:
    """Patients with a scan in each class; empty where a class has too few."""
    counts = {name: len(set(patients[np.array(classes) == name])) for name in settings.cohort.class_words}
    return counts if min(counts.values()) >= SMALLEST_CELL else {}


def _training_range(study: Path, cohort: Cohort) -> TrainingRange:
    """Volumes and quality measures of the cohort's scans; a measure's name is that of ``prediction.json``."""
    names, volumes = tables.read_volumes(study, cohort)
    volume_names = [f"{name}_ml" for name in names]
    file = layout.existing(study, "quality")
    rows = {tables.identity(row, file, n): (n, row) for n, row in enumerate(tables.read(file, ("status",)), start=1)}
    measures = [name for name in next(iter(rows.values()))[1] if name not in _NOT_MEASURES]
    quality = np.full((len(cohort), len(measures)), np.nan)
    for n, scan in enumerate(cohort.ids):
        number, row = rows.get(scan, (0, {}))
        quality[n] = [tables.number(row, name, file, number) for name in measures]
    values = np.hstack([volumes, quality])
    return training_range([*volume_names, *measures], values, cohort.patients, volume_names)
