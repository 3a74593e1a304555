"""What ``analyse`` does for one scan: its regions are measured, its maps stacked with those of the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from relevox.config import Settings
from relevox.errors import StudyError
from relevox.imaging.regions import REGIONS
from relevox.records import ScanId
from relevox.statistics.regions import RegionShares, RegionTable
from relevox.store import explanations, layout, tables, template
from relevox.store.stacks import Stack

INDEX = [region.index for region in REGIONS]


@dataclass(frozen=True)
class ScanRegions:
    """What the regions of one scan show."""

    shares: Mapping[str, RegionShares]
    """By attribution method."""
    deltas: np.ndarray
    """``(r,)`` region occlusion, logits."""
    empty_maps: int
    """Maps that are zero everywhere."""


def percentiles(settings: Settings) -> list[float]:
    """Return the thresholds of the tables: the study's own, and the sweep."""
    return sorted({settings.analysis.percentile, *settings.analysis.percentile_sweep})


def gather(stack: Stack, settings: Settings, item: tuple[int, ScanId]) -> ScanRegions:
    """Read the maps of one scan: measure their regions, and put them into the stack."""
    row, scan = item
    space, study = settings.preprocessing.space, stack.study
    head = template.load(settings.preprocessing.voxel_size_mm, settings.preprocessing.periventricular_mm)
    shape, inside = head.brain_mask.shape, head.brain_mask

    def image(kind: str, **entities: object) -> np.ndarray:
        return explanations.read_on_grid(study, kind, scan, shape, space=space, **entities)

    labels = head.regions if settings.analysis.parcellation == "template" else _own_regions(study, scan, shape, space)
    counter = RegionTable(labels, image("brain_mask") > 0, INDEX)
    shares, empty = {}, 0
    for method in settings.attribution.methods:
        relevance = image("relevance", method=method)
        total = np.abs(relevance).sum(dtype=np.float64)
        empty += total == 0
        if settings.analysis.normalise and total > 0:
            relevance = relevance / total
        shares[method] = counter.shares(relevance, percentiles(settings))
        stack.put(method, row, relevance[inside])
    stack.put("lesion", row, image("lesion_mask")[inside] > 0)
    stack.put("jacobian", row, image("jacobian")[inside])
    stack.put("t1w", row, image("t1w")[inside])
    file = layout.existing(study, "occlusion", scan)
    delta = {int(r["index"]): tables.number(r, "delta", file) for r in tables.read(file, ("index", "delta"))}
    return ScanRegions(shares, np.array([delta[index] for index in INDEX]), int(empty))


def _own_regions(study: Path, scan: ScanId, shape: tuple[int, ...], space: str) -> np.ndarray:
    """Read the regions found in a scan, ``(x, y, z)`` int."""
    file = layout.path(study, "regions", scan, space=space)
    if not file.exists():
        raise StudyError(
            f"expected regions of {scan}, because analysis.parcellation is 'subject', but it has none",
            code="regions-missing",
            file=file.relative_to(study),
            remedy="preprocess this scan, or set analysis.parcellation to 'template'",
        )
    labels = np.rint(explanations.read_on_grid(study, "regions", scan, shape, space=space)).astype(int)
    unknown = sorted(set(np.unique(labels).tolist()) - {0, *INDEX})
    if unknown:
        raise StudyError(
            f"expected the labels 0 to {max(INDEX)}, but {scan} also has {', '.join(map(str, unknown[:5]))}",
            code="regions-unknown",
            file=file.relative_to(study),
            remedy="give a parcellation with the labels of relevox (docs/definitions.md)",
        )
    return labels
