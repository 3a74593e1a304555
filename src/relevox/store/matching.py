"""Which score belongs to a scan (SPEC 1): the outcome, and what the patient had at the time of the scan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from relevox.config import CohortSettings
from relevox.errors import TableError
from relevox.records import Scan
from relevox.store.clinical import Clinical, Score


@dataclass(frozen=True)
class ScanScores:
    """The scores of one scan."""

    outcome: Score | None
    """The one that gives the class; None where there is none within the window."""
    at_scan: Score | None = None
    """The one at the time of the scan; None where there is none, or the study does not look for it."""

    def is_complete(self, settings: CohortSettings) -> bool:
        """Whether the scan has every score it needs to be in the study."""
        return self.outcome is not None and (self.at_scan is not None or not settings.needs_score_at_scan)

    def label(self, settings: CohortSettings) -> int:
        """Class of the outcome."""
        return settings.label(self.outcome.value, *([] if self.at_scan is None else [self.at_scan.value]))


def scores_of(scan: Scan, known: Clinical, settings: CohortSettings) -> ScanScores:
    """Return the scores of a scan that the study looks for.

    Raises
    ------
    TableError
        As for :func:`match`.
    """
    found = match(scan, known, settings)
    return ScanScores(found, at_scan(scan, known, settings) if settings.keeps_score_at_scan else None)


def match(scan: Scan, known: Clinical, settings: CohortSettings) -> Score | None:
    """Return the score that is a scan's outcome, or None when there is none within the window.

    A score without a date belongs to the scan of its session, or, where the table has no sessions, to
    every scan of the patient: such a table is taken as already matched. It is never a later visit's score
    (``window_from_days`` above 0).

    Raises
    ------
    TableError
        When two different scores stand on the matched day, or dates are needed and missing.
    """
    dated, undated = _of_patient(scan, known)
    if settings.window_from_days:
        undated = []
    on = known.circumstances[scan.id].on
    if on is not None:
        found = [score for score in dated if _in_window((score.on - on).days, settings)]
        if found:
            return _chosen(scan, found, on, settings.window_choice)
    elif dated and not undated:
        raise _no_scan_date(scan, dated)
    return _without_date(scan, undated)


def at_scan(scan: Scan, known: Clinical, settings: CohortSettings) -> Score | None:
    """Return the score at the time of the scan: the closest one, at most ``score_at_scan_days`` away.

    Raises
    ------
    TableError
        When different scores are equally close, or dates are needed and missing.
    """
    dated, undated = _of_patient(scan, known)
    on = known.circumstances[scan.id].on
    if on is not None:
        found = [score for score in dated if abs((score.on - on).days) <= settings.score_at_scan_days]
        if found:
            return _chosen(scan, found, on, "closest")
    elif dated and not undated:
        raise _no_scan_date(scan, dated)
    return _without_date(scan, undated)


def _of_patient(scan: Scan, known: Clinical) -> tuple[list[Score], list[Score]]:
    mine = [score for score in known.scores if score.participant == scan.id.participant]
    undated = [score for score in mine if score.on is None and score.session in ("", scan.id.session)]
    return [score for score in mine if score.on is not None], undated


def _in_window(days: int, settings: CohortSettings) -> bool:
    distance = {"after": days, "before": -days, "both": abs(days)}[settings.window_direction]
    return settings.window_from_days <= distance <= settings.window_days


def _chosen(scan: Scan, scores: Sequence[Score], on: date, choice: str) -> Score:
    def rank(score: Score) -> int:
        days = (score.on - on).days
        return {"closest": abs(days), "first": days, "last": -days}[choice]

    best = min(rank(score) for score in scores)
    matched = [score for score in scores if rank(score) == best]
    values = sorted({score.value for score in matched})
    if len(values) > 1:
        raise TableError(
            f"{scan.id}: two different scores, {values}, on the matched day",
            code="score-ambiguous",
            file=matched[0].place,
            remedy="keep the right one",
        )
    return matched[0]


def _without_date(scan: Scan, undated: Sequence[Score]) -> Score | None:
    values = sorted({score.value for score in undated})
    if len(values) > 1:
        raise TableError(f"{scan.id}: several scores without a date: {values}", code="score-ambiguous")
    return undated[0] if undated else None


def _no_scan_date(scan: Scan, dated: Sequence[Score]) -> TableError:
    of_session = [score for score in dated if score.session and score.session == scan.id.session]
    return TableError(
        f"{scan.id}: its score has a date, but the scan has none",
        code="scan-date-missing",
        file=(of_session or list(dated))[0].place,
        remedy="add acq_time to the sessions table, or remove the date column if scores are already matched",
    )
