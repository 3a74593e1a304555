"""Tables of the group analysis: what explains the maps, where a regressor matters, what occlusion costs."""

from __future__ import annotations

import math

from relevox.records import GROUPS
from relevox.report.drawing import GROUP_TITLES, readable
from relevox.report.page import Table
from relevox.report.results import Row, StudyResults
from relevox.report.tables import DASH, digits_for, finite, number, p_value
from relevox.statistics.group_size import size_effects

R2 = "R\N{SUPERSCRIPT TWO}"

EMPTY = (None, "", "n/a")
"""A note that says nothing."""

REGRESSOR_TITLES = {
    "lesion": "lesion",
    "jacobian": "Jacobian",
    "age": "age",
    "disease_duration": "disease duration",
}
"""Regressors in words."""


def group_title(group: object) -> str:
    """Write a group in words."""
    return {"all": "all scans"}.get(str(group), GROUP_TITLES.get(str(group), str(group)))


def expected_r2(row: Row) -> float:
    """Return the mean R2 that chance gives: from permutations of patients where there were any, else by formula."""
    permuted = row.get("r2_expected_permuted", math.nan)
    return permuted if math.isfinite(permuted) else row["r2_expected"]


def group_table(results: StudyResults) -> Table:
    """Return the voxel-wise regression per prediction group, beside what no effect would give."""
    regressors = results.settings.analysis.regressors
    partial = {(row["group"], row["regressor"]): row["partial_r2_median"] for row in results.regressors}
    body = [
        (
            group_title(row["group"]),
            number(row["n_scans"], 0),
            number(row["n_patients"], 0),
            *(number(row[name], 3) for name in ("r2_mean", "r2_expected", "r2_expected_permuted", "r2_above_chance")),
            number(row["r2_median"], 3),
            number(row["r2_95th"], 3),
            *(number(partial.get((row["group"], name), math.nan), 3) for name in regressors),
        )
        for row in results.groups
    ]
    header = (
        "group",
        "scans",
        "patients",
        f"mean {R2}",
        "by chance, k / (n - 1)",
        "by chance, patients permuted",
        "above chance",
        f"median {R2}",
        "95th percentile",
        *(f"median partial {R2}, {REGRESSOR_TITLES[name]}" for name in regressors),
    )
    named = " and ".join(REGRESSOR_TITLES[name] for name in regressors)
    caption = (
        f"How much of the relevance in a voxel, over the scans of a group, goes with {named} there. Small groups look "
        f"larger: a mean {R2} is to be read against what chance gives a group of that size, by formula (k regressors "
        "really fitted, n scans) and with the maps of whole patients exchanged at random; above chance is the "
        "difference. "
    )
    notes = [f"{group_title(row['group'])}: {row['note']}" for row in results.groups if row.get("note") not in EMPTY]
    caption += "; ".join(notes) + "." if notes else ""
    return Table(caption.strip(), header, body)


def size_sentences(results: StudyResults) -> list[str]:
    """Say which differences between prediction groups are there because one of them is small."""
    rows = {str(row["group"]): row for row in results.groups if row["group"] in GROUPS}
    observed = {group: row["r2_mean"] for group, row in rows.items()}
    expected = {group: expected_r2(row) for group, row in rows.items()}
    sentences = []
    for effect in size_effects(observed, expected):
        a, b = effect.larger, effect.smaller
        above = [number(observed[g] - expected[g], 3) for g in (a, b)]
        how = "all" if effect.left <= 0 else f"{100 * effect.expected / effect.difference:.0f} %"
        sentences.append(
            f"{group_title(a).capitalize()} look better explained than {group_title(b)} (mean {R2} "
            f"{number(observed[a], 3)} against {number(observed[b], 3)}), but chance alone gives groups of these sizes "
            f"{number(expected[a], 3)} and {number(expected[b], 3)}: size accounts for {how} of the difference. Above "
            f"chance they have {above[0]} and {above[1]}."
        )
    return sentences


def regressor_table(results: StudyResults) -> Table:
    """Return where the map depends on a regressor beyond chance."""
    enhanced = any(math.isfinite(row["voxels_tfce"]) for row in results.regressors)
    body = []
    for row in results.regressors:
        peak = DASH
        if math.isfinite(row["peak_t"]):
            at = ", ".join(number(row[f"peak_{axis}_mm"], 0) for axis in "xyz")
            peak = f"{number(row['peak_t'], 1)} in {readable(str(row['peak_region']))} ({at})"
        body.append(
            (
                group_title(row["group"]),
                REGRESSOR_TITLES.get(str(row["regressor"]), str(row["regressor"])),
                f"{number(row['n_scans'], 0)} ({number(row['n_patients'], 0)})",
                number(row["voxels_tested"], 0),
                number(row["voxels_fwe"], 0),
                p_value(row["smallest_p_fwe"]),
                peak,
                *([number(row["voxels_tfce"], 0), p_value(row["smallest_p_tfce"])] if enhanced else []),
                _percent(row["voxels_uncorrected"], row["voxels_tested"]),
                "" if row.get("note") in EMPTY else str(row["note"]),
            )
        )
    counts = sorted({int(row["n_permutations"]) for row in results.regressors if math.isfinite(row["n_permutations"])})
    caption = (
        f"Where relevance depends on a regressor, the other held fixed (Freedman-Lane, {_range(counts)} permutations "
        "of whole patients, two-sided). Corrected: the largest |t| over all voxels is exceeded by chance in less than "
        "5 % of the permutations. Not corrected: of the voxels tested, 5 % are expected by chance."
    )
    header = ("group", "regressor", "scans (patients)", "voxels tested", "p < 0.05, corrected", "smallest p")
    tfce = ("p < 0.05, enhanced", "smallest p") if enhanced else ()
    peak = "largest |t|, region, MNI (mm)"
    return Table(caption, (*header, peak, *tfce, "p < 0.05, not corrected", "note"), body)


def occlusion_table(results: StudyResults) -> Table:
    """Return region occlusion per group, strongest first over all scans."""
    groups = [g for g in (*GROUPS, "all") if any(row["group"] == g for row in results.occlusion)]
    by = {(row["group"], row["region"]): row for row in results.occlusion}
    regions = list(dict.fromkeys(str(row["region"]) for row in results.occlusion))
    key = "all" if "all" in groups else groups[0]
    regions.sort(key=lambda region: -finite(by.get((key, region), {}).get("mean_absolute_delta", math.nan)))
    digits = digits_for([row["mean_absolute_delta"] for row in results.occlusion])
    body = []
    for region in regions:
        cells = []
        for group in groups:
            row = by.get((group, region))
            pair = (DASH, DASH) if row is None else (number(row[name], digits) for name in ("mean_delta", "sd_delta"))
            cells.append("{} ({})".format(*pair))
        body.append((readable(region), *cells))
    counts = {g: next(row["n_scans"] for row in results.occlusion if row["group"] == g) for g in groups}
    caption = (
        "Region occlusion: by how much, in logits, the margin of the predicted class falls when a region is replaced "
        f"by the cohort's mean; mean (SD) over {results.settings.analysis.average}. Above 0 the region supports the "
        "decision. Strongest first."
    )
    header = ("region", *(f"{group_title(g)} (n = {number(counts[g], 0)})" for g in groups))
    return Table(caption, header, body)


EXPLAINED_BY = {
    "measured": "measured lesions and Jacobian",
    "planted": "planted lesions and true Jacobian",
    "planted_and_loads": "the same and the planted loads of the whole brain",
}
"""Models of ``explained.tsv`` in words."""


def explained_table(results: StudyResults) -> Table:
    """Return what measured and planted lesions and deformation explain of the maps, beside chance."""
    body = []
    for row in results.explained:
        shares = (row[name] for name in ("variance_share", "variance_share_expected"))
        body.append(
            (
                group_title(row["group"]),
                number(row["n_scans"], 0),
                EXPLAINED_BY.get(str(row["model"]), str(row["model"])),
                *(DASH if not math.isfinite(share) else f"{100 * share:.1f} %" for share in shares),
                number(row["r2_mean"], 3),
                number(row["r2_expected"], 3),
                "" if row.get("note") in EMPTY else str(row["note"]),
            )
        )
    caption = (
        "What is explained of the maps' variance over scans, by what was measured and by what was planted. Share: over "
        f"all voxels of the brain together, so that those with much variance count more; mean {R2}: every voxel alike. "
        "Chance: maps of whole patients exchanged at random."
    )
    header = ("group", "scans", "explained by", "share of the variance", "by chance", f"mean {R2}", "by chance", "note")
    return Table(caption, header, body)


def explained_sentences(results: StudyResults) -> list[str]:
    """Say what the regression sees of the truth, in words."""
    of_all = {row["model"]: row for row in results.explained if row["group"] == "all"}
    measured, planted = (of_all.get(model) for model in ("measured", "planted"))
    if measured is None or planted is None or not math.isfinite(planted["variance_share"]):
        return []
    same = (
        f"Measured and planted lesions overlap with a Dice of {number(measured['lesion_dice'])}, measured and true "
        f"Jacobian correlate {number(measured['jacobian_correlation'])}"
    )
    share, chance = (f"{100 * planted[name]:.0f} %" for name in ("variance_share", "variance_share_expected"))
    sentences = [
        f"{same}: the regression reports {100 * measured['variance_share']:.0f} % of the variance over all scans, the "
        f"truth would give {share}."
    ]
    causes = (results.bayes or {}).get("causes") or {}
    if causes and all(str(name).endswith(("lesions", "load")) for name in causes):
        sentences.append(
            f"Every cause planted here is a load of lesions, and still planted lesions and deformation explain {share} "
            f"of the maps' variance (chance {chance}): a low {R2} does not show that a network looks at something "
            "other than lesions."
        )
    return sentences


def _percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f} %" if math.isfinite(part) and whole > 0 else DASH


def _range(counts: list[int]) -> str:
    if not counts:
        return "no"
    return f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
