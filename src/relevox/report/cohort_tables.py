"""Who is in a cohort, by class: the paper's Tables 2 and 3, for any study (SPEC 8)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from relevox.records import Cohort
from relevox.report.drawing import readable
from relevox.report.page import Table
from relevox.report.results import StudyResults
from relevox.report.tables import DASH, INDENT, NO_BREAK, number, p_value
from relevox.statistics.cohort_rows import (
    ONE_SCAN,
    DescribedRow,
    describe_counts,
    describe_grouping,
    describe_measure,
)
from relevox.statistics.description import CRAMERS_V, MIXED

MAX_LEVELS = 12
"""A column of words with more different values is not described: it names people or dates rather than kinds."""

MEASURE_FROM = 6
"""A column of numbers with at least so many different values is a measure, with fewer a kind."""

_TITLES = {"ms_type": "MS type", "edss_at_onset": "EDSS at onset"}
_SHORT = {CRAMERS_V: "V"}


@dataclass(frozen=True)
class DescribedCohort:
    """What a cohort table is made of."""

    cohort: Cohort
    """Scans with their class."""
    score: str
    """Name of the score that makes the classes."""
    classes: tuple[str, str]
    """Names of class 0 and class 1."""
    volume_names: Sequence[str] = ()
    """k names."""
    volumes_ml: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))
    """``(n, k)`` native millilitres."""
    characteristics: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Further columns by name, one text a scan; empty = missing."""


def of_study(results: StudyResults) -> DescribedCohort:
    """Take what the table needs out of a study."""
    return DescribedCohort(
        results.cohort,
        results.settings.cohort.score,
        results.classes,
        results.volume_names,
        results.volumes_ml,
        results.characteristics,
    )


def last_scans(cohort: Cohort) -> tuple[np.ndarray, int]:
    """Mark each patient's last scan, ``(n,)`` bool, and count the patients with scans in both classes.

    A patient with scans in both classes counts in that of the last scan (the cohort is sorted by session).
    """
    last: dict[str, int] = {}
    labels: dict[str, set[int]] = {}
    for row, observation in enumerate(cohort):
        last[observation.id.participant] = row
        labels.setdefault(observation.id.participant, set()).add(observation.label)
    marked = np.zeros(len(cohort), dtype=bool)
    marked[list(last.values())] = True
    return marked, sum(len(seen) > 1 for seen in labels.values())


def class_sizes(cohort: Cohort) -> list[tuple[int, int]]:
    """Count patients (by their last scan) and scans of class 0 and class 1."""
    last, labels = last_scans(cohort)[0], cohort.labels
    return [(int((last & (labels == g)).sum()), int((labels == g).sum())) for g in (0, 1)]


def cohort_rows(described: DescribedCohort) -> list[DescribedRow]:
    """Describe patients and scans by class, each row with the test that fits it."""
    cohort = described.cohort
    labels, patients = cohort.labels, cohort.patients
    last, _ = last_scans(cohort)

    def values(name: str) -> np.ndarray:
        return np.array([getattr(o, name) for o in cohort], dtype=float)

    def measure(name: str, column: np.ndarray) -> list[DescribedRow]:
        return [describe_measure(name, column, labels, patients)] if np.isfinite(column).any() else []

    sexes = np.array([{"F": "female", "M": "male"}.get(o.sex, o.sex) for o in cohort])
    table = [describe_grouping(described.score, values("score"), labels)]
    table += measure(f"{described.score} at the scan", values("score_at_scan"))
    table += describe_counts("sex, patients", sexes[last], labels[last])
    for name, column in described.characteristics.items():
        table += _characteristic(_TITLES.get(name.lower(), readable(name)), np.array(column), labels, patients, last)
    table += measure("age (years)", values("age_years"))
    table += measure("disease duration (years)", values("disease_duration_years"))
    for name, column in zip(described.volume_names, described.volumes_ml.T, strict=True):
        table += measure(f"{readable(name).replace('brainstem ', 'brainstem, ')} (ml)", column)
    table += describe_counts("scanner, scans", [o.scanner for o in cohort], labels, tested=last)
    strengths = [f"{o.field_strength_t:g} T" if math.isfinite(o.field_strength_t) else "" for o in cohort]
    table += describe_counts("field strength, scans", strengths, labels, tested=last)
    return [row for row in table if row.n]


def _characteristic(
    name: str, column: np.ndarray, labels: np.ndarray, patients: np.ndarray, last: np.ndarray
) -> list[DescribedRow]:
    """Describe a further column: a measure, or a kind; of patients where it never changes within them."""
    known = column[column != ""]
    different = np.unique(known).size
    constant = np.unique(np.column_stack([patients, column]), axis=0).shape[0] == np.unique(patients).size
    numbers = _numbers(column)
    if numbers is not None and different >= MEASURE_FROM:
        rows = last if constant else np.ones(column.size, dtype=bool)
        return [describe_measure(name, numbers[rows], labels[rows], patients[rows])]
    if not known.size or different > min(MAX_LEVELS, max(2, known.size // 2)):
        return []
    if constant:
        return list(describe_counts(f"{name}, patients", column[last], labels[last]))
    return list(describe_counts(f"{name}, scans", column, labels, tested=last))


def _numbers(column: np.ndarray) -> np.ndarray | None:
    try:
        return np.array([float(text) if text else math.nan for text in column])
    except ValueError:
        return None


def cohort_table(described: DescribedCohort, title: str = "The cohort by class") -> Table:
    """Return the cohort by class, with the test named in every row.

    Parameters
    ----------
    described : DescribedCohort
        Any cohort: that of the study, or an external one.
    title : str
        Begins the caption.
    """
    cohort = described.cohort
    last, both = last_scans(cohort)
    repeated = int((np.unique(cohort.patients, return_counts=True)[1] > 1).sum())
    sizes = class_sizes(cohort)
    heads = [
        f"{name}: {p} patients, {s} scans"
        for name, (p, s) in zip((*described.classes, "all"), (*sizes, (int(last.sum()), len(cohort))), strict=True)
    ]
    header = ("", *heads, "p", "test", "effect", "higher in", "n (missing)")
    body = []
    for row in cohort_rows(described):
        c = row.comparison
        if row.is_level:
            body.append((INDENT + row.name, *row.cells, "", "", "", "", ""))
            continue
        tests = (
            (f"not{NO_BREAK}tested", "", "") if c is None else (p_value(c.p), c.test, _effect(c.effect, c.effect_name))
        )
        body.append((row.name, *row.cells, *tests, _higher(row, described.classes), f"{row.n} ({row.missing})"))
    caption = (
        f"{title}: mean (SD), median [range] of the {described.score}, or number (%). The {described.score} defines "
        "the classes and is not tested. SMD: mean of the first class minus the second, over the pooled SD; V: Cramer's "
        "V, with the level that departs most. P-values are not adjusted for the number of rows. "
    )
    if repeated:
        caption += (
            f"{_patients(repeated)} several scans: measures are compared by a {MIXED} with a random intercept per "
            f"patient, counts of scans by a test on each patient's last scan only ({ONE_SCAN}). "
        )
    if both:
        caption += f"{_patients(both)} scans in both classes, counted in the class of the last scan. "
    return Table(caption.strip(), header, body)


def _patients(count: int) -> str:
    return f"{count} patient{'s have' if count != 1 else ' has'}"


def _effect(effect: float, name: str) -> str:
    return f"{_SHORT.get(name, name)}{NO_BREAK}{number(effect)}" if math.isfinite(effect) else DASH


def _higher(row: DescribedRow, classes: tuple[str, str]) -> str:
    if row.higher is None or abs(row.comparison.effect) < 0.005:  # printed as 0.00
        return ""
    name = classes[row.higher].replace(" ", NO_BREAK)
    return f"{row.leading}: {name}" if row.leading else name


def cohort_numbers(described: DescribedCohort) -> list[dict[str, object]]:
    """Return the same table with its numbers in full, one mapping a row, for a file."""
    rows, variable = [], ""
    for row in cohort_rows(described):
        variable = variable if row.is_level else row.name
        c = row.comparison
        rows.append(
            {
                "variable": variable,
                "level": row.name if row.is_level else "",
                **dict(zip((*described.classes, "all"), row.cells, strict=True)),
                "test": "" if c is None else c.test,
                "statistic": math.nan if c is None else c.statistic,
                "p": math.nan if c is None else c.p,
                "effect": math.nan if c is None else c.effect,
                "effect_name": "" if c is None else c.effect_name,
                "higher_in": _higher(row, described.classes).replace(NO_BREAK, " "),
                "n": row.n,
                "missing": row.missing,
            }
        )
    return rows
