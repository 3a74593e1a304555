"""What the maps of a group have in common: regions, mean maps, and what lesions and atrophy explain of them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from relevox.config import Settings
from relevox.engines.workers import raise_failures, run_all
from relevox.errors import StudyError
from relevox.imaging.regions import REGIONS
from relevox.records import GROUPS, Cohort, Prediction, ScanId
from relevox.stages import analyse_regions as by_region
from relevox.stages.analyse_regions import ScanRegions
from relevox.stages.analyse_voxels import AVERAGED, GROUP_COLUMNS, REGRESSOR_COLUMNS, Members, analyse_group
from relevox.statistics.localisation import auc
from relevox.statistics.regions import RegionTable
from relevox.statistics.resampling import correlation
from relevox.store import explanations, layout, models, provenance, stacks, tables, template

logger = logging.getLogger("relevox")

ALL = "all"
"""Beside TP, FP, TN and FN: every scan."""

INDEX = [region.index for region in REGIONS]

SUBJECT_LEVEL = {"age": "age_years", "disease_duration": "disease_duration_years"}
"""Regressors with one number a scan, and their field of an observation."""


def run(study: Path, settings: Settings, workers: int = 1) -> None:
    """Analyse the maps by group: TP, FP, TN, FN and all (SPEC 6.1 to 6.3).

    1. Per scan: region shares of every map, over the scan's own brain; its maps go into temporary files.
    2. Tables by region: one row a scan, and means over the groups.
    3. Per group: mean maps, and the voxel-wise regression of the first method's map.
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
        Scans read at once.

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
    dtypes = dict.fromkeys((*settings.attribution.methods, *AVERAGED), np.float32) | {"lesion": np.uint8}
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
        groups = [
            analyse_group(stack, settings, head, one, {name: values[order] for name, values in known.items()})
            for one in members.values()
        ]
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


def gather(stack: stacks.Stack, settings: Settings, item: tuple[int, ScanId]) -> ScanRegions:
    """Read the maps of one scan: measure their regions, and put them into the stack."""
    row, scan = item
    space, study = settings.preprocessing.space, stack.study
    head = template.load(settings.preprocessing.voxel_size_mm, settings.preprocessing.periventricular_mm)
    shape, inside = head.brain_mask.shape, head.brain_mask

    def image(kind: str, **entities: object) -> np.ndarray:
        return explanations.read_on_grid(study, kind, scan, shape, space=space, **entities)

    labels = head.regions if settings.analysis.parcellation == "template" else _own_regions(study, scan, shape, space)
    counter = RegionTable(labels, image("brain_mask") > 0, INDEX)
    shares, empty = {}, 0
    for method in settings.attribution.methods:
        relevance = image("relevance", method=method)
        total = np.abs(relevance).sum(dtype=np.float64)
        empty += total == 0
        if settings.analysis.normalise and total > 0:
            relevance = relevance / total
        shares[method] = counter.shares(relevance, by_region.percentiles(settings))
        stack.put(method, row, relevance[inside])
    stack.put("lesion", row, image("lesion_mask")[inside] > 0)
    stack.put("jacobian", row, image("jacobian")[inside])
    stack.put("t1w", row, image("t1w")[inside])
    file = layout.existing(study, "occlusion", scan)
    delta = {int(r["index"]): tables.number(r, "delta", file) for r in tables.read(file, ("index", "delta"))}
    return ScanRegions(shares, np.array([delta[index] for index in INDEX]), int(empty))


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


def _own_regions(study: Path, scan: ScanId, shape: tuple[int, ...], space: str) -> np.ndarray:
    """Read the regions found in a scan, ``(x, y, z)`` int."""
    file = layout.path(study, "regions", scan, space=space)
    if not file.exists():
        raise StudyError(
            f"expected regions of {scan}, because analysis.parcellation is 'subject', but it has none",
            code="regions-missing",
            file=file.relative_to(study),
            remedy="preprocess this scan, or set analysis.parcellation to 'template'",
        )
    labels = np.rint(explanations.read_on_grid(study, "regions", scan, shape, space=space)).astype(int)
    unknown = sorted(set(np.unique(labels).tolist()) - {0, *INDEX})
    if unknown:
        raise StudyError(
            f"expected the labels 0 to {max(INDEX)}, but {scan} also has {', '.join(map(str, unknown[:5]))}",
            code="regions-unknown",
            file=file.relative_to(study),
            remedy="give a parcellation with the labels of relevox (docs/definitions.md)",
        )
    return labels
