"""Explain every scan by the model that never saw its patient: maps, and the occlusion of regions."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from relevox.attribution import Attribution, attribute, mean_scan, occlude_regions, options_of
from relevox.config import Settings
from relevox.engines.workers import cores, raise_failures, run_all
from relevox.imaging.crop import study_grid
from relevox.imaging.regions import REGIONS
from relevox.learning.device import choose_device
from relevox.learning.fusion import image_only
from relevox.learning.inputs import load_batch
from relevox.records import Fold, Prediction, ScanId, Volume
from relevox.statistics.folds import cohort_rounds
from relevox.store import explanations, images, layout, models, provenance, tables, template

logger = logging.getLogger("relevox")

VOXELS_AT_ONCE = 500_000
"""Input voxels that pass the network together: what stays near a processor's cache."""


def run(study: Path, settings: Settings, workers: int = 1) -> None:
    """Explain the test scans of every fold (SPEC 6).

    1. The baseline of a fold is the mean of its training scans.
    2. Per scan: one relevance map a method, explained class as in the settings,
       with a card (class, rule, start, sum, losses by layer).
    3. Per scan: what the explained class's margin loses when a region of the
       template is replaced by the baseline.

    Parameters
    ----------
    study : Path
        With trained models and ``cohort_predictions.tsv``.
    settings : Settings
        ``attribution`` and ``preprocessing`` (grid, periventricular distance).
    workers : int
        Folds explained at once; they share the cores.

    Raises
    ------
    StudyError
        When a scan was not predicted by the model of its fold.
    ModelError
        When a model was damaged or changed.
    """
    cohort = tables.read_cohort(study)
    all_rounds = cohort_rounds(cohort, tables.read_folds(study, cohort), settings.training.unseen_scanner)
    predictions = explanations.cnn_predictions(study, cohort)
    workers = max(1, min(workers, len(all_rounds)))
    outcomes = run_all(
        partial(explain_fold, study, settings, predictions, threads=max(1, cores() // workers)),
        all_rounds,
        workers,
        description="explain",
        labels=[f"fold-{fold.index}" for fold in all_rounds],
    )
    raise_failures(outcomes)
    made = sum(outcome.value for outcome in outcomes)
    logger.info("explain: %d scans explained, %d were up to date", made, len(cohort) - made)


def explain_fold(
    study: Path, settings: Settings, predictions: dict[ScanId, Prediction], fold: Fold, threads: int = 1
) -> int:
    """Explain the test scans of one fold that are not up to date, and return their number."""
    cohort = tables.read_cohort(study)
    units = {
        row: _unit(study, settings, predictions[cohort.ids[row]])
        for row in fold.test  # row by row: an interrupted run goes on with the scan it was in
    }
    stale = [row for row, unit in units.items() if not unit.is_current()]
    if not stale:
        return 0
    torch.set_num_threads(threads)
    device = choose_device(settings.training.device)
    network = models.load(study, fold.index)[0].to(device)
    inputs = np.load(layout.existing(study, "inputs"), mmap_mode="r")
    baseline = torch.from_numpy(mean_scan(inputs, fold.train)).to(device)
    head = template.load(settings.preprocessing.voxel_size_mm, settings.preprocessing.periventricular_mm)
    regions = torch.from_numpy(head.regions.copy()).to(device)
    at_once = max(1, VOXELS_AT_ONCE // regions.numel())
    if settings.training.covariates:
        at_once = 1  # every scan has a network of its own
    for start in range(0, len(stale), at_once):
        rows = np.array(stale[start : start + at_once])
        x = load_batch(inputs, rows, device)
        chosen = [predictions[cohort.ids[row]] for row in rows]
        own = image_only(network, cohort.observations[rows[0]])
        written = _explain_batch(study, settings, own, x, baseline, regions, chosen, at_once)
        for row, files in zip(rows, written, strict=True):
            units[row].record(files)
            logger.info("explain: %s by fold-%d", cohort.ids[row], fold.index)
    return len(stale)


def _unit(study: Path, settings: Settings, prediction: Prediction) -> provenance.Unit:
    return provenance.Unit(
        study,
        stage="explain",
        name=prediction.id.key,
        settings={
            "attribution": settings.attribution.model_dump(),
            "seed": settings.seed if "smoothgrad" in settings.attribution.methods else None,
            "voxel_size_mm": settings.preprocessing.voxel_size_mm,
            "periventricular_mm": settings.preprocessing.periventricular_mm,
            "space": settings.preprocessing.space,
            "fold": prediction.fold,
            "group": prediction.group,
        },
        inputs={
            "inputs": provenance.digest(study, "train", "inputs"),
            "model": provenance.digest(study, "train", f"fold-{prediction.fold}"),
        },
    )


def _explain_batch(
    study: Path,
    settings: Settings,
    network: nn.Module,
    x: torch.Tensor,
    baseline: torch.Tensor,
    regions: torch.Tensor,
    predictions: Sequence[Prediction],
    at_once: int,
) -> list[list[Path]]:
    """Compute and write everything of some scans; return the files of each."""
    target = torch.tensor(
        [explanations.target_class(p, settings.attribution.target) for p in predictions], device=x.device
    )
    files: list[list[Path]] = [[] for _ in predictions]
    for method in settings.attribution.methods:
        options = options_of(method, settings.attribution, baseline, at_once, settings.seed)
        result = attribute(network, x, target, method, **options)
        for n, prediction in enumerate(predictions):
            files[n] += _write_map(study, settings, prediction, result, n)
    occlusion = occlude_regions(
        network, x, regions, baseline, target, regions=[region.index for region in REGIONS], batch_size=at_once
    )
    for n, prediction in enumerate(predictions):
        rows = [
            {"index": region.index, "region": region.name, "delta": float(delta), "target": int(target[n])}
            for region, delta in zip(REGIONS, occlusion.delta[n], strict=True)
        ]
        files[n].append(tables.write(layout.path(study, "occlusion", prediction.id), rows))
    return files


def _write_map(study: Path, settings: Settings, prediction: Prediction, result: Attribution, n: int) -> list[Path]:
    """Write one map, summed over the channels, and its card."""
    place = {"space": settings.preprocessing.space, "method": result.method}
    relevance = result.relevance[n].cpu().numpy()  # (c, x, y, z)
    affine = study_grid(settings.preprocessing.voxel_size_mm).affine
    card = tables.id_columns(prediction.id) | {
        "method": result.method,
        "rule": result.rule,
        "baseline": _baseline_words(settings) if result.method == "integrated_gradients" else "none",
        "target": int(result.target[n]),
        "start": float(result.start[n]),
        "sum": float(relevance.sum(dtype=np.float64)),
        "channel_sums": dict(zip(models.CHANNELS, relevance.sum(axis=(1, 2, 3), dtype=np.float64), strict=True)),
        "fold": prediction.fold,
        "group": prediction.group,
        "sign": result.convention,
        "colours": result.colours,
        "losses": {layer: float(loss[n]) for layer, loss in result.losses.items() if loss[n] != 0},
    }
    return [
        images.write(layout.path(study, "relevance", prediction.id, **place), Volume(relevance.sum(axis=0), affine)),
        tables.write_json(layout.path(study, "relevance_card", prediction.id, **place), card),
    ]


def _baseline_words(settings: Settings) -> str:
    return "mean of the fold's training scans" if settings.attribution.baseline == "mean" else "an empty image"
