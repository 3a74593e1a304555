"""Report: whether anything that was trained on came back in the test."""

from __future__ import annotations

from collections.abc import Sequence

from relevox.report.page import Block, Note, Table, Text
from relevox.report.results import Row, StudyResults


def leaks(results: StudyResults) -> list[Block]:
    """Patients per fold and side, and every check with what it found."""
    if not results.leaks:
        return []
    sides = {(str(row["part"])): row for row in results.leaks if row["check"] == "size"}
    folds = list(dict.fromkeys(part.split(",")[0] for part in sides))
    body = [
        (fold, *(_size(sides.get(f"{fold}, {side}")) for side in ("train", "validation", "test"))) for fold in folds
    ]
    table = Table(
        "Patients (scans) on every side of every fold, counted from the files.",
        ("", "training", "validation", "test"),
        body,
    )
    suspected = noted(results.leaks)
    return [Text([sentence(results.leaks)]), *([Note(suspected)] if suspected else []), table]


def sentence(rows: Sequence[Row]) -> str:
    """Say in one sentence what was looked at and what was found."""
    checks = [row for row in rows if row["check"] != "size"]
    pairs = [row for row in checks if row["check"] == "same patient"]
    images = [row for row in checks if row["check"] == "same image"]
    unseen = [row for row in checks if row["check"] == "unseen scanner"]
    ids = [row for row in checks if row["check"] == "same patient id"]
    parts = []
    if pairs:
        parts.append(f"{_found(pairs)} in two of the {len(pairs)} pairs of sides and of test folds")
    if ids:
        parts.append(f"{_found(ids)} by id in the training cohort")
    if unseen:
        scans = sum(int(row["shared"]) for row in unseen)
        parts.append(f"{scans or 'no'} scan of {unseen[0]['against']} among those that train or validate")
    if images:
        parts.append(f"{sum(int(row['shared']) for row in images) or 'no'} image (by hash) in two places")
    alike = [row for row in checks if row["check"] == "alike brains"]
    if alike:
        parts.append(f"{sum(int(row['shared']) for row in alike) or 'no'} pair of patients with brains as alike as one")
    return f"Leak audit: {'; '.join(parts)}."


def noted(rows: Sequence[Row]) -> str:
    """Name what is no proven leak but must be looked at; empty where there is nothing."""
    found = [row for row in rows if row["check"] != "size" and row["shared"] > 0]
    said = [f"{row['check']} ({row['against']}): {row['who']}" for row in found]
    return f"To be looked at: {'; '.join(said)}." if said else ""


def _found(rows: Sequence[Row]) -> str:
    shared = sum(int(row["shared"]) for row in rows)
    return f"{shared} patient{'s' if shared > 1 else ''}" if shared else "no patient"


def _size(row: Row | None) -> str:
    return "" if row is None else f"{row['patients']:.0f} ({row['scans']:.0f})"
