"""What ``benchmark`` says of the voxel-wise regression: the planted lesions and true Jacobian in place of the measured.

The regression of a study sees lesions and deformation as they were measured.
In a simulated cohort the truth is known, so that three shares can be told
apart: what the measured ones explain, what the planted ones explain, and what
the planted loads of the whole brain add, which no regression on the voxel
itself can see.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from relevox.config import Settings
from relevox.engines.workers import raise_failures, run_all
from relevox.errors import InputError
from relevox.imaging.quality import dice
from relevox.records import GROUPS, Prediction, ScanId
from relevox.statistics.permutation import null_r2
from relevox.statistics.resampling import correlation
from relevox.statistics.voxelwise import VoxelwiseRegression
from relevox.store import explanations, template
from relevox.store.stacks import Stack, stack

NULL_PERMUTATIONS = 20
"""Of whole patients, for the share that chance explains."""

MODELS: Mapping[str, tuple[str, ...]] = {
    "measured": ("lesion", "jacobian"),
    "planted": ("planted_lesion", "true_jacobian"),
    "planted_and_loads": ("planted_lesion", "true_jacobian", "periventricular_lesions", "other_lesions"),
}
"""Regressors of each model; the last two are one number a scan."""

STACKED = {
    "lesion": np.uint8,
    "jacobian": np.float32,
    "planted_lesion": np.uint8,
    "true_jacobian": np.float32,
    "relevance": np.float32,
}
"""Maps that are read once and regressed group by group."""

COLUMNS = (
    "group",
    "model",
    "method",
    "n_scans",
    "variance_share",
    "variance_share_expected",
    "r2_mean",
    "r2_expected",
    "lesion_dice",
    "jacobian_correlation",
    "note",
)


@dataclass(frozen=True)
class Agreement:
    """How near what was measured in one scan comes to what was planted."""

    lesion_dice: float
    """Of the measured lesions with the planted ones; NaN where both are empty."""
    jacobian_correlation: float
    """Over the voxels of the template's brain."""


def explained_rows(
    truth: Path,
    study: Path,
    settings: Settings,
    predictions: Mapping[ScanId, Prediction],
    loads: Mapping[str, np.ndarray],
    workers: int = 1,
) -> list[dict[str, object]]:
    """Tell what share of the maps' variance over scans measured and planted lesions and deformation explain.

    Parameters
    ----------
    truth : Path
        The data set's known causes.
    study : Path
        With explained scans.
    settings : Settings
        ``attribution.methods`` (the first is regressed), ``analysis.normalise``, ``preprocessing`` and ``seed``.
    predictions : mapping of ScanId to Prediction
        The network's, in the order of the cohort.
    loads : mapping of str to ndarray
        Planted load of each cause, ``(n,)``, in that order.
    workers : int
        Scans read at once.

    Returns
    -------
    list of dict
        One a group and model. ``variance_share`` is the sum over voxels of what is explained, over the sum of the
        variances; ``r2_mean`` the mean of the voxels' own shares; both beside what chance gives
        (permutations of whole patients).
    """
    # group by group, so that the rows of each follow each other in the files
    order = sorted(range(len(predictions)), key=lambda i: GROUPS.index(list(predictions.values())[i].group))
    scans = [list(predictions)[i] for i in order]
    loads = {name: values[order] for name, values in loads.items()}
    head = template.load(settings.preprocessing.voxel_size_mm, settings.preprocessing.periventricular_mm)
    with stack(study, (len(scans), int(head.brain_mask.sum())), STACKED) as stacked:
        read = partial(_gather, truth, stacked, settings)
        outcomes = run_all(read, list(enumerate(scans)), workers, "explained", [scan.key for scan in scans])
        raise_failures(outcomes)
        rows, start = [], 0
        for group in (*GROUPS, "all"):
            size = len(scans) if group == "all" else sum(predictions[scan].group == group for scan in scans)
            part = slice(0, size) if group == "all" else slice(start, start + size)
            start += size
            agreement = _mean([outcome.value for outcome in outcomes[part]])
            for model, names in MODELS.items():
                found = _explained(stacked, names, loads, scans, part, settings.seed)
                rows.append(
                    {"group": group, "model": model, "method": settings.attribution.methods[0]} | found | agreement
                )
    return rows


def _gather(truth: Path, stacked: Stack, settings: Settings, item: tuple[int, ScanId]) -> Agreement:
    """Read what is measured and what is true of one scan."""
    row, scan = item
    space = settings.preprocessing.space
    head = template.load(settings.preprocessing.voxel_size_mm, settings.preprocessing.periventricular_mm)

    def image(root: Path, kind: str, **entities: object) -> np.ndarray:
        return explanations.read_on_grid(root, kind, scan, head.brain_mask.shape, space=space, **entities)

    relevance = image(stacked.study, "relevance", method=settings.attribution.methods[0])
    total = np.abs(relevance).sum(dtype=np.float64)
    if settings.analysis.normalise and total > 0:
        relevance = relevance / total
    found = {
        "relevance": relevance,
        "lesion": image(stacked.study, "lesion_mask") > 0,
        "jacobian": image(stacked.study, "jacobian"),
        "planted_lesion": np.rint(image(truth, "causes")) > 0,
        "true_jacobian": image(truth, "true_jacobian"),
    }
    found = {name: values[head.brain_mask] for name, values in found.items()}
    for name, values in found.items():
        stacked.put(name, row, values)
    return Agreement(
        dice(found["lesion"], found["planted_lesion"]), correlation(found["jacobian"], found["true_jacobian"])
    )


def _explained(
    stacked: Stack,
    names: Sequence[str],
    loads: Mapping[str, np.ndarray],
    scans: Sequence[ScanId],
    rows: slice,
    seed: int,
) -> dict[str, object]:
    """Fit one model to one group."""
    patients = np.array([scan.participant for scan in scans[rows]])
    n = len(patients)
    if n <= len(names) + 1:
        return {"n_scans": n, "note": "too few scans"}
    y = stacked.get("relevance")[rows]
    X = [loads[name][rows] if name in loads else stacked.get(name)[rows] for name in names]
    fit = VoxelwiseRegression(len(X)).update(y, X).fit()
    known = np.isfinite(fit.r2)
    if not known.any():
        return {"n_scans": n, "note": "nothing varies between its scans"}
    weight = np.concatenate([part.var(axis=0, dtype=np.float64) for part in np.array_split(y, 64, axis=1)])[known]
    found = {
        "n_scans": n,
        "variance_share": np.average(fit.r2[known], weights=weight),
        "r2_mean": fit.r2[known].mean(),
    }
    try:
        null = null_r2(y, X, patients, NULL_PERMUTATIONS, seed).r2[known]
    except InputError as error:
        if error.code != "permutation-arrangements":
            raise
        return found | {"note": "no two patients with the same number of scans: chance is not known"}
    usable = np.isfinite(null)
    return found | {
        "variance_share_expected": np.average(null[usable], weights=weight[usable]) if usable.any() else np.nan,
        "r2_expected": null[usable].mean() if usable.any() else np.nan,
    }


def _mean(scans: Sequence[Agreement]) -> dict[str, float]:
    """Average the agreement over scans, where it is known."""
    means = {}
    for name in ("lesion_dice", "jacobian_correlation"):
        known = [value for one in scans if np.isfinite(value := getattr(one, name))]
        means[name] = float(np.mean(known)) if known else float("nan")
    return means
