"""What a person decided on the quality page: scans that pass, scans that fail."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from relevox.errors import TableError
from relevox.records import ScanId
from relevox.store import layout, tables


class Decision(NamedTuple):
    """About one scan."""

    passed: bool
    """Whether it may be used."""
    note: str
    """Why, in the person's words; may be empty."""


def read(study: Path) -> dict[ScanId, Decision]:
    """Read ``quality_decisions.tsv``; empty where there is none.

    Raises
    ------
    TableError
        For an unreadable table, a decision other than pass and fail, and a scan that stands there twice.
    """
    file = layout.path(study, "quality_decisions")
    if not file.exists():
        return {}
    decisions: dict[ScanId, Decision] = {}
    for number, row in enumerate(tables.read(file, ("participant_id", "decision")), start=1):
        scan, word = tables.identity(row, file.name, number), row["decision"].lower()
        if word not in ("pass", "fail"):
            raise TableError(
                f"decision: expected pass or fail, but got {row['decision']!r}",
                code="decision-invalid",
                file=file.name,
                row=number,
                remedy="leave scans out of the table that nobody decided on",
            )
        if scan in decisions:
            raise TableError(
                f"{scan} stands here twice", code="decision-repeated", file=file.name, row=number, remedy="keep one"
            )
        note = row.get("note", "")
        decisions[scan] = Decision(word == "pass", "" if note == tables.MISSING else note)
    return decisions
