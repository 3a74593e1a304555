"""Score the maps of one fold's test scans against the causes they were made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from relevox.attribution import METHODS, mean_scan, options_of
from relevox.attribution.checks import class_swap
from relevox.config import Settings
from relevox.imaging.regions import REGIONS
from relevox.learning.device import choose_device
from relevox.learning.fusion import image_only
from relevox.learning.inputs import load_batch
from relevox.records import Cohort, Fold, Prediction, ScanId
from relevox.stages.benchmark_maps import baseline_maps, method_maps
from relevox.stages.benchmark_truth import LESIONS, Truth
from relevox.statistics.localisation import RankedMap, chance, changed_voxels, matched_auc
from relevox.statistics.resampling import correlation
from relevox.store import explanations, layout, models, tables, template

Key = tuple[str, str, str]
"""Method, target, measure."""

SCANS_SWAPPED = 2
"""Per fold: scans whose maps of both classes are compared."""

VOXELS_AT_ONCE = 500_000
"""Input voxels that pass the network together."""

CHANGED_SHARE = 0.8
"""A counterfactual's truth: the fewest voxels that hold this share of the change of the image."""

BY_KIND = "periventricular_against_other"
"""Target of the contrast of two kinds of lesions that look alike."""


@dataclass(frozen=True)
class FoldTools:
    """What is needed to mark the scans of a fold."""

    truth: Truth
    study: Path
    settings: Settings
    network: nn.Module
    mean: np.ndarray
    """``(c, x, y, z)`` mean training scan."""
    regions: np.ndarray
    """``(x, y, z)`` of the template."""
    device: torch.device

    @property
    def at_once(self) -> int:
        """Scans that pass the network together."""
        return max(1, VOXELS_AT_ONCE // self.regions.size)

    def image(self, kind: str, scan: ScanId, **entities: object) -> np.ndarray:
        """Read an image of the study."""
        space = self.settings.preprocessing.space
        return explanations.read_on_grid(self.study, kind, scan, self.regions.shape, space=space, **entities)

    def tensor(self, array: np.ndarray) -> torch.Tensor:
        """Bring an array to the device."""
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)


def measure_fold(
    truth: Truth, study: Path, settings: Settings, extra_scans: int, fold: Fold, threads: int = 1
) -> dict[ScanId, dict[Key, float]]:
    """Score the maps of one fold's test scans.

    Parameters
    ----------
    truth : Truth
        The causes.
    study : Path
        With explained scans.
    settings : Settings
        Of the study.
    extra_scans : int
        So many scans are also explained by the methods that the study did not use.
    fold : Fold
        Which one.
    threads : int
        Of the processor.
    """
    torch.set_num_threads(threads)
    cohort = tables.read_cohort(study)
    predictions = explanations.cnn_predictions(study, cohort)
    inputs = np.load(layout.existing(study, "inputs"), mmap_mode="r")
    device = choose_device(settings.training.device)
    head = template.load(settings.preprocessing.voxel_size_mm, settings.preprocessing.periventricular_mm)
    tools = FoldTools(
        truth,
        study,
        settings,
        models.load(study, fold.index)[0].to(device),
        mean_scan(inputs, fold.train),
        np.array(head.regions),  # the template itself is read-only
        device,
    )
    measured = {}
    for n, row in enumerate(fold.test):
        scan = cohort.ids[row]
        own = image_only(tools.network, cohort.observations[row])
        x = np.asarray(inputs[row], np.float32)
        measured[scan] = measure_scan(tools, own, predictions[scan], x, n < extra_scans)
    swapped = tuple(METHODS) if extra_scans else settings.attribution.methods
    for scan, values in _swap_classes(tools, cohort, fold, inputs, swapped).items():
        measured[scan] |= values
    return measured


def measure_scan(
    tools: FoldTools, network: nn.Module, prediction: Prediction, x: np.ndarray, with_extra: bool
) -> dict[Key, float]:
    """Score every map of one scan against every target."""
    scan = prediction.id
    target = explanations.target_class(prediction, tools.settings.attribution.target)
    brain = tools.image("brain_mask", scan) > 0
    maps = _maps(tools, network, scan, target, x, with_extra)
    masks = {name: mask[brain] for name, mask in tools.truth.masks(scan, brain.shape).items()}
    changed = tools.truth.changed(scan, x)
    change = {name: np.abs(other - x).sum(axis=0)[brain] for name, other in changed.items()}
    masks |= {f"changed_{name}": changed_voxels(size, CHANGED_SHARE) for name, size in change.items()}

    measures: dict[Key, float] = {
        ("chance", name, measure): value
        for name, mask in masks.items()
        for measure, value in vars(chance(mask)).items()
    }
    lesion = masks[LESIONS[0]] | masks[LESIONS[1]]
    brightness, kind = x[1][brain][lesion], masks[LESIONS[0]][lesion]
    towards_1 = 1 if target == 1 else -1
    for method, relevance in maps.items():
        values = relevance[brain].astype(np.float64)
        ranked = RankedMap(values)
        for name, mask in masks.items():
            measures |= {(method, name, measure): value for measure, value in vars(ranked.score(mask)).items()}
        for name, size in change.items():
            measures[method, f"changed_{name}", "correlation"] = correlation(ranked.positive, size)
        if not method.endswith("_absolute"):
            knows_class = 1 if method.startswith("absolute_") else towards_1
            contrast = matched_auc(knows_class * values[lesion], kind, brightness)
            measures[method, BY_KIND, "matched_auc"] = contrast
    measures["chance", BY_KIND, "matched_auc"] = 0.5
    return measures | _effects(tools, network, x, changed)


def _maps(
    tools: FoldTools, network: nn.Module, scan: ScanId, target: int, x: np.ndarray, with_extra: bool
) -> dict[str, np.ndarray]:
    """Collect what ``explain`` has written, make what is wanted beside it, and add maps that know no network."""
    settings = tools.settings
    written = settings.attribution.methods
    maps = {method: tools.image("relevance", scan, method=method) for method in written}
    maps["occlusion"] = _occlusion_map(tools, scan)
    # evidence against the explained class lies in a map, too: a cause may be found by its negative relevance
    maps |= {f"{method}_absolute": np.abs(found) for method, found in maps.items() if (found < 0).any()}
    others = [method for method in METHODS if method not in (*written, "occlusion")]
    if with_extra and others:
        batch, mean, regions = (tools.tensor(a) for a in (x[None], tools.mean, tools.regions))
        made = method_maps(network, batch, target, mean, regions, settings, tools.at_once, others)
        maps |= {method: found[0] for method, found in made.items()}
    return maps | baseline_maps(x, tools.mean)


def _occlusion_map(tools: FoldTools, scan: ScanId) -> np.ndarray:
    """Spread what each region supports evenly over its voxels."""
    file = layout.existing(tools.study, "occlusion", scan)
    density = np.zeros(max(region.index for region in REGIONS) + 1)
    size = np.bincount(tools.regions.ravel(), minlength=len(density))
    for row in tables.read(file, ("index", "delta")):
        index = int(tables.number(row, "index", file))
        density[index] = tables.number(row, "delta", file) / max(1, size[index])
    return density[tools.regions]


def _effects(
    tools: FoldTools, network: nn.Module, x: np.ndarray, changed: Mapping[str, np.ndarray]
) -> dict[Key, float]:
    """Measure how class 1's margin changes with each cause: what the network itself makes of it."""
    if not changed:
        return {}
    batch = tools.tensor(np.stack([x, *changed.values()]))
    with torch.no_grad():
        logits = torch.cat([network(part).double() for part in batch.split(tools.at_once)])
    margin = (logits[:, 1] - logits[:, 0]).cpu().numpy()
    return {
        ("network", f"changed_{name}", "effect"): float(value - margin[0])
        for name, value in zip(changed, margin[1:], strict=True)
    }


def _swap_classes(
    tools: FoldTools, cohort: Cohort, fold: Fold, inputs: np.ndarray, methods: Sequence[str]
) -> dict[ScanId, dict[Key, float]]:
    """Correlate the maps of class 0 and class 1 in the brain, a few scans a fold."""
    rows = np.sort(fold.test)[:: max(1, len(fold.test) // SCANS_SWAPPED)][:SCANS_SWAPPED]
    settings, mean = tools.settings, tools.tensor(tools.mean)
    swapped: dict[ScanId, dict[Key, float]] = {}
    for row in rows:
        scan = cohort.ids[row]
        brain = tools.image("brain_mask", scan) > 0
        network = image_only(tools.network, cohort.observations[row])
        x = load_batch(inputs, np.array([row]), tools.device)
        swapped[scan] = {}
        for method in methods:
            options = options_of(method, settings.attribution, mean, tools.at_once, settings.seed)
            if method == "occlusion":
                options["labels"] = tools.tensor(tools.regions)
            (found,) = class_swap(network, x, brain[None], method, **options)
            swapped[scan][method, "class", "class_swap_correlation"] = found.pearson
    return swapped
