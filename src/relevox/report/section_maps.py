"""Report: attention maps of single scans and of groups, and what lesions and deformation explain of them."""

from __future__ import annotations

import math

import numpy as np

from relevox.records import GROUPS
from relevox.report import group_tables
from relevox.report.class_average import group_mean_maps, region_heat
from relevox.report.drawing import CONVENTION, method_title
from relevox.report.individual import individual_map, region_bars
from relevox.report.page import Block, Bullets, picture
from relevox.report.results import Example, StudyResults
from relevox.report.voxelwise import MapRow, voxelwise_maps

R2 = "R\N{SUPERSCRIPT TWO}"


def examples(results: StudyResults) -> list[Block]:
    """Single scans in full."""
    blocks: list[Block] = []
    for example in results.examples:
        blocks += _example(results, example)
    return blocks


_ROLES = {
    "TP": "The surest true positive",
    "TN": "The surest true negative",
    "FP": "The surest mistake, a false positive",
    "FN": "The surest mistake, a false negative",
}


def _example(results: StudyResults, example: Example) -> list[Block]:
    p, percentile = example.prediction, results.settings.analysis.percentile
    answer = f"probability {p.probability:.2f} of {results.classes[1]}"
    who = f"{_ROLES[p.group]}: {p.id} ({results.settings.cohort.score} {example.score:g}, {answer})"
    method, explained = method_title(example.method), results.classes[example.target]
    above = f"relevance above the {percentile:g}th percentile of its positive values in the brain is coloured"
    caption = f"{who}. Below: {method} for {explained}; {above}. {CONVENTION}"
    blocks: list[Block] = [
        picture(individual_map(example.flair, example.relevance, example.brain_mask, percentile), caption)
    ]
    if example.regions:
        blocks.append(picture(region_figure(example.regions, explained), _bars_caption(who, percentile, example)))
    return blocks


def region_figure(regions, explained: str):
    """Draw the regions of one map; occlusion beside it where it is known."""
    occlusion = [region.occlusion for region in regions]
    return region_bars(
        [region.name for region in regions],
        [region.voxel_share for region in regions],
        [region.volume_share for region in regions],
        occlusion if np.isfinite(occlusion).any() else None,
        explained,
    )


def _bars_caption(who: str, percentile: float, example: Example) -> str:
    text = (
        f"{who}, the same map by region. Bars: where the voxels above the {percentile:g}th percentile lie; marks: the "
        "region's share of the brain, which a map that knows nothing would give."
    )
    if any(math.isfinite(region.occlusion) for region in example.regions):
        text += " Right: how much the region supports the decision, by occlusion with the cohort's mean."
    return text


def groups(results: StudyResults) -> list[Block]:
    """Mean maps and regions of the prediction groups."""
    counts, percentile = results.group_counts, results.settings.analysis.percentile
    blocks: list[Block] = []
    for method in results.settings.attribution.methods:
        means = {g: results.maps[g, method, "mean"] for g in GROUPS if (g, method, "mean") in results.maps}
        if means:
            caption = (
                f"{method_title(method, first=True)}: mean map of each prediction group ({_counts(counts)}) above its "
                f"{percentile:g}th percentile, on the template. {CONVENTION}"
            )
            figure = group_mean_maps(means, counts, results.template_t1, results.brain_mask, percentile)
            blocks.append(picture(figure, caption))
        rows = [row for row in results.regions if row["method"] == method and row["percentile"] == percentile]
        if rows:
            blocks.append(picture(_heat(rows), _heat_caption(method, percentile, counts)))
    if results.occlusion:
        blocks.append(group_tables.occlusion_table(results))
    return blocks


def _heat(rows):
    regions = list(dict.fromkeys(str(row["region"]) for row in rows))
    by = {(row["group"], row["region"]): row for row in rows}
    groups = [g for g in GROUPS if any((g, region) in by and by[g, region]["n_scans"] > 0 for region in regions)]

    def column(group: str, name: str) -> list[float]:
        return [by[group, region][name] if (group, region) in by else np.nan for region in regions]

    volume = np.nanmean([column(group, "volume_share") for group in groups], axis=0) if groups else [np.nan] * len(by)
    return region_heat(
        regions,
        {g: column(g, "mean_relevance_display") for g in groups},
        {g: column(g, "voxel_share") for g in groups},
        volume,
    )


def _heat_caption(method: str, percentile: float, counts) -> str:
    return (
        f"{method_title(method, first=True)} by region and prediction group ({_counts(counts)}). Left: mean relevance, "
        "divided by the highest of all groups and regions. Right: where the voxels above the "
        f"{percentile:g}th percentile lie, mean over scans; marks: the region's share of the brain."
    )


def _counts(counts) -> str:
    return ", ".join(f"{group} {counts[group]}" for group in GROUPS)


def voxelwise(results: StudyResults) -> list[Block]:
    """What lesions and deformation explain of the maps."""
    counts = results.group_counts
    method = next((m for m in results.settings.attribution.methods if _maps(results, m, "r2")), None)
    blocks: list[Block] = []
    if method is not None:
        rows = _voxelwise_rows(results, method)
        caption = (
            f"Voxel-wise regression of {method_title(method)} on {_named(results)} over the scans of each group "
            f"({_counts(counts)}). Jacobian above 1 (purple): tissue stretched to reach the template, it was lost; "
            f"below 1 (orange): squeezed. {CONVENTION}"
        )
        blocks.append(picture(voxelwise_maps(rows, counts, results.brain_mask), caption))
    if results.groups:
        blocks.append(group_tables.group_table(results))
        sentences = group_tables.size_sentences(results)
        if sentences:
            blocks.append(Bullets(sentences))
    if any(math.isfinite(row["n_permutations"]) for row in results.regressors):
        blocks.append(group_tables.regressor_table(results))
    return blocks


def _voxelwise_rows(results: StudyResults, method: str) -> list[MapRow]:
    jacobian = _around_one(_maps(results, "jacobian", "mean"), results.brain_mask)
    candidates = [
        ("mean T1w", "t1w", "mean", "grey", None),
        ("lesion\nprobability", "lesion", "mean", "magma", None),
        ("mean\nJacobian", "jacobian", "mean", "PuOr", jacobian),
        ("mean\nrelevance", method, "mean", "inferno", None),
        (R2, method, "r2", "viridis", (0.0, 1.0)),
    ] + [
        (f"partial {R2},\n{group_tables.REGRESSOR_TITLES[name]}", name, "partialr2", "viridis", None)
        for name in results.settings.analysis.regressors
    ]
    return [
        MapRow(title, _maps(results, desc, statistic), colours, limits, "{:.2g}" if limits is None else "{:.2f}")
        for title, desc, statistic, colours, limits in candidates
        if _maps(results, desc, statistic)
    ]


def _named(results: StudyResults) -> str:
    return " and ".join(group_tables.REGRESSOR_TITLES[name] for name in results.settings.analysis.regressors)


def _maps(results: StudyResults, desc: str, statistic: str):
    return {g: results.maps[g, desc, statistic] for g in GROUPS if (g, desc, statistic) in results.maps}


def _around_one(maps, brain_mask) -> tuple[float, float]:
    """Return limits at equal distance from 1, so that white means no change."""
    values = [np.abs(image[brain_mask] - 1) for image in maps.values()]
    reach = max(0.02, float(np.nanpercentile(np.concatenate(values), 98))) if values else 0.2
    return 1 - reach, 1 + reach
