"""What a study does not show, in sentences computed from its results."""

from __future__ import annotations

import math

import numpy as np

from relevox.records import GROUPS
from relevox.report import map_verdicts
from relevox.report.drawing import GROUP_TITLES, method_title
from relevox.report.external_words import external_sentences
from relevox.report.group_tables import expected_r2
from relevox.report.results import StudyResults
from relevox.report.tables import interval, number
from relevox.report.verdicts import confound_sentences, subgroup_sentence
from relevox.statistics.evaluation.confounds import NEVER_SEEN

SIMULATED = "Simulated patients. A model trained on simulated patients says nothing about a person."
"""Across the top of every page about a simulated cohort."""

SMALL_GROUP = 10
"""A prediction group with fewer scans is called small."""


def limits(results: StudyResults) -> list[str]:
    """Return the sentences of the limits section.

    Parameters
    ----------
    results : StudyResults
        The whole study: scores, groups, leak, quality, benchmark.
    """
    return [
        sentence
        for part in (
            _simulated,
            _external,
            _chance,
            _baselines,
            _confounds,
            _calibration,
            _parts,
            _repeats,
            _quality,
            _leak,
            _lrp,
            _conservation,
            _groups,
            _null,
            _missing,
        )
        for sentence in part(results)
    ]


def baseline_sentences(results: StudyResults) -> list[str]:
    """Say for each baseline whether the CNN's interval lies above it (AUC per scan)."""
    cnn = results.score("cnn", "auc")
    if cnn is None or not math.isfinite(cnn["ci_low"]):
        return []
    confidence = round(100 * results.settings.evaluation.confidence)
    sentences = []
    for model in ("volumes", "scanner", "age_sex"):
        row = results.score(model, "auc")
        if row is None or not math.isfinite(row["value"]):
            continue
        name, value = _name(model), interval(row)
        if row["value"] > cnn["ci_high"]:
            text = f"{name} reach{_es(model)} an AUC of {value}, above the CNN's interval: the CNN is the worse model."
        elif row["value"] >= cnn["ci_low"]:
            text = (
                f"{name} reach{_es(model)} an AUC of {value}, which lies inside the CNN's {confidence} % interval "
                f"({number(cnn['ci_low'])} to {number(cnn['ci_high'])}): this study does not show that the CNN reads "
                f"more from the images than {_knows(model)}."
            )
        else:
            text = f"{name} reach{_es(model)} an AUC of {value}, below the CNN's {confidence} % interval."
        sentences.append(text)
    return sentences


def _name(model: str) -> str:
    return {"volumes": "The six volumes", "scanner": "The scanner alone", "age_sex": "Age and sex alone"}[model]


def _es(model: str) -> str:
    return "es" if model == "scanner" else ""


def _knows(model: str) -> str:
    return {
        "volumes": "six volumes tell",
        "scanner": "the scanner model gives away",
        "age_sex": "age and sex would tell",
    }[model]


def _simulated(results: StudyResults) -> list[str]:
    return [SIMULATED.split(". ", 1)[1]] if results.simulated else []


def _external(results: StudyResults) -> list[str]:
    if results.external:
        return [sentence for other in results.external for sentence in external_sentences(results, other)]
    return ["No external cohort was tested: how the model does at another centre is not known from this report."]


def _chance(results: StudyResults) -> list[str]:
    cnn = results.score("cnn", "auc")
    if cnn is not None and math.isfinite(cnn["ci_low"]) and cnn["ci_low"] <= 0.5 <= cnn["ci_high"]:
        return [
            f"The interval of the CNN's AUC, {interval(cnn)}, includes 0.5: the CNN is not shown to be better than "
            "chance, and its attention maps explain answers that may be guesses."
        ]
    return []


def _baselines(results: StudyResults) -> list[str]:
    return [s for s in baseline_sentences(results) if "below the CNN" not in s]


def _confounds(results: StudyResults) -> list[str]:
    sentences = [s for s in confound_sentences(results) if "may be all it has learned" in s]
    rows = results.evaluation.get("left_out_scanners", ())
    if any(row["training"] == NEVER_SEEN for row in rows):
        sentences += _never_seen(results)
    elif any(row["training"] == "refitted" for row in rows):
        sentences.append(
            "The CNN was not trained again without a scanner: how it does on a scanner it has never seen is not known "
            "from this report."
        )
    return sentences


def _never_seen(results: StudyResults) -> list[str]:
    """Say what the CNN reaches on the scanner it was trained without, and for which scanners that is not known."""
    rows = [row for row in results.evaluation["left_out_scanners"] if row["model"] == "cnn"]
    mine = {str(row["measure"]): row for row in rows if row["training"] == NEVER_SEEN}
    n = mine["auc"]
    who = f"{n['scanner']}, a scanner it has never seen"
    counts = f"{n['n']:.0f} scans of {n['n_patients']:.0f} patients"
    scores = [
        f"{title} {interval(mine[measure])}"
        for measure, title in (("auc", "an AUC of"), ("balanced_accuracy", "a balanced accuracy of"))
        if math.isfinite(mine[measure]["value"])
    ]
    known = (
        f"The CNN reaches {' and '.join(scores)} on {who} ({counts}); the other scores of this report count these "
        "scans, too."
        if scores
        else f"How the CNN does on {who}, is not known: too few patients for a score ({counts})."
    )
    others = [str(row["scanner"]) for row in rows if row["training"] == "out_of_fold" and row["measure"] == "auc"]
    if not others:
        return [known]
    return [known, f"How the CNN does on {', '.join(others)} without having seen them is not known from this report."]


def _calibration(results: StudyResults) -> list[str]:
    for row in results.calibration:
        if (row["model"], row.get("probability", "raw")) == ("cnn", "raw") and math.isfinite(row["slope"]):
            if row.get("slope_high", math.nan) < 1:
                return [
                    f"The CNN's probabilities are too extreme (calibration slope {number(row['slope'])}): they should "
                    "not be read as chances without the temperature."
                ]
            if row.get("slope_low", math.nan) > 1:
                return [f"The CNN's probabilities are too timid (calibration slope {number(row['slope'])})."]
    return []


def _parts(results: StudyResults) -> list[str]:
    """Say which differences between parts were found, and how many parts were too small to be scored."""
    rows = [r for r in results.evaluation.get("subgroups", ()) if r["scans_used"] == "only" and r["measure"] == "auc"]
    small = [f"{row['level']} ({row['n_patients']:.0f})" for row in rows if row["suppressed"]]
    sentences = []
    if any(row["p"] < 0.05 for row in results.evaluation.get("interactions", ()) if math.isfinite(row["p"])):
        sentences.append(subgroup_sentence(results))
    if small:
        sentences.append(f"Too few patients for an AUC of their own: {', '.join(small)}.")
    return sentences


def _repeats(results: StudyResults) -> list[str]:
    _, counts = np.unique(results.cohort.patients, return_counts=True)
    repeated = int((counts > 1).sum())
    if not repeated:
        return []
    return [
        f"{repeated} of {counts.size} patients were scanned more than once; scans of one patient are not independent. "
        "Folds and intervals therefore go by patient."
    ]


def _quality(results: StudyResults) -> list[str]:
    status = [row["status"] for row in results.quality]
    failed, flagged = status.count("failed"), status.count("flagged")
    if not failed and not flagged:
        return [f"No scan failed or was flagged by the quality measures ({len(status)} scans checked)."]
    return [f"Quality of the {len(status)} scans: {failed} failed and were left out, {flagged} flagged and kept."]


def _leak(results: StudyResults) -> list[str]:
    """Name channels whose mean intensity tells more than twice its standard error, and not a little."""
    positive = int(results.cohort.labels.sum())
    negative = len(results.cohort) - positive
    auc_error = math.sqrt((positive + negative + 1) / (12 * max(1, positive * negative)))  # of an AUC of 0.5
    sentences = []
    for row in results.input_leak:
        auc, load = max(row["auc_label"], 1 - row["auc_label"]), row["correlation_lesion_load"]
        tells_class = auc - 0.5 > max(0.1, 2 * auc_error)
        tells_load = abs(load) > max(0.3, 2 / math.sqrt(positive + negative))
        if not (tells_class or tells_load):
            continue
        found = [f"tells the classes apart with an AUC of {number(auc)}"] if tells_class else []
        found += [f"correlates {number(load)} with the lesion load"] if tells_load else []
        sentences.append(
            f"The mean {row['channel']} intensity alone {' and '.join(found)}: the network may read this from the "
            "image's brightness anywhere in the brain, and attention maps cannot show that."
        )
    return sentences


def _lrp(results: StudyResults) -> list[str]:
    if "lrp" not in results.settings.attribution.methods:
        return []
    text = (
        "LRP with alpha 1, beta 0 hardly depends on the explained class (Sixt et al. 2020): it shows what early layers "
        "respond to rather than why one class was preferred."
    )
    measured = [row for row in results.benchmark if row["method"] == "lrp" and "class_swap" in str(row["measure"])]
    if in_short := map_verdicts.lrp_in_short(results.checks):
        text += f" {in_short}"
    elif measured:
        value = number(measured[0]["value"], 3)
        text += f" Here maps of the two classes correlate {value} (n = {number(measured[0]['n'], 0)})."
    else:
        text += " How similar the maps of the two classes are was not measured in this study."
    others = [method_title(m) for m in results.settings.attribution.methods if m != "lrp"]
    beside = " and ".join([*others, "region occlusion"])
    return [f"{text} {beside[0].upper()}{beside[1:]} stand{'' if others else 's'} beside it for that reason."]


def _conservation(results: StudyResults) -> list[str]:
    sentences = []
    for method, pairs in results.relevance_sums.items():
        # what distributes nothing, a gradient or Grad-CAM, has no start
        known = [(start, total) for start, total in pairs if start and math.isfinite(start) and math.isfinite(total)]
        shares = np.array([total / start for start, total in known])
        if not shares.size:
            continue
        low, middle, high = np.percentile(100 * shares, (5, 50, 95))
        sentences.append(
            f"{method_title(method, first=True)}: the maps sum to {middle:.0f} % of the value they explain (median of "
            f"{shares.size} maps; 5th to 95th percentile {low:.0f} to {high:.0f} %); the rest was lost, or added, on "
            "the way through the network."
        )
    return sentences


def _groups(results: StudyResults) -> list[str]:
    counts = results.group_counts
    if not sum(counts.values()):
        return []
    empty = [GROUP_TITLES[g] for g in GROUPS if counts[g] == 0]
    small = [f"{GROUP_TITLES[g]} ({counts[g]})" for g in GROUPS if 0 < counts[g] < SMALL_GROUP]
    sentences = []
    if empty:
        sentences.append(f"There are no {' and no '.join(empty)}: these groups have no maps.")
    if small:
        sentences.append(f"Small groups: {', '.join(small)}. Their mean maps are the maps of a few scans.")
    return sentences


def _null(results: StudyResults) -> list[str]:
    near = [
        f"{GROUP_TITLES.get(str(row['group']), row['group'])} {number(row['r2_mean'], 3)} against "
        f"{number(expected_r2(row), 3)}"
        for row in results.groups
        if math.isfinite(row["r2_mean"]) and row["r2_mean"] < 1.5 * expected_r2(row)
    ]
    if not near:
        return []
    return [
        "Lesions and the Jacobian explain hardly more of the relevance than chance would in these groups (mean R"
        f"\N{SUPERSCRIPT TWO} against its expectation without any effect): {'; '.join(near)}."
    ]


def _missing(results: StudyResults) -> list[str]:
    return [f"Not in this report, because the study folder does not hold it: {part}." for part in results.missing]
