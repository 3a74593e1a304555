"""What the maps of a group have in common: regions, mean maps, and what lesions and atrophy explain of them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from relevox.config import Settings
from relevox.engines.progress import progress, show_within
from relevox.engines.workers import raise_failures, run_all
from relevox.records import GROUPS, Cohort, Prediction, ScanId
from relevox.stages import analyse_regions as by_region
from relevox.stages.analyse_inference import COMMON
from relevox.stages.analyse_scan import ScanRegions, gather
from relevox.stages.analyse_voxels import AVERAGED, GROUP_COLUMNS, REGRESSOR_COLUMNS, Members, analyse_group
from relevox.statistics.localisation import auc
from relevox.statistics.resampling import correlation
from relevox.store import explanations, layout, models, provenance, stacks, tables, template

logger = logging.getLogger("relevox")

ALL = "all"
"""Beside TP, FP, TN and FN: every scan."""

SUBJECT_LEVEL = {"age": "age_years", "disease_duration": "disease_duration_years"}
"""Regressors with one number a scan, and their field of an observation."""


def run(study: Path, settings: Settings, workers: int = 1) -> None:
    """Analyse the maps by group: TP, FP, TN, FN and all (SPEC 6.1 to 6.3).

    1. Per scan: region shares of every map, over the scan's own brain; its maps go into temporary files.
    2. Tables by region: one row a scan, and means over the groups.
    3. Per group: mean maps; the voxel-wise regression of the first method's map; its p-values, by
       permutations of whole patients.
    4. Input leak: what the mean intensity of each channel says of lesion load and class.

    Every map is scaled first, so that its absolute relevance sums to 1 (``analysis.normalise``).
    Memory does not grow with the number of scans.

    Parameters
    ----------
    study : Path
        With explained scans.
    settings : Settings
        ``analysis``, ``attribution.methods``, ``evaluation`` (bootstrap) and ``seed``.
    workers : int
        Scans read at once, and threads of the permutations. They change no result.

    Raises
    ------
    StudyError
        When a scan has not been explained, or lacks its own regions where they are asked for.
    """
    stacks.clear(study)
    cohort = tables.read_cohort(study)
    predictions = explanations.cnn_predictions(study, cohort)
    unit = _unit(study, settings, cohort, predictions)
    if unit.is_current():
        logger.info("analyse: up to date")
        return
    head = template.load(settings.preprocessing.voxel_size_mm, settings.preprocessing.periventricular_mm)
    known = {name: _subject_level(cohort, name) for name in settings.analysis.regressors if name in SUBJECT_LEVEL}
    order, members = arrange(cohort, predictions, known)
    scans = [cohort.ids[i] for i in order]
    dtypes = dict.fromkeys((*settings.attribution.methods, *AVERAGED), np.float32) | {
        "lesion": np.uint8,
        COMMON: np.uint8,
    }
    with stacks.stack(study, (len(scans), int(head.brain_mask.sum())), dtypes) as stack:
        outcomes = run_all(
            partial(gather, stack, settings),
            list(enumerate(scans)),
            workers,
            description="analyse",
            labels=[scan.key for scan in scans],
        )
        raise_failures(outcomes)
        found = {scan: outcome.value for scan, outcome in zip(scans, outcomes, strict=True)}
        known = {name: values[order] for name, values in known.items()}
        groups = []
        with progress("analyse groups", len(members)) as bar:
            for group, one in members.items():
                show = partial(show_within, f"test {group}")
                groups.append(analyse_group(stack, settings, head, one, known, workers, show))
                if bar is not None:
                    bar.advance(group)
    outputs = [path for group in groups for path in group.written]
    outputs.append(tables.write(layout.path(study, "analysis_groups"), [g.row for g in groups], GROUP_COLUMNS))
    rows = [row for group in groups for row in group.regressors]
    outputs.append(tables.write(layout.path(study, "analysis_regressors"), rows, REGRESSOR_COLUMNS))
    outputs += _write_regions(study, settings, cohort, predictions, found)
    outputs.append(tables.write(layout.path(study, "input_leak"), leak_rows(study, settings, cohort)))
    for kind in ("group_map", "analysis_by_scan"):
        for left_over, _ in layout.find(study, kind):
            if left_over not in outputs:
                left_over.unlink()  # of a group that is empty now, or of other settings
    unit.record(outputs)
    empty = sum(one.empty_maps for one in found.values())
    if empty:
        logger.warning("analyse: %d maps are zero everywhere and count as such", empty)
    for group in groups:
        logger.info("analyse: %(group)s: %(n_scans)d scans of %(n_patients)d patients", group.row)


def arrange(
    cohort: Cohort, predictions: Mapping[ScanId, Prediction], known: Mapping[str, np.ndarray]
) -> tuple[list[int], dict[str, Members]]:
    """Order the scans so that the rows of every group's regression, and of all of them, follow each other.

    Returns
    -------
    order : list of int
        Rows of the cohort: scans with all regressors first, and within that group by group.
    members : dict of str to Members
        TP, FP, TN, FN and all.
    """
    missing = np.isnan(list(known.values())).any(axis=0) if known else np.zeros(len(cohort), dtype=bool)
    group = [GROUPS.index(predictions[scan].group) for scan in cohort.ids]
    order = sorted(range(len(cohort)), key=lambda i: (missing[i], group[i], i))
    n_known = int((~missing).sum())
    members = {}
    for name in (*GROUPS, ALL):
        rows = np.array([r for r, i in enumerate(order) if name in (GROUPS[group[i]], ALL)], dtype=int)
        start = int(rows[0]) if len(rows) else 0
        fitted = slice(start, start + int((rows < n_known).sum()))
        members[name] = Members(name, tuple(cohort.ids[order[r]] for r in rows), rows, fitted)
    return order, members


def leak_rows(study: Path, settings: Settings, cohort: Cohort) -> list[dict[str, object]]:
    """Tell what the mean brain intensity of each channel gives away (SPEC 2, min-max)."""
    inputs = np.load(layout.existing(study, "inputs"), mmap_mode="r")
    space, shape = settings.preprocessing.space, inputs.shape[2:]
    means = np.empty((len(cohort), len(models.CHANNELS)))
    for row, scan in enumerate(cohort.ids):
        brain = explanations.read_on_grid(study, "brain_mask", scan, shape, space=space) > 0
        means[row] = inputs[row][:, brain].mean(axis=1, dtype=np.float64)
    names, volumes = tables.read_volumes(study, cohort)
    lesions_ml = volumes[:, names.index("lesions")]
    return [
        {
            "channel": channel,
            "correlation_lesion_load": correlation(means[:, c], lesions_ml),
            "correlation_label": correlation(means[:, c], cohort.labels),
            "auc_label": auc(means[:, c], cohort.labels == 1),
        }
        for c, channel in enumerate(models.CHANNELS)
    ]


def _unit(study: Path, settings: Settings, cohort: Cohort, predictions: Mapping[ScanId, Prediction]) -> provenance.Unit:
    return provenance.Unit(
        study,
        stage="analyse",
        name="groups",
        settings={
            "analysis": settings.analysis.model_dump(),
            "averages": by_region.averaging(settings),
            "methods": settings.attribution.methods,
            "preprocessing": settings.preprocessing.model_dump(),
            "groups": {scan.key: prediction.group for scan, prediction in predictions.items()},
        },
        inputs={scan.key: provenance.digest(study, "explain", scan.key) for scan in cohort.ids}
        | {f"{scan.key} images": provenance.digest(study, "preprocess", scan.key) for scan in cohort.ids}
        | {"inputs": provenance.digest(study, "train", "inputs")}
        | {name: provenance.sha256(layout.existing(study, name)) for name in ("cohort", "volumes")},
    )


def _write_regions(
    study: Path,
    settings: Settings,
    cohort: Cohort,
    predictions: Mapping[ScanId, Prediction],
    found: Mapping[ScanId, ScanRegions],
) -> list[Path]:
    """Write the tables by region, scans in the order of the cohort."""
    found = {scan: found[scan] for scan in cohort.ids}
    members: dict[str, Sequence[ScanId]] = {
        group: [scan for scan in cohort.ids if predictions[scan].group == group] for group in GROUPS
    } | {ALL: cohort.ids}
    group_rows = by_region.group_rows(found, members, settings)
    occlusion = by_region.occlusion_rows(found, members, settings)
    scan_rows = by_region.scan_rows(found, predictions)
    return [
        tables.write(layout.path(study, "analysis_regions"), group_rows, by_region.GROUP_COLUMNS),
        tables.write(layout.path(study, "analysis_occlusion"), occlusion, by_region.OCCLUSION_COLUMNS),
        tables.write(layout.path(study, "analysis_scan_regions"), scan_rows, by_region.SCAN_COLUMNS),
        *by_region.write_by_scan(study, found, cohort, predictions, settings.analysis.percentile),
    ]


def _subject_level(cohort: Cohort, name: str) -> np.ndarray:
    """Return a regressor with one number a scan, ``(n,)`` in the cohort's order; NaN where unknown."""
    return np.array([getattr(observation, SUBJECT_LEVEL[name]) for observation in cohort], dtype=np.float64)
