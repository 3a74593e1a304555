"""Report: what the models reach, and how the network was trained."""

from __future__ import annotations

import numpy as np

from relevox.report import model_tables, tables, verdicts
from relevox.report.discrimination import roc_and_calibration
from relevox.report.history import training_history
from relevox.report.page import Block, Bullets, Details, Note, Table, Text, picture
from relevox.report.results import StudyResults
from relevox.report.scores import score_intervals
from relevox.report.subgroups import subgroup_forest


def scores(results: StudyResults) -> list[Block]:
    """What every model reaches, how they differ, and for whom."""
    return [
        *_models(results),
        *_probabilities(results),
        *_parts(results),
        *(Details(title, table, numbers=True) for title, table in _details(results)),
    ]


def _models(results: StudyResults) -> list[Block]:
    """The models side by side, and what a confound could explain."""
    blocks: list[Block] = []
    if driven := verdicts.driven_by(results):
        names = " and ".join(verdicts.NAMES.get(name, name) for name in driven)
        blocks.append(Note(f"What the CNN reaches may come from {names}: see below."))
    if results.evaluation.get("summary"):
        blocks.append(model_tables.first_table(results, "patient"))  # per scan: at a glance
    else:
        levels = {row["level"] for row in results.scores}
        blocks += [tables.score_table(results, level) for level in ("scan", "patient") if level in levels]
    best = {"auc": float(results.bayes.get("bayes_auc", np.nan))} if results.bayes else {}
    confidence = f"{100 * results.settings.evaluation.confidence:g} %"
    caption = (
        f"Scores of each model on the {len(results.cohort)} scans, all out of fold, with {confidence} intervals "
        "(bootstrap over patients). Dashed line: chance."
    )
    blocks.append(picture(score_intervals(results.scores, best_possible=best), caption))
    if sentences := verdicts.confound_sentences(results):
        blocks.append(Bullets(sentences))
    return blocks


def _probabilities(results: StudyResults) -> list[Block]:
    """Curves, calibration and sets."""
    reliability = results.evaluation.get("reliability", ())
    decision = results.evaluation.get("decision_curves", ())
    curves = roc_and_calibration(results.predictions, results.classes, reliability=reliability, decision=decision)
    n, patients = len(results.cohort), len(set(results.cohort.patients.tolist()))
    unit = f"the {patients} patients" if reliability else f"the {n} scans"
    letters = iter("abcd")
    parts = [
        f"{next(letters)}: ROC curves over the {n} scans, out of fold.",
        f"{next(letters)}: the CNN's calibration over {unit}, in bins of about equal counts with Wilson intervals; on "
        "the diagonal, probabilities can be taken at their word.",
    ]
    if decision:
        parts.append(
            f"{next(letters)}: decision curve, what acting on a model's answer brings, over acting on nobody, where a "
            "needless action costs t / (1 - t) of what a needed one is worth (t: threshold); band: bootstrap over "
            "patients."
        )
    parts.append(f"{next(letters)}: the CNN's probabilities by true class; dashed line: threshold of the prediction.")
    blocks: list[Block] = [picture(curves, " ".join(parts))]
    if sentence := verdicts.calibration_sentence(results):
        blocks.append(Text([sentence]))
    if results.evaluation.get("conformal"):
        blocks.append(model_tables.conformal_table(results))
    return blocks


def _parts(results: StudyResults) -> list[Block]:
    """Parts of the cohort, and the ends of the scale."""
    blocks: list[Block] = []
    if subgroups := results.evaluation.get("subgroups"):
        figure = subgroup_forest(subgroups, results.evaluation.get("interactions", ()), results.scores)
        e = results.settings.evaluation
        caption = (
            f"The CNN in parts of the cohort: score per scan with {100 * e.confidence:g} % intervals (bootstrap over "
            "the part's patients); the shaded band is the interval of the whole cohort, the dashed line chance. Parts "
            f"of fewer than {e.smallest_group} patients, or of fewer than {e.smallest_class} of a class, show no "
            "score. Interaction: patients of the same class exchange parts."
        )
        blocks.append(picture(figure, caption))
        if sentence := verdicts.subgroup_sentence(results):
            blocks.append(Text([sentence]))
    if results.evaluation.get("posthoc"):
        blocks.append(model_tables.posthoc_table(results))
    return blocks


def _details(results: StudyResults) -> list[tuple[str, Table]]:
    """What a reader may want to look up."""
    found = results.evaluation
    parts = []
    if found.get("summary"):
        parts += [(f"All scores per {level}", tables.score_table(results, level)) for level in ("scan", "patient")]
    parts.append(("Scores over the folds", tables.fold_table(results)))
    if results.comparisons:
        parts.append(("Is the CNN better? All tests", tables.comparison_table(results)))
    for kind, title, make in (
        ("subset_scores", "Every subset of the volumes", model_tables.subset_table),
        ("balance", "Balance by scanner, field strength, sex and age", model_tables.balance_table),
        ("stratified", "AUC within scanners and other parts", model_tables.stratified_table),
        ("left_out_scanners", "One scanner left out", model_tables.left_out_table),
    ):
        if found.get(kind):
            parts.append((title, make(results)))
    if results.calibration and "brier" in results.calibration[0]:
        parts.append(("Calibration of every model", model_tables.calibration_table(results)))
    return parts


def training(results: StudyResults) -> list[Block]:
    """How the folds were trained."""
    if not results.histories:
        return []
    caption = (
        f"Training of the {len(results.histories)} folds: one thin line a fold, the thick line is their median. Left: "
        "loss on training and validation scans. Right: balanced accuracy on the validation scans; dashed: chance."
    )
    return [picture(training_history(results.histories), caption)]
