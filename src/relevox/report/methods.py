"""The methods section, written from the settings and counts of what really ran."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from relevox.config import CohortSettings, Settings
from relevox.report.drawing import method_title
from relevox.report.results import StudyResults
from relevox.report.scores import MODEL_TITLES
from relevox.statistics.baselines import model_order
from relevox.statistics.folds import unseen_rows


def methods(results: StudyResults) -> list[tuple[str, str]]:
    """Return headed paragraphs: (heading, paragraph).

    Parameters
    ----------
    results : StudyResults
        Settings, counts, the preprocessing's own steps and the versions.
    """
    return [
        ("Cohort", cohort_text(results)),
        ("Preprocessing", preprocessing_text(results)),
        ("Network and training", training_text(results)),
        ("Comparison models", baseline_text(results)),
        ("Evaluation", evaluation_text(results)),
        ("Attention maps", attribution_text(results.settings) + checks_text(results)),
        ("Group analysis", analysis_text(results)),
        ("Software", software_text(results.versions)),
    ]


def cohort_text(results: StudyResults) -> str:
    """Say who is in the study and what is predicted."""
    c, n = results.settings.cohort, len(results.cohort)
    patients = len(set(results.cohort.patients.tolist()))
    positive = int(results.cohort.labels.sum())
    # after a scan, the closest is the first
    which = "first" if (c.window_choice, c.window_direction) == ("closest", "after") else c.window_choice
    kind = "simulated " if results.simulated else ""
    return (
        f"{n} scans (T1w and FLAIR) of {patients} {kind}patients were used, {positive} with {results.classes[1]} and "
        f"{n - positive} with {results.classes[0]}. A scan takes the {which} {c.score} dated {c.window_words}."
        f"{_later_outcome(c)}"
    )


def _later_outcome(c: CohortSettings) -> str:
    words = f" {c.class_words[1]} means: {c.outcome_words}." if c.outcome == "worsening" else ""
    if c.keeps_score_at_scan:
        words += f" The {c.score} at the scan is the closest one within {c.score_at_scan_days} days of it."
    return words


def preprocessing_text(results: StudyResults) -> str:
    """Say what preprocessing did, in the words it recorded itself."""
    p = results.settings.preprocessing
    n = len(results.cohort)
    steps = [f"{step} ({count} of {n} scans)" if count != n else step for step, count in results.steps]
    recorded = f"Recorded steps: {'; '.join(steps)}." if steps else "The scans carry no record of their steps."
    scale = {
        "median": "clipped at 0 and divided by the median of the brain",
        "percentile": "clipped to the 0.5th to 99.5th percentile of the brain and scaled to 0 to 1",
        "minmax": "scaled to 0 to 1 by the brain's minimum and maximum",
    }[p.normalisation]
    shape = " x ".join(str(size) for size in p.shape)
    return (
        f"{recorded} Images in {p.space} space were {scale}, the background set to 0, and cropped to {shape} voxels of "
        f"{p.voxel_size_mm} mm."
    )


def training_text(results: StudyResults) -> str:
    """Say what was trained, and how."""
    s, t = results.settings.network, results.settings.training
    epochs = [max(int(row["epoch"]) for row in rows) for rows in results.histories.values() if rows]
    span = "" if not epochs else (f"{min(epochs)}" if min(epochs) == max(epochs) else f"{min(epochs)} to {max(epochs)}")
    schedule = (
        f"the rate multiplied by {t.plateau_factor:g} after {t.plateau_patience} epochs without better validation loss"
        if t.schedule == "plateau"
        else "a one-cycle schedule"
    )
    stopping = (
        f"early stopping after {t.early_stopping_patience} epochs without better validation loss"
        if t.early_stopping_patience
        else "no early stopping"
    )
    kept = "the weights of the best validation loss" if t.restore_best else "the last weights"
    optimiser = {"adam": "Adam", "adamw": f"AdamW (weight decay {t.weight_decay:g})"}[t.optimiser]
    ran = f" {span} epochs were run per fold." if span else ""
    without = ""
    if t.unseen_scanner:
        unseen = int(unseen_rows(results.cohort, t.unseen_scanner).sum())
        without = (
            f" No model learned from scans of {t.unseen_scanner}, from other scans of its patients, or from scans of "
            f"unknown scanner ({unseen} of {len(results.cohort)} scans); they were predicted as the others were."
        )
    return (
        f"A 3D residual network with {len(s.widths)} blocks ({', '.join(map(str, s.widths))} kernels), a global "
        f"max-pool and two further layers ({s.head_widths[0]} and {s.head_widths[1]} kernels) was trained in "
        f"{len(results.histories)} folds, split by patient and balanced by class; a fold's neighbour was its "
        f"validation set.{without} {optimiser}, learning rate {t.learning_rate:g}, batches of {t.batch_size}, "
        f"{schedule}, at most {t.max_epochs} epochs, {stopping}, {kept} kept.{ran} Training scans were mirrored left "
        f"to right ({100 * t.mirror_positives:.0f} % of class 1, {100 * t.mirror_negatives:.0f} % of class 0, added to "
        f"the originals) and received noise (sigma {t.noise_sigma:g}); class weights: "
        f"{t.class_weights.replace('_', ' ')}."
    )


def baseline_text(results: StudyResults) -> str:
    """Say which models stand beside the network."""
    models = [m for m in model_order([p.model for p in results.predictions]) if m != "cnn"]
    named = ", ".join(MODEL_TITLES.get(model, model) for model in models)
    if not named:
        return "No comparison model was fitted."
    text = f"On the same folds, standardised on the training scans only: {named}."
    if subsets := {row["subset"] for row in results.evaluation.get("subset_scores", ())}:
        text += (
            f" Logistic regression was also fitted on each of the {len(subsets)} subsets of the volumes; the one that "
            "was picked per fold by its validation scans is honest, the best of all on the test scans is not."
        )
    return text


def evaluation_text(results: StudyResults) -> str:
    """Say how scores and intervals were made."""
    e = results.settings.evaluation
    sizes = np.bincount(results.folds)
    sizes = sizes[sizes > 0]
    compared = (
        " The CNN was compared with each other model by DeLong's test per patient, McNemar's test with patients as "
        "clusters (Durkalski; Obuchowski) per scan, and a t-test over folds with Nadeau and Bengio's variance; every "
        f"model with chance by {e.n_permutations} permutations of the patients' classes."
        if results.comparisons
        else ""
    )
    return (
        f"Scores are those of the pooled out-of-fold predictions ({sizes.size} folds of {sizes.min()} to {sizes.max()} "
        f"scans). Intervals: {100 * e.confidence:g} %, {e.n_bootstrap} bootstrap samples of whole patients "
        "(bias-corrected and accelerated; for differences between models from their standard error). A "
        f"probability above 0.5 is class 1.{compared}{_beyond_scores(results)}"
    )


def _beyond_scores(results: StudyResults) -> str:
    """Say what else was made of the predictions."""
    e, found = results.settings.evaluation, results.evaluation
    said = {
        "stratified": "The AUC within scanners compares scans of the same scanner only.",
        "reliability": "A temperature per fold was fitted on its validation scans.",
        "conformal": f"Conformal sets with a promise of {100 * (1 - e.conformal_alpha):g} % were calibrated on the "
        "validation scans, every patient with the same weight.",
        "interactions": f"Whether scores differ between parts of the cohort was tested by {e.n_permutations} "
        "exchanges of the parts between patients of a class.",
    }
    return "".join(f" {text}" for kind, text in said.items() if found.get(kind))


def attribution_text(settings: Settings) -> str:
    """Say how the maps were made."""
    a = settings.attribution
    baseline = "the mean of the fold's training scans" if a.baseline == "mean" else "an empty image"
    details = {
        "lrp": f"{method_title('lrp')}, started from the explained class's {a.lrp_start}"
        if a.lrp_start != "one"
        else f"{method_title('lrp')}, started from 1",
        "integrated_gradients": f"integrated gradients from {baseline} ({a.integrated_gradients_steps} steps)",
        "smoothgrad": f"SmoothGrad ({a.smoothgrad_samples} samples, noise of {a.smoothgrad_noise:g} standard "
        "deviations inside the brain)",
        "gradcam": f"Grad-CAM at {a.gradcam_layer or 'the last block'}",
    }
    target = {
        "predicted": "predicted class",
        "positive": "class 1",
        "negative": "class 0",
        "true": "true class",
    }[a.target]
    return (
        f"Every scan was explained by the model of the fold in which it was tested, for the {target}: "
        f"{'; '.join(details.get(method, method_title(method)) for method in a.methods)}; and occlusion of each region "
        "by the mean of the fold's training scans. Maps are sums over the two channels."
    )


def checks_text(results: StudyResults) -> str:
    """Say how the maps were checked; empty where they were not."""
    if not results.checks:
        return ""
    c, n = results.settings.checks, int(max(row["n_scans"] for row in results.checks))
    return (
        f" Maps of {n} test scans ({c.scans_per_fold} a fold, drawn at random, of different patients) were checked "
        f"({', '.join(method_title(method) for method in c.methods)}): against maps of the same network with its "
        "weights drawn again from the output to the input (Adebayo et al. 2018), of the other class, and of the other "
        "folds' networks, by correlation over the brain; and by replacing regions, and about "
        f"{c.supervoxels} supervoxels (k-means on position and intensities), by the mean of the fold's training scans "
        f"in the order of their mean relevance (Samek et al. 2015), against {c.random_orders} orders by chance a scan. "
        "Intervals draw patients."
    )


def analysis_text(results: StudyResults) -> str:
    """Say how the maps were analysed."""
    a = results.settings.analysis
    scaled = (
        "Maps were divided by the sum of their absolute relevance first. "
        if a.normalise
        else "Maps were not rescaled. "
    )
    regions = "the template's regions" if a.parcellation == "template" else "the scan's own regions"
    averaged = "every scan weighing alike" if a.average == "scans" else "the scans of a patient first"
    return (
        f"{scaled}Per scan, voxels above the {a.percentile:g}th percentile of the positive relevance in the brain were "
        f"counted by {regions}. Per prediction group, maps were averaged, {averaged}, and in every voxel relevance was "
        f"regressed on {_listed([REGRESSOR_WORDS[name] for name in a.regressors])} over the group's scans."
        f"{_inference_text(results)}"
    )


REGRESSOR_WORDS = {
    "lesion": "the lesion mask",
    "jacobian": "the Jacobian determinant",
    "age": "age",
    "disease_duration": "disease duration",
}
"""Regressors as a sentence names them."""


def _inference_text(results: StudyResults) -> str:
    """Say how the regression was tested, where it was."""
    a = results.settings.analysis
    done = [row["n_permutations"] for row in results.regressors if row["n_permutations"] > 0]
    if not done:
        return ""
    lesions = (
        f"; lesions in voxels where at least {a.min_lesion_scans} scans of the group have one, and as many have none"
        if "lesion" in a.regressors
        else ""
    )
    enhanced = " and by the largest value after threshold-free cluster enhancement" if a.tfce else ""
    return (
        f" Each regressor was tested given the others by {_span(done)} Freedman-Lane permutations of whole patients, "
        f"corrected over the voxels by the largest |t|{enhanced}{lesions}. What R\N{SUPERSCRIPT TWO} chance would "
        "give is its mean over such permutations."
    )


def _span(counts: Sequence[float]) -> str:
    low, high = min(counts), max(counts)
    return f"{low:.0f}" if low == high else f"{low:.0f} to {high:.0f}"


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def software_text(versions: Mapping[str, str]) -> str:
    """Name the programs and their versions."""
    if not versions:
        return "Versions were not recorded."
    return "Made with " + ", ".join(f"{name} {version}" for name, version in versions.items()) + "."


def unique_steps(recorded: Sequence[Sequence[str]]) -> list[tuple[str, int]]:
    """Count each step over scans, in the order in which steps first occur.

    Examples
    --------
    >>> unique_steps([["N4", "affine"], ["affine"]])
    [('N4', 1), ('affine', 2)]
    """
    counts: dict[str, int] = {}
    for steps in recorded:
        for step in dict.fromkeys(steps):
            counts[step] = counts.get(step, 0) + 1
    return list(counts.items())
