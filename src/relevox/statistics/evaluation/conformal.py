"""Sets of classes that hold the true one as often as promised."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from relevox.config import EvaluationSettings
from relevox.records import Prediction
from relevox.statistics.conformal import ConformalRule, Coverage, conformal_coverage, fit_conformal
from relevox.statistics.evaluation.answers import Answers, by_model
from relevox.statistics.resampling import Estimate

_SHARES = ("scan", "patient", "class_0", "class_1", "size")

COLUMNS = (
    "model",
    "promise",
    "alpha",
    "fold",
    "threshold_0",
    "threshold_1",
    *(f"{name}{end}" for name in _SHARES for end in ("", "_ci_low", "_ci_high")),
    "empty",
    "single",
    "both",
    "n",
    "n_patients",
)
"""Model, promise over both classes (``overall``) or within each (``by_class``), promised share of misses, fold (or
``all`` of them together), largest admitted 1 - probability of either class, how often the set holds the true class: per
scan, per patient, among patients of class 0 and of class 1, mean number of classes in a set (each with the ends of its
interval), shares of scans with none, one and two classes in their set, scans, patients."""


def conformal_table(
    test: Sequence[Prediction], validation: Sequence[Prediction], settings: EvaluationSettings, seed: int
) -> list[dict[str, object]]:
    """Make sets for the test scans of every fold by a threshold from its validation scans, and check them.

    Parameters
    ----------
    test, validation : sequence of Prediction
        The same models; ``fold`` is the fold whose model answered.
    settings : EvaluationSettings
        ``conformal_alpha``, bootstrap samples and confidence.
    seed : int
        Of the samples.

    Notes
    -----
    Each fold has a threshold of its own, for each model has a scale of its own.
    The network's rows are given for each fold too; the others' over all folds.
    """
    rows = []
    answered, tuned = by_model(test), by_model(validation)
    for model in (name for name in answered if name in tuned):
        for promise in ("overall", "by_class"):
            rows += _of_model(model, promise, answered[model], tuned[model], settings, seed)
    return rows


def _of_model(
    model: str, promise: str, test: Answers, validation: Answers, settings: EvaluationSettings, seed: int
) -> list[dict[str, object]]:
    sets, rows = np.zeros((len(test), 2), dtype=bool), []

    def row(fold: object, part: np.ndarray, rule: ConformalRule | None) -> dict[str, object]:
        answers = test.where(part)
        coverage = conformal_coverage(
            answers.labels, sets[part], answers.patients, settings.n_bootstrap, settings.confidence, seed
        )
        thresholds = {} if rule is None else {f"threshold_{k}": rule.thresholds[k] for k in (0, 1)}
        return {
            "model": model,
            "promise": promise,
            "alpha": settings.conformal_alpha,
            "fold": fold,
            "n": len(answers),
            "n_patients": len(np.unique(answers.patients)),
            **thresholds,
            **_columns(coverage),
        }

    for fold in np.unique(test.folds):
        mine, part = validation.where(validation.folds == fold), test.folds == fold
        rule = fit_conformal(
            mine.labels, mine.probability, mine.patients, settings.conformal_alpha, promise == "by_class"
        )
        sets[part] = rule.sets(test.probability[part])
        if model == "cnn":
            rows.append(row(int(fold), part, rule))
    return [row("all", np.ones(len(test), dtype=bool), None), *rows]


def _columns(coverage: Coverage) -> dict[str, object]:
    found: dict[str, object] = {name: getattr(coverage, name) for name in ("empty", "single", "both")}
    for name in _SHARES:
        estimate: Estimate = getattr(coverage, name)
        found |= {name: estimate.value, f"{name}_ci_low": estimate.ci_low, f"{name}_ci_high": estimate.ci_high}
    return found
