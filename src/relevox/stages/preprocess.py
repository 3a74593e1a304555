"""Scans to template space: the network's input, masks, regions, Jacobian, volumes and quality measures."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache, partial
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np

from relevox.config import PreprocessingSettings, Settings
from relevox.engines import chain
from relevox.engines import workers as engine
from relevox.engines.workers import Outcome
from relevox.errors import CohortError, EngineError, ImageError, Problems, RelevoxError
from relevox.imaging import crop, quality
from relevox.imaging.intensity import normalise
from relevox.imaging.regions import REGION_INDEX
from relevox.imaging.resample import isotropic, resample
from relevox.records import Scan, Volume
from relevox.report import drawing, overlays
from relevox.store import bids as bids_store
from relevox.store import images, layout, provenance, tables, template
from relevox.store.atomic import replacing
from relevox.store.transforms import write_affine

logger = logging.getLogger("relevox")

STAGE = "preprocess"

IN_SPACE = ("space_t1w", "space_flair", "space_brain_mask", "space_lesion_mask", "space_jacobian", "measures")
"""A scan that brings all of these needs no registration."""

_OVERLAY_MM = 1.0


def run(
    bids: Path,
    study: Path,
    settings: Settings,
    workers: int = 1,
    participants: Sequence[str] | None = None,
    skip_bad: bool = False,
) -> None:
    """Bring every scan to the template.

    1. Find the scans, and read all images that are not up to date: every problem is listed before anything
       is computed.
    2. Preprocess scan by scan, in parallel; what is up to date is skipped.
    3. Write ``volumes.tsv`` and ``quality.tsv`` for all scans.

    Parameters
    ----------
    bids : Path
        The data set; never written to.
    study : Path
        The study folder.
    settings : Settings
        Section ``preprocessing``.
    workers : int
        Local processes, about 2 GB each at 1 mm.
    participants : sequence of str, optional
        Only these, with or without ``sub-``.
    skip_bad : bool
        Go on without the scans that cannot be used; ``quality.tsv`` lists them.

    Raises
    ------
    Problems, RelevoxError
        What is wrong with the scans, unless ``skip_bad``.
    CohortError
        When no scan is left.
    """
    bids, study = Path(bids), Path(study)
    scans = _chosen(bids_store.index(bids, settings.preprocessing.space, incomplete=skip_bad), participants)
    names = [scan.id.key for scan in scans]

    examine = partial(_examine, study=study, settings=settings.preprocessing)
    examined = engine.run_all(examine, scans, workers, "check images", names)
    examined = _refuse_repeated(examined)
    bad = {outcome.item.id: outcome.error for outcome in examined if outcome.error is not None}
    if bad and not skip_bad:
        engine.raise_failures(examined)

    units = {o.item.id: o.value for o in examined if o.error is None}
    pending = [(scan, units[scan.id]) for scan in scans if scan.id in units and not units[scan.id].is_current()]
    if len(pending) < len(units):
        logger.info("preprocess: %d scans are up to date", len(units) - len(pending))
    work = partial(_preprocess, settings=settings.preprocessing)
    outcomes = engine.run_all(work, pending, workers, "preprocess", [scan.id.key for scan, _ in pending])
    bad |= {outcome.item[0].id: outcome.error for outcome in outcomes if outcome.error is not None}
    _write_tables(study, scans, bad)
    if bad and not skip_bad:
        engine.raise_failures(outcomes)
    if len(bad) == len(scans):
        raise CohortError("no scan could be used", code="no-scans", file=bids.name, remedy="see quality.tsv")
    for scan, error in bad.items():
        logger.warning("preprocess: %s is left out: %s", scan, error)


def _chosen(scans: list[Scan], participants: Sequence[str] | None) -> list[Scan]:
    if participants is None:
        return scans
    wanted = {name if name.startswith("sub-") else f"sub-{name}" for name in participants}
    missing = sorted(wanted - {scan.id.participant for scan in scans})
    if missing:
        raise CohortError(
            f"expected these participants in the data set, but found none of {', '.join(missing)}",
            code="participant-unknown",
            remedy="check the labels",
        )
    return [scan for scan in scans if scan.id.participant in wanted]


def _is_in_space(scan: Scan, settings: PreprocessingSettings) -> bool:
    usable = settings.use_derivatives or scan.t1w is None or scan.flair is None
    return usable and all(kind in scan.derivatives for kind in IN_SPACE)


def _sources(scan: Scan, settings: PreprocessingSettings) -> dict[str, Path]:
    """Files that a scan's preprocessing reads."""
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


def _examine(scan: Scan, study: Path, settings: PreprocessingSettings) -> provenance.Unit:
    """Name the unit of work of a scan; read its images where that is still to be done."""
    sources = _sources(scan, settings)
    for path in sources.values():
        if not path.is_file():
            images.read(path)  # says what is wrong with a folder, a pipe or a broken link
    inputs = {kind: provenance.sha256(path) for kind, path in sources.items()}
    if "t1w" in sources and "brain_mask" not in sources:
        inputs["brain_network"] = _network_hash()
    unit = provenance.Unit(study, STAGE, scan.id.key, settings=settings.model_dump(mode="json"), inputs=inputs)
    if unit.is_current():
        return unit
    problems: list[RelevoxError] = []
    for kind, path in sources.items():
        try:
            _read(kind, path)
        except RelevoxError as error:
            problems.append(error)
    if problems:
        raise problems[0] if len(problems) == 1 else Problems(problems)
    return unit


def _read(kind: str, path: Path) -> Volume | dict:
    if kind == "measures":
        return _checked_measures(path)
    return images.read_labels(path) if kind.endswith(("mask", "regions")) else images.read(path)


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


def _refuse_repeated(examined: list[Outcome]) -> list[Outcome]:
    """Turn scans whose images appear twice into errors: as T1w and FLAIR, or in two scans."""
    owners: dict[str, list[tuple[str, str]]] = {}
    for outcome in examined:
        if outcome.error is None:
            for kind in ("t1w", "flair", "space_t1w", "space_flair"):
                if kind in outcome.value.inputs:
                    owners.setdefault(outcome.value.inputs[kind], []).append((outcome.value.name, kind))
    result = []
    for outcome in examined:
        inputs = {} if outcome.error is not None else outcome.value.inputs
        twice = [owners[sha] for sha in inputs.values() if len(owners.get(sha, [])) > 1]
        if twice:
            places = ", ".join(f"{name} ({kind})" for name, kind in twice[0])
            error = ImageError(
                f"one image stands in several places: {places}",
                code="image-repeated",
                remedy="put the right image into each place",
            )
            outcome = Outcome(outcome.item, error=error)
        result.append(outcome)
    return result


def _preprocess(item: tuple[Scan, provenance.Unit], settings: PreprocessingSettings) -> None:
    """Preprocess one scan.

    1. Read its images (and what the derivatives offer).
    2. Bring them to the template, or place on the study's grid what is in template space already.
    3. Write everything; the record of provenance comes last.
    """
    scan, unit = item
    start = time.perf_counter()
    sources = {kind: _read(kind, path) for kind, path in _sources(scan, settings).items()}
    if "space_t1w" in sources:
        written = _place(scan, unit.study, sources, settings)
    else:
        written = _from_raw(scan, unit.study, sources, settings)
    unit.record(written)
    logger.info("preprocess: %s in %.0f s", scan.id, time.perf_counter() - start)


def _from_raw(scan: Scan, study: Path, sources: Mapping[str, Volume], settings: PreprocessingSettings) -> list[Path]:
    with _naming(scan, scan.t1w):
        found = chain.to_template(
            sources["t1w"],
            sources["flair"],
            template.full(settings.periventricular_mm),
            settings,
            brain_mask=sources.get("brain_mask"),
            lesion_mask=sources.get("lesion_mask"),
            network=None if "brain_mask" in sources else _network(),
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
    return written + _write_overlays(scan, study, found, settings)


@contextmanager
def _naming(scan: Scan, file: Path | None) -> Iterator[None]:
    """Let errors of rooms that know arrays only name the scan and its file."""
    try:
        yield
    except RelevoxError as error:
        raise type(error)(
            f"{scan.id}: {error.message}", code=error.code, file=file, row=error.row, remedy=error.remedy
        ) from None


@lru_cache(maxsize=1)
def _network_hash() -> str:
    """Other weights find another brain: what was made with them is stale."""
    with as_file(files("relevox.imaging") / "data" / "brain_network.safetensors") as path:
        return provenance.sha256(path)


@lru_cache(maxsize=1)
def _network():
    """Load the brain network once in every process, and torch only where it is needed."""
    from relevox.imaging import brain_network

    return brain_network.load()


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
    both = mask & head.brain_mask
    measured = {
        "mask_dice": quality.dice(mask, head.brain_mask),
        "t1w_flair_nmi": quality.normalised_mutual_information(data["t1w"][mask], data["flair"][mask]),
        "template_correlation": quality.correlation(data["t1w"][both], head.t1[both]),
    }
    measures = {
        "volumes_ml": given["volumes_ml"],
        "quality": measured | dict(given.get("quality") or {}),
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


def _write_overlays(scan: Scan, study: Path, found: chain.Preprocessed, settings: PreprocessingSettings) -> list[Path]:
    native = isotropic(found.native_t1w, _OVERLAY_MM)
    grid = crop.Grid(native.data.shape, native.affine)
    mask = resample(Volume(found.native_mask.astype(np.float32), found.native_t1w.affine), grid) > 0.5
    head = template.load(settings.voxel_size_mm, settings.periventricular_mm)
    brain = found.brain_mask.data
    ventricles = head.regions == REGION_INDEX["lateral_ventricles"]
    figures = {
        "brainmask": overlays.brain_mask_overlay(native.data, mask, _OVERLAY_MM),
        "template": overlays.template_overlay(found.t1w.data, found.flair.data, brain, head.brain_mask, ventricles),
        "lesions": overlays.lesion_overlay(found.flair.data, found.lesion_mask.data, brain),
    }
    written = []
    for desc, figure in figures.items():
        path = layout.path(study, "overlay", scan.id, desc=desc)
        with replacing(path) as temporary:
            temporary.write_bytes(drawing.to_png(figure))
        written.append(path)
    return written


def _write_tables(study: Path, scans: Sequence[Scan], bad: Mapping) -> None:
    volumes, judged, names = [], [], []
    for scan in scans:
        columns = tables.id_columns(scan.id)
        if scan.id in bad:
            judged.append(columns | {"status": "failed", "flags": _said(bad[scan.id])})
            continue
        measures = tables.read_json(layout.existing(study, "measures", scan.id))
        volumes.append(columns | {f"{name}_ml": measures["volumes_ml"][name] for name in tables.VOLUME_NAMES})
        status = "flagged" if measures["flags"] else "ok"
        judged.append(columns | {"status": status, "flags": "; ".join(measures["flags"])} | measures["quality"])
        names += [name for name in measures["quality"] if name not in names]
    head = ("participant_id", "session_id")
    tables.write(layout.path(study, "volumes"), volumes, (*head, *(f"{n}_ml" for n in tables.VOLUME_NAMES)))
    tables.write(layout.path(study, "quality"), judged, (*head, "status", "flags", *names))


def _said(error: RelevoxError) -> str:
    """Messages without the paths of files: tables travel."""
    return "; ".join(e.message for e in (error.problems if isinstance(error, Problems) else (error,)))
