"""Who is in the study: every scan with its score, and what removed the others."""

from __future__ import annotations

import logging
from pathlib import Path

from relevox.config import CohortSettings, Settings
from relevox.errors import CohortError, Problems, RelevoxError
from relevox.records import Cohort, Observation, Scan, ScanId
from relevox.store import bids as bids_store
from relevox.store import clinical, layout, tables
from relevox.store.clinical import Clinical, Score

logger = logging.getLogger("relevox")


def run(bids: Path, study: Path, settings: Settings) -> Cohort:
    """Match scans with scores and write ``cohort.tsv``, ``cohort.json`` and ``flow.tsv`` (SPEC 1).

    1. Index the scans and read the clinical tables.
    2. Give every scan the first score within the window.
    3. Leave out scans without preprocessed images, where preprocessing ran already.
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
            score = clinical.match(scan, known, settings.cohort)
        except RelevoxError as error:
            problems.append(error)
            continue
        if score is not None:
            matched.append((scan, score))
    if problems:
        raise problems[0] if len(problems) == 1 else Problems(problems)
    kept = [scan.id for scan, _ in matched]
    rule = f"no {settings.cohort.score} within {settings.cohort.window_days} days"
    flow.append(_flow(rule, len(scans) - len(matched), kept))

    preprocessed = _preprocessed(study)
    usable = [(scan, score) for scan, score in matched if preprocessed is None or scan.id in preprocessed]
    flow.append(_flow("not preprocessed, or failed", len(matched) - len(usable), [scan.id for scan, _ in usable]))

    cohort = Cohort(tuple(_observation(scan, score, known, settings.cohort) for scan, score in usable))
    tables.write(layout.path(study, "flow"), flow)
    if len(set(cohort.labels.tolist())) < 2:
        raise CohortError(
            f"expected scans on both sides of {settings.cohort.score} {settings.cohort.threshold:g}, "
            f"but all {len(cohort)} matched scans are of one class",
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
    logger.info(
        "cohort: %d scans of %d patients, %d positive", len(cohort), len(set(cohort.patients)), int(cohort.labels.sum())
    )
    return cohort


def _observation(scan: Scan, score: Score, known: Clinical, settings: CohortSettings) -> Observation:
    about = known.circumstances[scan.id]
    return Observation(
        id=scan.id,
        score=score.value,
        label=settings.label(score.value),
        age_years=about.age_years,
        sex=about.sex,
        scanner=about.scanner,
        field_strength_t=about.field_strength_t,
        disease_duration_years=about.disease_duration_years,
    )


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
