"""All tables of an evaluation at once, by the kind of file they are written to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from relevox.config import Settings
from relevox.records import Cohort, Prediction
from relevox.statistics.baselines import BEST, Design
from relevox.statistics.evaluation import (
    calibration,
    comparisons,
    conformal,
    confounds,
    scores,
    subgroups,
    subsets,
    summary,
)
from relevox.statistics.evaluation.answers import by_model, scans_of
from relevox.statistics.evaluation.strata import strata_of

Rows = list[dict[str, object]]

COLUMNS: Mapping[str, Sequence[str]] = {
    "scores": scores.COLUMNS,
    "comparisons": comparisons.COLUMNS,
    "calibration": calibration.COLUMNS,
    "summary": summary.COLUMNS,
    "subset_scores": subsets.COLUMNS,
    "confounds": confounds.VERDICT_COLUMNS,
    "stratified": confounds.STRATIFIED_COLUMNS,
    "left_out_scanners": confounds.LEFT_OUT_COLUMNS,
    "balance": confounds.BALANCE_COLUMNS,
    "temperatures": calibration.TEMPERATURE_COLUMNS,
    "reliability": calibration.RELIABILITY_COLUMNS,
    "decision_curves": calibration.DECISION_COLUMNS,
    "conformal": conformal.COLUMNS,
    "subgroups": subgroups.COLUMNS,
    "interactions": subgroups.INTERACTION_COLUMNS,
    "posthoc": subgroups.POSTHOC_COLUMNS,
}
"""Columns by kind of table, in the order in which they are written."""


def score_tables(
    predictions: Sequence[Prediction],
    settings: Settings,
    cohort: Cohort,
    characteristics: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, Rows]:
    """Score any models on any cohort: everything that needs no second set of predictions.

    Parameters
    ----------
    predictions : sequence of Prediction
        All models, each scan once a model; the network is called ``cnn``.
    settings : Settings
        ``evaluation``, ``cohort`` (direction of the outcome) and ``seed``.
    cohort : Cohort
        The scans that were predicted, with what is known of them.
    characteristics : mapping of str to sequence of str, optional
        Further columns in the cohort's order; ``ms_type`` makes subgroups.

    Returns
    -------
    dict of str to list of dict
        By kind of table; those of calibration, and of models that are fitted again, are not among them.
    """
    e, seed = settings.evaluation, settings.seed
    scans = scans_of(predictions)
    strata = strata_of(cohort, scans, e.age_bands, characteristics)
    cohort, network = _in_order(cohort, scans), by_model(predictions)["cnn"]
    found = {
        "scores": scores.score_table(predictions, e, seed),
        "comparisons": comparisons.comparison_table(predictions, e, seed),
        "stratified": confounds.stratified_table(predictions, strata, e, seed),
        "confounds": confounds.verdict_table(predictions, strata, e, seed),
        "balance": confounds.balance_table(cohort, strata),
        "subgroups": subgroups.subgroup_table(network, strata, e, seed),
        "interactions": subgroups.interaction_table(network, strata, e, seed),
    }
    if settings.cohort.outcome == "threshold":
        clinical = np.array([o.score for o in cohort])
        found["posthoc"] = subgroups.posthoc_table(predictions, clinical, e.posthoc, e, seed)
    return found | {"summary": summary.summary_table(found["scores"], found["comparisons"])}


def out_of_fold_tables(
    test: Sequence[Prediction],
    validation: Sequence[Prediction],
    of_subsets: Sequence[Prediction],
    chosen: Sequence[str],
    designs: Sequence[Design],
    settings: Settings,
    cohort: Cohort,
    characteristics: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, Rows]:
    """Score a cross-validated study: :func:`score_tables`, calibration, subsets, scanners left out.

    Parameters
    ----------
    test, validation : sequence of Prediction
        The named models' answers to the test and to the validation scans of their folds.
    of_subsets : sequence of Prediction
        Answers of the regressions on every subset of the volumes to the test scans; may be empty.
    chosen : sequence of str
        Per fold, the subset its validation scans chose.
    designs : sequence of Design
        Rows in the cohort's order: what is fitted again without each scanner.
    settings : Settings
        ``evaluation``, ``training`` (class weights, unseen scanner), ``cohort`` and ``seed``.
    cohort : Cohort
        The scans.
    characteristics : mapping of str to sequence of str, optional
        As for :func:`score_tables`.

    Returns
    -------
    dict of str to list of dict
        By kind of table (``COLUMNS``).
    """
    e, seed = settings.evaluation, settings.seed
    scans = scans_of(test)
    assert cohort.ids == scans, "the designs' rows are the cohort's"
    subset_rows: Rows = []
    best: list[Prediction] = []
    if of_subsets:
        subset_rows = subsets.subset_table(of_subsets, by_model(test)["cnn"], chosen, e, seed)
        name = subsets.best_subset(subset_rows)["subset"]
        best = [replace(prediction, model=BEST) for prediction in of_subsets if prediction.model == name]
    temperatures = calibration.temperature_table(validation)
    of_kind = {"raw": test, "temperature": calibration.calibrated(test, temperatures)}
    scanners = np.array([o.scanner for o in cohort])
    balanced = settings.training.class_weights == "inverse_frequency"
    return score_tables([*test, *best], settings, cohort, characteristics) | {
        "subset_scores": subset_rows,
        "calibration": calibration.calibration_table(of_kind, e, seed),
        "temperatures": temperatures,
        "reliability": calibration.reliability_table(of_kind, e),
        "decision_curves": calibration.decision_table(of_kind, e, seed),
        "conformal": conformal.conformal_table(test, validation, e, seed),
        "left_out_scanners": confounds.left_out_table(
            test, scanners, designs, e, seed, balanced, settings.training.unseen_scanner
        ),
    }


def _in_order(cohort: Cohort, scans: Sequence[object]) -> Cohort:
    of = {observation.id: observation for observation in cohort}
    return Cohort(tuple(of[scan] for scan in scans))
