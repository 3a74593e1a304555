"""What the evaluation means, in sentences that follow from its numbers."""

from __future__ import annotations

import math

from relevox.report.drawing import readable
from relevox.report.results import Row, StudyResults
from relevox.report.subgroups import FACTOR_TITLES
from relevox.report.tables import interval, number, p_value

NAMES = {"scanner": "the scanner alone", "age_sex": "age and sex alone"}
WITHIN = {"scanner": "scanner", "age_sex": "age band and sex"}


def confound_sentences(results: StudyResults) -> list[str]:
    """Say for each confound whether it could explain what the CNN reaches (AUC per scan)."""
    sentences = []
    for row in results.evaluation.get("confounds", ()):
        if row["measure"] == "auc" and math.isfinite(row["cnn"]) and math.isfinite(row["ci_low"]):
            sentences.append(_verdict(row))
    return sentences


def driven_by(results: StudyResults) -> list[str]:
    """Name the confounds that may be all the CNN has learned."""
    rows = results.evaluation.get("confounds", ())
    return [str(row["confound"]) for row in rows if row["measure"] == "auc" and row["confound_driven"]]


def _verdict(row: Row) -> str:
    confound = str(row["confound"])
    name = NAMES.get(confound, readable(confound))
    of = {"value": row["confound_value"], "ci_low": row["confound_low"], "ci_high": row["confound_high"]}
    reach = "reaches" if confound == "scanner" else "reach"
    lead = f"{name[0].upper()}{name[1:]} {reach} an AUC of {interval(of)} against the CNN's {number(row['cnn'])}"
    lead += f" ({number(row['ci_low'])} to {number(row['ci_high'])})"
    ends = {"value": row["stratified_auc"], "ci_low": row["stratified_low"], "ci_high": row["stratified_high"]}
    beyond = ""
    if math.isfinite(row["stratified_auc"]):
        beyond = f" Among scans of the same {WITHIN.get(confound, confound)} the CNN's AUC is {interval(ends)}."
    if row["confound_driven"]:
        return (
            f"{lead}, and among scans of the same {WITHIN.get(confound, confound)} the CNN is not shown to be better "
            f"than chance ({interval(ends)}): {name} may be all it has learned. These scores are no evidence that it "
            "reads disability from the brain."
        )
    if row["within_interval"]:
        verdict = "inside the CNN's interval or above it, so this study does not show that the CNN knows more"
        return f"{lead}: {verdict}.{beyond}"
    difference = {"value": row["difference"], "ci_low": row["difference_low"], "ci_high": row["difference_high"]}
    return f"{lead}: the CNN leads by {interval(difference)}.{beyond}"


def calibration_sentence(results: StudyResults) -> str:
    """Say whether the CNN's probabilities can be taken at their word, and what a temperature does; or nothing."""
    of_cnn = {str(row.get("probability", "raw")): row for row in results.calibration if row["model"] == "cnn"}
    raw = of_cnn.get("raw")
    if raw is None or not math.isfinite(raw["slope"]):
        return ""
    low, high = raw.get("slope_low", math.nan), raw.get("slope_high", math.nan)
    if low <= 1 <= high:
        meaning = "neither too extreme nor too timid, as far as this cohort can tell"
    else:
        meaning = "too extreme" if raw["slope"] < 1 else "too timid"
    text = (
        f"Calibration of the CNN over {raw['n']:.0f} patients: slope {_with_ends(raw, 'slope')} (1 is perfect; its "
        f"probabilities are {meaning}), intercept {_with_ends(raw, 'intercept')} (0 is perfect)."
    )
    mended = of_cnn.get("temperature")
    if mended is None or not math.isfinite(mended.get("brier", math.nan)):
        return text
    found = [row["temperature"] for row in results.evaluation.get("temperatures", ()) if row["model"] == "cnn"]
    finite = [value for value in found if math.isfinite(value)]
    between = f" ({min(finite):.2f} to {max(finite):.2f})" if finite else ""
    return (
        f"{text} A temperature per fold{between}, found on validation scans, changes the Brier score from "
        f"{number(raw['brier'], 3)} to {number(mended['brier'], 3)} and the calibration error from "
        f"{number(raw['ece'])} to {number(mended['ece'])}."
    )


def _with_ends(row: Row, name: str) -> str:
    ends = {
        "value": row[name],
        "ci_low": row.get(f"{name}_low", math.nan),
        "ci_high": row.get(f"{name}_high", math.nan),
    }
    return interval(ends)


def subgroup_sentence(results: StudyResults) -> str:
    """Say whether the CNN's scores differ between parts of the cohort more than chance; or nothing."""
    rows = [row for row in results.evaluation.get("interactions", ()) if math.isfinite(row["p"])]
    if not rows:
        return ""
    found = [
        f"{FACTOR_TITLES.get(str(row['factor']), readable(str(row['factor'])))} "
        f"({readable(str(row['measure']).replace('auc', 'AUC'))}, p {_p(row['p'])})"
        for row in rows
        if row["p"] < 0.05
    ]
    tested = f"{len(rows)} tests, not adjusted, of {results.settings.evaluation.n_permutations} permutations each"
    if found:
        return f"The CNN's score differs between parts of the cohort by {', '.join(found)} ({tested})."
    return (
        f"No difference between parts of the cohort was found beyond chance ({tested}); small parts can hide large "
        "differences, so read the intervals."
    )


def _p(p: float) -> str:
    text = p_value(p)
    return text if text.startswith("<") else f"= {text}"
