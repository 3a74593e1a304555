"""A small study in memory: an egg for a head, sixteen scans, all parts of the report."""

from dataclasses import replace

import numpy as np
import pytest

from relevox import config
from relevox.records import Cohort, Observation, Prediction, ScanId
from relevox.report.results import Example, RegionShare, StudyResults

SHAPE = (14, 18, 12)


@pytest.fixture
def egg():
    """A brain mask: ``(x, y, z)`` bool."""
    grid = np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    return sum(axis**2 for axis in grid) < 0.8


@pytest.fixture
def results(egg):
    rng = np.random.default_rng(0)
    observations = [
        Observation(
            ScanId(f"sub-{i // 2:02d}" if i < 4 else f"sub-{i:02d}", f"ses-{i % 2 + 1:02d}"),
            score=4.0 if i % 4 > 1 else 1.5,
            label=int(i % 4 > 1),
            age_years=30.0 + i,
            sex="F" if i % 3 else "M",
            scanner="Avanto" if i % 2 else "Tim Trio",
            disease_duration_years=float("nan") if i == 5 else 4.0 + i,
        )
        for i in range(16)
    ]
    cohort = Cohort(tuple(observations))
    predictions = [
        Prediction(o.id, model, i % 3, o.label, float(np.clip(0.5 + s * (o.label - 0.5) + 0.3 * rng.normal(), 0, 1)))
        for model, s in (("cnn", 0.8), ("scanner", 0.2))
        for i, o in enumerate(observations)
    ]
    scores = [
        {"model": m, "level": level, "measure": k, "value": v, "ci_low": v - 0.1, "ci_high": v + 0.1}
        | {"fold_mean": v, "fold_sd": 0.05, "n": 16.0}
        for m, v in (("cnn", 0.8), ("scanner", 0.6))
        for level in ("scan", "patient")
        for k in ("accuracy", "balanced_accuracy", "sensitivity", "specificity", "auc", "brier")
    ]
    names = ("frontal_cortex", "periventricular_white_matter")
    shares = tuple(RegionShare(name, v, v, 0.5, d) for name, v, d in zip(names, (0.2, 0.8), (-0.1, 0.7), strict=True))
    relevance = rng.normal(size=SHAPE) * egg
    maps = {("TP", "lrp", "mean"): relevance, ("TP", "t1w", "mean"): egg.astype(float)}
    maps |= {("TP", "lrp", "r2"): np.where(egg, 0.3, np.nan), ("TP", "jacobian", "mean"): 1 + 0.1 * relevance}
    return StudyResults(
        settings=config.preset("tiny"),
        cohort=cohort,
        flow=[{"rule": "scans found", "scans_removed": 0.0, "scans_left": 16.0, "patients_left": 14.0}],
        folds=np.arange(16) % 3,
        volume_names=("white_matter", "lesions"),
        volumes_ml=rng.normal(100, 10, (16, 2)),
        quality=[{"status": "ok", "flags": "n/a"}] * 15 + [{"status": "flagged", "flags": "thick slices"}],
        scores=scores,
        predictions=predictions,
        histories={
            fold: [
                {"epoch": e, "train_loss": 0.6, "validation_loss": 0.7, "validation_balanced_accuracy": 0.6}
                for e in (1.0, 2.0)
            ]
            for fold in range(3)
        },
        template_t1=egg.astype(float),
        brain_mask=egg,
        maps=maps,
        examples=[Example(predictions[2], 4.0, "lrp", 1, egg + 0.1 * relevance, relevance, egg, shares)],
        steps=[("N4 bias field correction", 16), ("affine registration", 15)],
        versions={"relevox": "0.1.0"},
    )


@pytest.fixture
def with_auc(results):
    """Return a function that gives one model another AUC."""

    def changed(model, value, low, high):
        new = {"value": value, "ci_low": low, "ci_high": high}
        rows = [
            row | new if (row["model"], row["measure"], row["level"]) == (model, "auc", "scan") else row
            for row in results.scores
        ]
        return replace(results, scores=rows)

    return changed
