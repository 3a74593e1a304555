"""What a study can say of its results to the items of a reporting checklist.

One small function an answer, named by the key in ``checklists/*.tsv``. Each
says only what settings and results hold; what they do not hold is the author's.
"""

from __future__ import annotations

import math

import numpy as np

from relevox.report.cohort_tables import cohort_rows, of_study
from relevox.report.external_words import external_sentences
from relevox.report.limits import limits
from relevox.report.results import StudyResults
from relevox.report.scores import MEASURE_TITLES
from relevox.report.tables import interval, number


def headline(results: StudyResults) -> str:
    """The few numbers an abstract needs."""
    found = [
        f"{MEASURE_TITLES.get(measure, measure)} {interval(row)}"
        for measure in ("auc", "balanced_accuracy", "sensitivity", "specificity")
        if (row := results.score("cnn", measure)) is not None and math.isfinite(row["value"])
    ]
    confidence = f"{100 * results.settings.evaluation.confidence:g} %"
    n, positive = len(results.cohort), int(results.cohort.labels.sum())
    patients, kind = (
        len(set(results.cohort.patients.tolist())),
        "simulated patients" if results.simulated else "patients",
    )
    return (
        f"{n} scans of {patients} {kind}, {positive} scans with {results.classes[1]}. Out of fold the network reaches, "
        f"with {confidence} intervals: {'; '.join(found)}."
    )


def missing(results: StudyResults) -> str:
    """Missing values, and what was done about them."""
    rows = [row for row in cohort_rows(of_study(results)) if row.missing]
    listed = "; ".join(f"{row.name} {row.missing}" for row in rows) or "none"
    return (
        f"Missing values in the cohort table: {listed}. Scans without an outcome or an image were left out (flow). In "
        "the comparison models a missing value takes the mean of the training scans; tests leave it out."
    )


def groups(results: StudyResults) -> str:
    """Who is in the cohort."""
    by = sorted({str(row["factor"]).replace("_", " ") for row in results.evaluation.get("subgroups", ())})
    scored = f" The network was scored in subgroups by {', '.join(by)} (evaluation/subgroups.tsv)." if by else ""
    return f"Sex, age and further columns are listed by class in the cohort table (tables/table2).{scored}"


def external(results: StudyResults) -> str:
    """How the models did on other cohorts, and who is in those."""
    if not results.external:
        return "No external cohort was tested."
    said = [sentence for other in results.external for sentence in external_sentences(results, other)]
    return " ".join([*said, "Their cohort tables: from tables/table3 on."])


def flow(results: StudyResults) -> str:
    """Each rule."""
    steps = [
        f"{row['rule']}: {number(row['scans_removed'], 0)} removed, {number(row['scans_left'], 0)} scans of "
        f"{number(row['patients_left'], 0)} patients left"
        for row in results.flow
    ]
    return f"{'; '.join(steps)} (flow.tsv and diagram)."


def characteristics(results: StudyResults) -> str:
    """Where the table is."""
    names = [row.name for row in cohort_rows(of_study(results)) if not row.is_level]
    return f"Cohort table by class, with n and missing (tables/table2): {'; '.join(names)}."


def fold_sizes(results: StudyResults) -> str:
    """Scans and events a fold."""
    labels = results.cohort.labels
    parts = [
        f"{int((results.folds == fold).sum())} ({int(labels[results.folds == fold].sum())})"
        for fold in np.unique(results.folds)
    ]
    return f"Scans (of class 1) in each test fold: {', '.join(parts)}."


def performance(results: StudyResults) -> str:
    """All measures of the network, and its comparison with the other models."""
    lines = []
    for level in ("scan", "patient"):
        cells = [
            f"{MEASURE_TITLES.get(measure, measure)} {interval(row)}"
            for measure in MEASURE_TITLES
            if (row := results.score("cnn", measure, level)) is not None and math.isfinite(row["value"])
        ]
        if cells:
            lines.append(f"Per {level}: {'; '.join(cells)}.")
    return " ".join([*lines, "All models and their differences: scores.tsv, comparisons.tsv."]) if lines else ""


def cluster_results(results: StudyResults) -> str:
    """The scanner-only model."""
    row = results.score("scanner", "auc")
    alone = f"A model that knows only the scanner reaches an AUC of {interval(row)}." if row is not None else ""
    more = [
        file
        for kind, file in (
            ("stratified", "AUC within scanners: evaluation/stratified_auc.tsv"),
            ("left_out_scanners", "scanners left out of training: evaluation/left_out_scanners.tsv"),
            ("subgroups", "subgroups: evaluation/subgroups.tsv"),
        )
        if results.evaluation.get(kind)
    ]
    listed = f"{'; '.join(more)}." if more else ""
    return " ".join(part for part in (alone, listed[:1].upper() + listed[1:]) if part)


def all_limits(results: StudyResults) -> str:
    """The limits section, without the parts that were not made."""
    return " ".join(sentence for sentence in limits(results) if not sentence.startswith("Not in this report"))


def poor_input(results: StudyResults) -> str:
    """What the program refuses."""
    status = [str(row["status"]) for row in results.quality]
    return (
        "Images that cannot be read, lack orientation or lose too much brain to the crop are refused with the reason; "
        f"quality measures flag others. Here {status.count('failed')} of {len(status)} scans failed and "
        f"{status.count('flagged')} were flagged."
    )


def failures(results: StudyResults) -> str:
    """Counts of the mistakes."""
    counts = results.group_counts
    return (
        f"{counts['FP']} false positive and {counts['FN']} false negative scans; their mean maps stand beside those of "
        "the correct ones, and the surest mistake is shown in full."
    )
