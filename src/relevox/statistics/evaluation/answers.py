"""What the models answered, as arrays in one order: per scan, and per patient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from relevox.errors import InputError
from relevox.records import Prediction, ScanId
from relevox.statistics.baselines import model_order
from relevox.statistics.scores import by_patient

LEVELS = ("scan", "patient")
"""Each scan counts, or one answer a patient (two where the patient's class changed)."""


@dataclass(frozen=True)
class Answers:
    """One model's answers to n scans or patients."""

    labels: np.ndarray
    """``(n,)`` true class."""
    probability: np.ndarray
    """``(n,)`` of class 1."""
    patients: np.ndarray
    """``(n,)`` of str: the unit of resampling."""
    folds: np.ndarray
    """``(n,)`` fold whose model answered."""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def correct(self) -> np.ndarray:
        """Whether each answer is right, ``(n,)`` bool; a probability of exactly 0.5 answers class 0."""
        return (self.probability > 0.5) == (self.labels == 1)

    def where(self, rows: np.ndarray) -> Answers:
        """Keep some rows: a mask or row numbers."""
        return Answers(self.labels[rows], self.probability[rows], self.patients[rows], self.folds[rows])

    def at(self, level: str) -> Answers:
        """Return the answers per ``scan`` (as they are) or per ``patient`` (mean probability)."""
        if level == "scan":
            return self
        labels, probability, patients, first = by_patient(self.labels, self.probability, self.patients)
        return Answers(labels, probability, patients, self.folds[first])


def scans_of(predictions: Sequence[Prediction]) -> tuple[ScanId, ...]:
    """Return the scans behind the rows of every model's answers, sorted."""
    return tuple(sorted({prediction.id for prediction in predictions}))


def by_model(predictions: Sequence[Prediction]) -> dict[str, Answers]:
    """Collect the answers of every model, the network first, rows in the order of :func:`scans_of`.

    Raises
    ------
    InputError
        When a model has not answered every scan exactly once, or two models disagree about a scan's class.
    """
    scans = scans_of(predictions)
    of_model: dict[str, list[Prediction]] = {}
    for prediction in predictions:
        of_model.setdefault(prediction.model, []).append(prediction)
    answers = {}
    for model in model_order(list(of_model)):
        mine = sorted(of_model[model], key=lambda prediction: prediction.id)
        if tuple(prediction.id for prediction in mine) != scans:
            raise InputError(
                f"expected one answer of model {model} to each of {len(scans)} scans, but got {len(mine)} answers",
                code="predictions-incomplete",
                remedy="run evaluate again",
            )
        answers[model] = Answers(
            labels=np.array([prediction.label for prediction in mine]),
            probability=np.array([prediction.probability for prediction in mine], dtype=float),
            patients=np.array([scan.participant for scan in scans]),
            folds=np.array([prediction.fold for prediction in mine]),
        )
    first = next(iter(answers.values()))
    for model, other in answers.items():
        if (other.labels != first.labels).any():
            raise InputError(f"expected one class per scan, but model {model} has others", code="predictions-classes")
    return answers
