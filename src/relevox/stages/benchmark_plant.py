"""Do the maps find a signal that was put into the study's own scans?

Half of the patients, drawn at random, get a signal in one region, the others
elsewhere (:mod:`relevox.phantom.plant`): nothing else tells the two classes
apart, so that the truth is known in anybody's data. The study's networks learn
that signal, and every method explains the scans in which they found it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch

from relevox.config import PlantSettings, Settings
from relevox.engines.workers import raise_failures, run_all, threads_each
from relevox.errors import SettingsError
from relevox.learning.device import flushing_denormals
from relevox.learning.fusion import FusedResNet3d
from relevox.records import Cohort, Fold
from relevox.stages.benchmark_plant_fold import score_fold
from relevox.stages.benchmark_plant_scores import SCAN_COLUMNS, scan_rows, summarise
from relevox.stages.benchmark_planter import deal_classes, places_of, planter_for
from relevox.stages.fold_network import train_network
from relevox.statistics.folds import rounds
from relevox.store import checkpoints, layout, models, provenance, tables
from relevox.store.atomic import replacing

logger = logging.getLogger("relevox")


def run(study: Path, settings: Settings, plant: PlantSettings, workers: int = 1) -> Path:
    """Insert a known signal into the study's inputs, train on it, and mark every method's maps.

    1. Deal the patients of every fold into two halves, and put the signals into the inputs of all scans.
    2. Fine-tune the study's networks on the two halves (or train new ones), some folds, few epochs.
    3. Score every method on the test scans in which the network found the signal.
    4. Say how well the network itself did: a wrong map and a wrong model are told apart.

    Parameters
    ----------
    study : Path
        With ``models/inputs.npy`` and, where they are fine-tuned, its models. Neither is changed.
    settings : Settings
        Of the study.
    plant : PlantSettings
        What is inserted where, and how long it is learned.
    workers : int
        Folds at once.

    Returns
    -------
    Path
        Folder of the results, ``planted/NAME``.

    Raises
    ------
    SettingsError
        For a region that is not one of tissue, or more folds than the study has.
    StudyError
        When the study has not been trained.
    """
    planter_for(settings, plant)  # refuses before anything is written
    cohort = tables.read_cohort(study)
    folds = tables.read_folds(study, cohort)
    cohort = deal_classes(cohort, folds, settings.seed)
    all_rounds = rounds(folds, cohort.labels, cohort.patients)
    if plant.folds > len(all_rounds):
        raise SettingsError(
            f"expected at most the study's {len(all_rounds)} folds, but got {plant.folds}", code="plant-folds"
        )
    used = all_rounds[: plant.folds]
    root = layout.path(study, "planted", name=plant.name)
    learned = _training(settings, plant)
    made_from = {
        "inputs": provenance.digest(study, "train", "inputs"),
        "folds": provenance.sha256(layout.existing(study, "folds")),
    }
    if plant.start == "study":
        made_from |= {f"model-{f.index}": provenance.digest(study, "train", f"fold-{f.index}") for f in used}
    signal = {"plant": plant.model_dump(), "settings": learned.model_dump(exclude={"cohort", "analysis", "evaluation"})}
    unit = provenance.Unit(
        root, "benchmark", "plant", signal | {"evaluation": settings.evaluation.model_dump()}, made_from
    )
    if unit.is_current():
        logger.info("benchmark: %s is up to date", root.name)
        return root
    workers = max(1, min(workers, len(used)))
    inputs = plant_inputs(study, root, settings, plant, cohort)
    try:
        train = partial(_train_fold, study, root, learned, plant, cohort, signal, made_from, threads_each(workers))
        names = [f"fold-{fold.index}" for fold in used]
        raise_failures(run_all(train, used, workers, "plant", names))
        score = partial(score_fold, study, root, learned, plant, cohort, threads=threads_each(workers))
        outcomes = run_all(score, used, workers, "benchmark", names)
        raise_failures(outcomes)
    finally:
        inputs.unlink(missing_ok=True)  # as large as the study's own
    found = [scan for outcome in outcomes for scan in outcome.value]
    rows, card = summarise(found, settings, plant)
    unit.record(
        [
            tables.write(layout.path(root, "plant_scans"), scan_rows(found), SCAN_COLUMNS),
            tables.write(layout.path(root, "plant_benchmark"), rows),
            tables.write_json(layout.path(root, "plant"), card),
            *(path for path, _ in layout.find(root, "plant_example")),
        ]
    )
    logger.info("benchmark: %s", card["conclusion"])
    return root


def plant_inputs(study: Path, root: Path, settings: Settings, plant: PlantSettings, cohort: Cohort) -> Path:
    """Write all inputs with their signals, ``(n, 2, x, y, z)`` float16."""
    planter = planter_for(settings, plant)
    inputs = np.load(layout.existing(study, "inputs"), mmap_mode="r")
    file = layout.path(root, "inputs")
    with replacing(file) as temporary:
        array = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float16, shape=inputs.shape)
        for row in range(len(cohort)):
            x = np.asarray(inputs[row], np.float32)
            array[row] = planter.insert(x, places_of(planter, settings, cohort, row, x))
        array.flush()
        del array
    logger.info("benchmark: %s was put into %s of half of the %d scans", plant.kind, plant.where, len(cohort))
    return file


def _training(settings: Settings, plant: PlantSettings) -> Settings:
    """Turn the study's settings into those of a short training on images alone."""
    training = settings.training.model_copy(
        update={
            "optimiser": "adamw",
            "learning_rate": plant.learning_rate,
            "weight_decay": 1e-4,
            "schedule": "one_cycle",
            "max_epochs": plant.epochs,
            "early_stopping_patience": 0,
            "restore_best": False,
            "covariates": (),
            "unseen_scanner": "",
        }
    )
    return settings.model_copy(update={"training": training})


@flushing_denormals()
def _train_fold(
    study: Path,
    root: Path,
    settings: Settings,
    plant: PlantSettings,
    cohort: Cohort,
    signal: Mapping[str, object],
    made_from: Mapping[str, str],
    threads: int,
    fold: Fold,
) -> None:
    """Train the network of one fold on the planted signal, unless it is up to date."""
    torch.set_num_threads(threads)
    unit = provenance.Unit(root, "train", f"fold-{fold.index}", signal, made_from)
    if unit.is_current():
        logger.info("benchmark: the network of fold-%d is up to date", fold.index)
        return
    start = None
    if plant.start == "study":
        start, _ = models.load(study, fold.index)
        start = start.image if isinstance(start, FusedResNet3d) else start
    outputs = train_network(unit, settings, cohort, fold, start=start)
    unit.record(outputs, logs=[layout.path(root, "history", fold=fold.index)])
    checkpoints.remove(root, fold.index)
