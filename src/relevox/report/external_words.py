"""What an external cohort shows and what it does not, in sentences computed from its results."""

from __future__ import annotations

import math

from relevox.report.results import ExternalResults, StudyResults
from relevox.report.tables import interval, number, p_value

ONE_SIDED = 0.9
"""A vote that calls at least this share of the scans by one class is said to be one-sided."""

FEW = 30
"""With fewer patients of a class an interval is said to be wide."""


def external_sentences(results: StudyResults, other: ExternalResults) -> list[str]:
    """Return what a reader must know before quoting an external score.

    Parameters
    ----------
    results : StudyResults
        The study whose models voted.
    other : ExternalResults
        The cohort.
    """
    return [
        sentence
        for sentence in (
            _carried_over(results, other),
            _chance(other),
            _one_sided(other),
            _volumes(other),
            _calibrated(other),
            _scanners(results, other),
            _few(other),
        )
        if sentence
    ]


def _carried_over(results: StudyResults, other: ExternalResults) -> str:
    here, there = results.score("cnn", "auc"), other.score("cnn", "auc")
    if here is None or there is None or not math.isfinite(there["ci_low"]):
        return ""
    said = (
        f"On the external cohort {other.name} the CNN's AUC is {interval(there)}, out of fold in the study it is "
        f"{interval(here)}"
    )
    if there["ci_high"] < here["value"]:
        return f"{said}: it drops; what was learned here does not carry over in full."
    if there["ci_low"] > here["value"]:
        return f"{said}: it is higher there, so the two cohorts are not equally hard."
    return f"{said}: a drop is not shown, and within its interval it is not excluded."


def _chance(other: ExternalResults) -> str:
    row = other.score("cnn", "auc")
    if row is None or not row["ci_low"] <= 0.5 <= row["ci_high"]:
        return ""
    return (
        f"On {other.name} the interval of the CNN's AUC includes 0.5: there it is not shown to be better than chance."
    )


def _one_sided(other: ExternalResults) -> str:
    votes = [ballot.predicted for ballot in other.ballots if ballot.model == "cnn"]
    positive = sum(votes) / len(votes)
    if max(positive, 1 - positive) < ONE_SIDED:
        return ""
    name = other.classes[int(positive >= 0.5)]
    return (
        f"The networks call {100 * max(positive, 1 - positive):.0f} % of the scans of {other.name} {name}: their "
        "threshold does not fit this cohort, whatever their AUC."
    )


def _volumes(other: ExternalResults) -> str:
    for row in other.comparisons:
        if (row["model"], row["against"], row["test"]) == ("cnn", "volumes", "delong"):
            if not math.isfinite(row["p"]):
                return ""
            shown = "differs" if row["p"] < 0.05 else "is not shown to differ"
            return (
                f"There the CNN's AUC {shown} from that of the six volumes (difference {number(row['difference'])}, "
                f"DeLong p {_p(row['p'])}, {row['n']:.0f} patients)."
            )
    return ""


def _calibrated(other: ExternalResults) -> str:
    for row in other.calibration:
        if row["model"] == "cnn" and math.isfinite(row["slope"]):
            return (
                f"There the mean probability has a calibration slope of {number(row['slope'])} (1 is perfect) and an "
                f"intercept of {number(row['intercept'])} (0 is perfect)."
            )
    return ""


def _scanners(results: StudyResults, other: ExternalResults) -> str:
    known = {o.scanner for o in results.cohort}
    unseen = [o.scanner for o in other.cohort if o.scanner and o.scanner not in known]
    if not unseen:
        return ""
    return (
        f"{len(unseen)} of its {len(other.cohort)} scans come from scanners the models never saw "
        f"({', '.join(sorted(set(unseen)))})."
    )


def _few(other: ExternalResults) -> str:
    patients = [{o.id.participant for o in other.cohort if o.label == label} for label in (0, 1)]
    fewest = min(len(group) for group in patients)
    if fewest >= FEW:
        return ""
    return f"Its smaller class has {fewest} patients: every interval of it is wide."


def _p(p: float) -> str:
    text = p_value(p)
    return text if text.startswith("<") else f"= {text}"
