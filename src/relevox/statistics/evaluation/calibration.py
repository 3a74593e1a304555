"""Whether the models' probabilities can be taken at their word, as they are and with a temperature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from relevox.config import EvaluationSettings
from relevox.records import Prediction
from relevox.statistics.calibration import (
    calibration,
    expected_calibration_error,
    reliability_curve,
    temperature,
    with_temperature,
)
from relevox.statistics.decision import decision_curve
from relevox.statistics.evaluation.answers import Answers, by_model
from relevox.statistics.scores import classification_scores, patient_bootstrap

KINDS = ("raw", "temperature")
"""Probabilities as they are, or after division of their logits by the fold's temperature."""

ECE_BINS = 10
"""Bins of equal width, closed on the right."""

RELIABILITY_BINS = 6
"""Bins of about equal counts, at most."""

COLUMNS = (
    "model",
    "level",
    "probability",
    "slope",
    "slope_low",
    "slope_high",
    "intercept",
    "intercept_low",
    "intercept_high",
    "brier",
    "brier_low",
    "brier_high",
    "ece",
    "auc",
    "n",
)
"""Model, per patient, kind of probability, slope and intercept of the recalibration with the ends of their intervals
(Wald, patients as clusters), Brier score with the ends of its interval (patient bootstrap), expected calibration error
over ten bins of equal width closed on the right, AUC, and number of patients."""

TEMPERATURE_COLUMNS = ("model", "fold", "temperature", "n_scans", "n_patients", "note")
"""Model, fold, temperature found on the fold's validation scans (above 1: the probabilities were too extreme), scans
and patients it was found on, and what is unusual."""

RELIABILITY_COLUMNS = ("model", "probability", "bin", "predicted", "observed", "ci_low", "ci_high", "n")
"""Model, kind of probability, bin of about equal counts, mean probability, share of class 1 with the ends of its Wilson
interval, patients in the bin."""

DECISION_COLUMNS = (
    "model",
    "probability",
    "threshold",
    "net_benefit",
    "ci_low",
    "ci_high",
    "treat_all",
    "treat_none",
    "gain",
    "gain_low",
    "gain_high",
)
"""Model, kind of probability, probability above which one would act, net benefit with the ends of its band, of acting
on all and on nobody, and the gain over the better of the two with the ends of its band; per scan."""


def temperature_table(validation: Sequence[Prediction]) -> list[dict[str, object]]:
    """Find a temperature for every model and fold, on scans the fold's models were not fitted on.

    Parameters
    ----------
    validation : sequence of Prediction
        Answers to validation scans; ``fold`` is the fold whose model answered.
    """
    rows = []
    for model, answers in by_model(validation).items():
        for fold in np.unique(answers.folds):
            mine = answers.where(answers.folds == fold)
            found = temperature(mine.labels, mine.probability)
            note = ""
            if np.isnan(found):
                note = "every validation scan was right: no temperature can be found, 1 is used"
            elif np.isinf(found):
                note = "the probabilities do not point to the class: all become 0.5"
            rows.append(
                {"model": model, "fold": int(fold), "temperature": found, "note": note}
                | {"n_scans": len(mine), "n_patients": len(np.unique(mine.patients))}
            )
    return rows


def calibrated(predictions: Sequence[Prediction], temperatures: Sequence[Mapping[str, object]]) -> list[Prediction]:
    """Divide the logit of every answer by the temperature of its model and fold; without one, it stays.

    A fold's temperature was found on its validation scans, never on the scans it is used for.
    """
    of = {(row["model"], row["fold"]): float(row["temperature"]) for row in temperatures}
    answers = []
    for prediction in predictions:
        found = of.get((prediction.model, prediction.fold), np.nan)
        if np.isfinite(found) or np.isinf(found):
            changed = float(with_temperature(np.array([prediction.probability]), found)[0])
            prediction = replace(prediction, probability=changed)
        answers.append(prediction)
    return answers


def calibration_table(
    of_kind: Mapping[str, Sequence[Prediction]], settings: EvaluationSettings, seed: int
) -> list[dict[str, object]]:
    """Return slope, intercept, Brier score and calibration error of every model, per patient.

    Parameters
    ----------
    of_kind : mapping of str to sequence of Prediction
        By ``KINDS``: the same answers with either probability.
    settings : EvaluationSettings
        Bootstrap samples and confidence.
    seed : int
        Of the samples.
    """
    rows = []
    for model, kind, answers in _answers(of_kind):
        patients = answers.at("patient")
        found = calibration(patients.labels, patients.probability, patients.patients, settings.confidence)
        scores = classification_scores(patients.labels, patients.probability)
        low, high = patient_bootstrap(
            patients.labels, patients.probability, patients.patients, settings.n_bootstrap, settings.confidence, seed
        )["brier"]
        rows.append(
            {"model": model, "level": "patient", "probability": kind, "n": len(patients)}
            | vars(found)
            | {"brier": scores.brier, "brier_low": low, "brier_high": high, "auc": scores.auc}
            | {"ece": expected_calibration_error(patients.labels, patients.probability, ECE_BINS)}
        )
    return rows


def reliability_table(
    of_kind: Mapping[str, Sequence[Prediction]], settings: EvaluationSettings
) -> list[dict[str, object]]:
    """Return predicted and observed shares in bins of about equal counts, per patient."""
    rows = []
    for model, kind, answers in _answers(of_kind):
        patients = answers.at("patient")
        curve = reliability_curve(
            patients.labels, patients.probability, RELIABILITY_BINS, "quantile", settings.confidence
        )
        rows += [
            {"model": model, "probability": kind, "bin": k + 1} | dict(zip(vars(curve), values, strict=True))
            for k, values in enumerate(zip(*vars(curve).values(), strict=True))
        ]
    return rows


def decision_table(
    of_kind: Mapping[str, Sequence[Prediction]], settings: EvaluationSettings, seed: int
) -> list[dict[str, object]]:
    """Return the net benefit of acting on every model, over thresholds, per scan."""
    rows = []
    for model, kind, answers in _answers(of_kind):
        curve = decision_curve(
            answers.labels,
            answers.probability,
            answers.patients,
            n_bootstrap=settings.n_bootstrap,
            confidence=settings.confidence,
            seed=seed,
        )
        columns = {"net_benefit": curve.model} | {
            name: getattr(curve, name) for name in DECISION_COLUMNS[2:] if name != "net_benefit"
        }
        rows += [
            {"model": model, "probability": kind} | dict(zip(columns, values, strict=True))
            for values in zip(*columns.values(), strict=True)
        ]
    return rows


def _answers(of_kind: Mapping[str, Sequence[Prediction]]) -> list[tuple[str, str, Answers]]:
    """(Model, kind, answers), the kinds of a model side by side."""
    collected = {kind: by_model(predictions) for kind, predictions in of_kind.items()}
    models = next(iter(collected.values()))
    return [(model, kind, collected[kind][model]) for model in models for kind in of_kind]
