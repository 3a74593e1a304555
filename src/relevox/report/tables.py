"""Results as rows of text, ready for a page: numbers with intervals, p-values, n and missing."""

from __future__ import annotations

import math
from collections.abc import Sequence

from relevox.report.drawing import method_title, readable
from relevox.report.page import Table
from relevox.report.results import RegionShare, Row, StudyResults
from relevox.report.scores import MEASURE_TITLES, MODEL_TITLES
from relevox.statistics.baselines import model_order

INDENT = "\N{EM SPACE}"
NO_BREAK = "\N{NO-BREAK SPACE}"
DASH = "\N{EN DASH}"


def number(value: float, digits: int = 2) -> str:
    """Write a number; NaN is a dash, and what rounds to 0 has no sign.

    Examples
    --------
    >>> number(0.8149), number(float("nan")), number(-0.001)
    ('0.81', '–', '0.00')
    """
    if value is None or not math.isfinite(value):
        return DASH
    return f"{round(value, digits) + 0.0:.{digits}f}"


def digits_for(values: Sequence[float]) -> int:
    """Return decimals with which the largest value has two figures, 2 at least and 6 at most.

    Examples
    --------
    >>> digits_for([0.9, -12.0]), digits_for([0.0025, 0.0001])
    (2, 4)
    """
    largest = max((abs(v) for v in values if math.isfinite(v)), default=1.0)
    return 2 if largest == 0 else min(6, max(2, 1 - math.floor(math.log10(largest))))


def interval(row: Row, digits: int = 2, to: str = " to ") -> str:
    """Write a value with its interval; a dash in ``to`` makes it short enough for a table.

    Examples
    --------
    >>> interval({"value": 0.812, "ci_low": 0.75, "ci_high": 0.87})
    '0.81 (0.75 to 0.87)'
    """
    if not math.isfinite(row["value"]):
        return DASH
    if not (math.isfinite(row["ci_low"]) and math.isfinite(row["ci_high"])):
        return number(row["value"], digits)
    return f"{number(row['value'], digits)} ({number(row['ci_low'], digits)}{to}{number(row['ci_high'], digits)})"


def p_value(p: float) -> str:
    """Write a p-value as journals do.

    Examples
    --------
    >>> p_value(4e-11), p_value(0.0471), p_value(0.08044)
    ('< 0.001', '0.047', '0.080')
    """
    if not math.isfinite(p):
        return DASH
    if p < 0.001:
        return "< 0.001"
    return f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def score_table(results: StudyResults, level: str) -> Table:
    """Return all measures of all models at one level, the CNN first."""
    rows = [row for row in results.scores if row["level"] == level]
    models = model_order([str(row["model"]) for row in rows])
    body = []
    for model in models:
        of_model = {row["measure"]: row for row in rows if row["model"] == model}
        cells = [interval(of_model[m], to=DASH) if m in of_model else DASH for m in MEASURE_TITLES]
        body.append((MODEL_TITLES.get(model, model), *cells))
    if results.bayes is not None and level == "scan":
        best = {"accuracy": results.bayes.get("bayes_accuracy"), "auc": results.bayes.get("bayes_auc")}
        body.append(("best possible (Bayes)", *(number(best.get(m)) for m in MEASURE_TITLES)))
    counts = {int(row["n"]) for row in rows if math.isfinite(row["n"])}
    n = f"n = {counts.pop()} {level}s" if len(counts) == 1 else f"n differs between models, {DASH} up to {max(counts)}"
    confidence = round(100 * results.settings.evaluation.confidence)
    what = "Each scan counts." if level == "scan" else "One answer a patient."
    caption = (
        f"Out-of-fold scores per {level} ({n}), with {confidence} % intervals from a bootstrap over patients. {what} "
        "Every model saw the same folds."
    )
    return Table(caption, ("", *MEASURE_TITLES.values()), body)


def fold_table(results: StudyResults) -> Table:
    """Return mean and SD over the folds, as the paper prints its scores."""
    rows = [row for row in results.scores if row["level"] == "scan"]
    body = []
    for model in model_order([str(row["model"]) for row in rows]):
        of_model = {row["measure"]: row for row in rows if row["model"] == model}
        cells = [
            f"{number(of_model[m]['fold_mean'])} ({number(of_model[m]['fold_sd'])})" if m in of_model else DASH
            for m in MEASURE_TITLES
        ]
        body.append((MODEL_TITLES.get(model, model), *cells))
    n_folds = len(set(results.folds.tolist()))
    caption = f"The same scores as mean (SD) over the {n_folds} folds, one value a fold: the form of the paper."
    return Table(caption, ("", *MEASURE_TITLES.values()), body)


def comparison_table(results: StudyResults) -> Table:
    """Return the CNN against every other model, and every model against chance."""
    found = {(row["model"], row["against"], row["test"]): row for row in results.comparisons}
    body = []
    for model in model_order([str(row["model"]) for row in results.comparisons if row["test"] == "permutation"]):
        chance = p_value(found[model, "chance", "permutation"]["p"])
        areas, *rest = (found.get(("cnn", model, test)) for test in ("delong", *_ACCURACY_TESTS))
        cells = [DASH] * (3 + len(rest))
        if areas is not None:
            cells = [number(areas["difference"]), p_value(areas["p"]), number(rest[0]["difference"])]
            cells += [p_value(row["p"]) for row in rest]
        body.append((MODEL_TITLES.get(model, model), chance, *cells))
    caption = (
        "Is the CNN better? Above chance: AUC per patient, classes permuted over patients (one-sided). Then the CNN "
        "minus the model of the row: AUC per patient (DeLong), and accuracy per scan with patients as clusters "
        "(Durkalski; Obuchowski) and over folds with the variance corrected for shared training scans (Nadeau and "
        "Bengio). Not adjusted for the number of comparisons."
    )
    header = ("", "p, above chance", "AUC, difference", "p, DeLong", "accuracy, difference", "p, Durkalski")
    return Table(caption, (*header, "p, Obuchowski", "p, folds"), body)


_ACCURACY_TESTS = ("mcnemar_durkalski", "mcnemar_obuchowski", "corrected_t")


def flow_table(results: StudyResults) -> Table:
    """Return how many scans each rule removed."""
    body = [
        (str(row["rule"]), *(number(row[name], 0) for name in ("scans_removed", "scans_left", "patients_left")))
        for row in results.flow
    ]
    caption = "From the data set to the cohort: what each rule removed."
    return Table(caption, ("rule", "scans removed", "scans left", "patients left"), body)


def finite(value: float) -> float:
    """Return a number to sort by; NaN counts as 0."""
    return value if math.isfinite(value) else 0.0


def leak_table(results: StudyResults) -> Table:
    """Return what the mean intensity of each input channel gives away."""
    names = ("correlation_lesion_load", "correlation_label", "auc_label")
    body = [(str(row["channel"]), *(number(row[name]) for name in names)) for row in results.input_leak]
    caption = (
        f"What the mean intensity of the brain alone gives away after normalisation "
        f"({results.settings.preprocessing.normalisation}), over {len(results.cohort)} scans. Under min-max scaling "
        "the lesion load can set the brightness of the whole image."
    )
    header = ("channel", "correlation with lesion load", "correlation with the class", "AUC for the class")
    return Table(caption, header, body)


def benchmark_table(rows: Sequence[Row]) -> Table:
    """Return what each map finds of each target among some rows of the benchmark, a row a map and target."""
    names = {
        "enrichment": "enrichment (chance 1)",
        "auc": "AUC (chance 0.5)",
        "rank_accuracy": "rank accuracy",
        "relevance_mass": "relevance mass",
    }
    by: dict[tuple[str, str], dict[str, Row]] = {}
    for row in rows:
        if row["measure"] in names:
            by.setdefault((str(row["method"]), str(row["target"])), {})[str(row["measure"])] = row
    body = [
        (
            method_title(method, first=True),
            readable(target),
            *(interval(found[name], to=DASH) if name in found else DASH for name in names),
            number(max(row["n"] for row in found.values()), 0),
        )
        for (method, target), found in by.items()
    ]
    caption = (
        "The maps against the planted causes, mean over scans with interval. Enrichment: relevance in the target over "
        "its share of the brain. AUC: a voxel of the target against one outside it. Rank accuracy: share of the k "
        "hottest voxels that lie in the k voxels of the target. Relevance mass: share of the relevance that lies in "
        "the target. Changed: where the image changes when that cause alone is changed. Causes without weight and all "
        "other measures are in benchmark/benchmark.tsv."
    )
    return Table(caption, ("map", "target", *names.values(), "scans"), body)


def _of_class_swap(correlation: float) -> str:
    """Say what the correlation of the maps of two classes means."""
    if correlation > 0.9:
        return "Near 1: the map hardly depends on the class it explains."
    if correlation < -0.9:
        return "Near -1: what speaks for one class speaks against the other."
    return "Near 1 a map would hardly depend on the class it explains."


def benchmark_sentences(results: StudyResults) -> list[str]:
    """Return the measures of the benchmark that are no localisation, in words."""
    sentences = []
    for row in results.benchmark:
        n = number(row["n"], 0)
        if row["measure"] == "class_swap_correlation":
            sentences.append(
                f"{method_title(str(row['method']), first=True)}: the maps of the two classes correlate "
                f"{interval(row, 3)} ({n} scans). {_of_class_swap(row['value'])}"
            )
        elif row["measure"] == "correlation_with_cause":
            sentences.append(
                f"Region occlusion: the change where {readable(str(row['target']))} lie correlates {interval(row)} "
                f"with what that cause adds to the score ({n} scans)."
            )
    return sentences


def region_table(regions: Sequence[RegionShare], caption: str) -> Table:
    """Return the regions of one map, most relevant voxels first; occlusion where it is known."""
    occluded = any(math.isfinite(region.occlusion) for region in regions)
    digits = digits_for([region.occlusion for region in regions])
    body = []
    for region in sorted(regions, key=lambda r: -finite(r.voxel_share)):
        shares = (region.voxel_share, region.relevance_share, region.volume_share)
        cells = [DASH if not math.isfinite(share) else f"{100 * share:.1f} %" for share in shares]
        cells.append(number(region.enrichment))
        body.append((readable(region.name), *cells, *([number(region.occlusion, digits)] if occluded else [])))
    header = [
        "region",
        "voxels above the threshold",
        "positive relevance",
        "share of the brain",
        "enrichment (chance 1)",
    ]
    return Table(caption, [*header, "occlusion (logits)"] if occluded else header, body)
