"""The clinical side of a BIDS data set: scores, dates, age, sex, scanner.

Scores are looked for in ``sub-*_sessions.tsv``, ``phenotype/*.tsv`` and
``participants.tsv``, all read as text; every bad row is listed at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path

from relevox.config import KNOWN_CHARACTERISTICS, CohortSettings
from relevox.errors import CohortError, Problems, RelevoxError, TableError
from relevox.records import Scan, ScanId
from relevox.store import tables


@dataclass(frozen=True)
class Score:
    """One rating of one patient."""

    participant: str
    """Patient."""
    session: str
    """Session it was entered for; empty where the table has no sessions."""
    value: float
    """The score."""
    on: date | None
    """Its date; None in a table that is already matched."""
    place: str
    """File and row, for messages."""


@dataclass(frozen=True)
class Circumstances:
    """What is known of one scan besides its images."""

    on: date | None = None
    """Date of the scan."""
    age_years: float = math.nan
    """Age at the scan."""
    sex: str = ""
    """``F`` or ``M``."""
    scanner: str = ""
    """Scanner model."""
    field_strength_t: float = math.nan
    """Field strength in tesla."""
    disease_duration_years: float = math.nan
    """Years since the first attack."""
    described: Mapping[str, str] = field(default_factory=dict)
    """Further columns by their name in the settings (``cohort.describe``); those without a value are absent."""


@dataclass(frozen=True)
class Clinical:
    """Everything the tables of a data set say."""

    scores: tuple[Score, ...]
    """All ratings, in no particular order."""
    circumstances: Mapping[ScanId, Circumstances]
    """One entry a scan."""


def read(bids: str | Path, scans: Iterable[Scan], settings: CohortSettings) -> Clinical:
    """Read scores and circumstances of the scans.

    Parameters
    ----------
    bids : path-like
        The data set.
    scans : iterable of Scan
        From ``bids.index``.
    settings : CohortSettings
        Name and valid values of the score.

    Raises
    ------
    Problems, TableError
        For every row that cannot be used: values the score cannot take, dates that do not exist,
        repeated sessions, sexes that contradict each other.
    CohortError
        When no table has the score.
    """
    bids, problems = Path(bids), []
    participants = _by_participant(bids / "participants.tsv", problems)
    scores: list[Score] = []
    for file, row_number, row in _all_rows(bids, problems):
        try:
            scores += _score(file, bids, row_number, row, settings)
        except RelevoxError as error:
            problems.append(error)
    circumstances = {}
    for scan in scans:
        session_row, place = _session_row(bids, scan.id, problems)
        try:
            participant = participants.get(scan.id.participant, {})
            circumstances[scan.id] = _circumstances(scan, participant, session_row, place, settings.describe)
        except RelevoxError as error:
            problems.append(error)
    if problems:
        raise problems[0] if len(problems) == 1 else Problems(problems)
    if not scores:
        raise CohortError(
            f"no table has a column {settings.score!r} with a value",
            code="score-missing",
            file=bids.name,
            remedy="add the column to sub-*_sessions.tsv, participants.tsv or phenotype/*.tsv, or set cohort.score",
        )
    _check_described(bids, circumstances, settings)
    return Clinical(tuple(scores), circumstances)


def _check_described(bids: Path, circumstances: Mapping[ScanId, Circumstances], settings: CohortSettings) -> None:
    found = {name for about in circumstances.values() for name in about.described}
    lacking = [name for name in settings.describe if name not in found and name not in KNOWN_CHARACTERISTICS]
    if lacking:
        raise TableError(
            f"cohort.describe names {', '.join(lacking)}, but no table of the scans has such a value",
            code="table-columns",
            file=bids.name,
            remedy="correct the name, or add the column to participants.tsv or sub-*_sessions.tsv",
        )


def _all_rows(bids: Path, problems: list[RelevoxError]) -> Iterator[tuple[Path, int, dict[str, str]]]:
    files = [*sorted(bids.glob("sub-*/sub-*_sessions.tsv")), *sorted((bids / "phenotype").glob("*.tsv"))]
    participants = bids / "participants.tsv"
    for file in [*files, *([participants] if participants.is_file() else [])]:
        seen: set[tuple] = set()
        try:
            rows = tables.read(file)
        except TableError as error:
            if file != participants:  # that one was reported already
                problems.append(error)
            continue
        for number, row in enumerate(rows, start=1):
            if file.name.endswith("_sessions.tsv"):
                row = {"participant_id": file.parent.name} | row
            elif file == participants:
                row = {key: value for key, value in row.items() if key != "session_id"}
            if not row.get("participant_id"):
                problems.append(
                    TableError("expected a column participant_id", code="table-columns", file=file, row="header")
                )
                break
            identity = (row["participant_id"], row.get("session_id", ""), row.get("date", ""))
            if identity in seen:
                problems.append(
                    TableError(
                        f"{' '.join(filter(None, identity))} appears twice",
                        code="row-repeated",
                        file=file.relative_to(bids),
                        row=number,
                        remedy="keep one row",
                    )
                )
            seen.add(identity)
            yield file, number, row


def _score(file: Path, bids: Path, number: int, row: dict[str, str], settings: CohortSettings) -> list[Score]:
    column = next((name for name in row if name.lower() == settings.score.lower()), None)
    if column is None:
        return []
    place = file.relative_to(bids)
    value = tables.number(row, column, place, number)
    if math.isnan(value):
        return []
    valid = settings.valid_scores
    if valid and value not in valid:
        raise TableError(
            f"{settings.score}: expected one of {valid[0]:g}, {valid[1]:g}, {valid[2]:g} ... {valid[-1]:g}, "
            f"but got {row[column]!r}",
            code="score-invalid",
            file=place,
            row=number,
            remedy=f"correct it, or write {tables.MISSING}",
        )
    identity = tables.identity(row, place, number)
    dated = next((row[name] for name in (f"{column}_date", "date") if name in row), tables.MISSING)
    return [Score(identity.participant, identity.session, value, _date(dated, place, number), f"{place} row {number}")]


def _by_participant(file: Path, problems: list[RelevoxError]) -> dict[str, dict[str, str]]:
    if not file.is_file():
        return {}
    try:
        rows = tables.read(file, ("participant_id",))
    except TableError as error:
        problems.append(error)
        return {}
    return {row["participant_id"]: row for row in rows}


def _session_row(bids: Path, scan: ScanId, problems: list[RelevoxError]) -> tuple[dict[str, str], str]:
    file = bids / scan.participant / f"{scan.participant}_sessions.tsv"
    if not scan.session or not file.is_file():
        return {}, "participants.tsv"
    place = str(file.relative_to(bids))
    try:
        rows = [row for row in tables.read(file, ("session_id",)) if row["session_id"] == scan.session]
    except TableError:
        return {}, place  # reported with the scores
    return (rows[0] if rows else {}), place


def _circumstances(
    scan: Scan, participant: dict, session: dict, place: str, describe: Iterable[str] = ()
) -> Circumstances:
    row = {**participant, **{k: v for k, v in session.items() if v not in ("", tables.MISSING)}}
    sexes = {_sex(source.get("sex", ""), place) for source in (participant, session)} - {""}
    if len(sexes) > 1:
        raise TableError(
            f"{scan.id}: sex differs between participants.tsv and the session", code="sex-contradiction", file=place
        )
    sidecar = _sidecar(scan)
    columns = {name.lower(): value for name, value in row.items() if value not in ("", tables.MISSING)}
    field = tables.number(row, "field_strength_t", place)
    age = tables.number(row, "age_years" if "age_years" in row else "age", place)
    return Circumstances(
        on=_date(row.get("acq_time", tables.MISSING), place, None),
        age_years=age,
        sex=next(iter(sexes), ""),
        scanner=next(
            (v for v in (row.get("scanner"), sidecar.get("ManufacturersModelName")) if v and v != tables.MISSING), ""
        ),
        field_strength_t=float(sidecar.get("MagneticFieldStrength", math.nan)) if math.isnan(field) else field,
        disease_duration_years=tables.number(row, "disease_duration_years", place),
        described={name: columns[name.lower()] for name in describe if name.lower() in columns},
    )


def _sidecar(scan: Scan) -> dict:
    if scan.t1w is None:
        return {}
    file = scan.t1w.with_name(scan.t1w.name.split(".")[0] + ".json")
    return tables.read_json(file) if file.is_file() else {}


def _sex(text: str, place: str) -> str:
    known = {"f": "F", "female": "F", "m": "M", "male": "M", "": "", tables.MISSING: "", "o": "", "other": ""}
    if text.lower() not in known:
        raise TableError(f"sex: expected F or M, but got {text!r}", code="sex-invalid", file=place)
    return known[text.lower()]


def _date(text: str, place: str | Path, row: int | None) -> date | None:
    if text in ("", tables.MISSING):
        return None
    try:
        return datetime.fromisoformat(text).date()
    except ValueError:
        raise TableError(
            f"expected a date such as 2019-03-31, but got {text!r}",
            code="date-invalid",
            file=place,
            row=row,
            remedy="write year-month-day: other orders are ambiguous",
        ) from None
