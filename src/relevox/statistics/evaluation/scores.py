"""How good every model is: pooled with an interval, and over the folds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from relevox.config import EvaluationSettings
from relevox.records import Prediction
from relevox.statistics.evaluation.answers import LEVELS, Answers, by_model
from relevox.statistics.scores import MEASURES, cross_validated_scores

COLUMNS = ("model", "level", "measure", "value", "ci_low", "ci_high", "fold_mean", "fold_sd", "n")
"""Model, per scan or per patient, measure, its pooled value with the ends of its interval, mean and standard
deviation over the folds, and the number of scans or patients."""


def score_table(predictions: Sequence[Prediction], settings: EvaluationSettings, seed: int) -> list[dict[str, object]]:
    """Score every model at both levels, one row a measure.

    Every model meets the same bootstrap samples of patients.

    Parameters
    ----------
    predictions : sequence of Prediction
        All models, each scan once a model.
    settings : EvaluationSettings
        Number of bootstrap samples and confidence.
    seed : int
        Of the samples.
    """
    return [
        {"model": model, "level": level, **row}
        for model, answers in by_model(predictions).items()
        for level in LEVELS
        for row in measure_rows(answers.at(level), settings, seed)
    ]


def measure_rows(answers: Answers, settings: EvaluationSettings, seed: int) -> list[Mapping[str, object]]:
    """Score one model's answers: a row a measure, without the model's name."""
    spreads = cross_validated_scores(
        answers.labels,
        answers.probability,
        answers.patients,
        answers.folds,
        settings.n_bootstrap,
        settings.confidence,
        seed,
    )
    return [{"measure": measure, "n": len(answers)} | vars(spreads[measure]) for measure in MEASURES]
