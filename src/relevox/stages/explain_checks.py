"""Check the maps of some scans of every fold: can they be believed?"""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path

import numpy as np
import torch

from relevox.attribution import mean_scan, options_of
from relevox.attribution.checks import supervoxels
from relevox.attribution.checks.scan import (
    CheckedScan,
    Finding,
    as_rows,
    dependence,
    faithfulness,
    lost,
    stability,
)
from relevox.config import Settings
from relevox.engines.workers import raise_failures, run_all, threads_each
from relevox.imaging.regions import REGION_INDEX
from relevox.learning.device import choose_device
from relevox.learning.fusion import image_only
from relevox.learning.inputs import load_batch
from relevox.records import Cohort, Fold, Prediction, ScanId
from relevox.statistics.folds import cohort_rounds
from relevox.statistics.resampling import means_over_patients
from relevox.store import explanations, layout, models, provenance, tables, template

logger = logging.getLogger("relevox")

VOXELS_AT_ONCE = 500_000
"""Input voxels that pass the network together, as where scans are explained."""

FOUND = ("check", "method", "step", "position", "measure")
"""What names a number; the columns of ``Finding`` but its value."""

COLUMNS = ("participant_id", "session_id", "fold", *FOUND, "value")
SUMMARY = (*FOUND, "value", "ci_low", "ci_high", "n_scans", "n_patients")


def run(study: Path, settings: Settings, workers: int = 1) -> None:
    """Check the maps of some test scans of every fold.

    1. Cascade randomisation: layers are drawn again, from the output to the input.
    2. Class swap: the maps of the two classes.
    3. Stability: the maps of all folds' networks for the same scan.
    4. Faithfulness: regions and supervoxels are replaced by the mean of the
       training scans, in the order of each map, by chance, and by the image alone.
    5. Where LRP loses relevance.
    6. Means over scans, with intervals that draw patients.

    Parameters
    ----------
    study : Path
        With explained scans.
    settings : Settings
        ``checks``, ``attribution``, ``evaluation`` (bootstrap) and ``seed``.
    workers : int
        Folds at once.

    Raises
    ------
    StudyError
        When an earlier stage has not run.
    """
    if settings.checks.scans_per_fold == 0:
        logger.info("checks of the maps: none were asked for")
        return
    cohort = tables.read_cohort(study)
    folds = cohort_rounds(cohort, tables.read_folds(study, cohort), settings.training.unseen_scanner)
    predictions = explanations.cnn_predictions(study, cohort)
    workers = max(1, min(workers, len(folds)))
    outcomes = run_all(
        partial(check_fold, study, settings, predictions, folds, threads=threads_each(workers)),
        folds,
        workers,
        description="checks",
        labels=[f"fold-{fold.index}" for fold in folds],
    )
    raise_failures(outcomes)
    unit = provenance.Unit(
        study,
        stage="checks",
        name="cohort",
        settings={"evaluation": settings.evaluation.model_dump(), "seed": settings.seed},
        inputs={f"fold-{fold.index}": provenance.digest(study, "checks", f"fold-{fold.index}") for fold in folds},
    )
    if unit.is_current():
        logger.info("checks of the maps: up to date")
        return
    rows = [row for fold in folds for row in tables.read(layout.path(study, "checks_fold", fold=fold.index), COLUMNS)]
    unit.record(
        [
            tables.write(layout.path(study, "checks"), rows, COLUMNS),
            tables.write(layout.path(study, "checks_summary"), summarise(rows, settings), SUMMARY),
        ]
    )
    logger.info("checks of the maps: %d scans", sum(outcome.value for outcome in outcomes))


def check_fold(
    study: Path,
    settings: Settings,
    predictions: dict[ScanId, Prediction],
    folds: tuple[Fold, ...],
    fold: Fold,
    threads: int = 1,
) -> int:
    """Check the chosen scans of one fold, and return their number."""
    cohort = tables.read_cohort(study)
    rows = choose_scans(cohort, fold, settings.checks.scans_per_fold, settings.seed)
    unit = _unit(study, settings, [predictions[cohort.ids[row]] for row in rows], folds)
    if unit.is_current():
        return len(rows)
    torch.set_num_threads(threads)
    device = choose_device(settings.training.device)
    inputs = np.load(layout.existing(study, "inputs"), mmap_mode="r")
    baseline = torch.from_numpy(mean_scan(inputs, fold.train)).to(device)
    head = template.load(settings.preprocessing.voxel_size_mm, settings.preprocessing.periventricular_mm)
    at_once = max(1, VOXELS_AT_ONCE // head.regions.size)
    networks = {other.index: models.load(study, other.index)[0].to(device) for other in folds}
    found = []
    for row in rows:
        scan_id = cohort.ids[row]
        asked = {n: image_only(network, cohort.observations[row]) for n, network in networks.items()}
        trained = [other.index for other in folds if row in other.train]
        shape, space = head.regions.shape, settings.preprocessing.space
        scan = CheckedScan(
            model=asked[fold.index],
            x=load_batch(inputs, np.array([row]), device),
            brain=explanations.read_on_grid(study, "brain_mask", scan_id, shape, space=space) > 0,
            target=explanations.target_class(predictions[scan_id], settings.attribution.target),
            baseline=baseline,
            options={
                method: options_of(method, settings.attribution, baseline, at_once, settings.seed)
                for method in settings.checks.methods
            },
            batch_size=at_once,
        )
        rest = [network for n, network in asked.items() if n != fold.index and n not in trained]
        seed = settings.seed + int(row)  # other random weights and orders for every scan
        findings = dependence(scan, seed)
        findings += stability(scan, [asked[n] for n in trained], rest)
        findings += _perturbed(study, settings, scan_id, scan, head.regions, seed)
        findings += lost(scan)
        name = tables.id_columns(scan_id) | {"fold": fold.index}
        found += [name | values for values in as_rows(findings)]
        logger.info("checks: %s by fold-%d", scan_id, fold.index)
    unit.record([tables.write(layout.path(study, "checks_fold", fold=fold.index), found, COLUMNS)])
    return len(rows)


def choose_scans(cohort: Cohort, fold: Fold, n: int, seed: int) -> np.ndarray:
    """Draw rows of a fold's test scans, of n patients where there are so many, sorted."""
    rng = np.random.default_rng([seed, fold.index])
    drawn = rng.permutation(np.sort(fold.test))
    _, first = np.unique(cohort.patients[drawn], return_index=True)
    return np.sort(drawn[np.sort(first)][:n])


def _perturbed(
    study: Path, settings: Settings, scan_id: ScanId, scan: CheckedScan, regions: np.ndarray, seed: int
) -> list[Finding]:
    options = {"n_random": settings.checks.random_orders, "steps": settings.checks.perturbation_steps, "seed": seed}
    inside = np.where(scan.brain, regions, 0)
    present = set(np.unique(inside).tolist()) - {0}
    file = layout.existing(study, "occlusion", scan_id)
    support = {REGION_INDEX[row["region"]]: tables.number(row, "delta", file) for row in tables.read(file, ("region",))}
    sizes = np.bincount(inside.ravel())
    by_occlusion = np.array(sorted(present, key=lambda region: (-support[region] / sizes[region], region)))
    found = faithfulness(scan, "regions", inside, {"occlusion": by_occlusion}, **options)
    image = scan.x[0].cpu().numpy()
    patches = supervoxels(image, scan.brain, settings.checks.supervoxels, seed=seed)
    return found + faithfulness(scan, "supervoxels", patches, **options)


def summarise(rows: list[dict[str, str]], settings: Settings) -> list[dict[str, object]]:
    """Average every number over the scans; intervals draw patients with all of their scans."""
    scans = list(dict.fromkeys((row["participant_id"], row["session_id"]) for row in rows))
    column = {scan: n for n, scan in enumerate(scans)}
    names = list(dict.fromkeys(tuple(row[name] for name in FOUND) for row in rows))
    line = {name: n for n, name in enumerate(names)}
    values = np.full((len(names), len(scans)), np.nan)
    for row in rows:
        place = line[tuple(row[name] for name in FOUND)], column[row["participant_id"], row["session_id"]]
        values[place] = tables.number(row, "value")
    patients = np.array([participant for participant, _ in scans])
    estimates = means_over_patients(
        values, patients, settings.evaluation.n_bootstrap, settings.evaluation.confidence, settings.seed
    )
    return [
        dict(zip(FOUND, name, strict=True))
        | {"value": found.value, "ci_low": found.ci_low, "ci_high": found.ci_high, "n_scans": found.n}
        | {"n_patients": len(set(patients[np.isfinite(one)]))}
        for name, found, one in zip(names, estimates, values, strict=True)
    ]


def _unit(study: Path, settings: Settings, predictions: list[Prediction], folds: tuple[Fold, ...]) -> provenance.Unit:
    return provenance.Unit(
        study,
        stage="checks",
        name=f"fold-{predictions[0].fold}",
        settings={
            "checks": settings.checks.model_dump(),
            "attribution": settings.attribution.model_dump(exclude={"methods"}),
            "voxel_size_mm": settings.preprocessing.voxel_size_mm,
            "periventricular_mm": settings.preprocessing.periventricular_mm,
            "space": settings.preprocessing.space,
            "seed": settings.seed,
            "scans": {prediction.id.key: prediction.group for prediction in predictions},
        },
        inputs={"inputs": provenance.digest(study, "train", "inputs")}
        | {f"fold-{fold.index}": provenance.digest(study, "train", f"fold-{fold.index}") for fold in folds}
        | {prediction.id.key: provenance.digest(study, "explain", prediction.id.key) for prediction in predictions},
    )
