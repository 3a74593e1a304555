"""Whether the models' probabilities can be taken at their word."""

from __future__ import annotations

from collections.abc import Sequence

from relevox.records import Prediction
from relevox.statistics.calibration import calibration
from relevox.statistics.evaluation.answers import by_model

COLUMNS = ("model", "level", "slope", "intercept", "n")
"""Model, per patient, slope and intercept of the recalibration, number of patients."""


def calibration_table(predictions: Sequence[Prediction]) -> list[dict[str, object]]:
    """Return slope and intercept of every model, per patient."""
    rows = []
    for model, answers in by_model(predictions).items():
        patients = answers.at("patient")
        found = calibration(patients.labels, patients.probability)
        rows.append({"model": model, "level": "patient", "n": len(patients)} | vars(found))
    return rows
