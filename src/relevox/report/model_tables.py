"""Tables of the evaluation: the models side by side, and what a confound could explain."""

from __future__ import annotations

import math

from relevox.report.drawing import readable
from relevox.report.page import Table
from relevox.report.results import Row, StudyResults
from relevox.report.scores import MODEL_TITLES
from relevox.report.subgroups import FACTOR_TITLES
from relevox.report.tables import DASH, INDENT, interval, number, p_value
from relevox.statistics.baselines import BEST
from relevox.statistics.evaluation.confounds import NEVER_SEEN

P_OF = {"scan": ("Durkalski", "bootstrap"), "patient": ("bootstrap", "DeLong")}
"""Tests behind the p of the accuracy's and of the AUC's difference."""


def first_table(results: StudyResults, level: str) -> Table:
    """Return every model in one row: scores, and the CNN's lead over it."""
    rows = [row for row in results.evaluation.get("summary", ()) if row["level"] == level]
    body = []
    for row in rows:
        cells = [_cell(row, measure) for measure in ("accuracy", "balanced_accuracy", "auc")]
        for measure in ("accuracy", "auc"):
            name = f"cnn_minus_model_{measure}"
            cells += [_cell(row, name), p_value(row[f"{name}_p"])]
        body.append((_model(row), *cells))
    n = f"{rows[0]['n']:.0f} {level}s" if rows else ""
    confidence = round(100 * results.settings.evaluation.confidence)
    of_accuracy, of_auc = P_OF[level]
    note = ""
    if any(row["model"] == BEST for row in rows):
        note = (
            f" The best of all {_n_subsets(results)} subsets of the volumes was picked by the very scans it is scored "
            "on, and is therefore too good; the subset picked by each fold's validation scans is not."
        )
    caption = (
        f"Every model on the same {n}, out of fold, with {confidence} % intervals from a bootstrap over patients"
        f"{'' if level == 'scan' else ' (one answer a patient: the mean over its scans)'}. Right: the CNN's lead over "
        f"the model of the row, with p (accuracy: {of_accuracy}; AUC: {of_auc}), not adjusted for the number of "
        f"comparisons.{note}"
    )
    header = ("", "accuracy", "balanced accuracy", "AUC", "lead in accuracy", "p", "lead in AUC", "p")
    return Table(caption, header, body)


def _n_subsets(results: StudyResults) -> int:
    return len({row["subset"] for row in results.evaluation.get("subset_scores", ())})


def _model(row: Row) -> str:
    return MODEL_TITLES.get(str(row["model"]), str(row["model"]))


def subset_table(results: StudyResults, level: str = "scan") -> Table:
    """Return the regression on every subset of the volumes, the largest AUC first."""
    rows = [row for row in results.evaluation["subset_scores"] if row["level"] == level]
    rows.sort(key=lambda row: -row["auc"] if math.isfinite(row["auc"]) else 1.0)
    body = [
        (
            ", ".join(readable(name) for name in str(row["subset"]).split("+")),
            *(_cell(row, measure) for measure in ("accuracy", "balanced_accuracy", "auc")),
            number(row["folds_that_chose_it"], 0),
        )
        for row in rows
    ]
    caption = (
        f"Logistic regression on each of the {len(rows)} subsets of the volumes, per {level}, the largest AUC first. "
        "The first row looks better than a new cohort would find it: it was picked out of all by the scans it is "
        "scored on. Last column: folds whose validation scans picked the subset."
    )
    return Table(caption, ("volumes", "accuracy", "balanced accuracy", "AUC", "picked in folds"), body)


def stratified_table(results: StudyResults) -> Table:
    """Return AUCs over all pairs of scans, and over those within one level of each factor."""
    rows = results.evaluation["stratified"]
    factors = list(dict.fromkeys(str(row["factor"]) for row in rows))
    by = {(row["model"], row["factor"]): row for row in rows}
    body = []
    for model in dict.fromkeys(row["model"] for row in rows):
        cells = [interval(_ends(by[model, factor], "stratified_auc", "ci"), to=DASH) for factor in factors]
        body.append((_model({"model": model}), number(by[model, factors[0]]["auc"]), *cells))
    pairs = "; ".join(
        f"{_factor(factor)} {by[rows[0]['model'], factor]['n_pairs']:.0f} of {rows[0]['n_pairs_all']:.0f}"
        for factor in factors
    )
    caption = (
        "AUC over all pairs of scans of different class, and over pairs within one level of a factor only: what a "
        f"model knows beyond it. Pairs within a level: {pairs}. Scans of different folds were answered by different "
        "models, so one that knows nothing can fall below 0.5."
    )
    return Table(caption, ("", "all pairs", *(f"within {_factor(factor)}" for factor in factors)), body)


def left_out_table(results: StudyResults) -> Table:
    """Return scores by scanner: of regressions that never saw it, and of the CNN, which may have."""
    rows = results.evaluation["left_out_scanners"]
    unseen = next((str(row["scanner"]) for row in rows if row["training"] == NEVER_SEEN), "")
    models = {str(row["model"]): row["training"] == "refitted" for row in rows}
    by = {(row["model"], row["scanner"], row["measure"]): row for row in rows}
    body = []
    for scanner in dict.fromkeys(str(row["scanner"]) for row in rows):
        of = [row for row in rows if row["scanner"] == scanner]
        cells = [
            interval(by[model, scanner, measure], to=DASH) if (model, scanner, measure) in by else DASH
            for model in models
            for measure in ("balanced_accuracy", "auc")
        ]
        name = f"{scanner} (CNN trained without it)" if scanner == unseen else scanner
        body.append((name, number(of[0]["n_patients"], 0), number(of[0]["n"], 0), *cells))
    names = {True: "fitted without it", False: "out of fold"}
    titles = [
        f"{MODEL_TITLES.get(model, model).split(' (')[0]}, {names[refitted]}: {measure}"
        for model, refitted in models.items()
        for measure in ("balanced accuracy", "AUC")
    ]
    network = (
        f"The CNN was trained without {unseen} and without its patients; its answers to the other scanners are those "
        "of models that knew other scans of them, and all scanners together mix both."
        if unseen
        else "The CNN was not trained again: its out-of-fold answers are those of models that knew other scans of the "
        "scanner."
    )
    caption = (
        "Scans of one scanner at a time. The regressions were fitted again without the scanner and without its "
        f"patients. {network} {DASH}: fewer than {results.settings.evaluation.smallest_group} patients, or fewer than "
        f"{results.settings.evaluation.smallest_class} of a class."
    )
    return Table(caption, ("scanner", "patients", "scans", *titles), body)


def balance_table(results: StudyResults) -> Table:
    """Return how classes, age and sex spread over the levels of each factor."""
    body, seen = [], set()
    for row in results.evaluation["balance"]:
        if row["factor"] not in seen:
            seen.add(row["factor"])
            body.append((_factor(str(row["factor"])), *[""] * 7))
        ages = [f"{number(row[f'age_mean_{k}'], 1)} ({number(row[f'age_sd_{k}'], 1)})" for k in (0, 1)]
        women = [_percent(row[f"female_{k}"]) for k in (0, 1)]
        counts = [number(row[name], 0) for name in ("patients", "scans")]
        body.append((f"{INDENT}{row['level']}", *counts, _percent(row["share_class_1"]), *ages, *women))
    low, high = results.classes
    caption = (
        f"Balance of the cohort: the share of {high} in each part, and age in years (mean (SD) over scans) and share "
        "of women of both classes. Where the shares differ between scanners, the scanner can stand for the class."
    )
    header = ("", "patients", "scans", f"share of {high}", f"age, {low}", f"age, {high}", f"women, {low}")
    return Table(caption, (*header, f"women, {high}"), body)


def calibration_table(results: StudyResults) -> Table:
    """Return slope, intercept, Brier score and calibration error of every model, raw and with temperature."""
    body = []
    for row in results.calibration:
        kind = {"raw": "as they are", "temperature": "with temperature"}.get(str(row.get("probability")), DASH)
        cells = [interval(_ends(row, name, name)) for name in ("slope", "intercept", "brier")]
        body.append((_model(row), kind, *cells, number(row.get("ece", math.nan)), number(row.get("auc", math.nan))))
    n = f"{results.calibration[0]['n']:.0f} patients"
    caption = (
        f"Calibration per patient ({n}). Slope 1 and intercept 0 are perfect (Wald intervals, patients as clusters); "
        "Brier score: mean squared distance of the probability from the class, small is good (bootstrap over "
        "patients); ECE over ten bins of equal width, closed on the right. Temperatures come from each fold's "
        "validation scans; they change no order within a fold."
    )
    return Table(caption, ("", "probabilities", "slope", "intercept", "Brier score", "ECE", "AUC"), body)


def conformal_table(results: StudyResults) -> Table:
    """Return how often the CNN's conformal sets hold the true class, and how often they decide."""
    rows = [row for row in results.evaluation["conformal"] if (row["model"], row["fold"]) == ("cnn", "all")]
    names = {"overall": "over both classes", "by_class": "within each class"}
    body = [
        (
            names[str(row["promise"])],
            _percent(1 - row["alpha"]),
            *(_percents(row, name) for name in ("patient", "class_0", "class_1")),
            *(_percent(row[name]) for name in ("single", "both", "empty")),
        )
        for row in rows
    ]
    low, high = results.classes
    caption = (
        "Conformal sets of the CNN: the classes that a patient's scan may belong to, with a promised coverage; "
        f"thresholds from each fold's validation scans, checked on {rows[0]['n_patients']:.0f} patients "
        f"({rows[0]['n']:.0f} scans) out of fold. A set of one class is a decision, one of both leaves it open."
    )
    header = ("promise", "promised", "covered", f"covered, {low}", f"covered, {high}", "one class", "both", "none")
    return Table(caption, header, body)


def posthoc_table(results: StudyResults) -> Table:
    """Return the scores at the ends of the scale, without retraining."""
    rows = [row for row in results.evaluation["posthoc"] if row["level"] == "scan"]
    by = {(row["subset"], row["model"], row["measure"]): row for row in rows}
    body = []
    for subset in dict.fromkeys(str(row["subset"]) for row in rows):
        of = [row for row in rows if row["subset"] == subset]
        title = subset.replace("<=", "\N{LESS-THAN OR EQUAL TO}").replace(">=", "\N{GREATER-THAN OR EQUAL TO}")
        n = f"{of[0]['n']:.0f} scans, {of[0]['n_left_out']:.0f} left out"
        body.append((f"{results.settings.cohort.score} {title} ({n})", "", "", ""))
        for model in dict.fromkeys(row["model"] for row in of):
            cells = [interval(by[subset, model, m], to=DASH) for m in ("accuracy", "balanced_accuracy", "auc")]
            body.append((f"{INDENT}{_model({'model': model})}", *cells))
    caption = (
        "The ends of the scale: the same out-of-fold answers without the scans in the middle; no model was trained "
        "again (cohort.exclude_between does that)."
    )
    return Table(caption, ("", "accuracy", "balanced accuracy", "AUC"), body)


def _cell(row: Row, name: str) -> str:
    return interval(_ends(row, name, f"{name}_ci"), to=DASH)


def _ends(row: Row, name: str, ends: str) -> Row:
    return {
        "value": row.get(name, math.nan),
        "ci_low": row.get(f"{ends}_low", math.nan),
        "ci_high": row.get(f"{ends}_high", math.nan),
    }


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if math.isfinite(share) else DASH


def _percents(row: Row, name: str) -> str:
    if not math.isfinite(row[name]):
        return DASH
    low, high = row[f"{name}_ci_low"], row[f"{name}_ci_high"]
    return f"{100 * row[name]:.0f} % ({100 * low:.0f}{DASH}{100 * high:.0f})"


def _factor(name: str) -> str:
    return FACTOR_TITLES.get(name, readable(name))
