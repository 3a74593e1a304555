"""Is the network as good for everybody, and at the ends of the scale?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from relevox.config import EvaluationSettings
from relevox.records import Prediction
from relevox.statistics.evaluation.answers import LEVELS, Answers, by_model, scans_of
from relevox.statistics.evaluation.scores import measure_rows
from relevox.statistics.evaluation.strata import level_order
from relevox.statistics.subgroups import Subgroup, interaction, scores_without, subgroup_scores

MEASURES = ("accuracy", "balanced_accuracy", "sensitivity", "specificity", "auc")
"""The measures of these tables."""

COLUMNS = (
    "factor",
    "level",
    "scans_used",
    "measure",
    "value",
    "ci_low",
    "ci_high",
    "n",
    "n_patients",
    "n_patients_0",
    "n_patients_1",
    "suppressed",
)
"""What the scans were divided by, level, whether its scans (``only``) or all others (``without``) were scored, measure,
value with the ends of its interval, scans, patients, patients with scans of class 0 and of class 1, and 1 where the
value is not shown because too few patients are behind it."""

INTERACTION_COLUMNS = ("factor", "measure", "statistic", "p", "levels", "n_patients", "n_excluded")
"""What the scans were divided by, measure, variance of the levels' values, share of permutations that reach it, levels
compared, patients permuted, and patients left out (of small, unknown or several levels)."""

POSTHOC_COLUMNS = ("subset", "model", "level", "measure", "value", "ci_low", "ci_high", "n", "n_left_out")
"""Which scores were kept, model, per scan or per patient, measure, value with the ends of its interval, scans or
patients, and scans or patients left out."""


def subgroup_table(
    answers: Answers, strata: Mapping[str, np.ndarray], settings: EvaluationSettings, seed: int
) -> list[dict[str, object]]:
    """Score the network on every level of every factor by itself, and without each scanner in turn.

    Parameters
    ----------
    answers : Answers
        Of the network, per scan.
    strata : mapping of str to ndarray
        From :func:`.strata.strata_of`, rows in the order of the answers.
    settings : EvaluationSettings
        Bootstrap samples, confidence, smallest groups.
    seed : int
        Of the samples.
    """
    rows = []
    for factor, levels in strata.items():
        kinds = {"only": subgroup_scores} | ({"without": scores_without} if factor == "scanner" else {})
        for kind, scored in kinds.items():
            groups = scored(
                answers.labels,
                answers.probability,
                answers.patients,
                levels,
                settings.smallest_group,
                settings.smallest_class,
                settings.n_bootstrap,
                settings.confidence,
                seed,
            )
            groups = sorted(groups, key=lambda group: level_order(group.level))
            rows += [row for group in groups for row in _rows(factor, kind, group)]
    return rows


def interaction_table(
    answers: Answers, strata: Mapping[str, np.ndarray], settings: EvaluationSettings, seed: int
) -> list[dict[str, object]]:
    """Test for every factor whether the network is as good in all of its levels; parameters as above."""
    rows = []
    for factor, levels in strata.items():
        for measure in ("balanced_accuracy", "auc"):
            found = interaction(
                answers.labels,
                answers.probability,
                answers.patients,
                levels,
                measure,
                settings.smallest_group,
                settings.smallest_class,
                settings.n_permutations,
                seed,
            )
            rows.append(
                {"factor": factor, "measure": measure} | vars(found) | {"levels": "; ".join(found.levels) or None}
            )
    return rows


def posthoc_table(
    predictions: Sequence[Prediction],
    scores: np.ndarray,
    between: Sequence[tuple[float, float]],
    settings: EvaluationSettings,
    seed: int,
) -> list[dict[str, object]]:
    """Score the out-of-fold answers to scans at the ends of the scale; no model is trained again.

    Parameters
    ----------
    predictions : sequence of Prediction
        Of all models.
    scores : ndarray, (n,)
        Clinical score of every scan, in the order of :func:`.answers.scans_of`.
    between : sequence of (float, float)
        Scans with a score strictly between are left out, one subset a pair.
    settings : EvaluationSettings
        Bootstrap samples and confidence.
    seed : int
        Of the samples.
    """
    assert len(scores) == len(scans_of(predictions))
    rows = []
    for low, high in between:
        kept = (scores <= low) | (scores >= high)
        for model, answers in by_model(predictions).items():
            if len(np.unique(answers.labels[kept])) < 2:
                continue
            for level in LEVELS:
                part = answers.where(kept).at(level)
                rows += [
                    {"subset": f"<= {low:g} or >= {high:g}", "model": model, "level": level}
                    | {name: row[name] for name in ("measure", "value", "ci_low", "ci_high", "n")}
                    | {"n_left_out": len(answers.at(level)) - len(part)}
                    for row in measure_rows(part, settings, seed)
                ]
    return rows


def _rows(factor: str, kind: str, group: Subgroup) -> list[dict[str, object]]:
    return [
        {"factor": factor, "level": group.level, "scans_used": kind, "measure": measure}
        | {name: getattr(group.scores[measure], name) for name in ("value", "ci_low", "ci_high")}
        | {"n": group.n, "n_patients": group.n_patients}
        | {"n_patients_0": group.n_patients_0, "n_patients_1": group.n_patients_1}
        | {"suppressed": measure in group.suppressed}
        for measure in MEASURES
    ]
