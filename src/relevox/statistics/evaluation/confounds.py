"""Could the scanner, or age and sex, explain what the network reaches?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from relevox.config import EvaluationSettings
from relevox.records import Cohort, Prediction
from relevox.statistics import confounds
from relevox.statistics.balance import balance, distribution
from relevox.statistics.baselines import CONFOUNDS, Design, fit_logistic
from relevox.statistics.evaluation.answers import Answers, by_model
from relevox.statistics.evaluation.strata import UNKNOWN, level_order
from relevox.statistics.scores import patient_bootstrap
from relevox.statistics.subgroups import Subgroup, subgroup_scores

VERDICT_COLUMNS = (
    "confound",
    "measure",
    "cnn",
    "ci_low",
    "ci_high",
    "confound_value",
    "confound_low",
    "confound_high",
    "difference",
    "difference_low",
    "difference_high",
    "p",
    "stratified_auc",
    "stratified_low",
    "stratified_high",
    "n_pairs",
    "within_interval",
    "not_shown_better",
    "confound_driven",
    "n",
)
"""Confound model, measure per scan, the network's value with the ends of its interval, the confound model's with its
own, their difference with the ends of its interval and p (patient bootstrap), the network's AUC among scans of one
level of the confound with its interval and number of pairs, and three verdicts (0 or 1): the confound model reaches the
network's interval; the network is not shown to be better; and, where the confound model is better than chance, neither
is the network among scans of one level: the confound may be all it has learned."""

STRATIFIED_COLUMNS = ("model", "factor", "auc", "stratified_auc", "ci_low", "ci_high", "n_pairs", "n_pairs_all")
"""Model, what the scans were divided by, AUC over all pairs of a class-1 and a class-0 scan, AUC over the pairs within
a level with the ends of its interval, and the two numbers of pairs."""

NEVER_SEEN = "never_seen"
"""How a network was trained that is scored on a scanner it has never seen (``training.unseen_scanner``)."""

MIXED = "mixed"
"""Of all scanners together, where the network has never seen one of them."""

LEFT_OUT_COLUMNS = ("model", "training", "scanner", "measure", "value", "ci_low", "ci_high", "n", "n_patients")
"""Model, whether it was ``refitted`` without the scanner or is the ``out_of_fold`` model, which knew other scans of it
(``never_seen``: it knew none; ``mixed``: none of one scanner), scanner whose scans were predicted (``all``: one after
the other), measure, its value with the ends of its interval (n/a: too few patients), and the number of scans and
patients."""

BALANCE_COLUMNS = (
    "factor",
    "level",
    "scans",
    "patients",
    "class_1",
    "share_class_1",
    "share_of_cohort",
    "age_mean_0",
    "age_sd_0",
    "age_mean_1",
    "age_sd_1",
    "female_0",
    "female_1",
)
"""What the cohort was divided by, level, scans, patients, scans of class 1 and their share, share of the cohort, age
in years (mean, SD) and share of women among the scans of class 0 and of class 1."""


def verdict_table(
    predictions: Sequence[Prediction], strata: Mapping[str, np.ndarray], settings: EvaluationSettings, seed: int
) -> list[dict[str, object]]:
    """Hold the network against the models that see nothing of the brain.

    Parameters
    ----------
    predictions : sequence of Prediction
        Of all models on the same scans.
    strata : mapping of str to ndarray
        From :func:`.strata.strata_of`.
    settings : EvaluationSettings
        Bootstrap samples and confidence.
    seed : int
        Of the samples.
    """
    answers = by_model(predictions)
    network, rows = answers["cnn"], []
    within = {"scanner": strata.get("scanner"), "age_sex": _joined(strata, ("age", "sex"))}
    for confound in (name for name in CONFOUNDS if name in answers):
        for measure in ("balanced_accuracy", "auc"):
            verdict = confounds.confound_verdict(
                network.labels,
                network.probability,
                answers[confound].probability,
                network.patients,
                within[confound],
                measure,
                settings.n_bootstrap,
                settings.confidence,
                seed,
            )
            low, high = patient_bootstrap(
                network.labels,
                answers[confound].probability,
                network.patients,
                settings.n_bootstrap,
                settings.confidence,
                seed,
            )[measure]
            row: dict[str, object] = {
                "confound": confound,
                "measure": measure,
                "cnn": verdict.model,
                "ci_low": verdict.ci_low,
                "ci_high": verdict.ci_high,
                "confound_value": verdict.confound,
                "confound_low": low,
                "confound_high": high,
                "difference": verdict.difference.difference,
                "difference_low": verdict.difference.ci_low,
                "difference_high": verdict.difference.ci_high,
                "p": verdict.difference.p,
                "within_interval": verdict.within_interval,
                "not_shown_better": verdict.not_shown_better,
                "confound_driven": bool(verdict.confound_driven and low > 0.5),
                "n": len(network),
            }
            if (stratified := verdict.stratified) is not None:
                row |= {
                    "stratified_auc": stratified.value,
                    "stratified_low": stratified.ci_low,
                    "stratified_high": stratified.ci_high,
                    "n_pairs": stratified.n_pairs,
                }
            rows.append(row)
    return rows


def stratified_table(
    predictions: Sequence[Prediction], strata: Mapping[str, np.ndarray], settings: EvaluationSettings, seed: int
) -> list[dict[str, object]]:
    """Score every model on pairs of scans of the same level: what it knows beyond the factor."""
    rows = []
    for model, answers in by_model(predictions).items():
        for factor, levels in strata.items():
            found = confounds.stratified_auc(
                answers.labels,
                answers.probability,
                levels,
                answers.patients,
                settings.n_bootstrap,
                settings.confidence,
                seed,
            )
            whole = confounds.stratified_auc(
                answers.labels, answers.probability, np.full(len(levels), "all"), answers.patients, 1
            )
            rows.append(
                {"model": model, "factor": factor, "auc": whole.value, "stratified_auc": found.value}
                | {"ci_low": found.ci_low, "ci_high": found.ci_high}
                | {"n_pairs": found.n_pairs, "n_pairs_all": found.n_pairs_all}
            )
    return rows


def left_out_table(
    predictions: Sequence[Prediction],
    scanners: np.ndarray,
    designs: Sequence[Design],
    settings: EvaluationSettings,
    seed: int,
    balanced: bool = True,
    unseen: str = "",
) -> list[dict[str, object]]:
    """Score models on scanners they were not trained on.

    Logistic regressions are fitted again without the scanner and without its patients. The network is not: its
    out-of-fold answers to the scans of each scanner stand beside them, from models that knew other scans of it,
    unless the study was trained without that scanner.

    Parameters
    ----------
    predictions : sequence of Prediction
        Out of fold.
    scanners : ndarray, (n,) of str
        Of every scan, in the order of :func:`.answers.scans_of`; empty where unknown.
    designs : sequence of Design
        What is fitted again, rows in the same order.
    settings : EvaluationSettings
        Bootstrap samples and confidence; smallest groups.
    seed : int
        Of the samples.
    balanced : bool
        Weigh classes by inverse frequency.
    unseen : str
        Scanner that no network of these predictions has seen; empty: none.
    """
    network = by_model(predictions)["cnn"]
    known = scanners != ""
    if len(np.unique(scanners[known])) < 2:
        return []
    rows = _by_scanner("cnn", "out_of_fold", network.where(known), scanners[known], settings, seed)
    if unseen:
        for row in rows:
            row["training"] = {unseen: NEVER_SEEN, "all": MIXED}.get(str(row["scanner"]), row["training"])
    for design in designs:
        probability = np.full(len(network), np.nan)
        for left_out in confounds.leave_one_stratum_out(scanners, network.patients, network.labels):
            if left_out.possible:
                fitted = fit_logistic(design, network.labels, left_out.train, balanced)
                probability[left_out.test] = fitted.predict(design.values[left_out.test])
        told = np.isfinite(probability)
        if told.any():
            answers = Answers(network.labels, probability, network.patients, network.folds).where(told)
            rows += _by_scanner(design.name, "refitted", answers, scanners[told], settings, seed)
    return rows


def balance_table(cohort: Cohort, strata: Mapping[str, np.ndarray]) -> list[dict[str, object]]:
    """Count scans, patients and classes per level, with age and sex of both classes.

    Parameters
    ----------
    cohort : Cohort
        Rows in the order of ``strata``.
    strata : mapping of str to ndarray
        From :func:`.strata.strata_of`.
    """
    labels, patients = cohort.labels, cohort.patients
    age = np.array([o.age_years for o in cohort])
    female = np.array([{"F": 1.0, "M": 0.0}.get(o.sex, np.nan) for o in cohort])
    rows = []
    for factor, levels in strata.items():
        ages = {(d.stratum, d.label): d for d in distribution(age, levels, labels)}
        women = {(d.stratum, d.label): d for d in distribution(female, levels, labels)}
        for found in sorted(balance(levels, labels, patients), key=lambda part: level_order(part.stratum)):
            row: dict[str, object] = {
                "factor": factor,
                "level": found.stratum or UNKNOWN,
                "scans": found.n,
                "patients": found.n_patients,
                "class_1": found.n_class_1,
                "share_class_1": found.share_class_1,
                "share_of_cohort": found.share_of_cohort,
            }
            for label in (0, 1):
                of_class = ages[found.stratum, label]
                row |= {f"age_mean_{label}": of_class.mean, f"age_sd_{label}": of_class.sd}
                row[f"female_{label}"] = women[found.stratum, label].mean
            rows.append(row)
    return rows


def _by_scanner(
    model: str, training: str, answers: Answers, scanners: np.ndarray, settings: EvaluationSettings, seed: int
) -> list[dict[str, object]]:
    def scored(levels: np.ndarray) -> tuple[Subgroup, ...]:
        return subgroup_scores(
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

    return [
        {"model": model, "training": training, "scanner": group.level, "measure": measure}
        | {"value": score.value, "ci_low": score.ci_low, "ci_high": score.ci_high}
        | {"n": group.n, "n_patients": group.n_patients}
        for group in (*scored(scanners), *scored(np.full(len(answers), "all")))
        for measure, score in group.scores.items()
        if measure in ("accuracy", "balanced_accuracy", "auc")
    ]


def _joined(strata: Mapping[str, np.ndarray], names: Sequence[str]) -> np.ndarray | None:
    """Levels of several factors at once; unknown where one of them is. None where a factor is missing."""
    if any(name not in strata for name in names):
        return None
    parts = [strata[name] for name in names]
    known = np.all([part != "" for part in parts], axis=0)
    return np.where(known, [" ".join(row) for row in zip(*parts, strict=True)], "")
