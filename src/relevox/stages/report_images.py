"""Part of the report stage: maps of the prediction groups, and the scans that are shown as examples."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from relevox.config import Settings
from relevox.imaging.regions import REGIONS
from relevox.records import GROUPS, Cohort, Prediction
from relevox.report.results import Example, RegionShare
from relevox.stages.report_reader import Reader
from relevox.statistics.regions import RegionTable
from relevox.store import explanations, group_maps, tables, template

STATISTICS = ("mean", "r2", "partialr2", "fitted", "t", "logpfwe", "logptfce")
"""Group maps that are read."""


def group_maps_of(reader: Reader, settings: Settings, shape: tuple[int, ...]) -> dict[tuple[str, str, str], np.ndarray]:
    """Read the maps of the prediction groups; NaN where nothing was fitted or tested."""
    descs = dict.fromkeys((*settings.attribution.methods, "t1w", "lesion", "jacobian", *settings.analysis.regressors))
    maps = {}
    for group in GROUPS:
        found = {}
        for desc, statistic in itertools.product(descs, STATISTICS):
            path = reader.optional("group_map", group=group, desc=desc, statistic=statistic)
            if path is not None:
                found[desc, statistic] = explanations.on_grid(path, reader.study, shape)
        fitted = {name: found.pop((name, "fitted")) > 0 for name in descs if (name, "fitted") in found}
        maps |= {(group, *which): image for which, image in group_maps.blank_unfitted(found, fitted).items()}
    return maps


def examples_of(
    reader: Reader, settings: Settings, cohort: Cohort, predictions: Sequence[Prediction], head: template.Template
) -> list[Example]:
    """Read the surest true positive and negative and the surest mistake, where they were explained."""
    space = settings.preprocessing.space
    score = {o.id: o.score for o in cohort}
    examples = []
    for k, prediction in enumerate(_surest(predictions)):
        # every method for the first scan, the study's first method for the others
        methods = settings.attribution.methods if k == 0 else settings.attribution.methods[:1]
        occlusion = {
            str(row["region"]): float(row["delta"]) for row in reader.optional_rows("occlusion", prediction.id)
        }
        for method in methods:
            path = reader.optional("relevance", prediction.id, space=space, method=method)
            card = reader.optional("relevance_card", prediction.id, space=space, method=method)
            if path is None or card is None:
                continue
            relevance = explanations.on_grid(path, reader.study, head.t1.shape)
            flair = reader.file("flair", prediction.id, space=space)
            mask = reader.file("brain_mask", prediction.id, space=space)
            brain = explanations.on_grid(mask, reader.study, head.t1.shape) > 0
            counter = RegionTable(head.regions, brain, [region.index for region in REGIONS])
            shares = counter.shares(relevance, (settings.analysis.percentile,))
            examples.append(
                Example(
                    prediction=prediction,
                    score=score[prediction.id],
                    method=method,
                    target=int(tables.read_json(card)["target"]),
                    flair=explanations.on_grid(flair, reader.study, head.t1.shape),
                    relevance=relevance,
                    brain_mask=brain,
                    regions=tuple(
                        RegionShare(
                            region.name,
                            float(shares.voxel_share[0, i]),
                            float(shares.relevance_share[i]),
                            float(shares.volume_share[i]),
                            occlusion.get(region.name, np.nan),
                        )
                        for i, region in enumerate(REGIONS)
                    ),
                )
            )
    return examples


def relevance_sums(reader: Reader, settings: Settings, cohort: Cohort) -> dict[str, list[tuple[float, float]]]:
    """Read, by method, every map's start (what was explained) and sum."""
    sums: dict[str, list[tuple[float, float]]] = {}
    for method in settings.attribution.methods:
        for scan in cohort.ids:
            path = reader.optional("relevance_card", scan, space=settings.preprocessing.space, method=method)
            if path is not None:
                card = tables.read_json(path)
                start, total = (float("nan") if card[k] is None else float(card[k]) for k in ("start", "sum"))
                sums.setdefault(method, []).append((start, total))
    return sums


def _surest(predictions: Sequence[Prediction]) -> list[Prediction]:
    cnn = sorted((p for p in predictions if p.model == "cnn"), key=lambda p: (-abs(p.probability - 0.5), p.id))
    wanted = (("TP",), ("TN",), ("FP", "FN"))
    found = (next((p for p in cnn if p.group in groups), None) for groups in wanted)
    return [p for p in found if p is not None]
