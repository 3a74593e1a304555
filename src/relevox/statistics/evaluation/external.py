"""How good the models of all folds are together on another cohort (SPEC 5): they vote, scan by scan.

Class measures follow the vote, the AUC and the Brier score the mean probability, as in the paper (2.5).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from relevox.config import EvaluationSettings
from relevox.records import Ballot, Prediction
from relevox.statistics.confounds import stratified_auc
from relevox.statistics.evaluation.answers import LEVELS, Answers, by_model
from relevox.statistics.evaluation.comparisons import comparison_table
from relevox.statistics.evaluation.scores import measure_rows
from relevox.statistics.intervals import proportion_scores

OF_THE_MEAN = ("auc", "brier")
"""Measures of the mean probability; all others are of the vote."""

WITHIN_SCANNER = "auc_within_scanner"
"""The AUC over pairs of scans of one scanner only."""

COLUMNS = (
    "model",
    "level",
    "measure",
    "value",
    "ci_low",
    "ci_high",
    "wilson_low",
    "wilson_high",
    "clopper_pearson_low",
    "clopper_pearson_high",
    "n",
)
"""Model, per scan or per patient, measure, value; the ends of the patient-bootstrap interval, and of two intervals
of a proportion where the units are independent; number of scans or patients."""


def by_vote(ballots: Sequence[Ballot]) -> list[Prediction]:
    """Return predictions that are above 0.5 exactly where class 1 wins the vote; there is no fold (-1)."""
    return [Prediction(b.id, b.model, -1, b.label, b.decision) for b in ballots]


def by_mean(ballots: Sequence[Ballot]) -> list[Prediction]:
    """Return predictions with the mean probability."""
    return [Prediction(b.id, b.model, -1, b.label, b.probability) for b in ballots]


def external_scores(
    ballots: Sequence[Ballot], scanners: Sequence[str], settings: EvaluationSettings, seed: int
) -> list[dict[str, object]]:
    """Score every model at both levels, one row a measure.

    Parameters
    ----------
    ballots : sequence of Ballot
        All models, each scan once a model.
    scanners : sequence of str, (n,)
        Scanner of every scan, in the order of the scans' names; empty where unknown.
    settings : EvaluationSettings
        Number of bootstrap samples and confidence.
    seed : int
        Of the samples.
    """
    votes, means = by_model(by_vote(ballots)), by_model(by_mean(ballots))
    rows = []
    for model in votes:
        for level in LEVELS:
            vote, mean = votes[model].at(level), means[model].at(level)
            shares = _independent(vote, settings.confidence)
            for of_vote, of_mean in zip(
                measure_rows(vote, settings, seed), measure_rows(mean, settings, seed), strict=True
            ):
                row = of_mean if of_vote["measure"] in OF_THE_MEAN else of_vote
                kept = {name: row[name] for name in ("measure", "value", "ci_low", "ci_high", "n")}
                rows.append({"model": model, "level": level} | kept | shares.get(row["measure"], {}))
        rows.append({"model": model, "level": "scan"} | _within_scanner(means[model], scanners, settings, seed))
    return rows


def external_comparisons(ballots: Sequence[Ballot], settings: EvaluationSettings, seed: int) -> list[dict[str, object]]:
    """Compare every pair of models, and every model with chance; AUCs by the mean probability, the rest by vote."""
    of_mean = [row for row in comparison_table(by_mean(ballots), settings, seed) if row["measure"] in OF_THE_MEAN]
    of_vote = [row for row in comparison_table(by_vote(ballots), settings, seed) if row["measure"] not in OF_THE_MEAN]
    return of_mean + of_vote


def _independent(answers: Answers, confidence: float) -> dict[str, dict[str, float]]:
    """Intervals of proportions; none where a patient counts more than once."""
    if len(np.unique(answers.patients)) < len(answers):
        return {}
    methods = {"wilson": "wilson", "clopper_pearson": "clopper-pearson"}
    found: dict[str, dict[str, float]] = {}
    for name, method in methods.items():
        for measure, share in proportion_scores(answers.labels, answers.probability, method, confidence).items():
            found.setdefault(measure, {}).update({f"{name}_low": share.ci_low, f"{name}_high": share.ci_high})
    return found


def _within_scanner(
    answers: Answers, scanners: Sequence[str], settings: EvaluationSettings, seed: int
) -> dict[str, object]:
    found = stratified_auc(
        answers.labels,
        answers.probability,
        scanners,
        answers.patients,
        settings.n_bootstrap,
        settings.confidence,
        seed,
    )
    return {
        "measure": WITHIN_SCANNER,
        "value": found.value,
        "ci_low": found.ci_low,
        "ci_high": found.ci_high,
        "n": len(answers) - found.n_unknown,
    }
