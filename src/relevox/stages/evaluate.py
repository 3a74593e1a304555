"""Predict every scan by the models that never saw its patient, and score all models."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from relevox.config import Settings
from relevox.engines.workers import raise_failures, run_all, threads_each
from relevox.learning import ensemble
from relevox.learning.fusion import covariate_values
from relevox.records import Cohort, Fold, Prediction
from relevox.statistics import baselines
from relevox.statistics.evaluation.tables import COLUMNS, Rows, out_of_fold_tables
from relevox.statistics.folds import cohort_rounds
from relevox.store import layout, models, provenance, tables

logger = logging.getLogger("relevox")

REFITTED = ("volumes", "age_sex")
"""Baselines that are fitted again without each scanner; the others know the scanner itself."""


@dataclass(frozen=True)
class FoldAnswers:
    """What the models of one fold say about scans they were not fitted on."""

    test: list[Prediction]
    """Named models on the test scans."""
    validation: list[Prediction]
    """Named models on the validation scans: for temperatures and conformal sets."""
    subsets: list[Prediction]
    """Logistic regressions on every subset of the volumes, on the test scans."""
    chosen: str
    """The subset that did best on the validation scans; empty where there are no volumes."""


def run(study: Path, settings: Settings, workers: int = 1) -> None:
    """Score the network and the baselines on the same held-out scans (SPEC 7).

    1. Every fold's models predict the fold's test scans, and its validation scans.
    2. ``cohort_predictions.tsv`` and ``validation_predictions.tsv`` hold them, one row a scan and model.
    3. ``scores.tsv``: per scan and per patient, pooled with a patient-bootstrap
       interval, and mean and standard deviation over the folds.
    4. ``comparisons.tsv``: every pair of models on the same scans, and every model against chance;
       ``calibration.tsv``: slope, intercept and Brier score, as they are and with a temperature.
    5. ``evaluation/``: the first table of the report, subsets of the volumes, confounds, reliability, decision
       curves, conformal sets, subgroups, and the ends of the scale.

    Parameters
    ----------
    study : Path
        With trained models.
    settings : Settings
        ``evaluation`` and ``seed``.
    workers : int
        Folds predicted at once.

    Raises
    ------
    StudyError
        When a fold has not been trained.
    ModelError
        When a model was damaged or changed.
    """
    cohort = tables.read_cohort(study)
    all_rounds = cohort_rounds(cohort, tables.read_folds(study, cohort), settings.training.unseen_scanner)
    trained = [name for fold in all_rounds for name in (f"fold-{fold.index}", f"baselines-fold-{fold.index}")]
    unit = provenance.Unit(
        study,
        stage="evaluate",
        name="cohort",
        settings={
            "evaluation": settings.evaluation.model_dump(),
            "outcome": settings.cohort.outcome,
            "class_weights": settings.training.class_weights,
            "unseen_scanner": settings.training.unseen_scanner,
            "seed": settings.seed,
        },
        inputs={name: provenance.digest(study, "train", name) for name in trained}
        | {name: provenance.sha256(layout.existing(study, name)) for name in ("cohort", "folds", "volumes")}
        | {"characteristics": _optional_hash(layout.path(study, "characteristics"))},
    )
    if unit.is_current():
        logger.info("evaluate: predictions and scores are up to date")
        return
    workers = max(1, min(workers, len(all_rounds)))
    outcomes = run_all(
        partial(predict_fold, study, threads=threads_each(workers)),
        all_rounds,
        workers,
        description="evaluate",
        labels=[f"fold-{fold.index}" for fold in all_rounds],
    )
    raise_failures(outcomes)
    test, validation, subsets = (
        _in_order([prediction for outcome in outcomes for prediction in getattr(outcome.value, part)])
        for part in ("test", "validation", "subsets")
    )
    names, volumes = tables.read_volumes(study, cohort)
    designs = [d for d in baselines.cohort_designs(cohort, names, volumes) if d.name in REFITTED and d.is_informative]
    chosen = [outcome.value.chosen for outcome in outcomes]
    found = out_of_fold_tables(
        test, validation, subsets, chosen, designs, settings, cohort, _characteristics(study, cohort)
    )
    unit.record(
        [
            tables.write_predictions(study, test),
            tables.write_predictions(study, validation, "validation"),
            *(
                tables.write(layout.path(study, kind), found[kind], columns)
                for kind, columns in COLUMNS.items()
                if found.get(kind)
            ),
        ]
    )
    _log(found)


def _characteristics(study: Path, cohort: Cohort) -> dict[str, list[str]]:
    exists = layout.path(study, "characteristics").exists()
    return tables.read_characteristics(study, cohort) if exists else {}


def _log(found: Mapping[str, Rows]) -> None:
    for row in found["scores"]:
        if row["level"] == "scan" and row["measure"] in ("balanced_accuracy", "auc"):
            logger.info(
                "evaluate: %s %s %.3f (%.3f to %.3f)",
                row["model"],
                row["measure"],
                row["value"],
                row["ci_low"],
                row["ci_high"],
            )
    for row in found["confounds"]:
        if row["measure"] == "auc" and row["within_interval"]:
            logger.warning(
                "evaluate: the %s model, which sees nothing of the brain, reaches an AUC of %.3f, inside or above the "
                "network's interval (%.3f to %.3f)%s",
                row["confound"],
                row["confound_value"],
                row["ci_low"],
                row["ci_high"],
                ": the network may have learned nothing else" if row["confound_driven"] else "",
            )


def predict_fold(study: Path, fold: Fold, threads: int = 1) -> FoldAnswers:
    """Predict scans of a fold by the network and the baselines that were fitted without them."""
    torch.set_num_threads(threads)
    cohort = tables.read_cohort(study)
    volumes = tables.read_volumes(study, cohort)
    network, card = models.load(study, fold.index)
    told = covariate_values(cohort.observations, card.covariates) if card.covariates else None
    inputs = np.load(layout.existing(study, "inputs"), mmap_mode="r")
    named, subsets = _fitted(study, "baselines", fold), _fitted(study, "subsets", fold)
    features = {tuple(subset.features): subset.name for subset in subsets}

    def answers(rows: np.ndarray) -> list[Prediction]:
        found = _as_records("cnn", cohort, fold, rows, ensemble.predict(network, inputs, rows, covariates=told))
        return found + _baseline_answers(named, cohort, volumes, fold, rows)

    return FoldAnswers(
        test=answers(fold.test),
        validation=answers(fold.validation),
        subsets=_baseline_answers(subsets, cohort, volumes, fold, fold.test),
        chosen=next((features[tuple(b.features)] for b in named if b.name == baselines.CHOSEN), ""),
    )


def _optional_hash(file: Path) -> str:
    return provenance.sha256(file) if file.exists() else ""


def _fitted(study: Path, kind: str, fold: Fold) -> list[baselines.LogisticBaseline]:
    stored = tables.read_json(layout.existing(study, kind, fold=fold.index))
    return [baselines.LogisticBaseline(**values) for values in stored.values()]


def _baseline_answers(
    fitted: Sequence[baselines.LogisticBaseline],
    cohort: Cohort,
    volumes: tuple[tuple[str, ...], np.ndarray],
    fold: Fold,
    rows: np.ndarray,
) -> list[Prediction]:
    found = []
    for baseline in fitted:
        values = baselines.feature_values(baseline.features, cohort, *volumes)
        found += _as_records(baseline.name, cohort, fold, rows, baseline.predict(values[rows]))
    return found


def _as_records(model: str, cohort: Cohort, fold: Fold, rows: np.ndarray, probability: np.ndarray) -> list[Prediction]:
    return [
        Prediction(cohort.ids[row], model, fold.index, int(cohort.labels[row]), float(value))
        for row, value in zip(rows, probability, strict=True)
    ]


def _in_order(predictions: list[Prediction]) -> list[Prediction]:
    """Sort by model, in the order of the report, then by scan: the order of the tables."""
    place = {name: n for n, name in enumerate(baselines.model_order([p.model for p in predictions]))}
    return sorted(predictions, key=lambda prediction: (place[prediction.model], prediction.id))
