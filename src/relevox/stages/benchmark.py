"""Hold the maps of a simulated cohort against the causes it was made from."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from relevox.attribution import METHODS
from relevox.config import Settings
from relevox.engines.workers import cores, raise_failures, run_all
from relevox.records import Cohort, ScanId
from relevox.stages.benchmark_explained import COLUMNS as EXPLAINED_COLUMNS
from relevox.stages.benchmark_explained import explained_rows
from relevox.stages.benchmark_fold import Key, measure_fold
from relevox.stages.benchmark_truth import LESIONS, TRUTH, Truth, read_causes, read_truth
from relevox.statistics.causes import R2, R2_OF_GROUPS, explained_by_causes
from relevox.statistics.folds import cohort_rounds
from relevox.statistics.resampling import Estimate, correlation_over_patients, mean_over_patients
from relevox.store import explanations, layout, provenance, tables

__all__ = ["COLUMNS", "TRUTH", "run"]

logger = logging.getLogger("relevox")

OCCLUDED = {
    "periventricular_lesions": ("periventricular_white_matter",),
    "other_lesions": (
        "frontal_white_matter",
        "temporal_white_matter",
        "parietal_white_matter",
        "occipital_white_matter",
    ),
}
"""Regions whose occlusion should follow a cause; other causes are regions themselves."""

EXTRA_SCANS = 8
"""Per fold: scans that are also explained by the methods the study did not use."""

COLUMNS = ("method", "target", "measure", "value", "ci_low", "ci_high", "n")
SCAN_COLUMNS = ("participant_id", "session_id", "method", "target", "measure", "value")


def run(bids: Path, study: Path, settings: Settings, workers: int = 1, extra_scans: int = EXTRA_SCANS) -> None:
    """Measure what the maps find of the known causes (PHANTOM, "What maps find").

    1. Per scan and map: localisation of every cause's mask, by positive relevance, for signed maps by
       absolute relevance too; the same for maps that know no network, and for chance.
    2. Per scan with counterfactual images: localisation of what one cause alone changes in the image, and
       what that change does to the network's answer.
    3. Lesions of one kind against the other at equal brightness.
    4. Class swap: correlation of the maps of the two classes, two scans a fold.
    5. Region occlusion: correlation of the change towards class 1 with what the
       cause in that region adds to the score (weight times the cause).
    6. What the network used: its logit regressed on all causes and the scanner.
    7. What planted lesions and the true Jacobian explain of the maps' variance, beside the measured ones.

    Parameters
    ----------
    bids : Path
        The simulated data set.
    study : Path
        With explained scans.
    settings : Settings
        ``attribution``, ``evaluation`` (bootstrap) and ``seed``.
    workers : int
        Folds at once.
    extra_scans : int
        Per fold: scans that are also explained by the methods that ``attribution.methods`` does not name.

    Raises
    ------
    StudyError
        When the data set has no truth, or a scan has not been explained.
    """
    truth = read_truth(bids, settings.preprocessing.space)
    cohort = tables.read_cohort(study)
    unit = _unit(truth, study, settings, cohort, extra_scans)
    if unit.is_current():
        logger.info("benchmark: up to date")
        return
    measured = _measure(truth, study, settings, cohort, workers, extra_scans)
    options = {
        "n_bootstrap": settings.evaluation.n_bootstrap,
        "confidence": settings.evaluation.confidence,
        "seed": settings.seed,
    }
    rows = [
        _row(name, mean_over_patients(list(values.values()), [scan.participant for scan in values], **options))
        for name, values in measured.items()
    ]
    causes, scanners = read_causes(truth, cohort)
    used = logit_on_causes(study, cohort, causes, scanners, options)
    rows += occlusion_rows(study, cohort, causes, cause_weights(truth), options)
    rows += [
        _row(
            ("network", "causes", name) if name in (R2, R2_OF_GROUPS) else ("network", name, "standardised_beta"), found
        )
        for name, found in used.items()
    ]
    rows.sort(key=_order)
    card = {
        key: truth.card.get(key)
        for key in ("bayes_accuracy", "bayes_auc", "label", "causes", "confounding", "counterfactuals")
    }
    card["targets"] = [vars(target) for target in truth.targets]
    card["logit_explained_by"] = {name: found.value for name, found in used.items()}
    predictions = explanations.cnn_predictions(study, cohort)
    loads = {kind: causes[kind] for kind in LESIONS}
    explained = explained_rows(truth.folder, study, settings, predictions, loads, workers)
    unit.record(
        [
            tables.write(layout.path(study, "benchmark"), rows, COLUMNS),
            tables.write(layout.path(study, "benchmark_scans"), _scan_rows(measured), SCAN_COLUMNS),
            tables.write(layout.path(study, "explained"), explained, EXPLAINED_COLUMNS),
            tables.write_json(layout.path(study, "bayes"), card),
        ]
    )
    for row in rows:
        if row["measure"] == "enrichment" and row["method"] != "chance":
            logger.info("benchmark: %s finds %s: enrichment %.2f", row["method"], row["target"], row["value"])


def _unit(truth: Truth, study: Path, settings: Settings, cohort: Cohort, extra_scans: int) -> provenance.Unit:
    return provenance.Unit(
        study,
        stage="benchmark",
        name="cohort",
        settings={
            "attribution": settings.attribution.model_dump(),
            "evaluation": settings.evaluation.model_dump(),
            "seed": settings.seed,
            "normalise": settings.analysis.normalise,
            "extra_scans": extra_scans,
        },
        inputs={scan.key: provenance.digest(study, "explain", scan.key) for scan in cohort.ids}
        | {f"{scan.key} images": provenance.digest(study, "preprocess", scan.key) for scan in cohort.ids}
        | {name: provenance.sha256(layout.existing(truth.folder, name)) for name in ("truth", "truth_table")},
    )


def _measure(
    truth: Truth, study: Path, settings: Settings, cohort: Cohort, workers: int, extra_scans: int
) -> dict[Key, dict[ScanId, float]]:
    """Measure the test scans of all folds."""
    all_rounds = cohort_rounds(cohort, tables.read_folds(study, cohort), settings.training.unseen_scanner)
    workers = max(1, min(workers, len(all_rounds)))
    outcomes = run_all(
        partial(measure_fold, truth, study, settings, extra_scans, threads=max(1, cores() // workers)),
        all_rounds,
        workers,
        description="benchmark",
        labels=[f"fold-{fold.index}" for fold in all_rounds],
    )
    raise_failures(outcomes)
    measured: dict[Key, dict[ScanId, float]] = {}
    for outcome in outcomes:
        for scan, values in outcome.value.items():
            for name, value in values.items():
                measured.setdefault(name, {})[scan] = value
    return measured


def cause_weights(truth: Truth) -> dict[str, float]:
    """Return the weight of every single cause in the score; 0 for what is no cause."""
    return {entry["cause"]: float(entry["weight"]) for entry in truth.card["targets"] if len(entry["labels"]) == 1}


def occlusion_rows(
    study: Path,
    cohort: Cohort,
    causes: Mapping[str, np.ndarray],
    weights: Mapping[str, float],
    options: Mapping[str, object],
) -> list[dict[str, object]]:
    """Correlate what regions support of class 1 with what the cause that lies in them adds to the score.

    Support is the fall of class 1's margin when the regions become the mean scan's; NaN for what is no cause.
    """
    rows = []
    deltas = [_towards_class_1(study, scan) for scan in cohort.ids]
    for cause, values in causes.items():
        change = np.array([sum(delta[region] for region in OCCLUDED.get(cause, (cause,))) for delta in deltas])
        if weights[cause] or cause in LESIONS:
            found = correlation_over_patients(change, weights[cause] * values, cohort.patients, **options)
            rows.append(_row(("occlusion", cause, "correlation_with_cause"), found))
    return rows


def _towards_class_1(study: Path, scan: ScanId) -> dict[str, float]:
    file = layout.existing(study, "occlusion", scan)
    rows = tables.read(file, ("region", "delta", "target"))
    return {row["region"]: tables.number(row, "delta", file) * (1 if row["target"] == "1" else -1) for row in rows}


def logit_on_causes(
    study: Path,
    cohort: Cohort,
    causes: Mapping[str, np.ndarray],
    scanners: Sequence[str],
    options: Mapping[str, object],
) -> dict[str, Estimate]:
    """Regress the network's logit on all causes, those without a weight too, and the scanner.

    A map can only show what the network uses; this says how much of that are the causes.
    """
    predictions = explanations.cnn_predictions(study, cohort)
    probability = np.array([predictions[scan].probability for scan in cohort.ids])
    probability = np.clip(probability, 1e-9, 1 - 1e-9)
    logit = np.log(probability / (1 - probability))
    return explained_by_causes(logit, causes, scanners, cohort.patients, **options)


def _row(name: Key, found: Estimate) -> dict[str, object]:
    return dict(zip(("method", "target", "measure"), name, strict=True)) | vars(found)


def _scan_rows(measured: Mapping[Key, Mapping[ScanId, float]]) -> list[dict[str, object]]:
    """Return the distributions behind the means: one row a scan and measure."""
    return [
        tables.id_columns(scan) | dict(zip(SCAN_COLUMNS[2:5], name, strict=True)) | {"value": value}
        for name, values in measured.items()
        for scan, value in values.items()
        if np.isfinite(value)
    ]


def _order(row: Mapping[str, object]) -> tuple:
    """Network first, then chance, the methods, and the maps that know no network."""
    ends = {"network": (0, 0), "chance": (0, 1), "absolute_input": (2, 0), "absolute_difference": (2, 1)}
    known = [name for method in METHODS for name in (method, f"{method}_absolute")]
    return ends.get(row["method"]) or (1, known.index(row["method"])), row["target"], row["measure"]
