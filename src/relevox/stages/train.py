"""Train the network and the baselines, one job a fold."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from relevox.config import Settings
from relevox.engines import tensorboard
from relevox.engines.workers import raise_failures, run_all, threads_each
from relevox.errors import SettingsError
from relevox.learning.device import flushing_denormals, visible_gpus
from relevox.learning.fusion import covariate_values
from relevox.learning.group import ALONE, Group
from relevox.records import Cohort, Fold, ScanId
from relevox.stages.fold_network import train_network
from relevox.statistics import baselines, leaks
from relevox.statistics.folds import cohort_rounds, patient_folds, unseen_rows
from relevox.statistics.likeness import fingerprints, likeness
from relevox.store import checkpoints, inputs, layout, models, provenance, tables
from relevox.store.atomic import replacing

logger = logging.getLogger("relevox")


def run(study: Path, settings: Settings, workers: int = 1, group: Group = ALONE, events: bool = False) -> None:
    """Train one network and the baselines per fold (SPEC 3 and 4).

    1. Gather the preprocessed images into one float16 array on disk, from which batches are streamed.
    2. Deal the patients into folds, once for all models.
    3. Audit both for leaks: nothing is trained while a patient is on two sides.
    4. Fit the logistic regressions of every fold, then train every network, unless they are up to date.

    Parameters
    ----------
    study : Path
        With ``cohort.tsv``, ``volumes.tsv`` and preprocessed images.
    settings : Settings
        ``network``, ``training``, ``preprocessing`` (grid and normalisation) and ``seed``.
    workers : int
        Folds trained at once; they share the cores.
    group : Group, optional
        Processes that train every fold together, one after the other; the leading one writes.
    events : bool
        Write event files for TensorBoard, too.

    Raises
    ------
    CohortError
        When the cohort cannot be dealt into folds, or one patient or image is in several of them.
    SettingsError
        For an unseen scanner, or a covariate, that the cohort does not know.
    EngineError
        When a training diverges.
    """
    _check_grid(settings)
    if events:
        tensorboard.check_installed()
    cohort = tables.read_cohort(study)
    if group.leads:
        _prepare(study, settings, cohort)
    group.wait()
    all_rounds = cohort_rounds(cohort, tables.read_folds(study, cohort), settings.training.unseen_scanner)
    stale = [fold for fold in all_rounds if not _is_trained(study, settings, fold)]
    gpus = visible_gpus() if settings.training.device == "auto" else []
    workers = max(1, min(workers, len(stale), len(gpus) or workers))
    turns = {fold.index: (len(stale) - 1) // workers - n // workers for n, fold in enumerate(stale)}
    outcomes = run_all(
        partial(
            train_fold,
            study,
            settings,
            threads=threads_each(workers * group.size),
            turns_behind=turns,
            group=group,
            events=events,
        ),
        stale,
        workers,
        description="train",
        labels=[f"fold-{fold.index}" for fold in stale],
        gpus=gpus,
    )
    raise_failures(outcomes)


def _prepare(study: Path, settings: Settings, cohort: Cohort) -> None:
    """Make all that a fold needs, and the baselines, which take no time."""
    _report_unseen(settings, cohort)
    gather_inputs(study, settings, cohort)
    folds = deal_folds(study, settings, cohort)
    all_rounds = cohort_rounds(cohort, folds, settings.training.unseen_scanner)
    audit_leaks(study, settings, cohort, all_rounds)
    _report_missing(study, settings, cohort)
    _report_unknown_covariates(settings, cohort)
    for fold in all_rounds:
        fit_baselines(study, settings, cohort, fold)


def gather_inputs(study: Path, settings: Settings, cohort: Cohort) -> Path:
    """Write all images of the cohort into one array ``(n, 2, x, y, z)`` float16, and its rows' names.

    Raises
    ------
    ImageError
        For an image of another shape, or with values float16 cannot hold.
    StudyError
        When a scan has not been preprocessed.
    """
    space, shape = settings.preprocessing.space, settings.preprocessing.shape
    made_from = {scan.key: _input_digest(study, scan, space) for scan in cohort.ids}
    unit = provenance.Unit(
        study,
        stage="train",
        name="inputs",
        settings={"channels": models.CHANNELS, "shape": shape, "scans": list(made_from)},
        inputs=made_from,
    )
    file, index = layout.path(study, "inputs"), layout.path(study, "inputs_index")
    if unit.is_current():
        return file
    with replacing(file) as temporary:
        array = np.lib.format.open_memmap(
            temporary, mode="w+", dtype=np.float16, shape=(len(cohort), len(models.CHANNELS), *shape)
        )
        for row, scan in enumerate(cohort.ids):
            array[row] = inputs.read_scan(study, scan, settings.preprocessing)
        array.flush()
        del array
    tables.write(index, [tables.id_columns(scan) | {"row": row} for row, scan in enumerate(cohort.ids)])
    unit.record([file, index])
    logger.info("train: gathered %d scans of %s voxels", len(cohort), " x ".join(map(str, shape)))
    return file


def deal_folds(study: Path, settings: Settings, cohort: Cohort) -> np.ndarray:
    """Write ``folds.tsv`` once per cohort, and return the fold of every scan."""
    n_folds = settings.training.n_folds
    unit = provenance.Unit(
        study,
        stage="train",
        name="folds",
        settings={
            "n_folds": n_folds,
            "seed": settings.seed,
            "scans": [scan.key for scan in cohort.ids],
            "labels": cohort.labels.tolist(),
        },
    )
    if not unit.is_current():
        folds = patient_folds(cohort.labels, cohort.patients, n_folds, settings.seed)
        unit.record([tables.write_folds(study, cohort, folds)])
        logger.info("train: %d folds of %s scans", n_folds, ", ".join(map(str, np.bincount(folds))))
    return tables.read_folds(study, cohort)


def audit_leaks(study: Path, settings: Settings, cohort: Cohort, all_rounds: Sequence[Fold]) -> None:
    """Write ``leak_audit.tsv``: patients and images that are in several places.

    Raises
    ------
    CohortError
        When what is tested was trained on: it names the patients.
    """
    unseen = settings.training.unseen_scanner
    unit = provenance.Unit(
        study,
        stage="train",
        name="leak-audit",
        settings={"unseen_scanner": unseen},
        inputs={
            "inputs": provenance.digest(study, "train", "inputs"),
            "cohort": provenance.sha256(layout.existing(study, "cohort")),
            "folds": provenance.sha256(layout.existing(study, "folds")),
        },
    )
    if unit.is_current():
        return
    names = [scan.key for scan in cohort.ids]
    digests = [provenance.image_digests(study, scan, settings.preprocessing.space) for scan in cohort.ids]
    found = leaks.audit_folds(all_rounds, cohort.patients)
    if unseen:
        found += leaks.audit_scanner(all_rounds, [o.scanner for o in cohort], cohort.patients, names, unseen)
    found += leaks.audit_images(digests, names, cohort.patients, tables.read_folds(study, cohort))
    gathered = np.load(layout.existing(study, "inputs"), mmap_mode="r")
    prints = fingerprints(gathered, settings.preprocessing.voxel_size_mm)
    alike = likeness(prints, prints, prints.mean(axis=0))
    found.append(leaks.audit_likeness(alike, names, cohort.patients))
    file = tables.write(layout.path(study, "leak_audit"), [finding.row for finding in found], leaks.COLUMNS)
    leaks.refuse(found)
    for finding in found:
        if finding.shared:
            logger.warning("train: %s, %s: %s", finding.check, finding.against, ", ".join(finding.who))
    unit.record([file])


@flushing_denormals()
def train_fold(
    study: Path,
    settings: Settings,
    fold: Fold,
    threads: int = 1,
    turns_behind: Mapping[int, int] | None = None,
    group: Group = ALONE,
    events: bool = False,
) -> None:
    """Train the network of one fold: weights, card and history.

    Parameters
    ----------
    study, settings
        The study.
    fold : Fold
        Who trains and who watches.
    threads : int
        Of the processor.
    turns_behind : mapping of int to int, optional
        Per fold, how many others its worker trains afterwards.
    group : Group, optional
        Processes that train it together.
    events : bool
        Write event files for TensorBoard, too.
    """
    torch.set_num_threads(threads)
    cohort = tables.read_cohort(study)
    unit = _fold_unit(study, settings, fold)
    outputs = train_network(unit, settings, cohort, fold, (turns_behind or {}).get(fold.index, 0), group, events)
    if group.leads:
        unit.record(outputs, logs=[layout.path(study, "history", fold=fold.index)])
        checkpoints.remove(study, fold.index)


def _is_trained(study: Path, settings: Settings, fold: Fold) -> bool:
    done = _fold_unit(study, settings, fold).is_current()
    if done:
        checkpoints.remove(study, fold.index)
        logger.info("train: fold-%d is up to date", fold.index)
    return done


def _report_unseen(settings: Settings, cohort: Cohort) -> None:
    """Say how many scans no model learns from, and why."""
    if scanner := settings.training.unseen_scanner:
        unseen = unseen_rows(cohort, scanner)
        own, unknown = (np.array([o.scanner == name for o in cohort]) for name in (scanner, ""))
        logger.info(
            "train: no model learns from %d scans: %d of %s, %d of its patients on other scanners, %d of unknown "
            "scanner",
            unseen.sum(),
            own.sum(),
            scanner,
            (unseen & ~own & ~unknown).sum(),
            unknown.sum(),
        )


def _report_unknown_covariates(settings: Settings, cohort: Cohort) -> None:
    names = settings.training.covariates
    known = np.isfinite(covariate_values(cohort.observations, names)) if names else np.ones((1, 0))
    for name, column in zip(names, known.T, strict=True):
        if not column.any():
            raise SettingsError(
                f"{name} is unknown for every scan of the cohort",
                code="covariate-unknown",
                row="training.covariates",
                remedy="leave it out of the setting, or add it to the tables of the data set",
            )
        if not column.all():
            logger.warning(
                "train: %s is unknown for %d of %d scans: the network is told the training mean",
                name,
                (~column).sum(),
                len(column),
            )


def _fold_unit(study: Path, settings: Settings, fold: Fold) -> provenance.Unit:
    return provenance.Unit(
        study,
        stage="train",
        name=f"fold-{fold.index}",
        settings={
            "network": settings.network.model_dump(),
            "training": settings.training.model_dump(),
            "preprocessing": settings.preprocessing.model_dump(),
            "outcome": settings.cohort.model_dump(),
            "seed": settings.seed,
        },
        inputs={
            "inputs": provenance.digest(study, "train", "inputs"),
            "cohort": provenance.sha256(layout.existing(study, "cohort")),
            "folds": provenance.sha256(layout.existing(study, "folds")),
        },
    )


def fit_baselines(study: Path, settings: Settings, cohort: Cohort, fold: Fold) -> None:
    """Fit the logistic regressions of one fold, unless they are up to date.

    ``baselines.json`` holds those with a name, ``subsets.json`` those on every
    subset of the volumes. A subset is chosen by the validation scans alone.
    """
    unseen, covariates = settings.training.unseen_scanner, settings.training.covariates
    unit = provenance.Unit(
        study,
        stage="train",
        name=f"baselines-fold-{fold.index}",
        settings={
            "class_weights": settings.training.class_weights,
            "unseen_scanner": unseen,
            "covariates": covariates,
        },
        inputs={name: provenance.sha256(layout.existing(study, name)) for name in ("cohort", "folds", "volumes")},
    )
    if unit.is_current():
        return
    balanced = settings.training.class_weights == "inverse_frequency"
    names, volumes = tables.read_volumes(study, cohort)
    designs = baselines.cohort_designs(cohort, names, volumes, unseen, covariates)
    named = baselines.fit_all(designs, cohort.labels, fold.train, balanced)
    designs = baselines.subset_designs(names, volumes)
    subsets = baselines.fit_all(designs, cohort.labels, fold.train, balanced)
    if subsets:
        named[baselines.CHOSEN] = baselines.choose(designs, subsets, cohort.labels, fold.validation)
    unit.record(
        [
            tables.write_json(
                layout.path(study, kind, fold=fold.index), {name: asdict(model) for name, model in fitted.items()}
            )
            for kind, fitted in (("baselines", named), ("subsets", subsets))
        ]
    )


def _report_missing(study: Path, settings: Settings, cohort: Cohort) -> None:
    names, volumes = tables.read_volumes(study, cohort)
    unseen = settings.training.unseen_scanner
    learned = ~unseen_rows(cohort, unseen)
    for whole in baselines.cohort_designs(cohort, names, volumes, unseen, settings.training.covariates):
        design = replace(whole, values=whole.values[learned])
        if not design.is_informative:
            logger.warning(
                "train: the %s baseline is left out: its features are unknown, or the same for every scan", design.name
            )
        elif design.n_unknown:
            counts = ", ".join(f"{count} of {name}" for name, count in design.n_unknown.items())
            logger.warning(
                "train: %s baseline: unknown values are replaced by the training mean: %s", design.name, counts
            )


def _input_digest(study: Path, scan: ScanId, space: str) -> str:
    recorded = provenance.digest(study, "preprocess", scan.key)
    if recorded:
        return recorded
    return " ".join(provenance.sha256(layout.existing(study, kind, scan, space=space)) for kind in ("t1w", "flair"))


def _check_grid(settings: Settings) -> None:
    edge = 2 ** len(settings.network.widths)  # every block ends in a max-pool that halves the grid
    if min(settings.preprocessing.shape) < edge:
        raise SettingsError(
            f"{len(settings.network.widths)} residual blocks need edges of at least {edge} voxels, "
            f"but the grid has {settings.preprocessing.shape}",
            code="network-too-deep",
            row="network.widths",
            remedy="use fewer blocks or a finer grid",
        )
