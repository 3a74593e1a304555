"""What the maps of a group have in common: regions, mean maps, and what lesions and atrophy explain of them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from relevox.config import Settings
from relevox.engines.workers import raise_failures, run_all
from relevox.imaging.crop import study_grid
from relevox.imaging.regions import REGIONS
from relevox.records import GROUPS, Cohort, ScanId, Volume, VoxelwiseFit
from relevox.statistics.localisation import auc
from relevox.statistics.regions import RegionTable
from relevox.statistics.resampling import correlation
from relevox.statistics.voxelwise import VoxelwiseRegression
from relevox.store import explanations, images, layout, models, provenance, tables, template

logger = logging.getLogger("relevox")

REGRESSORS = ("lesion", "jacobian")
"""Of the voxel-wise regression: lesion mask and Jacobian determinant."""

ALL = "all"
"""Beside TP, FP, TN and FN: every scan."""

INDEX = [region.index for region in REGIONS]

GROUP_COLUMNS = (
    "group",
    "n_scans",
    "n_patients",
    "r2_median",
    "r2_95th",
    "r2_null_expectation",
    "regressors_mean",
    "partial_r2_lesion_median",
    "partial_r2_jacobian_median",
    "note",
)
REGION_COLUMNS = (
    "group",
    "method",
    "region",
    "n_scans",
    "percentile",
    "voxel_share",
    "relevance_share",
    "volume_share",
    "enrichment",
    "mean_relevance",
    "mean_relevance_display",
)
OCCLUSION_COLUMNS = ("group", "region", "n_scans", "mean_delta", "sd_delta", "mean_absolute_delta")


@dataclass
class GroupSums:
    """What is kept of a group's scans; two of them can be merged."""

    regression: VoxelwiseRegression
    """Map ~ lesion + Jacobian, over the voxels of the template's brain."""
    n_scans: int = 0
    """Scans seen."""
    sums: dict[str, np.ndarray] = field(default_factory=dict)
    """``(x, y, z)`` float64 per desc: maps, lesions, Jacobian, T1w."""
    shares: dict[str, list[list[np.ndarray]]] = field(default_factory=dict)
    """Per method and scan: voxel share (p, r), relevance share, volume share, mean relevance (r)."""
    deltas: list[np.ndarray] = field(default_factory=list)
    """``(r,)`` per scan: region occlusion."""
    n_without_relevance: int = 0
    """Maps that are zero everywhere."""

    def add(self, name: str, image: np.ndarray) -> None:
        """Add an image to a sum."""
        self.sums[name] = self.sums.get(name, 0.0) + image.astype(np.float64)

    def merge(self, other: GroupSums) -> GroupSums:
        """Add the scans of another group; it stays as it is."""
        self.regression.merge(other.regression)
        self.n_scans += other.n_scans
        self.n_without_relevance += other.n_without_relevance
        self.deltas += other.deltas
        for name, image in other.sums.items():
            self.add(name, image)
        for method, rows in other.shares.items():
            self.shares[method] = self.shares.get(method, []) + rows
        return self


def run(study: Path, settings: Settings, workers: int = 1) -> None:
    """Analyse the maps by group: TP, FP, TN, FN and all (SPEC 6.1 to 6.3).

    1. Per scan: region shares of every map, over the scan's own brain and the template's regions.
    2. Per group: mean maps, and the voxel-wise regression of the first method's
       map on lesion mask and Jacobian; scans pass one by one and are not kept.
    3. Tables: regions, occlusion, groups (with the R2 expected without an effect).
    4. Input leak: what the mean intensity of each channel says of lesion load and class.

    Every map is scaled first, so that its absolute relevance sums to 1 (``analysis.normalise``).

    Parameters
    ----------
    study : Path
        With explained scans.
    settings : Settings
        ``analysis`` and ``attribution.methods``.
    workers : int
        Groups analysed at once.

    Raises
    ------
    StudyError
        When a scan has not been explained.
    """
    cohort = tables.read_cohort(study)
    predictions = explanations.cnn_predictions(study, cohort)
    unit = provenance.Unit(
        study,
        stage="analyse",
        name="groups",
        settings={
            "analysis": settings.analysis.model_dump(),
            "methods": settings.attribution.methods,
            "preprocessing": settings.preprocessing.model_dump(),
            "groups": {scan.key: prediction.group for scan, prediction in predictions.items()},
        },
        inputs={scan.key: provenance.digest(study, "explain", scan.key) for scan in cohort.ids}
        | {f"{scan.key} images": provenance.digest(study, "preprocess", scan.key) for scan in cohort.ids}
        | {"inputs": provenance.digest(study, "train", "inputs")}
        | {name: provenance.sha256(layout.existing(study, name)) for name in ("cohort", "volumes")},
    )
    if unit.is_current():
        logger.info("analyse: up to date")
        return
    members = {
        group: [scan for scan, prediction in predictions.items() if prediction.group == group] for group in GROUPS
    }
    outcomes = run_all(
        partial(sum_group, study, settings),
        list(members.values()),
        workers,
        description="analyse",
        labels=list(members),
    )
    raise_failures(outcomes)
    sums = dict(zip(members, (outcome.value for outcome in outcomes), strict=True))
    everyone = GroupSums(VoxelwiseRegression(len(REGRESSORS)))
    for group in GROUPS:
        everyone.merge(sums[group])
    sums, members = sums | {ALL: everyone}, members | {ALL: list(cohort.ids)}

    fits = {group: fit_group(one) for group, one in sums.items()}
    outputs = [
        tables.write(layout.path(study, "analysis_regions"), region_rows(sums, settings), REGION_COLUMNS),
        tables.write(layout.path(study, "analysis_occlusion"), occlusion_rows(sums), OCCLUSION_COLUMNS),
        tables.write(
            layout.path(study, "analysis_groups"),
            [group_row(group, members[group], fits[group]) for group in sums],
            GROUP_COLUMNS,
        ),
        tables.write(layout.path(study, "input_leak"), leak_rows(study, settings, cohort)),
    ]
    for group, one in sums.items():
        outputs += _write_maps(study, settings, group, one, fits[group])
    for left_over, _ in layout.find(study, "group_map"):
        if left_over not in outputs:
            left_over.unlink()  # of a group that is empty now
    unit.record(outputs)
    if everyone.n_without_relevance:
        logger.warning("analyse: %d maps are zero everywhere and count as such", everyone.n_without_relevance)
    for group in GROUPS:
        logger.info("analyse: %s: %d scans of %d patients", group, sums[group].n_scans, _n_patients(members[group]))


def sum_group(study: Path, settings: Settings, scans: Sequence[ScanId]) -> GroupSums:
    """Read the scans of a group one by one and keep sums only."""
    space, methods = settings.preprocessing.space, settings.attribution.methods
    head = template.load(settings.preprocessing.voxel_size_mm, settings.preprocessing.periventricular_mm)
    shape, inside = head.brain_mask.shape, head.brain_mask
    one = GroupSums(VoxelwiseRegression(len(REGRESSORS)))
    percentiles = _percentiles(settings)
    for scan in scans:
        image = {
            kind: explanations.read_on_grid(study, kind, scan, shape, space=space)
            for kind in ("t1w", "brain_mask", "lesion_mask", "jacobian")
        }
        lesion = (image["lesion_mask"] > 0).astype(np.float32)
        counter = RegionTable(head.regions, image["brain_mask"] > 0, INDEX)
        for method in methods:
            relevance = explanations.read_on_grid(study, "relevance", scan, shape, space=space, method=method)
            total = np.abs(relevance).sum(dtype=np.float64)
            one.n_without_relevance += total == 0
            if settings.analysis.normalise and total > 0:
                relevance = relevance / total
            found = counter.shares(relevance, percentiles)
            one.shares.setdefault(method, []).append(
                [found.voxel_share, found.relevance_share, found.volume_share, found.mean_relevance]
            )
            one.add(method, relevance)
            if method == methods[0]:
                y = relevance[inside][None]
                one.regression.update(y, np.stack([lesion[inside], image["jacobian"][inside]])[None])
        for name, values in (("t1w", image["t1w"]), ("lesion", lesion), ("jacobian", image["jacobian"])):
            one.add(name, values)
        file = layout.existing(study, "occlusion", scan)
        delta = {int(row["index"]): tables.number(row, "delta", file) for row in tables.read(file, ("index", "delta"))}
        one.deltas.append(np.array([delta[index] for index in INDEX]))
        one.n_scans += 1
    return one


def fit_group(one: GroupSums) -> VoxelwiseFit | None:
    """Fit the regression of a group; None where it has no scan."""
    return one.regression.fit() if one.n_scans else None


def region_rows(sums: Mapping[str, GroupSums], settings: Settings) -> list[dict[str, object]]:
    """Average the scans' region shares; empty groups have no row.

    ``mean_relevance_display`` is the mean relevance over its maximum over groups and regions (SPEC 6.2).
    """
    rows = []
    for method in settings.attribution.methods:
        means = {
            group: [_mean_where_known(parts) for parts in zip(*one.shares[method], strict=True)]
            for group, one in sums.items()
            if one.n_scans
        }
        largest = max((np.nanmax(values[3], initial=0.0) for values in means.values()), default=0.0)
        for group, (voxel_share, relevance_share, volume_share, mean_relevance) in means.items():
            for p, percentile in enumerate(_percentiles(settings)):
                for r, region in enumerate(REGIONS):
                    volume = volume_share[r]
                    rows.append(
                        {
                            "group": group,
                            "method": method,
                            "region": region.name,
                            "n_scans": sums[group].n_scans,
                            "percentile": percentile,
                            "voxel_share": voxel_share[p, r],
                            "relevance_share": relevance_share[r],
                            "volume_share": volume,
                            "enrichment": voxel_share[p, r] / volume if volume > 0 else np.nan,
                            "mean_relevance": mean_relevance[r],
                            "mean_relevance_display": mean_relevance[r] / largest if largest > 0 else np.nan,
                        }
                    )
    return rows


def occlusion_rows(sums: Mapping[str, GroupSums]) -> list[dict[str, object]]:
    """Average what the margin loses by region; empty groups have no row, single scans no spread."""
    rows = []
    for group, one in sums.items():
        if not one.n_scans:
            continue
        deltas = np.stack(one.deltas)  # (n, r)
        spread = deltas.std(axis=0, ddof=1) if one.n_scans > 1 else np.full(len(REGIONS), np.nan)
        for r, region in enumerate(REGIONS):
            rows.append(
                {
                    "group": group,
                    "region": region.name,
                    "n_scans": one.n_scans,
                    "mean_delta": deltas[:, r].mean(),
                    "sd_delta": spread[r],
                    "mean_absolute_delta": np.abs(deltas[:, r]).mean(),
                }
            )
    return rows


def group_row(group: str, scans: Sequence[ScanId], fit: VoxelwiseFit | None) -> dict[str, object]:
    """Summarise the regression of a group beside what chance alone would give."""
    row: dict[str, object] = {"group": group, "n_scans": len(scans), "n_patients": _n_patients(scans)}
    if fit is None:
        return row | {"note": "empty: no scan belongs to this group"}
    known = np.isfinite(fit.r2)
    if not known.any():
        too_few = fit.n <= len(REGRESSORS) + 1
        return row | {"note": "too few scans for the regression" if too_few else "nothing varies between its scans"}
    return row | {
        "r2_median": np.median(fit.r2[known]),
        "r2_95th": np.percentile(fit.r2[known], 95),
        "r2_null_expectation": len(REGRESSORS) / (fit.n - 1),
        "regressors_mean": fit.fitted[:, known].sum(axis=0).mean(),
        "partial_r2_lesion_median": _median_where_known(fit.partial_r2[0]),
        "partial_r2_jacobian_median": _median_where_known(fit.partial_r2[1]),
        "note": ("" if known.all() else f"{known.mean():.0%} of voxels fitted; ")
        + f"{np.mean(~fit.fitted[0][known]):.0%} of voxels without any lesion",
    }


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


def _write_maps(study: Path, settings: Settings, group: str, one: GroupSums, fit: VoxelwiseFit | None) -> list[Path]:
    """Write a group's mean maps and, where anything was fitted, its regression maps.

    Where nothing was fitted the maps hold 0; ``fitted`` masks say where that is.
    """
    head = template.load(settings.preprocessing.voxel_size_mm, settings.preprocessing.periventricular_mm)
    affine = study_grid(settings.preprocessing.voxel_size_mm).affine

    def write(desc: str, statistic: str, data: np.ndarray) -> Path:
        place = layout.path(study, "group_map", group=group, desc=desc, statistic=statistic)
        return images.write(place, Volume(data, affine))

    written = [write(desc, "mean", total / one.n_scans) for desc, total in one.sums.items()]
    if fit is None or not fit.fitted.any():
        return written

    def in_brain(values: np.ndarray) -> np.ndarray:
        image = np.zeros(head.brain_mask.shape, dtype=values.dtype)
        image[head.brain_mask] = np.nan_to_num(values, nan=0.0) if values.dtype != bool else values
        return image

    method = settings.attribution.methods[0]
    written += [write(method, "r2", in_brain(fit.r2)), write(method, "adjustedr2", in_brain(fit.adjusted_r2))]
    for k, regressor in enumerate(REGRESSORS):
        written += [
            write(regressor, "partialr2", in_brain(fit.partial_r2[k])),
            write(regressor, "beta", in_brain(fit.standardised_beta[k])),
            write(regressor, "fitted", in_brain(fit.fitted[k])),
        ]
    return written


def _percentiles(settings: Settings) -> list[float]:
    return sorted({settings.analysis.percentile, *settings.analysis.percentile_sweep})


def _mean_where_known(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Mean over scans, leaving out the scans where a value is not defined."""
    stacked = np.stack(parts)
    known = np.isfinite(stacked)
    count = known.sum(axis=0)
    return np.where(count > 0, np.where(known, stacked, 0.0).sum(axis=0) / np.maximum(count, 1), np.nan)


def _median_where_known(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else float("nan")


def _n_patients(scans: Sequence[ScanId]) -> int:
    return len({scan.participant for scan in scans})
