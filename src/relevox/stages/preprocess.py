"""Scans to template space: the network's input, masks, regions, Jacobian, volumes and quality measures."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from relevox.config import PreprocessingSettings, Settings
from relevox.engines import workers as engine
from relevox.engines.workers import Outcome
from relevox.errors import CohortError, ImageError, Problems, RelevoxError
from relevox.records import Scan
from relevox.stages import other_programs, own_networks, quality_tables
from relevox.stages.preprocess_scan import preprocess_scan, read, sources_of
from relevox.store import bids as bids_store
from relevox.store import images, provenance

logger = logging.getLogger("relevox")

STAGE = "preprocess"


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
    3. Write ``volumes.tsv``, ``quality.tsv`` and the page of all scans' pictures.

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
    threads = engine.threads_each(max(1, min(workers, len(pending))))
    work = partial(preprocess_scan, settings=settings.preprocessing, threads=threads)
    outcomes = engine.run_all(work, pending, workers, "preprocess", [scan.id.key for scan, _ in pending])
    bad |= {outcome.item[0].id: outcome.error for outcome in outcomes if outcome.error is not None}
    quality_tables.write(study, scans, bad)
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


def _examine(scan: Scan, study: Path, settings: PreprocessingSettings) -> provenance.Unit:
    """Name the unit of work of a scan; read its images where that is still to be done."""
    sources = sources_of(scan, settings)
    for path in sources.values():
        if not path.is_file():
            images.read(path)  # says what is wrong with a folder, a pipe or a broken link
    inputs = {kind: provenance.sha256(path) for kind, path in sources.items()}
    if "t1w" in sources:
        inputs |= own_networks.hashes(settings, sources)
        inputs |= other_programs.versions(settings, sources)
    unit = provenance.Unit(study, STAGE, scan.id.key, settings=settings.model_dump(mode="json"), inputs=inputs)
    if unit.is_current():
        return unit
    problems: list[RelevoxError] = []
    for kind, path in sources.items():
        try:
            read(kind, path)
        except RelevoxError as error:
            problems.append(error)
    if problems:
        raise problems[0] if len(problems) == 1 else Problems(problems)
    return unit


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
