"""Who is in the study: every scan with its score, and what removed the others."""

from __future__ import annotations

import logging
import math
from pathlib import Path

from relevox.config import CohortSettings, Settings
from relevox.errors import CohortError, Problems, RelevoxError
from relevox.records import Cohort, Observation, Scan, ScanId
from relevox.store import acquisition, clinical, decisions, layout, matching, tables
from relevox.store import bids as bids_store
from relevox.store.clinical import Clinical
from relevox.store.matching import ScanScores

logger = logging.getLogger("relevox")


def run(bids: Path, study: Path, settings: Settings) -> Cohort:
    """Match scans with scores and write ``cohort.tsv``, ``cohort.json`` and ``flow.tsv`` (SPEC 1).

    Beside them ``characteristics.tsv`` and ``acquisition.tsv``: what the cohort tables describe.

    1. Index the scans and read the clinical tables.
    2. Give every scan its score within the window, and the score at the scan where a later one is predicted.
    3. Leave out scans without preprocessed images, where preprocessing ran already, and scans that a person
       failed (``quality_decisions.tsv``).
    4. Count what each rule removed.

    Returns
    -------
    Cohort
        Sorted by patient and session.

    Raises
    ------
    RelevoxError
        For bad rows (all at once) and cohorts of one class.
    """
    scans = bids_store.index(bids, settings.preprocessing.space, incomplete=True)
    known = clinical.read(bids, scans, settings.cohort)
    flow = [_flow("scans found", 0, [scan.id for scan in scans])]

    matched, problems = [], []
    for scan in scans:
        try:
            matched.append((scan, matching.scores_of(scan, known, settings.cohort)))
        except RelevoxError as error:
            problems.append(error)
    if problems:
        raise problems[0] if len(problems) == 1 else Problems(problems)

    def keep(rule: str, kept: list[tuple[Scan, ScanScores]]) -> list[tuple[Scan, ScanScores]]:
        flow.append(_flow(rule, flow[-1]["scans_left"] - len(kept), [scan.id for scan, _ in kept]))
        return kept

    name = settings.cohort.score
    matched = keep(f"no {name} {settings.cohort.window_words}", [m for m in matched if m[1].outcome is not None])
    if settings.cohort.exclude_between:
        rule = "{} between {:g} and {:g}".format(name, *settings.cohort.exclude_between)
        matched = keep(rule, [m for m in matched if not settings.cohort.excludes(m[1].outcome.value)])
    if settings.cohort.needs_score_at_scan:
        rule = f"no {name} within {settings.cohort.score_at_scan_days} days of the scan"
        matched = keep(rule, [m for m in matched if m[1].at_scan is not None])
    preprocessed = _preprocessed(study)
    rule = "not preprocessed, or failed"
    usable = keep(rule, [m for m in matched if preprocessed is None or m[0].id in preprocessed])
    judged = decisions.read(study)
    if judged:
        rejected = {scan for scan, decision in judged.items() if not decision.passed}
        usable = keep("failed by a person's look", [m for m in usable if m[0].id not in rejected])

    cohort = Cohort(tuple(_observation(scan, scores, known, settings.cohort) for scan, scores in usable))
    tables.write(layout.path(study, "flow"), flow)
    if len(set(cohort.labels.tolist())) < 2:
        raise CohortError(
            f"expected scans of both classes ({'; '.join(settings.cohort.class_words)}), "
            f"but all {len(cohort)} matched scans are of one",
            code="one-class",
            remedy="check cohort.threshold, cohort.window_days and the scores (flow.tsv tells what was removed)",
        )
    tables.write_cohort(study, cohort)
    card = {
        "score": settings.cohort.score,
        "threshold": settings.cohort.threshold,
        "n_scans": len(cohort),
        "n_patients": len(set(cohort.patients)),
        "scanners": sorted({o.scanner for o in cohort if o.scanner}),
        "simulated": bids_store.is_simulated(bids),
    }
    tables.write_json(layout.path(study, "cohort_card"), card)
    _write_descriptions(bids, study, [scan for scan, _ in usable], known)
    logger.info(
        "cohort: %d scans of %d patients, %d positive", len(cohort), len(set(cohort.patients)), int(cohort.labels.sum())
    )
    return cohort


def _observation(scan: Scan, scores: ScanScores, known: Clinical, settings: CohortSettings) -> Observation:
    about = known.circumstances[scan.id]
    return Observation(
        id=scan.id,
        score=scores.outcome.value,
        label=scores.label(settings),
        score_at_scan=math.nan if scores.at_scan is None else scores.at_scan.value,
        age_years=about.age_years,
        sex=about.sex,
        scanner=about.scanner,
        field_strength_t=about.field_strength_t,
        disease_duration_years=about.disease_duration_years,
    )


def _write_descriptions(bids: Path, study: Path, scans: list[Scan], known: Clinical) -> None:
    described = {scan.id: known.circumstances[scan.id].described for scan in scans}
    names = list(dict.fromkeys(name for values in described.values() for name in values))
    tables.write_characteristics(study, described, names)
    acquisition.write(study, acquisition.read(bids, scans, known.circumstances))


def _preprocessed(study: Path) -> set[ScanId] | None:
    """Scans that can be used, or None while preprocessing has not run."""
    file = layout.path(study, "quality")
    if not file.exists():
        return None
    return {tables.identity(row, file) for row in tables.read(file, ("status",)) if row["status"] != "failed"}


def _flow(rule: str, removed: int, left: list) -> dict[str, object]:
    return {
        "rule": rule,
        "scans_removed": removed,
        "scans_left": len(left),
        "patients_left": len({scan.participant for scan in left}),
    }
