"""Report: what the models reach, and how the network was trained."""

from __future__ import annotations

import numpy as np

from relevox.report import tables
from relevox.report.discrimination import roc_and_calibration
from relevox.report.history import training_history
from relevox.report.page import Block, Text, picture
from relevox.report.results import StudyResults
from relevox.report.scores import score_intervals


def scores(results: StudyResults) -> list[Block]:
    """What every model reaches, and how they differ."""
    best = {"auc": float(results.bayes.get("bayes_auc", np.nan))} if results.bayes else {}
    caption = (
        f"Scores of each model on the {len(results.cohort)} scans, all out of fold, with "
        f"{100 * results.settings.evaluation.confidence:g} % intervals (bootstrap over patients)."
    )
    blocks: list[Block] = [picture(score_intervals(results.scores, best_possible=best), caption)]
    levels = {row["level"] for row in results.scores}
    blocks += [tables.score_table(results, level) for level in ("scan", "patient") if level in levels]
    blocks.append(tables.fold_table(results))
    if results.comparisons:
        blocks.append(tables.comparison_table(results))
    if sentence := tables.calibration_text(results):
        blocks.append(Text([sentence]))
    curves = roc_and_calibration(results.predictions, results.classes)
    caption = (
        f"Left: ROC curves over the {len(results.cohort)} scans. Middle: the CNN's calibration in bins of equal count "
        "with 95 % Wilson intervals; on the diagonal, probabilities can be taken at their word. Right: the CNN's "
        "probabilities by true class; dashed line: threshold."
    )
    return [*blocks, picture(curves, caption)]


def training(results: StudyResults) -> list[Block]:
    """How the folds were trained."""
    if not results.histories:
        return []
    caption = (
        f"Training of the {len(results.histories)} folds: one thin line a fold, the thick line is their median. Left: "
        "loss on training and validation scans. Right: balanced accuracy on the validation scans; dashed: chance."
    )
    return [picture(training_history(results.histories), caption)]
