"""Whether one model is better than another on the same scans, and better than chance."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from relevox.config import EvaluationSettings
from relevox.records import Prediction
from relevox.statistics import comparison
from relevox.statistics.evaluation.answers import Answers, by_model

COLUMNS = (
    "model",
    "against",
    "level",
    "test",
    "measure",
    "difference",
    "ci_low",
    "ci_high",
    "statistic",
    "p",
    "n",
)
"""Two models, per scan, patient or fold, the test, what is compared, first minus second with the ends of its
interval, the test's statistic, p, and the number of scans, patients or folds."""


def comparison_table(
    predictions: Sequence[Prediction], settings: EvaluationSettings, seed: int
) -> list[dict[str, object]]:
    """Compare every model with chance, and every pair of models, those of the network first.

    Areas under the curve are compared per patient (DeLong's units are independent), accuracies per scan with
    patients as clusters, and over folds with the variance corrected for their shared training scans. The
    bootstrap draws patients, the same for both models, and gives every difference its interval.

    Parameters
    ----------
    predictions : sequence of Prediction
        All models, each scan once a model.
    settings : EvaluationSettings
        Permutations, bootstrap samples and confidence.
    seed : int
        Of both.
    """
    answers = by_model(predictions)
    rows = [_above_chance(model, given, settings, seed) for model, given in answers.items()]
    for (model, a), (against, b) in combinations(answers.items(), 2):
        rows += [{"model": model, "against": against} | row for row in compare(a, b, settings, seed)]
    return rows


def compare(a: Answers, b: Answers, settings: EvaluationSettings, seed: int) -> list[dict[str, object]]:
    """Compare two models' answers to the same scans: a row a test, without the models' names."""
    patients_a, patients_b = a.at("patient"), b.at("patient")
    areas = comparison.delong(patients_a.labels, patients_a.probability, patients_b.probability)
    rows: list[dict[str, object]] = [
        {"level": "patient", "test": "delong", "measure": "auc", "n": len(patients_a)}
        | {"difference": areas.auc_a - areas.auc_b, "statistic": areas.z, "p": areas.p}
    ]
    gain = a.correct.mean() - b.correct.mean()
    for method in ("durkalski", "obuchowski"):
        found = comparison.mcnemar_clustered(a.correct, b.correct, a.patients, method)
        rows.append(
            {"level": "scan", "test": f"mcnemar_{method}", "measure": "accuracy", "n": len(a)}
            | {"difference": gain, "statistic": found.statistic, "p": found.p}
        )
    return rows + _over_folds(a, b)


def _over_folds(a: Answers, b: Answers) -> list[dict[str, object]]:
    """Compare accuracies over the folds; nothing where there are no folds (an external cohort)."""
    numbers = np.unique(a.folds)
    if len(numbers) < 3:
        return []
    difference = a.correct.astype(float) - b.correct
    per_fold = [difference[a.folds == fold].mean() for fold in numbers]
    n_test = len(a) / len(numbers)
    # one fold of the others is kept for validation
    found = comparison.corrected_t(per_fold, n_train=(len(numbers) - 2) * n_test, n_test=n_test)
    return [
        {"level": "fold", "test": "corrected_t", "measure": "accuracy", "n": len(numbers)}
        | {"difference": np.mean(per_fold), "statistic": found.t, "p": found.p}
    ]


def _above_chance(model: str, answers: Answers, settings: EvaluationSettings, seed: int) -> dict[str, object]:
    patients = answers.at("patient")
    chance = comparison.above_chance(patients.labels, patients.probability, settings.n_permutations, seed)
    return {
        "model": model,
        "against": "chance",
        "level": "patient",
        "test": "permutation",
        "measure": "auc",
        "difference": chance.statistic - 0.5,
        "statistic": chance.statistic,
        "p": chance.p,
        "n": len(patients),
    }
