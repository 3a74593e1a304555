"""Simulated heads before anybody is labelled: made once, measured, used by every label."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from relevox.config import PhantomSettings
from relevox.engines import workers as engine
from relevox.phantom.cohort import PlannedScan
from relevox.phantom.simulated_scan import scan_anatomy
from relevox.stages.simulate_head import write_head
from relevox.stages.simulate_scans import is_native
from relevox.stages.simulate_template import prepared
from relevox.stages.simulate_truth import describe_anatomies
from relevox.store import anatomies, layout, provenance, tables, template

logger = logging.getLogger("relevox")


def make_anatomies(
    root: Path, drawn: Sequence[PlannedScan], phantom: PhantomSettings, seed: int, workers: int
) -> list[dict[str, dict[str, float]]]:
    """Make every head that is not there yet, one job each.

    Parameters
    ----------
    root : Path
        Folder of the anatomies.
    drawn : sequence of PlannedScan
        Without labels.
    phantom : PhantomSettings
        Grid, and of whom counterfactual and native heads are wanted.
    seed : int
        The cohort's seed.
    workers : int
        Local processes.

    Returns
    -------
    list of dict
        ``volumes_ml`` and ``causes_ml`` of each.
    """
    jobs = [(scan, _grid_mm(scan, phantom), _is_changed(scan, phantom)) for scan in drawn]
    make = partial(_make, root=root, voxel_size_mm=phantom.voxel_size_mm, seed=seed)
    outcomes = engine.run_all(make, jobs, workers, "anatomies", [scan.id.key for scan in drawn])
    engine.raise_failures(outcomes)
    measured = [outcome.value for outcome in outcomes]
    rows = [
        tables.id_columns(scan.id)
        | {f"{name}_ml": ml for name, ml in card["volumes_ml"].items()}
        | {f"cause_{name}_ml": ml for name, ml in card["causes_ml"].items()}
        for scan, card in zip(drawn, measured, strict=True)
    ]
    tables.write(layout.path(root, "anatomies"), rows)
    describe_anatomies(root)
    return measured


def _make(job: tuple[PlannedScan, int, bool], root: Path, voxel_size_mm: int, seed: int) -> dict[str, dict[str, float]]:
    planned, finer_mm, changed = job
    settings = {"seed": seed, "voxel_size_mm": voxel_size_mm, "made_at_mm": finer_mm, "counterfactuals": changed}
    unit = provenance.Unit(root, "anatomy", planned.id.key, settings | {"planned": repr(planned)})
    if not unit.is_current():
        made = scan_anatomy(prepared(finer_mm), planned, voxel_size_mm // finer_mm, seed, changed)
        written = anatomies.write(root, planned.id, made, template.SPACE)
        unit.record([*written, *write_head(root, planned, made, voxel_size_mm)])
        logger.info("anatomy: %s", planned.id)
    return anatomies.read_card(root, planned.id, template.SPACE)


def _grid_mm(scan: PlannedScan, phantom: PhantomSettings) -> int:
    """Edge of a voxel of the grid on which a head is made: twice as fine as the images, or that of a native head."""
    return 1 if is_native(scan, phantom) else max(1, phantom.voxel_size_mm // 2)


def _is_changed(scan: PlannedScan, phantom: PhantomSettings) -> bool:
    return scan.index < phantom.first_patient + phantom.counterfactuals
