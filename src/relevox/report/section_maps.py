"""Report: attention maps of single scans and of groups, and what lesions and deformation explain of them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from relevox.records import GROUPS
from relevox.report import group_tables
from relevox.report.class_average import group_mean_maps, region_heat
from relevox.report.drawing import CONVENTION, evenly, method_title
from relevox.report.individual import individual_map, region_bars
from relevox.report.page import Block, Bullets, picture
from relevox.report.results import Example, StudyResults
from relevox.report.voxelwise import MapRow, shared_limits, voxelwise_maps

MILLIMETRES = "z in MNI millimetres."
"""Part of every caption with slices of the template's space."""

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
    caption = (
        f"{who}. Below: {method} for {explained}; {above}, as a multiple of what an even spread would give. "
        f"{CONVENTION} {MILLIMETRES}"
    )
    blocks: list[Block] = [
        picture(
            individual_map(example.flair, example.relevance, example.brain_mask, percentile, affine=results.affine),
            caption,
        )
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
                f"{percentile:g}th percentile, on the template; 1 = what a voxel would have if relevance were spread "
                f"evenly over the brain; one scale for all groups. {CONVENTION} {MILLIMETRES}"
            )
            figure = group_mean_maps(means, counts, results.template_t1, results.brain_mask, percentile, results.affine)
            blocks.append(picture(figure, caption))
        rows = [row for row in results.regions if row["method"] == method and row["percentile"] == percentile]
        if rows:
            blocks.append(picture(_heat(rows), _heat_caption(results, method)))
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
        {g: (column(g, "voxel_share_ci_low"), column(g, "voxel_share_ci_high")) for g in groups},
        {g: int(by[g, regions[0]]["n_scans"]) for g in groups},
    )


def _heat_caption(results: StudyResults, method: str) -> str:
    percentile, average = results.settings.analysis.percentile, results.settings.analysis.average
    counts, confidence = results.group_counts, 100 * results.settings.evaluation.confidence
    return (
        f"{method_title(method, first=True)} by region and prediction group ({_counts(counts)}). Left: mean relevance, "
        "divided by the highest of all groups and regions. Right: where the voxels above the "
        f"{percentile:g}th percentile lie, mean over {average}, "
        f"with {confidence:g} % intervals (bootstrap over patients); marks: the region's share of the brain."
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
        figure = voxelwise_maps(rows, counts, results.brain_mask, results.affine)
        blocks.append(picture(figure, _voxelwise_caption(results, method)))
    if results.groups:
        blocks.append(group_tables.group_table(results))
        sentences = group_tables.size_sentences(results)
        if sentences:
            blocks.append(Bullets(sentences))
    if any(math.isfinite(row["n_permutations"]) for row in results.regressors):
        blocks.append(group_tables.regressor_table(results))
    return blocks


def _voxelwise_rows(results: StudyResults, method: str) -> list[MapRow]:
    mask, names = results.brain_mask, results.settings.analysis.regressors
    t1w, lesion, jacobian, r2 = (
        _maps(results, *which) for which in (("t1w", "mean"), ("lesion", "mean"), ("jacobian", "mean"), (method, "r2"))
    )
    relevance = {group: evenly(image, mask) for group, image in _maps(results, method, "mean").items()}
    share = shared_limits(r2, mask, 97)  # one scale for R2 and its parts
    rows = [
        MapRow("mean T1w\n(brain median = 1)", t1w, "grey", shared_limits(t1w, mask)),
        MapRow("lesion\nprobability", lesion, "magma", shared_limits(lesion, mask), extend="max"),
        MapRow("mean Jacobian", jacobian, "PuOr", _around_one(jacobian, mask), "{:.2f}", "both"),
        MapRow("mean relevance\n(1 = even)", relevance, "inferno", shared_limits(relevance, mask), extend="max"),
        MapRow(R2, r2, "viridis", share, extend="max"),
    ]
    for name in names:
        title = group_tables.REGRESSOR_TITLES[name]
        rows.append(
            MapRow(f"partial {R2},\n{title}", _maps(results, name, "partialr2"), "viridis", share, extend="max")
        )
    rows += [_tested(results, name) for name in names if _maps(results, name, "t")]
    if results.settings.preprocessing.normalisation != "median":
        rows[0] = replace(rows[0], title="mean T1w\n(scaled)")
    return [row for row in rows if row.maps]


def _tested(results: StudyResults, name: str) -> MapRow:
    """Show t everywhere, and the edges of the voxels that pass the correction."""
    t = _maps(results, name, "t")
    corrected = _maps(results, name, "logptfce") or _maps(results, name, "logpfwe")
    outlined = {group: np.nan_to_num(image) > -math.log10(0.05) for group, image in corrected.items()}
    said = {
        g: f"corrected p < 0.05: {passed.sum():,} of {np.isfinite(t[g][results.brain_mask]).sum():,} voxels"
        for g, passed in outlined.items()
    }
    reach = shared_limits({g: np.abs(image) for g, image in t.items()}, results.brain_mask, 99)[1]
    title = f"t, {group_tables.REGRESSOR_TITLES[name]}"
    return MapRow(title, t, "RdBu_r", (-reach, reach), "{:.0f}", "both", outlined, said)


def _voxelwise_caption(results: StudyResults, method: str) -> str:
    text = (
        f"Voxel-wise regression of {method_title(method)} on {_named(results)} over the scans of each group "
        f"({_counts(results.group_counts)}). Jacobian above 1 (purple): tissue stretched to reach the template, it was "
        "lost; below 1 (orange): squeezed. Black inside the brain: nothing could be fitted. "
    )
    if any(_maps(results, name, "t") for name in results.settings.analysis.regressors):
        how = "cluster-enhanced t" if results.settings.analysis.tfce else "|t|"
        least = results.settings.analysis.min_lesion_scans
        text += (
            f"t of each regressor given the others; outlined, and counted for the whole brain: p < 0.05, corrected by "
            f"the largest {how} over {results.settings.analysis.n_permutations} permutations of whole patients. "
        )
        if "lesion" in results.settings.analysis.regressors:
            text += f"Lesions are tested where {least} scans or more of a group have one. "
    return text + f"{CONVENTION} {MILLIMETRES}"


def _named(results: StudyResults) -> str:
    return " and ".join(group_tables.REGRESSOR_TITLES[name] for name in results.settings.analysis.regressors)


def _maps(results: StudyResults, desc: str, statistic: str):
    return {g: results.maps[g, desc, statistic] for g in GROUPS if (g, desc, statistic) in results.maps}


def _around_one(maps, brain_mask) -> tuple[float, float]:
    """Return limits at equal distance from 1, so that white means no change."""
    values = [np.abs(image[brain_mask] - 1) for image in maps.values()]
    reach = max(0.02, float(np.nanpercentile(np.concatenate(values), 98))) if values else 0.2
    return 1 - reach, 1 + reach
