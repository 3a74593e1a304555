"""Patients with known causes, as BIDS data sets: one, or one a label of the same anatomies."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from relevox.config import PhantomSettings
from relevox.engines import workers as engine
from relevox.errors import InputError
from relevox.phantom.causes import LABEL_MODELS
from relevox.phantom.cohort import PlannedScan, draw_patients
from relevox.phantom.labels import label_cohort
from relevox.stages.simulate_anatomies import make_anatomies
from relevox.stages.simulate_clinical import write_clinical
from relevox.stages.simulate_scans import SIMULATED, is_native, make_scan
from relevox.stages.simulate_truth import ANATOMIES, TRUTH, describe, write_truth

__all__ = ["ANATOMIES", "SIMULATED", "TRUTH", "run"]

logger = logging.getLogger("relevox")


def run(bids: Path, phantom: PhantomSettings, seed: int = 0, workers: int = 1) -> None:
    """Write a simulated cohort.

    1. Draw patients: how much of every disease sign they have (nothing random is left to the workers).
    2. Make their anatomies, one job a scan, without labels, and measure the causes in them.
    3. Label them: scores follow the measured causes, scanners the classes.
    4. Render the scans, one job each, and write the truth beside them.
    5. Write the clinical tables and the truth's.

    What is up to date is skipped: another label, or another draw of it, makes no anatomy again.

    Parameters
    ----------
    bids : Path
        Root of the data set; with label ``all`` the folder that gets ``anatomies`` and a data set a label.
    phantom : PhantomSettings
        Size of the cohort, grid, causes of disability.
    seed : int
        The same seed gives the same bytes, whatever the number of workers.
    workers : int
        Local processes.

    Raises
    ------
    InputError
        When the folder holds other patients.
    """
    data_sets = data_sets_of(Path(bids), phantom)
    drawn = draw_patients(phantom, seed)
    for root in (Path(bids), *data_sets):
        _refuse_others(root, drawn if root in data_sets else ())

    anatomies = Path(bids) / (ANATOMIES if phantom.label == "all" else f"derivatives/{ANATOMIES}")
    with engine.same_processes():  # the template is prepared once in each
        measured = make_anatomies(anatomies, drawn, phantom, seed, workers)
        cohorts = {
            root: label_cohort(drawn, [card["causes_ml"] for card in measured], settings, seed)
            for root, settings in data_sets.items()
        }
        jobs = [(root, scan, is_native(scan, phantom)) for root, cohort in cohorts.items() for scan in cohort]
        make = partial(make_scan, heads=anatomies, voxel_size_mm=phantom.voxel_size_mm, seed=seed)
        names = [f"{root.name} {scan.id.key}" for root, scan, _ in jobs]
        engine.raise_failures(engine.run_all(make, jobs, workers, "simulate", names))
    for root, cohort in cohorts.items():
        write_clinical(root, cohort, data_sets[root])
        write_truth(root / TRUTH, cohort, measured, data_sets[root], seed)
        describe(root, SIMULATED)
    logger.info("simulated %d scans of %d patients", len(jobs), phantom.n_patients)


def data_sets_of(root: Path, phantom: PhantomSettings) -> dict[Path, PhantomSettings]:
    """Return the data sets to write, by folder.

    Examples
    --------
    >>> [path.name for path in data_sets_of(Path("BENCH"), PhantomSettings(label="all", label_draw=1))][:2]
    ['paper_draw-1', 'frontotemporal_draw-1']
    """
    if phantom.label != "all":
        return {root: phantom}
    suffix = f"_draw-{phantom.label_draw}" if phantom.label_draw else ""
    return {root / f"{label}{suffix}": phantom.model_copy(update={"label": label}) for label in LABEL_MODELS}


def _refuse_others(root: Path, cohort: Sequence[PlannedScan]) -> None:
    ours = {scan.id.participant for scan in cohort}
    others = sorted(path.name for path in root.glob("sub-*") if path.name not in ours)
    if others:
        raise InputError(
            f"expected a folder of this cohort, but it holds other patients: {', '.join(others[:5])}",
            code="folder-not-empty",
            file=root.name,
            remedy="choose an empty folder",
        )
