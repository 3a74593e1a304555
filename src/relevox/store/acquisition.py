"""How each image was acquired: from its JSON sidecar and its header."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from relevox.records import Scan, ScanId
from relevox.store import images, layout, tables
from relevox.store.clinical import Circumstances

TIMES_MS = {
    "repetition_time_ms": "RepetitionTime",
    "echo_time_ms": "EchoTime",
    "inversion_time_ms": "InversionTime",
}
"""Columns in milliseconds and their BIDS fields, which are in seconds."""

NUMBERS = ("field_strength_t", *TIMES_MS, "flip_angle_deg", "voxel_fine_mm", "voxel_middle_mm", "voxel_thick_mm")
"""Columns that hold numbers."""

MANUFACTURERS = {
    "siemens": "Siemens",
    "ge": "GE",
    "philips": "Philips",
    "canon": "Canon",
    "toshiba": "Toshiba",
    "hitachi": "Hitachi",
    "fujifilm": "Fujifilm",
    "uih": "United Imaging",
    "united": "United Imaging",
    "fonar": "Fonar",
    "bruker": "Bruker",
}
"""Makers of scanners, by a word of what the field says."""

COLUMNS = ("contrast", "manufacturer", "scanner", *NUMBERS, "acquisition_type", "plane")
"""Columns of ``acquisition.tsv`` after the scan's identity."""


def beside(image: Path) -> Path:
    """Return the path of an image's own JSON file."""
    return image.with_name(image.name.split(".")[0] + ".json")


def sidecar(image: Path, scan: ScanId, bids: Path) -> dict[str, object]:
    """Read what the JSON files say of an image, the nearest last (BIDS inheritance)."""
    suffix = image.name.split(".")[0].rsplit("_", 1)[-1]
    subject = bids / scan.participant
    files = [bids / f"{suffix}.json", subject / f"{scan.participant}_{suffix}.json"]
    if scan.session:
        files.append(subject / scan.session / f"{scan.key}_{suffix}.json")
    files.append(beside(image))
    found: dict[str, object] = {}
    for file in files:
        if file.is_file():
            found |= tables.read_json(file)
    return found


def read(bids: Path, scans: Iterable[Scan], known: Mapping[ScanId, Circumstances]) -> list[dict[str, object]]:
    """Collect one row an image: scanner, times, flip angle, voxel size.

    Parameters
    ----------
    bids : Path
        The data set.
    scans : iterable of Scan
        Those of the cohort; images in template space have no acquisition of their own, but may have a sidecar.
    known : mapping
        Scanner and field strength as the clinical tables have them.

    Returns
    -------
    list of dict
        ``COLUMNS``; NaN and empty where nothing is known. Voxel edges are sorted, the thickest last; ``plane`` is that
        of the slices where one edge is clearly the thickest.
    """
    rows = []
    for scan in scans:
        about = known[scan.id]
        for contrast, raw in (("T1w", scan.t1w), ("FLAIR", scan.flair)):
            image = raw or scan.derivatives.get(f"space_{contrast.lower()}")
            if image is None:
                continue
            fields = sidecar(image, scan.id, bids)
            voxel, plane = _voxel(raw)
            rows.append(
                tables.id_columns(scan.id)
                | {
                    "contrast": contrast,
                    "manufacturer": _manufacturer(fields),
                    "scanner": about.scanner,
                    "field_strength_t": about.field_strength_t,
                    **{column: 1000 * _number(fields, name) for column, name in TIMES_MS.items()},
                    "flip_angle_deg": _number(fields, "FlipAngle"),
                    **dict(zip(NUMBERS[-3:], voxel, strict=True)),
                    "acquisition_type": _one_of(fields, "MRAcquisitionType", ("2D", "3D")),
                    "plane": plane,
                }
            )
    return rows


def write(study: Path, rows: list[dict[str, object]]) -> Path:
    """Write ``acquisition.tsv``."""
    return tables.write(layout.path(study, "acquisition"), rows, ("participant_id", "session_id", *COLUMNS))


def _voxel(image: Path | None) -> tuple[np.ndarray, str]:
    if image is None:
        return np.full(3, np.nan), ""
    axes = images.voxel_axes(image)
    edges = np.linalg.norm(axes, axis=0)
    order = np.argsort(edges, kind="stable")
    if not np.isfinite(edges).all() or edges[order[2]] < 1.3 * edges[order[1]]:
        return np.sort(edges), ""
    return np.sort(edges), ("sagittal", "coronal", "axial")[int(np.abs(axes[:, order[2]]).argmax())]


def _number(fields: Mapping[str, object], name: str) -> float:
    value = fields.get(name)
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else math.nan


def _one_of(fields: Mapping[str, object], name: str, known: tuple[str, ...]) -> str:
    value = str(fields.get(name, "")).strip().upper()
    return value if value in known else ""


def _manufacturer(fields: Mapping[str, object]) -> str:
    """One spelling a maker; text we do not know may be anybody's name, and stays where it is."""
    words = str(fields.get("Manufacturer", "")).lower().split()
    return next((MANUFACTURERS[word] for word in words if word in MANUFACTURERS), "")
