"""Who is in the study: every scan with its score, and what removed the others."""

from __future__ import annotations

import logging
from collections import defaultdict
from datetime import date
from pathlib import Path

from relevox.config import CohortSettings, Settings
from relevox.errors import CohortError, Problems, RelevoxError, TableError
from relevox.records import Cohort, Observation, Scan
from relevox.store import bids as bids_store
from relevox.store import clinical, layout, tables
from relevox.store.clinical import Clinical, Score

logger = logging.getLogger("relevox")


def run(bids: Path, study: Path, settings: Settings) -> Cohort:
    """Match scans with scores and write ``cohort.tsv`` and ``flow.tsv`` (SPEC 1).

    1. Index the scans and read the clinical tables.
    2. Give every scan the first score within the window.
    3. Leave out scans that failed preprocessing, where that ran already.
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
    scans = bids_store.index(bids, settings.preprocessing.space)
    known = clinical.read(bids, scans, settings.cohort)
    flow = [_flow("scans found", 0, [scan.id for scan in scans])]

    matched, problems = [], []
    for scan in scans:
        try:
            score = match(scan, known, settings.cohort)
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

    failed = _failed(study)
    usable = [(scan, score) for scan, score in matched if scan.id not in failed]
    flow.append(_flow("failed preprocessing", len(matched) - len(usable), [scan.id for scan, _ in usable]))

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
    logger.info(
        "cohort: %d scans of %d patients, %d positive", len(cohort), len(set(cohort.patients)), int(cohort.labels.sum())
    )
    return cohort


def match(scan: Scan, known: Clinical, settings: CohortSettings) -> Score | None:
    """Return the score of a scan, or None when there is none within the window.

    A score without a date belongs to the scan of its session, or, where the table has no sessions, to
    every scan of the patient: such a table is taken as already matched.

    Raises
    ------
    TableError
        When two different scores stand on the matched day, or dates are needed and missing.
    """
    mine = [s for s in known.scores if s.participant == scan.id.participant]
    undated = [s for s in mine if s.on is None and s.session in ("", scan.id.session)]
    dated = [s for s in mine if s.on is not None]
    on = known.circumstances[scan.id].on
    if dated and on is not None:
        by_day: dict[int, set[float]] = defaultdict(set)
        for score in dated:
            if (distance := _distance(on, score.on, settings)) is not None:
                by_day[distance].add(score.value)
        if by_day:
            day = min(by_day)
            if len(by_day[day]) > 1:
                raise TableError(
                    f"{scan.id}: two different scores, {sorted(by_day[day])}, on the matched day",
                    code="score-ambiguous",
                    remedy="keep the right one",
                )
            return next(s for s in dated if _distance(on, s.on, settings) == day)
    elif dated and not undated:
        of_session = [s for s in dated if s.session and s.session == scan.id.session]
        raise TableError(
            f"{scan.id}: its score has a date, but the scan has none",
            code="scan-date-missing",
            file=of_session[0].place if of_session else dated[0].place,
            remedy="add acq_time to the sessions table, or remove the date column if scores are already matched",
        )
    values = {s.value for s in undated}
    if len(values) > 1:
        raise TableError(f"{scan.id}: several scores without a date: {sorted(values)}", code="score-ambiguous")
    return undated[0] if undated else None


def _distance(scan: date, score: date, settings: CohortSettings) -> int | None:
    days = (score - scan).days
    inside = {
        "after": 0 <= days <= settings.window_days,
        "before": 0 <= -days <= settings.window_days,
        "both": abs(days) <= settings.window_days,
    }[settings.window_direction]
    return abs(days) if inside else None


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


def _failed(study: Path) -> set:
    file = layout.path(study, "quality")
    if not file.exists():
        return set()
    rows = tables.read(file, ("status",))
    return {tables.identity(row, file) for row in rows if row["status"] == "failed"}


def _flow(rule: str, removed: int, left: list) -> dict[str, object]:
    return {
        "rule": rule,
        "scans_removed": removed,
        "scans_left": len(left),
        "patients_left": len({scan.participant for scan in left}),
    }
