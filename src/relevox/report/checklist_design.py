"""What a study can say of its design and methods to the items of a reporting checklist.

One small function an answer, named by the key in ``checklists/*.tsv``. Each
says only what settings and results hold; what they do not hold is the author's.
"""

from __future__ import annotations

import math

import numpy as np

from relevox.report import checklist_findings as findings
from relevox.report import methods, section_leaks
from relevox.report.acquisition import acquisition_table
from relevox.report.cohort_tables import class_sizes
from relevox.report.results import StudyResults, signed
from relevox.report.scores import MEASURE_TITLES
from relevox.report.tables import number


def _patients(results: StudyResults) -> int:
    return len(set(results.cohort.patients.tolist()))


def _kind(results: StudyResults) -> str:
    return "simulated patients" if results.simulated else "patients"


def title(results: StudyResults) -> str:
    """Facts for a title."""
    return (
        f"Development and evaluation by {len(results.histories)}-fold cross-validation of a 3D convolutional network "
        f"(deep learning) that predicts {signed(results.settings.cohort.outcome_words)} from T1w and FLAIR MRI, in "
        f"{_patients(results)} {_kind(results)}."
    )


def aim(results: StudyResults) -> str:
    """What was done, whatever the aim was."""
    return f"What was done: development of a model and its evaluation out of fold. {findings.external(results)}".strip()


def dates(results: StudyResults) -> str:
    """Dates are not kept."""
    c = results.settings.cohort
    return f"A score was taken from {c.window_words}; dates of persons are not kept in the results."


def scanners(results: StudyResults) -> str:
    """How many scanners."""
    names = sorted({o.scanner for o in results.cohort if o.scanner})
    return f"Scanner models: {', '.join(names)}." if names else ""


def eligibility(results: StudyResults) -> str:
    """The rules that the software applied."""
    rules = [str(row["rule"]) for row in results.flow[1:]]
    applied = f" Left out: {'; '.join(rules)}." if rules else ""
    return f"Scans with a T1w and a FLAIR image.{applied}"


def treatment(results: StudyResults) -> str:
    """Whether the cohort table lists treatments."""
    named = [name for name in results.characteristics if "treatment" in name.lower()]
    return "Treatments are listed in the cohort table (tables/table2)." if named else ""


def ethics(results: StudyResults) -> str:
    """Only that patients are simulated."""
    return "The patients are simulated." if results.simulated else ""


def outcome(results: StudyResults) -> str:
    """What is predicted."""
    c = results.settings.cohort
    return f"Class 1: {signed(c.outcome_words)}; the score was taken {c.window_words} ({c.window_choice} of several)."


def predictors(results: StudyResults) -> str:
    """What the models see."""
    volumes = ", ".join(name.replace("_", " ") for name in results.volume_names)
    return f"The network sees the T1w and FLAIR image; comparison models see volumes ({volumes}) or no image at all."


def inputs(results: StudyResults) -> str:
    """How predictors are measured."""
    shape = " x ".join(map(str, results.settings.preprocessing.shape))
    return (
        f"Two images of {shape} voxels in {results.settings.preprocessing.space} space from one session; volumes in "
        "native millilitres. All are measured by software from the scan."
    )


def automatic(results: StudyResults) -> str:
    """Nobody judged the images."""
    return "Images and volumes were measured by software that does not see the score."


def sample_size(results: StudyResults) -> str:
    """What there was."""
    (p0, s0), (p1, s1) = class_sizes(results.cohort)
    return (
        f"All scans that met the rules were used: {s0 + s1} scans of {p0 + p1} patients; {s1} scans of {p1} patients "
        f"with {results.classes[1]}. Relevox makes no sample size calculation."
    )


def partitions(results: StudyResults) -> str:
    """Folds."""
    sizes = np.bincount(results.folds)
    sizes = sizes[sizes > 0]
    unseen = results.settings.training.unseen_scanner
    without = f" Scans of {unseen} and of its patients were tested only." if unseen else ""
    return (
        f"{sizes.size} folds of {sizes.min()} to {sizes.max()} scans, by patient and balanced by class: test fold i, "
        f"validation fold i + 1, the others train.{without} Every model saw the same folds (folds.tsv)."
    )


def disjoint(results: StudyResults) -> str:
    """Patients."""
    audit = f" {section_leaks.sentence(results.leaks)}" if results.leaks else ""
    return f"Patients: all scans of a patient lie in one fold; this is checked when folds are dealt.{audit}"


def transformed(results: StudyResults) -> str:
    """Scale of images and volumes."""
    scale = {
        "median": "clipped at 0 and divided by the brain's median",
        "percentile": "clipped to the brain's 0.5th and 99.5th percentile and scaled to 0 to 1",
        "minmax": "scaled to 0 to 1 by the brain's minimum and maximum",
    }[results.settings.preprocessing.normalisation]
    return f"Images were {scale}; volumes and age were standardised on the training scans of each fold."


def model(results: StudyResults) -> str:
    """The network and its companions."""
    return f"{methods.training_text(results)} {methods.baseline_text(results)}"


def clusters(results: StudyResults) -> str:
    """Repeated scans and scanners."""
    return (
        "Scans of one patient are kept in one fold and resampled together. What the scanner alone gives away is "
        "measured by a model of its own on the same folds."
    )


def updating(results: StudyResults) -> str:
    """None on test data."""
    tempered = (
        " A temperature was fitted on validation folds; probabilities with it stand beside those without."
        if results.evaluation.get("temperatures")
        else ""
    )
    return f"No model was refitted or updated on data it was tested on.{tempered}"


def predictions(results: StudyResults) -> str:
    """Out of fold."""
    return (
        "Every scan was predicted by the model of the fold in which it was tested, which had not seen any scan of that "
        "patient (predictions/cohort_predictions.tsv)."
    )


def imbalance(results: StudyResults) -> str:
    """Class weights and mirrors."""
    t, positive = results.settings.training, int(results.cohort.labels.sum())
    weights = "counted after augmentation" if t.class_weights == "inverse_frequency" else "not used"
    slopes = [
        f"{number(row['slope'])} {'with a temperature' if row.get('probability') == 'temperature' else 'as it is'}"
        for row in results.calibration
        if row["model"] == "cnn" and math.isfinite(row["slope"])
    ]
    slope = f" Calibration slope of the network: {', '.join(slopes)}." if slopes else ""
    return (
        f"{positive} of {len(results.cohort)} scans are of class 1. Class weights ({t.class_weights.replace('_', ' ')})"
        f" were {weights}; mirrored copies: {100 * t.mirror_positives:.0f} % of class 1, "
        f"{100 * t.mirror_negatives:.0f} % of class 0.{slope}"
    )


def output(results: StudyResults) -> str:
    """Probability and threshold."""
    return f"The probability of {results.classes[1]}; above 0.5 a scan is of that class."


def code(results: StudyResults) -> str:
    """The program and the settings."""
    version = results.versions.get("relevox")
    return f"relevox {version}, Apache-2.0; all settings in study.toml, models in models/." if version else ""


def specification(results: StudyResults) -> str:
    """Where the weights are."""
    return (
        "models/fold-*/weights.safetensors with model.json (layers, sizes) and baselines.json (coefficients); "
        "`relevox predict` applies them to a new patient."
    )


def measures(results: StudyResults) -> str:
    """Which measures, intervals and tests."""
    named = list(dict.fromkeys(str(row["measure"]) for row in results.scores))
    return (
        f"Measures: {', '.join(MEASURE_TITLES.get(name, name) for name in named)}. {methods.evaluation_text(results)}"
    )


def subsets(results: StudyResults) -> str:
    """Crop and left-out middle."""
    between = results.settings.cohort.exclude_between
    middle = " Scores strictly between {:g} and {:g} were left out.".format(*between) if between else ""
    return f"The whole brain was used, cropped to a fixed box.{middle}"


def deidentified(results: StudyResults) -> str:
    """What the results do not hold."""
    return "Results hold no dates, record numbers or paths of the data set, and pictures show no face."


def acquisition(results: StudyResults) -> str:
    """Where the table is."""
    table = acquisition_table(results.acquisition, len(results.cohort))
    return "" if table is None else f"By scanner in tables/table1 ({len(table.rows)} scanners and contrasts)."


def test_annotation(results: StudyResults) -> str:
    """The same score."""
    return "Every scan is tested once; its reference is the same score as in training."


def initial(results: StudyResults) -> str:
    """Random weights."""
    return f"Random weights (seed {results.settings.seed}); nothing was pre-trained."


def selection(results: StudyResults) -> str:
    """Best or last epoch."""
    t = results.settings.training
    kept = "of the epoch with the lowest validation loss" if t.restore_best else "after the last epoch"
    return f"Weights {kept} were kept in each fold. Test folds had no part in it."


def ensemble(results: StudyResults) -> str:
    """None in cross-validation."""
    return (
        f"Not in the cross-validation: one model a scan. For new patients the {len(results.histories)} models vote; "
        "their mean probability breaks ties."
    )


def robustness(results: StudyResults) -> str:
    """Comparison models and the leak."""
    named = methods.baseline_text(results)
    leak = " What the mean intensity alone gives away was measured." if results.input_leak else ""
    thresholds = " Other thresholds: evaluation/posthoc.tsv." if results.evaluation.get("posthoc") else ""
    return f"{named}{leak}{thresholds}"


def explanation(results: StudyResults) -> str:
    """Maps and their checks."""
    checks = " They were held against the known causes of the simulated cohort." if results.benchmark else ""
    return f"{methods.attribution_text(results.settings)}{methods.checks_text(results)}{checks}"
