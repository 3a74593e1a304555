"""Score the maps of one fold's test scans against the signals that were planted in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import nn

from relevox.attribution import mean_scan
from relevox.config import PlantSettings, Settings
from relevox.imaging.crop import study_grid
from relevox.learning.device import choose_device, flushing_denormals
from relevox.phantom.planted_scan import Planter, brain_of
from relevox.records import Cohort, Fold, ScanId, Volume
from relevox.stages.benchmark_maps import baseline_maps, method_maps
from relevox.stages.benchmark_planter import places_of, planter_for
from relevox.statistics.localisation import auc, chance, changed_voxels, localise
from relevox.store import images, layout, models

Key = tuple[str, str, str]
"""Method, target, measure."""

VOXELS_AT_ONCE = 500_000
"""Input voxels that pass the network together."""


CHANGED_SHARE = 0.8
"""The truth of a signal: the fewest voxels that hold this share of what it changes in the image."""


@dataclass(frozen=True)
class PlantedScan:
    """What the network and the maps make of one test scan."""

    id: ScanId
    """Patient and session."""
    fold: int
    """Whose network answered."""
    label: int
    """1 where the signal is planted."""
    probability: float
    """Of class 1."""
    signal_effect: float = np.nan
    """Fall of class 1's margin when the signal is taken out; NaN in class 0."""
    decoy_effect: float = np.nan
    """The same of the decoy."""
    measures: Mapping[Key, float] = field(default_factory=dict)
    """Of the maps; empty where none was made."""

    @property
    def found(self) -> bool:
        """Whether the network found the signal: it answers 1, and because of it."""
        return self.label == 1 and self.probability > 0.5 and self.signal_effect > 0


@dataclass(frozen=True)
class _Versions:
    """A scan as it was learned, and without each of its signals; ``(2, x, y, z)`` float32."""

    planted: np.ndarray
    without_signal: np.ndarray
    without_decoy: np.ndarray

    @property
    def signal(self) -> np.ndarray:
        """``(x, y, z)`` absolute change by the signal."""
        return np.abs(self.planted - self.without_signal).sum(axis=0)

    @property
    def decoy(self) -> np.ndarray:
        """``(x, y, z)`` absolute change by the decoy."""
        return np.abs(self.planted - self.without_decoy).sum(axis=0)


@dataclass(frozen=True)
class _Explainer:
    """What the maps of a fold are made with."""

    network: nn.Module
    mean: np.ndarray
    planter: Planter
    settings: Settings
    device: torch.device

    def margins(self, *versions: np.ndarray) -> list[float]:
        """Class 1's margin for some versions of a scan."""
        x = torch.from_numpy(np.stack(versions)).to(self.device)
        with torch.no_grad():
            logits = self.network(x).double()
        return (logits[:, 1] - logits[:, 0]).tolist()

    def maps(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """Every map of one scan, for class 1."""
        at_once = max(1, VOXELS_AT_ONCE // x[0].size)
        regions = torch.from_numpy(self.planter.regions.copy()).to(self.device)
        batch, mean = (torch.from_numpy(a).to(self.device) for a in (x[None], self.mean))
        found = method_maps(self.network, batch, 1, mean, regions, self.settings, at_once)
        return {name: relevance[0] for name, relevance in found.items()} | baseline_maps(x, self.mean)


@flushing_denormals()
def score_fold(
    study: Path, root: Path, settings: Settings, plant: PlantSettings, cohort: Cohort, fold: Fold, threads: int = 1
) -> list[PlantedScan]:
    """Ask the network of one fold, and score the maps where it found the signal.

    Parameters
    ----------
    study : Path
        With the inputs as they were.
    root : Path
        With the planted inputs and the network that learned them; fold 0 leaves an example there.
    settings : Settings
        Of the study, with the training of the planted networks.
    plant : PlantSettings
        What was planted.
    cohort : Cohort
        With the planted classes.
    fold : Fold
        Which one.
    threads : int
        Of the processor.
    """
    torch.set_num_threads(threads)
    device = choose_device(settings.training.device)
    inputs = np.load(layout.existing(study, "inputs"), mmap_mode="r")
    planted = np.load(layout.existing(root, "inputs"), mmap_mode="r")
    explainer = _Explainer(
        network=models.load(root, fold.index)[0].to(device),
        mean=mean_scan(planted, fold.train),
        planter=planter_for(settings, plant),
        settings=settings,
        device=device,
    )
    scans, explained = [], 0
    for row in fold.test:
        scan, made = _score_scan(
            explainer, cohort, fold, int(row), inputs[row], planted[row], explained < plant.explained_scans
        )
        scans.append(scan)
        if made is not None:
            if explained == 0 and fold.index == 0:
                _write_example(root, settings, *made)
            explained += 1
    return scans


def _score_scan(
    explainer: _Explainer,
    cohort: Cohort,
    fold: Fold,
    row: int,
    original: np.ndarray,
    planted: np.ndarray,
    explain: bool,
) -> tuple[PlantedScan, tuple[_Versions, dict[str, np.ndarray]] | None]:
    """Score one test scan; the maps come back with it where they were made."""
    observation = cohort.observations[row]
    original, planted = np.asarray(original, np.float32), np.asarray(planted, np.float32)
    planter = explainer.planter
    if observation.label == 0:
        (margin,) = explainer.margins(planted)
        return PlantedScan(observation.id, fold.index, 0, _probability(margin)), None
    signal, decoy = places_of(planter, explainer.settings, cohort, row, original)
    # rounded as the inputs are, so that the versions differ by the signal alone
    without = [planter.insert(original, [place]).astype(np.float16).astype(np.float32) for place in (decoy, signal)]
    versions = _Versions(planted, *without)
    margin, without_signal, without_decoy = explainer.margins(planted, *without)
    scan = PlantedScan(
        observation.id, fold.index, 1, _probability(margin), margin - without_signal, margin - without_decoy
    )
    if not (scan.found and explain):
        return scan, None
    maps = explainer.maps(planted)
    measures = score_maps(maps, versions.signal, versions.decoy, brain_of(original), planter)
    return PlantedScan(**(vars(scan) | {"measures": measures})), (versions, maps)


def score_maps(
    maps: Mapping[str, np.ndarray], signal: np.ndarray, decoy: np.ndarray, brain: np.ndarray, planter: Planter
) -> dict[Key, float]:
    """Hold every map of a scan against its signal and its decoy.

    Parameters
    ----------
    maps : mapping of str to ndarray, (x, y, z)
        By method.
    signal, decoy : ndarray, (x, y, z)
        Absolute change of the image by each.
    brain : ndarray, (x, y, z) bool
        Of the scan.
    planter : Planter
        Regions, and the one that holds the signal.
    """
    targets = {
        name: changed_voxels(change[brain], CHANGED_SHARE) for name, change in (("signal", signal), ("decoy", decoy))
    }
    measures: dict[Key, float] = {
        ("chance", target, measure): value
        for target, inside in targets.items()
        for measure, value in vars(chance(inside)).items()
    }
    either = targets["signal"] ^ targets["decoy"]
    labels = planter.regions[brain]
    for name, relevance in maps.items():
        values = np.maximum(relevance[brain].astype(np.float64), 0)
        for target, inside in targets.items():
            measures |= {(name, target, measure): value for measure, value in vars(localise(values, inside)).items()}
        measures[name, "signal", "auc_against_decoy"] = auc(values[either], targets["signal"][either])
        measures[name, "signal", "region_first"] = float(_hottest_region(values, labels) == planter.region)
    known = np.unique(labels[labels > 0])
    measures["chance", "signal", "auc_against_decoy"] = 0.5
    measures["chance", "signal", "region_first"] = 1 / len(known)
    return measures


def _hottest_region(values: np.ndarray, labels: np.ndarray) -> int:
    """Label of the region with the highest mean relevance."""
    total, size = np.bincount(labels, weights=values), np.bincount(labels)
    mean = np.where(size > 0, total / np.maximum(size, 1), -np.inf)
    mean[0] = -np.inf
    return int(mean.argmax())


def _write_example(root: Path, settings: Settings, versions: _Versions, maps: Mapping[str, np.ndarray]) -> None:
    """Keep one scan with everything that was found in it, to be looked at."""
    affine = study_grid(settings.preprocessing.voxel_size_mm).affine
    t1w, flair = versions.planted
    shown = {"t1w": t1w, "flair": flair, "signal": versions.signal, "decoy": versions.decoy} | dict(maps)
    for name, data in shown.items():
        images.write(layout.path(root, "plant_example", desc=name), Volume(data.astype(np.float32), affine))


def _probability(margin: float) -> float:
    return float(1 / (1 + np.exp(-margin)))
