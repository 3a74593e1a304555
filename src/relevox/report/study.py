"""The report of a study: which section shows what."""

from __future__ import annotations

import math

from relevox.report import (
    checklist,
    section_checks,
    section_cohort,
    section_external,
    section_leaks,
    section_maps,
    section_scores,
    tables,
)
from relevox.report.drawing import readable
from relevox.report.limits import SIMULATED, baseline_sentences, limits
from relevox.report.methods import methods
from relevox.report.model_tables import first_table
from relevox.report.page import Block, Bullets, Cards, Headed, Note, Section, Text, render
from relevox.report.results import StudyResults
from relevox.report.section_causes import causes
from relevox.report.section_planted import planted
from relevox.report.verdicts import NAMES, driven_by


def study_page(results: StudyResults, version: str) -> str:
    """Return the HTML of a study's report.

    Parameters
    ----------
    results : StudyResults
        Everything that was collected.
    version : str
        Of relevox.
    """
    patients = len(set(results.cohort.patients.tolist()))
    return render(
        "report",
        f"Predicting {results.classes[1]} from T1w and FLAIR",
        f"{len(results.cohort)} scans of {patients} patients, {len(results.histories)} folds",
        [
            Section("glance", "At a glance", _glance(results)),
            Section("cohort", "Cohort", section_cohort.cohort(results)),
            Section("quality", "Image quality", section_cohort.quality(results)),
            Section("scores", "Scores", section_scores.scores(results)),
            Section("training", "Training", section_scores.training(results)),
            Section("leaks", "Leak audit", section_leaks.leaks(results)),
            *(section_external.external(results, other) for other in results.external),
            Section("scans", "Single scans", section_maps.examples(results)),
            Section("groups", "Attention by group", section_maps.groups(results)),
            Section("voxelwise", "Lesions, deformation and relevance", section_maps.voxelwise(results)),
            Section("checks", "Can the maps be believed?", section_checks.checks(results)),
            Section("causes", "Known causes", causes(results)),
            *([Section("planted", "A planted signal", planted(results.planted))] if results.planted else []),
            Section("limits", "Limits", [Bullets(limits(results))]),
            Section("methods", "Methods", [Headed(methods(results))]),
            Section("checklists", "Reporting checklists", _checklists(results)),
        ],
        version,
        SIMULATED if results.simulated else "",
    )


def _checklists(results: StudyResults) -> list[Block]:
    said = (
        "What the study itself can say to the items of two reporting guidelines, in our own words. The rest is marked "
        "as the author's. To be pasted: checklists/*.md in the study folder."
    )
    return [Text([said]), *(checklist.details(name, results) for name in checklist.CHECKLISTS)]


def _glance(results: StudyResults) -> list[Block]:
    n, patients = len(results.cohort), len(set(results.cohort.patients.tolist()))
    positive = int(results.cohort.labels.sum())
    cards = [("scans", str(n), f"of {patients} patients; {positive} with {results.classes[1]}")]
    confidence = f"{100 * results.settings.evaluation.confidence:g} % interval"
    for model, measure, label in (
        ("cnn", "auc", "CNN, AUC"),
        ("cnn", "balanced_accuracy", "CNN, balanced accuracy"),
        ("volumes", "auc", "six volumes, AUC"),
        ("scanner", "auc", "scanner alone, AUC"),
    ):
        row = results.score(model, measure)
        if row is not None and math.isfinite(row["value"]):
            detail = f"{confidence} {tables.number(row['ci_low'])} to {tables.number(row['ci_high'])}"
            cards.append((label, tables.number(row["value"]), detail))
    if results.bayes is not None:
        cards.append(("best possible, AUC", tables.number(results.bayes.get("bayes_auc")), "known, because simulated"))
    blocks: list[Block] = [Cards(cards), Bullets([*_reached(results), *baseline_sentences(results)])]
    if driven := driven_by(results):
        names = " and ".join(NAMES.get(name, name) for name in driven)
        blocks.insert(0, Note(f"What the CNN reaches may come from {names}: these scores are no evidence of more."))
    if results.simulated:
        blocks.insert(0, Note("These patients do not exist: the numbers below test the method, not a hypothesis."))
    strongest = _strongest_region(results)
    if strongest:
        blocks.append(Text([strongest]))
    if results.evaluation.get("summary"):
        blocks.append(first_table(results, "scan"))
    return blocks


def _reached(results: StudyResults) -> list[str]:
    auc, accuracy = results.score("cnn", "auc"), results.score("cnn", "balanced_accuracy")
    if auc is None or accuracy is None:
        return []
    return [
        f"On scans it was not trained on, the CNN reaches an AUC of {tables.interval(auc)} and a balanced accuracy of "
        f"{tables.interval(accuracy)}."
    ]


def _strongest_region(results: StudyResults) -> str:
    rows = [row for row in results.occlusion if row["group"] == "all" and math.isfinite(row["mean_absolute_delta"])]
    if not rows:
        return ""
    rows.sort(key=lambda row: -row["mean_absolute_delta"])
    digits = tables.digits_for([rows[0]["mean_absolute_delta"]])
    named = [f"{readable(str(row['region']))} ({row['mean_absolute_delta']:.{digits}f})" for row in rows[:3]]
    return (
        "Replacing one region by the cohort's mean changes the network's answer most for: "
        f"{', '.join(named)} (mean absolute change in logits)."
    )
