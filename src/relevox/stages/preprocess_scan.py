"""One scan to template space: what it is made from, and what is written of it."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from relevox.config import PreprocessingSettings
from relevox.engines import chain
from relevox.errors import EngineError, ImageError, RelevoxError
from relevox.imaging import crop, quality
from relevox.imaging.intensity import normalise
from relevox.records import Scan, Volume
from relevox.stages import other_programs, own_networks, scan_pictures
from relevox.store import bids as bids_store
from relevox.store import images, layout, provenance, tables, template
from relevox.store.transforms import write_affine

logger = logging.getLogger("relevox")

IN_SPACE = ("space_t1w", "space_flair", "space_brain_mask", "space_lesion_mask", "space_jacobian", "measures")
"""A scan that brings all of these needs no registration."""


def _is_in_space(scan: Scan, settings: PreprocessingSettings) -> bool:
    usable = settings.use_derivatives or scan.t1w is None or scan.flair is None
    return usable and all(kind in scan.derivatives for kind in IN_SPACE)


def sources_of(scan: Scan, settings: PreprocessingSettings) -> dict[str, Path]:
    """List the files that a scan's preprocessing reads, by kind.

    Raises
    ------
    InputError, EngineError
        Where an image or a derivative is missing.
    """
    if _is_in_space(scan, settings):
        return {kind: scan.derivatives[kind] for kind in (*IN_SPACE, "space_regions") if kind in scan.derivatives}
    if (scan.t1w is None) != (scan.flair is None):
        raise bids_store.missing_image(scan)
    if scan.t1w is None:
        missing = [kind for kind in IN_SPACE if kind not in scan.derivatives]
        raise EngineError(
            f"{scan.id} has no raw images, and its derivatives lack {', '.join(missing)}",
            code="derivatives-incomplete",
            remedy="add the raw T1w and FLAIR, or the missing derivatives",
        )
    sources = {"t1w": scan.t1w, "flair": scan.flair}
    if settings.use_derivatives:
        sources |= {kind: scan.derivatives[kind] for kind in bids_store.NATIVE_KINDS if kind in scan.derivatives}
    return sources


def read(kind: str, path: Path) -> Volume | dict:
    """Read one source, checked; ``measures`` are a mapping, masks and labels whole numbers.

    Raises
    ------
    ImageError, TableError
        For what cannot be used.
    """
    if kind == "measures":
        return _checked_measures(path)
    if kind.endswith(("mask", "regions", "parcellation")):
        return images.read_labels(path)
    return images.read_scan(path) if kind.endswith(("t1w", "flair")) else images.read(path)


def _checked_measures(path: Path) -> dict:
    measures = tables.read_json(path)
    volumes = measures.get("volumes_ml")
    missing = [name for name in tables.VOLUME_NAMES if name not in (volumes if isinstance(volumes, dict) else {})]
    if missing:
        raise ImageError(
            f"expected volumes_ml with {', '.join(tables.VOLUME_NAMES)}, but {', '.join(missing)} is missing",
            code="measures-incomplete",
            file=path,
            remedy="add the volumes in millilitres",
        )
    return measures


def preprocess_scan(item: tuple[Scan, provenance.Unit], settings: PreprocessingSettings, threads: int = 1) -> None:
    """Preprocess one scan.

    1. Read its images (and what the derivatives offer).
    2. Bring them to the template, or place on the study's grid what is in template space already.
    3. Write everything; the record of provenance comes last.

    Our own steps use one thread, so that results repeat exactly; ``threads`` are for other programs.
    """
    scan, unit = item
    start = time.perf_counter()
    sources = {kind: read(kind, path) for kind, path in sources_of(scan, settings).items()}
    if "space_t1w" in sources:
        written = _place(scan, unit.study, sources, settings)
    else:
        written = _from_raw(scan, unit.study, sources, settings, threads)
    unit.record(written)
    logger.info("preprocess: %s in %.0f s", scan.id, time.perf_counter() - start)


def _from_raw(
    scan: Scan, study: Path, sources: Mapping[str, Volume], settings: PreprocessingSettings, threads: int
) -> list[Path]:
    with _naming(scan, scan.t1w):
        found = chain.to_template(
            sources["t1w"],
            sources["flair"],
            template.full(settings.periventricular_mm),
            settings,
            **own_networks.load(settings, sources),
            **other_programs.masks(sources["t1w"], sources["flair"], settings, sources, threads),
        )
    volumes = {
        name: getattr(found, name) for name in ("t1w", "flair", "brain_mask", "lesion_mask", "jacobian", "regions")
    }
    measures = {
        "volumes_ml": found.volumes_ml,
        "quality": found.quality,
        "flags": found.flags,
        "steps": found.steps,
    }
    place = {"space": settings.space}
    written = _write_volumes(scan, study, volumes, measures, settings)
    written += [
        write_affine(layout.path(study, "flair_to_t1w", scan.id), found.flair_to_t1w),
        write_affine(layout.path(study, "t1w_to_template", scan.id, **place), found.t1w_to_template),
        images.write(layout.path(study, "t1w_to_template_warp", scan.id, **place), found.warp),
    ]
    return written + scan_pictures.write(scan.id, study, found, sources["flair"], settings)


@contextmanager
def _naming(scan: Scan, file: Path | None) -> Iterator[None]:
    """Let errors of rooms that know arrays only name the scan and its file."""
    try:
        yield
    except RelevoxError as error:
        raise type(error)(
            f"{scan.id}: {error.message}", code=error.code, file=file, row=error.row, remedy=error.remedy
        ) from None


def _place(scan: Scan, study: Path, sources: Mapping, settings: PreprocessingSettings) -> list[Path]:
    """Put what is in template space already on the study's grid."""
    head = template.load(settings.voxel_size_mm, settings.periventricular_mm)
    placed = {}
    for kind, volume in sources.items():
        if kind != "measures":
            with _naming(scan, scan.derivatives[kind]):
                labels = kind == "space_regions"
                placed[kind] = crop.onto_study_grid(volume, settings.voxel_size_mm, labels)
    mask = placed["space_brain_mask"] >= 0.5
    data = {"brain_mask": mask}
    for kind in ("t1w", "flair"):
        with _naming(scan, scan.derivatives[f"space_{kind}"]):
            data[kind] = normalise(placed[f"space_{kind}"], mask, settings.normalisation)
    data["lesion_mask"] = placed["space_lesion_mask"] >= 0.5
    data["jacobian"] = placed["space_jacobian"]
    data["regions"] = placed.get("space_regions", head.regions * mask)
    volumes = {kind: Volume(array, head.affine) for kind, array in data.items()}
    given = sources["measures"]
    measured = quality.placed_measures(data["t1w"], data["flair"], mask, head.t1, head.brain_mask)
    measures = {
        "volumes_ml": given["volumes_ml"],
        "quality": dict(given.get("quality") or {}) | measured,
        "flags": list(given.get("flags") or []),
        "steps": [
            *(given.get("steps") or ["images, masks and Jacobian in template space as given"]),
            f"placed on {mask.shape} voxels of {settings.voxel_size_mm} mm, {settings.normalisation} scale",
        ],
    }
    return _write_volumes(scan, study, volumes, measures, settings)


def _write_volumes(
    scan: Scan,
    study: Path,
    volumes: Mapping[str, Volume],
    measures: Mapping[str, object],
    settings: PreprocessingSettings,
) -> list[Path]:
    written = [
        images.write(layout.path(study, kind, scan.id, space=settings.space), volume)
        for kind, volume in volumes.items()
    ]
    return [*written, tables.write_json(layout.path(study, "measures", scan.id), measures)]
