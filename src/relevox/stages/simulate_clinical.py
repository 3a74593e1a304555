"""The clinical tables of a simulated data set."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from relevox.config import PhantomSettings
from relevox.phantom.cohort import PlannedScan
from relevox.phantom.contrast import ALL_SCANNERS
from relevox.store import tables


def write_clinical(bids: Path, cohort: Sequence[PlannedScan], phantom: PhantomSettings) -> None:
    """Write what a hospital would know: participants, sessions with scores and scanners, later scores.

    Parameters
    ----------
    bids : Path
        Root of the data set.
    cohort : sequence of PlannedScan
        Labelled, sorted by patient and session.
    phantom : PhantomSettings
        Names the score.
    """
    participants = []
    for participant, group in groupby(cohort, key=lambda scan: scan.id.participant):
        scans = list(group)
        participants.append({"participant_id": participant, "sex": scans[0].sex, "ms_type": scans[0].ms_type})
        rows = [
            {
                "session_id": scan.id.session,
                "acq_time": scan.scan_date.isoformat(),
                "age_years": round(scan.age_years, 2),
                "scanner": ALL_SCANNERS[scan.scanner].name,
                "field_strength_t": ALL_SCANNERS[scan.scanner].field_strength_t,
                "disease_duration_years": round(scan.disease_duration_years, 2),
                phantom.score: scan.score,
                f"{phantom.score}_date": scan.score_date.isoformat(),
            }
            for scan in scans
        ]
        tables.write(bids / participant / f"{participant}_sessions.tsv", rows)
    tables.write(bids / "participants.tsv", participants)
    tables.write_json(bids / "participants.json", _PARTICIPANT_COLUMNS)
    tables.write_json(bids / "sessions.json", _SESSION_COLUMNS | _score_columns(phantom.score))
    later = [
        {"participant_id": scan.id.participant, "date": on.isoformat(), phantom.score: score}
        for scan in cohort
        for on, score in scan.later
    ]
    if later:
        tables.write(bids / "phenotype" / f"{phantom.score.lower()}.tsv", later)


_PARTICIPANT_COLUMNS = {
    "sex": {"Description": "Sex", "Levels": {"F": "female", "M": "male"}},
    "ms_type": {
        "Description": "Course of the disease",
        "Levels": {
            "CIS": "clinically isolated syndrome",
            "RR": "relapsing remitting",
            "SP": "secondary progressive",
        },
    },
}

_SESSION_COLUMNS = {
    "acq_time": {"Description": "Date of the scan"},
    "age_years": {"Description": "Age at the scan", "Units": "years"},
    "scanner": {"Description": "Scanner model whose protocol was simulated"},
    "field_strength_t": {"Description": "Field strength", "Units": "T"},
    "disease_duration_years": {"Description": "Time since the first attack", "Units": "years"},
}


def _score_columns(score: str) -> dict[str, dict[str, str]]:
    names = {"EDSS": "Expanded Disability Status Scale", "PDDS": "Patient Determined Disease Steps"}
    return {score: {"Description": names[score]}, f"{score}_date": {"Description": f"Date of the {score}"}}
