"""Hold the maps of a simulated cohort against the causes it was made from."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

from relevox.attribution import attribute, mean_scan
from relevox.config import Settings
from relevox.engines.workers import cores, raise_failures, run_all
from relevox.errors import StudyError
from relevox.learning.device import choose_device
from relevox.learning.inputs import load_batch
from relevox.records import Cohort, Fold, ScanId
from relevox.stages.benchmark_explained import COLUMNS as EXPLAINED_COLUMNS
from relevox.stages.benchmark_explained import explained_rows
from relevox.statistics.folds import cohort_rounds
from relevox.statistics.localisation import localise
from relevox.statistics.resampling import Estimate, correlation, correlation_over_patients, mean_over_patients
from relevox.store import explanations, layout, models, provenance, tables

logger = logging.getLogger("relevox")

TRUTH = "derivatives/truth"
"""Where a simulated data set keeps its causes; no other stage reads it."""

TARGETS = {"periventricular_lesions": 1, "other_lesions": 2}
"""Labels of the causes' images."""

BASELINES: Mapping[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "absolute_input": lambda x, mean: np.abs(x),
    "absolute_difference": lambda x, mean: np.abs(x - mean),
}
"""Maps that know no network: what a method has to beat. ``(c, x, y, z)`` each."""

SIGNED = ("integrated_gradients",)
"""Methods whose relevance has both signs."""

OCCLUDED = {
    "periventricular_lesions": ("periventricular_white_matter",),
    "other_lesions": (
        "frontal_white_matter",
        "temporal_white_matter",
        "parietal_white_matter",
        "occipital_white_matter",
    ),
}
"""Regions whose occlusion should follow a cause."""

SCANS_SWAPPED = 2
"""Per fold: scans whose maps of both classes are compared."""

COLUMNS = ("method", "target", "measure", "value", "ci_low", "ci_high", "n")


def run(bids: Path, study: Path, settings: Settings, workers: int = 1) -> None:
    """Measure what the maps find of the known causes (PHANTOM, "What maps find").

    1. Per scan and map: enrichment, relevance mass and voxel AUC of periventricular
       and of other lesions, in the brain, by positive relevance; for signed maps by
       absolute relevance too; the same for maps that know no network.
    2. Class swap: correlation of the maps of the two classes, two scans a fold.
    3. Region occlusion: correlation of the change towards class 1 with what the
       cause in that region adds to the score (weight times root of the lesion load).
    4. What the network used: its logit regressed on the causes.
    5. What planted lesions and the true Jacobian explain of the maps' variance, beside the measured ones.

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

    Raises
    ------
    StudyError
        When the data set has no truth, or a scan has not been explained.
    """
    truth = Path(bids) / TRUTH
    if not layout.path(truth, "truth").exists():
        raise StudyError(
            "expected a simulated data set, but it has no known causes",
            code="truth-missing",
            file=f"{TRUTH}/{layout.PATTERNS['truth']}",
            remedy="the benchmark is for data sets made by relevox simulate",
        )
    cohort = tables.read_cohort(study)
    unit = provenance.Unit(
        study,
        stage="benchmark",
        name="cohort",
        settings={
            "attribution": settings.attribution.model_dump(),
            "evaluation": settings.evaluation.model_dump(),
            "seed": settings.seed,
            "normalise": settings.analysis.normalise,
        },
        inputs={scan.key: provenance.digest(study, "explain", scan.key) for scan in cohort.ids}
        | {f"{scan.key} images": provenance.digest(study, "preprocess", scan.key) for scan in cohort.ids}
        | {name: provenance.sha256(layout.path(truth, name)) for name in ("truth", "truth_table")},
    )
    if unit.is_current():
        logger.info("benchmark: up to date")
        return
    all_rounds = cohort_rounds(cohort, tables.read_folds(study, cohort), settings.training.unseen_scanner)
    workers = max(1, min(workers, len(all_rounds)))
    outcomes = run_all(
        partial(measure_fold, truth, study, settings, threads=max(1, cores() // workers)),
        all_rounds,
        workers,
        description="benchmark",
        labels=[f"fold-{fold.index}" for fold in all_rounds],
    )
    raise_failures(outcomes)
    measured: dict[tuple[str, str, str], dict[ScanId, float]] = {}
    for outcome in outcomes:
        for scan, values in outcome.value.items():
            for name, value in values.items():
                measured.setdefault(name, {})[scan] = value

    options = {
        "n_bootstrap": settings.evaluation.n_bootstrap,
        "confidence": settings.evaluation.confidence,
        "seed": settings.seed,
    }
    rows = [
        _row(name, mean_over_patients(list(values.values()), [scan.participant for scan in values], **options))
        for name, values in sorted(measured.items(), key=lambda item: _order(item[0]))
    ]
    causes = read_causes(truth, cohort)
    card = tables.read_json(layout.path(truth, "truth"))
    rows += occlusion_rows(study, cohort, causes, cause_weights(card), options)
    card = {key: card.get(key) for key in ("bayes_accuracy", "bayes_auc", "label", "causes", "confounding")}
    card["logit_explained_by"] = logit_on_causes(study, cohort, causes)
    predictions = explanations.cnn_predictions(study, cohort)
    explained = explained_rows(truth, study, settings, predictions, causes, workers)
    unit.record(
        [
            tables.write(layout.path(study, "benchmark"), rows, COLUMNS),
            tables.write(layout.path(study, "explained"), explained, EXPLAINED_COLUMNS),
            tables.write_json(layout.path(study, "bayes"), card),
        ]
    )
    for row in rows:
        if row["measure"] == "enrichment":
            logger.info("benchmark: %s finds %s: enrichment %.2f", row["method"], row["target"], row["value"])


def measure_fold(
    truth: Path, study: Path, settings: Settings, fold: Fold, threads: int = 1
) -> dict[ScanId, dict[tuple[str, str, str], float]]:
    """Score the maps of one fold's test scans; keys are (method, target, measure)."""
    torch.set_num_threads(threads)
    cohort = tables.read_cohort(study)
    inputs = np.load(layout.existing(study, "inputs"), mmap_mode="r")
    mean = mean_scan(inputs, fold.train)
    measured = {}
    for row in fold.test:
        scan = cohort.ids[row]
        measured[scan] = _localise_scan(truth, study, settings, scan, np.asarray(inputs[row], np.float32), mean)
    for scan, values in _swap_classes(study, settings, cohort, fold, inputs).items():
        measured[scan] |= values
    return measured


def _localise_scan(
    truth: Path, study: Path, settings: Settings, scan: ScanId, x: np.ndarray, mean: np.ndarray
) -> dict[tuple[str, str, str], float]:
    space, shape = settings.preprocessing.space, x.shape[1:]
    brain = explanations.read_on_grid(study, "brain_mask", scan, shape, space=space) > 0
    causes = np.rint(explanations.read_on_grid(truth, "causes", scan, shape, space=space)[brain])
    maps = {
        method: explanations.read_on_grid(study, "relevance", scan, shape, space=space, method=method)
        for method in settings.attribution.methods
    } | {name: make(x, mean).sum(axis=0) for name, make in BASELINES.items()}
    # evidence against the explained class lies in a map, too: a lesion may be found by its negative relevance
    maps |= {f"{method}_absolute": np.abs(maps[method]) for method in SIGNED if method in maps}
    return {
        (method, target, measure): value
        for method, relevance in maps.items()
        for target, label in TARGETS.items()
        for measure, value in vars(localise(relevance[brain], causes == label)).items()
    }


def _swap_classes(
    study: Path, settings: Settings, cohort: Cohort, fold: Fold, inputs: np.ndarray
) -> dict[ScanId, dict[tuple[str, str, str], float]]:
    """Correlate the maps of class 0 and class 1 in the brain.

    Integrated gradients of the margin would give exactly -1, so the logits are explained here.
    """
    rows = np.sort(fold.test)[:: max(1, len(fold.test) // SCANS_SWAPPED)][:SCANS_SWAPPED]
    device = choose_device(settings.training.device)
    network = models.load(study, fold.index)[0].to(device)
    x = load_batch(inputs, rows, device)
    options = {
        "lrp": {"start": "one"},
        "integrated_gradients": {
            "baseline": torch.from_numpy(mean_scan(inputs, fold.train)).to(device),
            "steps": settings.attribution.integrated_gradients_steps,
            "batch_size": 8,
        },
    }
    swapped: dict[ScanId, dict[tuple[str, str, str], float]] = {cohort.ids[row]: {} for row in rows}
    for method in settings.attribution.methods:
        maps = [attribute(network, x, target, method, **options[method]).relevance.sum(1).cpu() for target in (0, 1)]
        for n, row in enumerate(rows):
            scan = cohort.ids[row]
            space, shape = settings.preprocessing.space, inputs.shape[2:]
            brain = explanations.read_on_grid(study, "brain_mask", scan, shape, space=space) > 0
            zero, one = (relevance[n].numpy()[brain] for relevance in maps)
            swapped[scan][method, "class", "class_swap_correlation"] = correlation(zero, one)
    return swapped


def read_causes(truth: Path, cohort: Cohort) -> dict[str, np.ndarray]:
    """Return the causes of the cohort's scans: square roots of the two lesion loads, ``(n,)`` each.

    Raises
    ------
    StudyError
        When a scan of the study is not in the truth.
    """
    file = layout.existing(truth, "truth_table")
    columns = {"periventricular_lesions": "periventricular_ml", "other_lesions": "other_ml"}
    known = {
        tables.identity(row, file, n): [tables.number(row, column, file, n) for column in columns.values()]
        for n, row in enumerate(tables.read(file, tuple(columns.values())), start=1)
    }
    missing = [scan for scan in cohort.ids if scan not in known]
    if missing:
        raise StudyError(
            f"expected the causes of {missing[0]}, but the truth is of other scans",
            code="truth-other",
            file=file.name,
            remedy="give the data set this study was made from",
        )
    loads = np.sqrt([known[scan] for scan in cohort.ids])
    return dict(zip(columns, loads.T, strict=True))


def cause_weights(card: Mapping[str, object]) -> dict[str, float]:
    """Return the weight of each target's lesion load in the score; 0 for what is no cause.

    Examples
    --------
    >>> cause_weights({"causes": {"total_lesions": 1.0}})
    {'periventricular_lesions': 1.0, 'other_lesions': 1.0}
    """
    known = card.get("causes") or {}
    return {target: float(known.get(target, known.get("total_lesions", 0.0))) for target in TARGETS}


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
    for target, regions in OCCLUDED.items():
        change = np.array([sum(delta[region] for region in regions) for delta in deltas])
        found = correlation_over_patients(change, weights[target] * causes[target], cohort.patients, **options)
        rows.append(_row(("occlusion", target, "correlation_with_cause"), found))
    return rows


def _towards_class_1(study: Path, scan: ScanId) -> dict[str, float]:
    file = layout.existing(study, "occlusion", scan)
    rows = tables.read(file, ("region", "delta", "target"))
    return {row["region"]: tables.number(row, "delta", file) * (1 if row["target"] == "1" else -1) for row in rows}


def logit_on_causes(study: Path, cohort: Cohort, causes: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Regress the network's logit on the causes: standardised betas, and R2.

    A map can only show what the network uses; this says how much of that are the causes.
    """
    predictions = explanations.cnn_predictions(study, cohort)
    probability = np.array([predictions[scan].probability for scan in cohort.ids])
    probability = np.clip(probability, 1e-9, 1 - 1e-9)
    logit = np.log(probability / (1 - probability))
    if np.ptp(logit) == 0:
        return dict.fromkeys((*causes, "r2"), float("nan"))
    design = np.stack([(cause - cause.mean()) / cause.std() for cause in causes.values()], axis=1)
    standard = (logit - logit.mean()) / logit.std()
    beta, *_ = np.linalg.lstsq(design, standard, rcond=None)
    r2 = 1 - ((standard - design @ beta) ** 2).mean()
    return dict(zip(causes, beta, strict=True)) | {"r2": r2}


def _row(name: tuple[str, str, str], found: Estimate) -> dict[str, object]:
    return dict(zip(("method", "target", "measure"), name, strict=True)) | vars(found)


def _order(name: tuple[str, str, str]) -> tuple[int, str, str]:
    known: Sequence[str] = ("lrp", *(name for method in SIGNED for name in (method, f"{method}_absolute")), *BASELINES)
    return known.index(name[0]), name[1], name[2]
