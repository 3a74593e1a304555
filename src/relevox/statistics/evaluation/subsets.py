"""Logistic regressions on every subset of the volumes, and what choosing one of them costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from relevox.config import EvaluationSettings
from relevox.records import Prediction
from relevox.statistics.comparison import delong
from relevox.statistics.evaluation.answers import LEVELS, Answers, by_model
from relevox.statistics.evaluation.samples import resampled_scores
from relevox.statistics.scores import MEASURES as ALL_MEASURES

MEASURES = ("accuracy", "balanced_accuracy", "auc")
"""The measures of this table."""

COLUMNS = (
    "subset",
    "n_features",
    "level",
    *(f"{measure}{end}" for measure in MEASURES for end in ("", "_ci_low", "_ci_high")),
    "cnn_auc_difference",
    "p_delong",
    "folds_that_chose_it",
    "n",
)
"""Volumes joined by ``+``, how many, per scan or per patient, each measure with the ends of its interval, the AUC of
the network minus that of the subset (per patient) with DeLong's p, the number of folds whose validation scans chose
this subset, and the number of scans or patients. The best row was chosen by the test scans: it is too good."""


def subset_table(
    predictions: Sequence[Prediction],
    network: Answers,
    chosen: Sequence[str],
    settings: EvaluationSettings,
    seed: int,
) -> list[dict[str, object]]:
    """Score the regression on every subset, in the order of size.

    Parameters
    ----------
    predictions : sequence of Prediction
        Out of fold; the model's name is the subset's.
    network : Answers
        To the same scans.
    chosen : sequence of str
        Per fold, the subset its validation scans chose.
    settings : EvaluationSettings
        Bootstrap samples and confidence.
    seed : int
        Of the samples.
    """
    counts, answers = Counter(chosen), by_model(predictions)
    names = sorted(answers, key=lambda name: name.count("+"))
    rows = []
    for level in LEVELS:
        at_level = {name: answers[name].at(level) for name in names}
        for name, found in resampled_scores(at_level, settings, seed).items():
            ends = found.interval(settings.confidence)
            row: dict[str, object] = {"subset": name, "n_features": name.count("+") + 1, "level": level}
            for measure in MEASURES:
                k = ALL_MEASURES.index(measure)
                row |= {measure: found.value[k], f"{measure}_ci_low": ends[k, 0], f"{measure}_ci_high": ends[k, 1]}
            mine, theirs = at_level[name], network.at(level)
            if level == "patient" and min(np.bincount(mine.labels, minlength=2)) > 1:
                areas = delong(mine.labels, theirs.probability, mine.probability, mine.patients)
                row |= {"cnn_auc_difference": areas.auc_a - areas.auc_b, "p_delong": areas.p}
            rows.append(row | {"folds_that_chose_it": counts[name], "n": len(at_level[name])})
    return rows


def best_subset(rows: Sequence[Mapping[str, object]], level: str = "scan") -> Mapping[str, object] | None:
    """Return the row with the largest AUC: chosen by the test scans, and therefore too good. None without rows."""
    at_level = [row for row in rows if row["level"] == level]
    return max(at_level, key=lambda row: row["auc"], default=None)
