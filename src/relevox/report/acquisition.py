"""How the images were acquired, by scanner: the paper's Table 1, for any study."""

from __future__ import annotations

import math
from collections.abc import Sequence

from relevox.report.page import Table
from relevox.report.results import Row
from relevox.report.tables import DASH, NO_BREAK

_DIGITS = {
    "field_strength_t": 2,
    "repetition_time_ms": 0,
    "echo_time_ms": 2,
    "inversion_time_ms": 0,
    "flip_angle_deg": 0,
}
"""Measures with their decimals: differences below them are no other protocol."""

MAX_VALUES = 3
"""More different values than this are given as a range."""

HEADER = (
    "scanner",
    "manufacturer",
    "field (T)",
    "contrast",
    "type",
    "TR (ms)",
    "TE (ms)",
    "TI (ms)",
    "flip angle (\N{DEGREE SIGN})",
    "voxel (mm)",
    "slices",
    "scans (%)",
)


def acquisition_table(rows: Sequence[Row], n_scans: int) -> Table | None:
    """Return one line a scanner, contrast and acquisition type; None where nothing was recorded.

    Parameters
    ----------
    rows : sequence of Row
        One an image, as ``acquisition.tsv`` holds them.
    n_scans : int
        Scans of the cohort, for the shares.
    """
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        key = tuple(_known(row[name]) for name in ("scanner", "contrast", "acquisition_type"))
        groups.setdefault(key, []).append(row)
    order = {"T1w": 0, "FLAIR": 1}
    body = []
    for scanner, contrast, kind in sorted(groups, key=lambda k: (k[0], order.get(k[1], 2), k[2])):
        images = groups[scanner, contrast, kind]
        measures = [_values([row[name] for row in images], digits) for name, digits in _DIGITS.items()]
        n = len({(row["participant_id"], row["session_id"]) for row in images})
        body.append(
            (
                scanner or "not recorded",
                _words([_known(row["manufacturer"]) for row in images]),
                measures[0],
                contrast,
                kind or DASH,
                *measures[1:],
                _words([_voxel(row) for row in images]),
                _words([_known(row["plane"]) for row in images]),
                f"{n} ({100 * n / n_scans:.0f} %)".replace(" ", NO_BREAK),
            )
        )
    if not body:
        return None
    caption = (
        f"Acquisition by scanner, from the images' headers and JSON sidecars ({n_scans} scans). More than {MAX_VALUES} "
        f"different values are given as a range; {DASH}: not recorded. Voxel edges are sorted, the thickest last; "
        "slices: their plane, where one edge is clearly the thickest. TR, TE, TI: repetition, echo and inversion time."
    )
    return Table(caption, HEADER, body)


def acquisition_rows(table: Table) -> list[dict[str, object]]:
    """Return the table as rows of a file."""
    return [
        {name: cell.replace(NO_BREAK, " ").replace(DASH, "") for name, cell in zip(table.header, row, strict=True)}
        for row in table.rows
    ]


def _values(numbers: Sequence[float], digits: int) -> str:
    found = sorted({round(value, digits) for value in numbers if math.isfinite(value)})
    if not found:
        return DASH
    if len(found) > MAX_VALUES:
        return f"{found[0]:g} to {found[-1]:g}"
    return ", ".join(f"{value:g}" for value in found)


def _words(texts: Sequence[str]) -> str:
    found = sorted(set(texts) - {""})
    if len(found) > MAX_VALUES:
        return f"{len(found)} different"
    return ", ".join(found) or DASH


def _voxel(row: Row) -> str:
    edges = [row[f"voxel_{name}_mm"] for name in ("fine", "middle", "thick")]
    return " x ".join(f"{round(edge, 2):g}" for edge in edges) if all(map(math.isfinite, edges)) else ""


def _known(text: object) -> str:
    return "" if text in (None, "n/a") else str(text)
