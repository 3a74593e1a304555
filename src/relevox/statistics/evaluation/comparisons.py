"""Whether one model is better than another on the same scans, and better than chance."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from relevox.config import EvaluationSettings
from relevox.records import Prediction
from relevox.statistics import comparison
from relevox.statistics.evaluation.answers import LEVELS, Answers, by_model
from relevox.statistics.evaluation.samples import difference, resampled_scores
from relevox.statistics.resampling import Resampled
from relevox.statistics.scores import MEASURES

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

    Areas under the curve are compared per patient (DeLong; the two rows of a patient who changes class are one
    cluster), accuracies per scan with patients as clusters, and over folds with the variance corrected for their
    shared training scans. The bootstrap draws patients, the same for both models, and gives every difference its
    interval.

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
    samples = {
        level: resampled_scores({model: given.at(level) for model, given in answers.items()}, settings, seed)
        for level in LEVELS
    }
    rows = [_above_chance(model, given, settings, seed) for model, given in answers.items()]
    for a, b in combinations(answers, 2):
        found = _tests(answers[a], answers[b])
        for level in LEVELS:
            n = len(answers[a].at(level))
            found += _bootstrapped(difference(samples[level][a], samples[level][b]), level, n, settings)
        rows += [{"model": a, "against": b} | row for row in found]
    return rows


def _tests(a: Answers, b: Answers) -> list[dict[str, object]]:
    """Compare two models' answers to the same scans by the tests of the literature: a row a test."""
    rows = [_areas(a.at("patient"), b.at("patient"))]
    gain = a.correct.mean() - b.correct.mean()
    for method in ("durkalski", "obuchowski"):
        found = comparison.mcnemar_clustered(a.correct, b.correct, a.patients, method)
        rows.append(
            {"level": "scan", "test": f"mcnemar_{method}", "measure": "accuracy", "n": len(a)}
            | {"difference": gain, "statistic": found.statistic, "p": found.p}
        )
    return rows + _over_folds(a, b)


def _bootstrapped(found: Resampled, level: str, n: int, settings: EvaluationSettings) -> list[dict[str, object]]:
    ends, p = found.symmetric_interval(settings.confidence), found.p_zero()
    return [
        {"level": level, "test": "paired_bootstrap", "measure": measure, "n": n}
        | {"difference": found.value[k], "ci_low": ends[k, 0], "ci_high": ends[k, 1], "p": p[k]}
        for k, measure in enumerate(MEASURES)
        if measure in ("accuracy", "balanced_accuracy", "auc", "brier")
    ]


def _areas(a: Answers, b: Answers) -> dict[str, object]:
    row: dict[str, object] = {"level": "patient", "test": "delong", "measure": "auc", "n": len(a)}
    if min(np.bincount(a.labels, minlength=2)) < 2:
        return row  # no variance without two patients of a class
    areas = comparison.delong(a.labels, a.probability, b.probability, a.patients)
    return row | {"difference": areas.auc_a - areas.auc_b, "statistic": areas.z, "p": areas.p}


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
    chance = comparison.above_chance(
        patients.labels, patients.probability, settings.n_permutations, seed, patients.patients
    )
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
