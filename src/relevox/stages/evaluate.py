"""Predict every scan by the models that never saw its patient, and score all models."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from relevox.config import EvaluationSettings, Settings
from relevox.engines.workers import cores, raise_failures, run_all
from relevox.learning import ensemble
from relevox.records import Cohort, Fold, Prediction
from relevox.statistics import baselines, comparison
from relevox.statistics.calibration import calibration
from relevox.statistics.folds import rounds
from relevox.statistics.scores import MEASURES, by_patient, cross_validated_scores
from relevox.store import layout, models, provenance, tables

logger = logging.getLogger("relevox")

MODEL_ORDER = ("cnn", "volumes", "scanner", "age_sex", "score_at_scan")
"""The network, then what it has to beat."""

COMPARISON_COLUMNS = ("model", "against", "level", "test", "difference", "statistic", "p", "n")
CALIBRATION_COLUMNS = ("model", "level", "slope", "intercept", "n")
COLUMNS = ("model", "level", "measure", "value", "ci_low", "ci_high", "fold_mean", "fold_sd", "n")


def run(study: Path, settings: Settings, workers: int = 1) -> None:
    """Score the network and the baselines on the same held-out scans (SPEC 7).

    1. Every fold's models predict the fold's test scans.
    2. ``cohort_predictions.tsv`` holds all of them, one row a scan and model.
    3. ``scores.tsv``: per scan and per patient, pooled with a patient-bootstrap
       interval, and mean and standard deviation over the folds.
    4. ``comparisons.tsv``: the network against every baseline on the same patients, and every model against
       chance; ``calibration.tsv``: slope and intercept of every model.

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
    all_rounds = rounds(tables.read_folds(study, cohort), cohort.labels, cohort.patients)
    unit = provenance.Unit(
        study,
        stage="evaluate",
        name="cohort",
        settings={"evaluation": settings.evaluation.model_dump(), "seed": settings.seed},
        inputs={f"fold-{fold.index}": provenance.digest(study, "train", f"fold-{fold.index}") for fold in all_rounds}
        | {name: provenance.sha256(layout.existing(study, name)) for name in ("cohort", "folds", "volumes")},
    )
    if unit.is_current():
        logger.info("evaluate: predictions and scores are up to date")
        return
    workers = max(1, min(workers, len(all_rounds)))
    outcomes = run_all(
        partial(predict_fold, study, threads=max(1, cores() // workers)),
        all_rounds,
        workers,
        description="evaluate",
        labels=[f"fold-{fold.index}" for fold in all_rounds],
    )
    raise_failures(outcomes)
    predictions = sorted(
        (prediction for outcome in outcomes for prediction in outcome.value),
        key=lambda prediction: (MODEL_ORDER.index(prediction.model), prediction.id),
    )
    scores = score_table(predictions, settings.evaluation, settings.seed)
    unit.record(
        [
            tables.write_predictions(study, predictions),
            tables.write(layout.path(study, "scores"), scores, COLUMNS),
            tables.write(
                layout.path(study, "comparisons"),
                comparison_table(predictions, settings.evaluation, settings.seed),
                COMPARISON_COLUMNS,
            ),
            tables.write(layout.path(study, "calibration"), calibration_table(predictions), CALIBRATION_COLUMNS),
        ]
    )
    for row in scores:
        if row["level"] == "scan" and row["measure"] in ("balanced_accuracy", "auc"):
            logger.info(
                "evaluate: %s %s %.3f (%.3f to %.3f)",
                row["model"],
                row["measure"],
                row["value"],
                row["ci_low"],
                row["ci_high"],
            )


def predict_fold(study: Path, fold: Fold, threads: int = 1) -> list[Prediction]:
    """Predict the test scans of a fold by the network and the baselines trained without them."""
    torch.set_num_threads(threads)
    cohort = tables.read_cohort(study)
    network, _ = models.load(study, fold.index)
    inputs = np.load(layout.existing(study, "inputs"), mmap_mode="r")
    predictions = _as_records("cnn", cohort, fold, ensemble.predict(network, inputs, fold.test))
    fitted = tables.read_json(layout.existing(study, "baselines", fold=fold.index))
    for design in baselines.cohort_designs(cohort, *tables.read_volumes(study, cohort)):
        if design.name in fitted:
            baseline = baselines.LogisticBaseline(**fitted[design.name])
            predictions += _as_records(design.name, cohort, fold, baseline.predict(design.values[fold.test]))
    return predictions


def score_table(predictions: list[Prediction], settings: EvaluationSettings, seed: int) -> list[dict[str, object]]:
    """Score every model at both levels, one row a measure.

    Every model meets the same bootstrap samples of patients.
    """
    rows = []
    for model in dict.fromkeys(prediction.model for prediction in predictions):
        mine = [prediction for prediction in predictions if prediction.model == model]
        labels = np.array([p.label for p in mine])
        probability = np.array([p.probability for p in mine])
        patients = np.array([p.id.participant for p in mine])
        folds = np.array([p.fold for p in mine])
        patient_labels, patient_probability, patient_ids, first = by_patient(labels, probability, patients)
        for level, data in (
            ("scan", (labels, probability, patients, folds)),
            ("patient", (patient_labels, patient_probability, patient_ids, folds[first])),
        ):
            spreads = cross_validated_scores(*data, settings.n_bootstrap, settings.confidence, seed)
            rows += [
                {"model": model, "level": level, "measure": measure, "n": len(data[0])} | vars(spreads[measure])
                for measure in MEASURES
            ]
    return rows


def comparison_table(predictions: list[Prediction], settings: EvaluationSettings, seed: int) -> list[dict[str, object]]:
    """Compare the network with every baseline, and every model with chance.

    Areas under the curve are compared per patient (DeLong's units are independent), accuracies per scan with
    patients as clusters, and over folds with the variance corrected for their shared training scans.
    """
    by_model = {model: _Answers.of(predictions, model) for model in dict.fromkeys(p.model for p in predictions)}
    network = by_model["cnn"]
    rows = []
    for model, answers in by_model.items():
        y, score = answers.patient_labels, answers.patient_probability
        chance = comparison.above_chance(y, score, settings.n_permutations, seed)
        row = {"model": model, "against": "chance", "level": "patient", "test": "permutation", "n": len(y)}
        rows.append(row | {"difference": chance.statistic - 0.5, "statistic": chance.statistic, "p": chance.p})
    for model, answers in by_model.items():
        if model == "cnn":
            continue
        pair = {"model": "cnn", "against": model}
        areas = comparison.delong(network.patient_labels, network.patient_probability, answers.patient_probability)
        rows.append(
            pair
            | {"level": "patient", "test": "delong", "n": len(network.patient_labels)}
            | {"difference": areas.auc_a - areas.auc_b, "statistic": areas.z, "p": areas.p}
        )
        gain = network.correct.mean() - answers.correct.mean()
        for method in ("durkalski", "obuchowski"):
            found = comparison.mcnemar_clustered(network.correct, answers.correct, network.patients, method)
            rows.append(
                pair
                | {"level": "scan", "test": f"mcnemar_{method}", "n": len(network.correct)}
                | {"difference": gain, "statistic": found.statistic, "p": found.p}
            )
        numbers = np.unique(network.folds)
        per_fold = [(network.correct - 1.0 * answers.correct)[network.folds == k].mean() for k in numbers]
        n_test = len(network.correct) / len(numbers)
        # one fold of the others is kept for validation
        found = comparison.corrected_t(per_fold, n_train=(len(numbers) - 2) * n_test, n_test=n_test)
        rows.append(
            pair
            | {"level": "fold", "test": "corrected_t", "n": len(numbers)}
            | {"difference": np.mean(per_fold), "statistic": found.t, "p": found.p}
        )
    return rows


def calibration_table(predictions: list[Prediction]) -> list[dict[str, object]]:
    """Return slope and intercept of every model, per patient."""
    rows = []
    for model in dict.fromkeys(p.model for p in predictions):
        answers = _Answers.of(predictions, model)
        found = calibration(answers.patient_labels, answers.patient_probability)
        rows.append({"model": model, "level": "patient", "n": len(answers.patient_labels)} | vars(found))
    return rows


@dataclass(frozen=True)
class _Answers:
    """One model's answers, in the cohort's order, and per patient."""

    correct: np.ndarray
    patients: np.ndarray
    folds: np.ndarray
    patient_labels: np.ndarray
    patient_probability: np.ndarray

    @classmethod
    def of(cls, predictions: list[Prediction], model: str) -> _Answers:
        mine = sorted((p for p in predictions if p.model == model), key=lambda p: p.id)
        labels = np.array([p.label for p in mine])
        patients = np.array([p.id.participant for p in mine])
        per_patient = by_patient(labels, np.array([p.probability for p in mine]), patients)
        correct = np.array([p.predicted for p in mine]) == labels
        return cls(correct, patients, np.array([p.fold for p in mine]), *per_patient[:2])


def _as_records(model: str, cohort: Cohort, fold: Fold, probability: np.ndarray) -> list[Prediction]:
    return [
        Prediction(cohort.ids[row], model, fold.index, int(cohort.labels[row]), float(value))
        for row, value in zip(fold.test, probability, strict=True)
    ]
