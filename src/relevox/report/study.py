"""The report of a study: which section shows what."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np

from relevox.records import GROUPS
from relevox.report import tables
from relevox.report.causes import found_causes
from relevox.report.class_average import group_mean_maps, region_heat
from relevox.report.cohort import score_and_volumes
from relevox.report.discrimination import roc_and_calibration
from relevox.report.drawing import CONVENTION, method_title, readable
from relevox.report.history import training_history
from relevox.report.individual import individual_map, region_bars
from relevox.report.limits import SIMULATED, baseline_sentences, limits
from relevox.report.methods import methods
from relevox.report.page import Block, Bullets, Cards, Headed, Note, Section, Table, Text, picture, render
from relevox.report.results import Example, StudyResults
from relevox.report.scores import score_intervals
from relevox.report.voxelwise import MapRow, voxelwise_maps

R2 = "R\N{SUPERSCRIPT TWO}"


def study_page(results: StudyResults, version: str) -> str:
    """Return the HTML of a study's report.

    Parameters
    ----------
    results : StudyResults
        Everything that was collected.
    version : str
        Of relevox.
    """
    patients = len(set(results.cohort.patients.tolist()))
    return render(
        "report",
        f"Predicting {results.classes[1]} from T1w and FLAIR",
        f"{len(results.cohort)} scans of {patients} patients, {len(results.histories)} folds",
        [
            Section("glance", "At a glance", _glance(results)),
            Section("cohort", "Cohort", _cohort(results)),
            Section("quality", "Image quality", _quality(results)),
            Section("scores", "Scores", _scores(results)),
            Section("training", "Training", _training(results)),
            Section("scans", "Single scans", _examples(results)),
            Section("groups", "Attention by group", _groups(results)),
            Section("voxelwise", "Lesions, deformation and relevance", _voxelwise(results)),
            Section("causes", "Known causes", _causes(results)),
            Section("limits", "Limits", [Bullets(limits(results))]),
            Section("methods", "Methods", [Headed(methods(results))]),
        ],
        version,
        SIMULATED if results.simulated else "",
    )


def _glance(results: StudyResults) -> list[Block]:
    n, patients = len(results.cohort), len(set(results.cohort.patients.tolist()))
    positive = int(results.cohort.labels.sum())
    cards = [("scans", str(n), f"of {patients} patients; {positive} with {results.classes[1]}")]
    confidence = f"{100 * results.settings.evaluation.confidence:g} % interval"
    for model, measure, label in (
        ("cnn", "auc", "CNN, AUC"),
        ("cnn", "balanced_accuracy", "CNN, balanced accuracy"),
        ("volumes", "auc", "six volumes, AUC"),
        ("scanner", "auc", "scanner alone, AUC"),
    ):
        row = results.score(model, measure)
        if row is not None and math.isfinite(row["value"]):
            detail = f"{confidence} {tables.number(row['ci_low'])} to {tables.number(row['ci_high'])}"
            cards.append((label, tables.number(row["value"]), detail))
    if results.bayes is not None:
        cards.append(("best possible, AUC", tables.number(results.bayes.get("bayes_auc")), "known, because simulated"))
    blocks: list[Block] = [Cards(cards), Bullets([*_reached(results), *baseline_sentences(results)])]
    if results.simulated:
        blocks.insert(0, Note("These patients do not exist: the numbers below test the method, not a hypothesis."))
    strongest = _strongest_region(results)
    if strongest:
        blocks.append(Text([strongest]))
    return blocks


def _reached(results: StudyResults) -> list[str]:
    auc, accuracy = results.score("cnn", "auc"), results.score("cnn", "balanced_accuracy")
    if auc is None or accuracy is None:
        return []
    return [
        f"On scans it was not trained on, the CNN reaches an AUC of {tables.interval(auc)} and a balanced accuracy of "
        f"{tables.interval(accuracy)}."
    ]


def _strongest_region(results: StudyResults) -> str:
    rows = [row for row in results.occlusion if row["group"] == "all" and math.isfinite(row["mean_absolute_delta"])]
    if not rows:
        return ""
    rows.sort(key=lambda row: -row["mean_absolute_delta"])
    digits = tables.digits_for([rows[0]["mean_absolute_delta"]])
    named = [f"{readable(str(row['region']))} ({row['mean_absolute_delta']:.{digits}f})" for row in rows[:3]]
    return (
        "Replacing one region by the cohort's mean changes the network's answer most for: "
        f"{', '.join(named)} (mean absolute change in logits)."
    )


def _cohort(results: StudyResults) -> list[Block]:
    figure = score_and_volumes(
        np.array([o.score for o in results.cohort]),
        results.cohort.labels,
        results.settings.cohort.score,
        results.classes,
        results.volume_names,
        results.volumes_ml,
    )
    caption = (
        f"Left: the clinical score of the {len(results.cohort)} scans. Right: native volumes by class, one dot a scan; "
        "horizontal line: median, vertical lines: middle half."
    )
    return [tables.flow_table(results), tables.cohort_table(results), picture(figure, caption)]


def _quality(results: StudyResults) -> list[Block]:
    status = Counter(str(row["status"]) for row in results.quality)
    flags = Counter(
        flag.strip()
        for row in results.quality
        for flag in str(row.get("flags") or "").split(";")
        if flag.strip() not in ("", "n/a")
    )
    n = len(results.quality)
    counts = ", ".join(f"{status.get(name, 0)} {name}" for name in ("ok", "flagged", "failed"))
    blocks: list[Block] = [Text([f"{n} scans were checked: {counts}."])]
    if flags:
        body = [(flag, str(count), f"{100 * count / n:.0f} %") for flag, count in flags.most_common()]
        blocks.append(Table(f"What was flagged, in {n} scans.", ("flag", "scans", "share"), body))
    if results.input_leak:
        blocks.append(tables.leak_table(results))
    return blocks


def _scores(results: StudyResults) -> list[Block]:
    best = {"auc": float(results.bayes.get("bayes_auc", np.nan))} if results.bayes else {}
    caption = (
        f"Scores of each model on the {len(results.cohort)} scans, all out of fold, with "
        f"{100 * results.settings.evaluation.confidence:g} % intervals (bootstrap over patients)."
    )
    blocks: list[Block] = [picture(score_intervals(results.scores, best_possible=best), caption)]
    levels = {row["level"] for row in results.scores}
    blocks += [tables.score_table(results, level) for level in ("scan", "patient") if level in levels]
    blocks.append(tables.fold_table(results))
    if results.comparisons:
        blocks.append(tables.comparison_table(results))
    if sentence := tables.calibration_text(results):
        blocks.append(Text([sentence]))
    curves = roc_and_calibration(results.predictions, results.classes)
    caption = (
        f"Left: ROC curves over the {len(results.cohort)} scans. Middle: the CNN's calibration in bins of equal count "
        "with 95 % Wilson intervals; on the diagonal, probabilities can be taken at their word. Right: the CNN's "
        "probabilities by true class; dashed line: threshold."
    )
    return [*blocks, picture(curves, caption)]


def _training(results: StudyResults) -> list[Block]:
    if not results.histories:
        return []
    caption = (
        f"Training of the {len(results.histories)} folds: one thin line a fold, the thick line is their median. Left: "
        "loss on training and validation scans. Right: balanced accuracy on the validation scans; dashed: chance."
    )
    return [picture(training_history(results.histories), caption)]


def _examples(results: StudyResults) -> list[Block]:
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


def _groups(results: StudyResults) -> list[Block]:
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
        blocks.append(tables.occlusion_table(results))
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


def _voxelwise(results: StudyResults) -> list[Block]:
    counts = results.group_counts
    method = next((m for m in results.settings.attribution.methods if _maps(results, m, "r2")), None)
    if method is None:
        return [tables.group_table(results)] if results.groups else []
    candidates = [
        ("mean T1w", "t1w", "mean", "grey", None),
        ("lesion\nprobability", "lesion", "mean", "magma", None),
        (
            "mean\nJacobian",
            "jacobian",
            "mean",
            "PuOr",
            _around_one(_maps(results, "jacobian", "mean"), results.brain_mask),
        ),
        ("mean\nrelevance", method, "mean", "inferno", None),
        (R2, method, "r2", "viridis", (0.0, 1.0)),
        (f"partial {R2},\nlesion", "lesion", "partialr2", "viridis", None),
        (f"partial {R2},\nJacobian", "jacobian", "partialr2", "viridis", None),
    ]
    rows = [
        MapRow(title, _maps(results, desc, statistic), colours, limits_, "{:.2g}" if limits_ is None else "{:.2f}")
        for title, desc, statistic, colours, limits_ in candidates
        if _maps(results, desc, statistic)
    ]
    nulls = [
        f"{row['group']} {tables.number(row['r2_null_expectation'], 3)}"
        for row in results.groups
        if row["group"] in GROUPS and math.isfinite(row["r2_null_expectation"])
    ]
    caption = (
        f"Voxel-wise regression of {method_title(method)} on lesions and deformation over the scans of each group "
        f"({_counts(counts)}). Jacobian above 1 (purple): tissue stretched to reach the template, it was lost; below 1 "
        f"(orange): squeezed. {R2} that pure chance would give: {', '.join(nulls) or 'not known'}. {CONVENTION}"
    )
    blocks: list[Block] = [picture(voxelwise_maps(rows, counts, results.brain_mask), caption)]
    if results.groups:
        blocks.append(tables.group_table(results))
    return blocks


def _maps(results: StudyResults, desc: str, statistic: str):
    return {g: results.maps[g, desc, statistic] for g in GROUPS if (g, desc, statistic) in results.maps}


def _around_one(maps, brain_mask) -> tuple[float, float]:
    """Return limits at equal distance from 1, so that white means no change."""
    values = [np.abs(image[brain_mask] - 1) for image in maps.values()]
    reach = max(0.02, float(np.nanpercentile(np.concatenate(values), 98))) if values else 0.2
    return 1 - reach, 1 + reach


def _causes(results: StudyResults) -> list[Block]:
    blocks: list[Block] = []
    if results.bayes is not None:
        b = results.bayes
        planted = b.get("causes")
        named = ", ".join(readable(str(name)) for name in planted) if planted else "not recorded"
        blocks.append(
            Text(
                [
                    f"These patients were simulated (label: {b.get('label', 'not recorded')}), so the causes of their "
                    f"score are known: {named}. The best possible classifier reaches an accuracy of "
                    f"{tables.number(b.get('bayes_accuracy'))} and an AUC of {tables.number(b.get('bayes_auc'))}."
                ]
            )
        )
    elif results.simulated:
        blocks.append(Note("The patients were simulated, but the maps were not held against their known causes."))
    if results.benchmark:
        caption = (
            "What the maps find of the planted causes, with intervals; dashed line: a map that knows nothing. A map "
            "may be faithful and still miss a cause that the network does not use."
        )
        blocks += [picture(found_causes(results.benchmark), caption), tables.benchmark_table(results)]
        blocks.append(Bullets(tables.benchmark_sentences(results)))
    return blocks
