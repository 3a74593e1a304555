"""Report: an external cohort, with its scores beside those of the study (paper 2.5, Table 3)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from relevox.report import section_leaks
from relevox.report.cohort_tables import DescribedCohort, cohort_table
from relevox.report.drawing import readable
from relevox.report.external import inside_and_outside, votes
from relevox.report.external_words import external_sentences
from relevox.report.page import Block, Bullets, Note, Section, Table, Text, picture
from relevox.report.results import ExternalResults, Row, StudyResults
from relevox.report.scores import MEASURE_TITLES, MODEL_TITLES
from relevox.report.tables import DASH, interval, number, p_value
from relevox.statistics.baselines import model_order
from relevox.statistics.evaluation.external import WITHIN_SCANNER


def external(results: StudyResults, other: ExternalResults) -> Section:
    """Return the section of one external cohort."""
    title = "External cohort" if other.name == "external" else f"External cohort: {other.name}"
    n, n_models = len(other.cohort), len(other.ballots[0].fold_probabilities)
    patients, positive = len(set(other.cohort.patients.tolist())), int(other.cohort.labels.sum())
    said = (
        f"{n} scans of {patients} patients whom no model was trained on, {positive} with {other.classes[1]}. The "
        f"{n_models} networks of the folds vote: the class is the majority's, the score for the AUC their mean "
        f"probability; the {n_models} fits of each comparison model vote in the same way. "
        f"{section_leaks.sentence(other.leaks)}"
    )
    suspected = section_leaks.noted(other.leaks)
    confidence = f"{100 * results.settings.evaluation.confidence:g} %"
    blocks: list[Block] = [
        Text([said]),
        *([Note(suspected)] if suspected else []),
        Bullets(external_sentences(results, other)),
        picture(
            inside_and_outside(results.scores, other.scores, other.name),
            f"Every model out of fold in this study ({len(results.cohort)} scans, open) and on {other.name} "
            f"({n} scans, filled), with {confidence} intervals (bootstrap over patients).",
        ),
        score_table(results, other),
        proportion_table(other, confidence),
        comparison_table(other),
        picture(
            votes(other.ballots, other.classes),
            f"Left: ROC curves over the {n} scans, by mean probability. Middle: the networks' vote against the truth, "
            "scans and share of the row. Right: how many networks voted for the positive class, by true class; dashed "
            "line: majority.",
        ),
        flow_table(other),
        cohort_table(described(other), table_title(other)),
    ]
    drift = quality_table(results, other)
    return Section(f"external-{other.name}", title, [*blocks, *([drift] if drift else [])])


def described(other: ExternalResults) -> DescribedCohort:
    """Take what the cohort table needs out of an external cohort."""
    return DescribedCohort(
        other.cohort,
        other.settings.score,
        other.classes,
        other.volume_names,
        other.volumes_ml,
        other.characteristics,
    )


def table_title(other: ExternalResults) -> str:
    """Begin the caption of the cohort table."""
    return f"The external cohort {other.name} by class" if other.name != "external" else "The external cohort by class"


def score_table(results: StudyResults, other: ExternalResults) -> Table:
    """Return the scores per scan on the external cohort, and the AUC out of fold beside them."""
    measures = [measure for measure in MEASURE_TITLES if measure != "brier"]  # in the file; a column too many here
    body = []
    for model in model_order([str(row["model"]) for row in other.scores]):
        inside = results.score(model, "auc")
        cells = [_cell(other.score(model, measure)) for measure in [*measures, WITHIN_SCANNER]]
        body.append((MODEL_TITLES.get(model, model), *cells, _cell(inside)))
    header = ("", *(MEASURE_TITLES[measure] for measure in measures), "AUC within scanners", "AUC in this study")
    caption = (
        f"Scores per scan on {other.name} (n = {len(other.cohort)}), with intervals from a bootstrap over patients. "
        "Accuracy, sensitivity and specificity are of the vote, the AUC of the mean probability. AUC "
        "within scanners compares only scans of one scanner. Last column: the same model out of fold."
    )
    return Table(caption, header, body)


def proportion_table(other: ExternalResults, confidence: str) -> Table:
    """Return the networks' proportions per patient with the intervals of a proportion."""
    body = []
    for measure in ("accuracy", "sensitivity", "specificity"):
        row = other.score("cnn", measure, "patient")
        if row is not None:
            intervals = [_between(row, name) for name in ("ci", "wilson", "clopper_pearson")]
            body.append((MEASURE_TITLES[measure], number(row["value"]), *intervals))
    n = len({(o.id.participant, o.label) for o in other.cohort})
    caption = (
        f"The networks' vote per patient (n = {n}; a patient's scans vote together), with three {confidence} intervals."
    )
    return Table(caption, ("", "value", "bootstrap", "Wilson", "Clopper-Pearson"), body)


def comparison_table(other: ExternalResults) -> Table:
    """Return the networks against every other model, and every model against chance."""
    found = {(row["model"], row["against"], row["test"]): row for row in other.comparisons}
    body = []
    for model in model_order([str(row["model"]) for row in other.scores]):
        chance, areas, right = (
            found.get(key)
            for key in (
                (model, "chance", "permutation"),
                ("cnn", model, "delong"),
                ("cnn", model, "mcnemar_durkalski"),
            )
        )
        body.append(
            (
                MODEL_TITLES.get(model, model),
                DASH if chance is None else p_value(chance["p"]),
                *_difference(areas),
                *_difference(right),
            )
        )
    caption = (
        "Above chance: AUC per patient, classes permuted over patients (one-sided). Then the CNN minus the model of "
        "the row: AUC per patient (DeLong), accuracy of the votes per scan with patients as clusters (Durkalski). Not "
        "adjusted for the number of comparisons."
    )
    header = ("", "p, above chance", "AUC, difference", "p, DeLong", "accuracy, difference", "p, Durkalski")
    return Table(caption, header, body)


def flow_table(other: ExternalResults) -> Table:
    """Return how many scans each rule removed."""
    columns = ("scans_removed", "scans_left", "patients_left")
    body = [(str(row["rule"]), *(number(row[name], 0) for name in columns)) for row in other.flow]
    caption = f"From the data set to the cohort {other.name}: what each rule removed."
    return Table(caption, ("rule", "scans removed", "scans left", "patients left"), body)


def quality_table(results: StudyResults, other: ExternalResults) -> Table | None:
    """Return the quality measures of both cohorts side by side; None where there is none."""
    names = [name for name in other.quality[0] if name not in ("participant_id", "session_id", "status", "flags")]
    body = []
    for name in names:
        here, there = _column(results.quality, name), _column(other.quality, name)
        if here.size < 2 or not there.size:
            continue
        low, high = np.quantile(here, (0.01, 0.99))
        outside = np.mean((there < low) | (there > high))
        cells = [
            f"{np.median(v):.3g} ({np.quantile(v, 0.05):.3g}{DASH}{np.quantile(v, 0.95):.3g})" for v in (here, there)
        ]
        body.append((readable(name), *cells, f"{100 * outside:.0f} %"))
    if not body:
        return None
    status = [row["status"] for row in other.quality]
    caption = (
        f"Image quality: median (5th{DASH}95th percentile) in this study and in {other.name}, and the share of its "
        f"scans outside the 1st to 99th percentile of the study. Of {len(status)} scans {status.count('flagged')} were "
        f"flagged and {status.count('failed')} failed."
    )
    return Table(caption, ("measure", "this study", other.name, "outside"), body)


def _cell(row: Row | None) -> str:
    return DASH if row is None else interval(row, to=DASH)


def _between(row: Row, name: str) -> str:
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return f"{number(low)} to {number(high)}" if math.isfinite(low) else DASH


def _difference(row: Row | None) -> tuple[str, str]:
    return (DASH, DASH) if row is None else (number(row["difference"]), p_value(row["p"]))


def _column(rows: Sequence[Row], name: str) -> np.ndarray:
    """Read a quality measure; scans without it are left out."""
    values = [str(row.get(name, "n/a")) for row in rows]
    return np.array([float(value) for value in values if value not in ("n/a", "")])
