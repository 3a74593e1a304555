"""Volumes and quality of all scans together: tables, flags against the cohort, the page for a person."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from relevox import __version__
from relevox.errors import Problems, RelevoxError
from relevox.imaging.quality import cohort_flags
from relevox.records import Scan, ScanId
from relevox.report.quality_page import CAPTIONS, QualityRow, quality_page
from relevox.store import decisions, layout, tables
from relevox.store.atomic import write_text


def write(study: Path, scans: Sequence[Scan], bad: Mapping[ScanId, RelevoxError]) -> None:
    """Write ``volumes.tsv``, ``quality.tsv`` and ``report/quality.html``.

    A scan is flagged by its own measures, and by those that lie far from the other scans' (of ten or more).

    Parameters
    ----------
    study : Path
        The study folder.
    scans : sequence of Scan
        All of them, sorted.
    bad : mapping of ScanId to RelevoxError
        Why some could not be used.
    """
    good = [scan.id for scan in scans if scan.id not in bad]
    measures = {scan: tables.read_json(layout.existing(study, "measures", scan)) for scan in good}
    known = {scan: _numbers(measures[scan]["quality"]) for scan in good}
    unusual = dict(zip(good, cohort_flags([known[scan] for scan in good]), strict=True))
    judged = decisions.read(study)
    rows = []
    for scan in (scan.id for scan in scans):
        flags = _said(bad[scan]) if scan in bad else (*measures[scan]["flags"], *unusual[scan])
        status = "failed" if scan in bad else "flagged" if flags else "ok"
        decision = judged.get(scan)
        rows.append(
            QualityRow(
                id=scan,
                status=status,
                flags=flags,
                measures=known.get(scan, {}),
                pictures={} if scan in bad else _pictures(study, scan),
                decision="" if decision is None else "pass" if decision.passed else "fail",
                note="" if decision is None else decision.note,
            )
        )
    volumes = [
        tables.id_columns(scan) | {f"{name}_ml": measures[scan]["volumes_ml"][name] for name in tables.VOLUME_NAMES}
        for scan in good
    ]
    quality = [
        tables.id_columns(row.id) | {"status": row.status, "flags": "; ".join(row.flags)} | dict(row.measures)
        for row in rows
    ]
    names = list(dict.fromkeys(name for row in rows for name in row.measures))
    head = ("participant_id", "session_id")
    tables.write(layout.path(study, "volumes"), volumes, (*head, *(f"{n}_ml" for n in tables.VOLUME_NAMES)))
    tables.write(layout.path(study, "quality"), quality, (*head, "status", "flags", *names))
    write_text(layout.path(study, "quality_page"), quality_page(rows, __version__))


def _numbers(quality: Mapping[str, object]) -> dict[str, float]:
    return {name: math.nan if value is None else float(value) for name, value in quality.items()}


def _pictures(study: Path, scan: ScanId) -> dict[str, str]:
    """Addresses of the overlays that are there, seen from the page."""
    page = layout.path(study, "quality_page").parent
    files = {kind: layout.path(study, "overlay", scan, desc=kind) for kind in CAPTIONS}
    return {kind: Path(os.path.relpath(file, page)).as_posix() for kind, file in files.items() if file.exists()}


def _said(error: RelevoxError) -> tuple[str, ...]:
    """Messages with the kind of image that they are about, without the names of files: tables travel."""
    return tuple(_about(e) + e.message for e in (error.problems if isinstance(error, Problems) else (error,)))


def _about(error: RelevoxError) -> str:
    suffix = "" if error.file is None else Path(error.file).name.split(".")[0].rpartition("_")[2]
    return f"{suffix}: " if error.code.startswith("image-") and suffix in ("T1w", "FLAIR", "mask", "dseg") else ""
