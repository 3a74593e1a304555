"""The model card of a bundle: what the models are, whom they were trained on, how good they are, where they end."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from relevox.report.drawing import readable
from relevox.report.limits import SIMULATED
from relevox.report.map_verdicts import of_maps_like_this
from relevox.report.novelty import measure_title, range_words
from relevox.report.results import ModelCard
from relevox.report.scores import MEASURE_TITLES, MODEL_TITLES
from relevox.report.tables import DASH, interval, number
from relevox.statistics.baselines import model_order
from relevox.statistics.disclosure import OTHER, SMALLEST_CELL

_MEASURES = ("balanced_accuracy", "sensitivity", "specificity", "auc", "brier")


def model_card(card: ModelCard, onnx_difference: float | None = None) -> str:
    """Return ``MODEL_CARD.md``.

    Parameters
    ----------
    card : ModelCard
        Where the models come from.
    onnx_difference : float, optional
        Largest difference of the ONNX files' logits from torch's; None where there are no such files.
    """
    title = f"# Model card: {card.classes[1]} from T1w and FLAIR"
    parts = [
        title,
        "For research only: this is no medical device, and no answer of it may guide the care of a person.",
        *([f"**{SIMULATED}**"] if card.simulated else []),
        *_what(card),
        *_whom(card),
        *_how_good(card),
        "## What its maps are worth",
        *of_maps_like_this(card.map_checks),
        *_limits(card),
        *_use(card, onnx_difference),
        *_inside(card),
    ]
    return "\n\n".join(parts) + "\n"


def _what(card: ModelCard) -> list[str]:
    made = card.settings.preprocessing
    shape = " x ".join(map(str, made.shape))
    told = ", ".join(readable(name) for name in card.settings.training.covariates)
    beside = f"- Beside the images: {told}; what is not given becomes the mean of the training scans.\n" if told else ""
    return [
        "## What it is",
        f"{card.n_models} 3D residual networks of {card.n_parameters:,} parameters each, one for each fold of a "
        "cross-validation. A scan's answer is their majority vote, its probability their mean; neither is calibrated.",
        f"- Class 1: {card.settings.cohort.outcome_words}. Class 0: the others.\n"
        f"- Input: T1w and FLAIR of one session, prepared by relevox: skull-stripped, in the space {made.space}, "
        f"{shape} voxels of {made.voxel_size_mm} mm, intensity scale `{made.normalisation}`.\n"
        f"{beside}"
        f"- Trained with relevox {card.version}.",
    ]


def _whom(card: ModelCard) -> list[str]:
    cohort = card.cohort
    kind = "simulated patients" if card.simulated else "patients"
    rows = [(kind, str(cohort["n_patients"])), ("scans", str(cohort["n_scans"]))]
    for key, title in (
        ("patients_by_class", "class"),
        ("patients_by_sex", "sex"),
        ("patients_by_scanner", "scanner"),
        ("patients_by_field_strength", "field strength"),
    ):
        counts = cohort[key]
        words = "; ".join(f"{name}: {count}" for name, count in counts.items() if name != OTHER or len(counts) > 1)
        rows.append((f"{title}, patients", words or "not given"))
    for key, title in (("age_years", "age (years)"), ("disease_duration_years", "disease duration (years)")):
        rows.append((f"{title}, mean (SD) over scans", _mean(cohort[key])))
    rows.append((f"{card.settings.cohort.score}, mean (SD) over scans", _mean(cohort["score"])))
    note = (
        f"Groups of fewer than {SMALLEST_CELL} patients are pooled as `{OTHER}` or left out. A patient with scans of "
        "two kinds counts in both."
    )
    return ["## Whom it was trained on", _table(("", ""), rows), note]


def _mean(found: Mapping[str, float]) -> str:
    if not math.isfinite(found["mean"]):
        return "not known"
    return f"{number(found['mean'], 1)} ({number(found['sd'], 1)}), {found['n']:.0f} scans"


def _how_good(card: ModelCard) -> list[str]:
    confidence = round(100 * card.settings.evaluation.confidence)
    rows = []
    for model in model_order([str(row["model"]) for row in card.scores]):
        found = [card.score(model, measure) for measure in _MEASURES]
        rows.append((MODEL_TITLES.get(model, model), *(DASH if row is None else interval(row) for row in found)))
    n = card.cohort["n_scans"]
    text = (
        f"Out of fold on the {n} training scans: every scan was answered by the one network that never saw its patient "
        f"({confidence} % intervals from a bootstrap over patients). The vote of all networks, which you will use, was "
        "not tested there, because each scan trained most of them."
    )
    return ["## How good it is", text, _table(("", *(MEASURE_TITLES[m] for m in _MEASURES)), rows), *_against(card)]


def _against(card: ModelCard) -> list[str]:
    """Say it where a simpler model reaches the network's interval, or chance does."""
    network = card.score("cnn", "auc")
    if network is None or not math.isfinite(network["ci_low"]):
        return ["How sure these numbers are is not known."]
    near = []
    for model in model_order([str(row["model"]) for row in card.scores]):
        row = card.score(model, "auc")
        if model != "cnn" and row is not None and row["value"] >= network["ci_low"]:
            near.append(f"{MODEL_TITLES.get(model, model)} ({number(row['value'])})")
    sentences = []
    if network["ci_low"] <= 0.5:
        sentences.append("The interval of the network's AUC includes 0.5: it is not shown to be better than chance.")
    if near:
        sentences.append(
            f"The AUC of {' and of '.join(near)} reaches the network's interval: it is not shown that the network "
            "reads more from the images."
        )
    return [" ".join(sentences)] if sentences else []


def _limits(card: ModelCard) -> list[str]:
    training = card.training_range
    text = [
        "No other centre, scanner or population than the above was tested for this card.",
        "`relevox predict` compares a scan's volumes and quality measures with the training scans' and warns of scans "
        "outside. A scan inside is not thereby one the model works on.",
    ]
    if math.isfinite(training.false_alarms):
        share = number(100 * training.false_alarms, 1)
        text.append(f"Of the training patients, each left out once, {share} % would have been warned of.")
    rows = [(measure_title(measure.name), range_words(measure)) for measure in training.measures]
    return ["## Where it ends", "\n".join(f"- {sentence}" for sentence in text), _table(("", "training scans"), rows)]


def _use(card: ModelCard, onnx_difference: float | None) -> list[str]:
    names = card.settings.training.covariates
    second = f" and `covariates` (batch, {len(names)}): {', '.join(names)}, NaN where unknown" if names else ""
    parts = [
        "## How to use it",
        "```\nrelevox predict BUNDLE --t1w T1w.nii.gz --flair FLAIR.nii.gz --out PATIENT\n```",
    ]
    if onnx_difference is not None:
        parts.append(
            "`fold-*.onnx` are the same networks: input `scans` (batch, 2, x, y, z) float32, T1w then FLAIR, as "
            f"prepared by relevox{second}; output `logits` (batch, 2). Their logits differ from torch's by at most "
            f"{onnx_difference:.1e}. Preprocessing, vote and the comparison with the training scans are not in them."
        )
    return parts


def _inside(card: ModelCard) -> list[str]:
    return [
        "## What is inside",
        "Weights, the mean input image of the training cohort, counts, moments, quantiles and scores. No patient, id, "
        "date, scanner's serial number or path. Weights are fitted to patients all the same: what can be inferred from "
        "weights about the patients behind them is an open question, so share them as the patients' consent allows.",
        f"Hash over all weights: `{card.fingerprint}`. `model.json` holds the hash of every file; relevox refuses a "
        "bundle in which one differs.",
    ]


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "/") for cell in line) + " |" for line in lines)
