"""The tables by region that ``analyse`` writes: long ones for programs, wide ones for a spreadsheet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from relevox.config import Settings
from relevox.imaging.regions import REGIONS
from relevox.records import Cohort, Prediction, ScanId
from relevox.stages.analyse_scan import ScanRegions, percentiles
from relevox.statistics.averaging import Averages, average_over
from relevox.statistics.regions import RegionShares
from relevox.store import layout, tables

N_REGIONS = len(REGIONS)

SHARES = ("voxel_share", "relevance_share", "volume_share", "mean_relevance")
"""Measures of a region in a map, as averaged over a group."""

GROUP_COLUMNS = (
    "group",
    "method",
    "region",
    "n_scans",
    "n_patients",
    "percentile",
    "voxel_share",
    "voxel_share_sd",
    "voxel_share_ci_low",
    "voxel_share_ci_high",
    "relevance_share",
    "relevance_share_sd",
    "relevance_share_ci_low",
    "relevance_share_ci_high",
    "volume_share",
    "enrichment",
    "mean_relevance",
    "mean_relevance_display",
)
SCAN_COLUMNS = (
    "participant_id",
    "session_id",
    "group",
    "method",
    "region",
    "percentile",
    "voxel_share",
    "relevance_share",
    "volume_share",
    "enrichment",
    "mean_relevance",
)
OCCLUSION_COLUMNS = ("group", "region", "n_scans", "mean_delta", "sd_delta", "mean_absolute_delta")


def averaging(settings: Settings) -> dict[str, object]:
    """Return the settings of every mean over a group."""
    return {
        "average": settings.analysis.average,
        "n_bootstrap": settings.evaluation.n_bootstrap,
        "confidence": settings.evaluation.confidence,
        "seed": settings.seed,
    }


def scan_rows(found: Mapping[ScanId, ScanRegions], predictions: Mapping[ScanId, Prediction]) -> list[dict[str, object]]:
    """One row a scan, method, threshold and region."""
    return [
        tables.id_columns(scan)
        | {
            "group": predictions[scan].group,
            "method": method,
            "region": region.name,
            "percentile": percentile,
            "voxel_share": shares.voxel_share[p, r],
            "relevance_share": shares.relevance_share[r],
            "volume_share": shares.volume_share[r],
            "enrichment": shares.enrichment[p, r],
            "mean_relevance": shares.mean_relevance[r],
        }
        for scan, one in found.items()
        for method, shares in one.shares.items()
        for p, percentile in enumerate(shares.percentiles)
        for r, region in enumerate(REGIONS)
    ]


def write_by_scan(
    study: Path,
    found: Mapping[ScanId, ScanRegions],
    cohort: Cohort,
    predictions: Mapping[ScanId, Prediction],
    percentile: float,
) -> list[Path]:
    """Write the wide tables: a file a method and measure, a row a scan, a column a region; shares in percent."""
    written = []
    first = found[cohort.ids[0]].shares
    for method in first:
        column = first[method].percentiles.index(percentile)
        measures = {
            "voxels-percent": lambda shares, p=column: 100 * shares.voxel_share[p],
            "relevance-percent": lambda shares: 100 * shares.relevance_share,
            "volume-percent": lambda shares: 100 * shares.volume_share,
            "enrichment": lambda shares, p=column: shares.enrichment[p],
        }
        for measure, values in measures.items():
            rows = []
            for observation in cohort:
                answer, shares = predictions[observation.id], found[observation.id].shares[method]
                rows.append(
                    tables.id_columns(observation.id)
                    | {"score": observation.score, "class": observation.label}
                    | {"probability": answer.probability, "group": answer.group}
                    | dict(zip((region.name for region in REGIONS), np.round(values(shares), 4), strict=True))
                )
            file = layout.path(study, "analysis_by_scan", desc=method, measure=measure)
            written.append(tables.write(file, rows))
    return written


def group_rows(
    found: Mapping[ScanId, ScanRegions], members: Mapping[str, Sequence[ScanId]], settings: Settings
) -> list[dict[str, object]]:
    """Average the region shares over each group; empty groups have no row.

    ``enrichment`` is the mean voxel share over the mean volume share; ``mean_relevance_display`` the mean
    relevance over its maximum over groups and regions (SPEC 6.2).
    """
    rows: list[dict[str, object]] = []
    thresholds = percentiles(settings)
    for method in settings.attribution.methods:
        means = {
            group: _averages([found[scan].shares[method] for scan in scans], scans, settings)
            for group, scans in members.items()
            if scans
        }
        largest = max((np.nanmax(one["mean_relevance"].mean, initial=0.0) for one in means.values()), default=0.0)
        for group, one in means.items():
            voxels, relevance = one["voxel_share"], one["relevance_share"]
            volume, level = one["volume_share"].mean, one["mean_relevance"].mean
            for p, percentile in enumerate(thresholds):
                for r, region in enumerate(REGIONS):
                    v = p * N_REGIONS + r
                    rows.append(
                        {
                            "group": group,
                            "method": method,
                            "region": region.name,
                            "n_scans": len(members[group]),
                            "n_patients": n_patients(members[group]),
                            "percentile": percentile,
                            **_columns("voxel_share", voxels, v),
                            **_columns("relevance_share", relevance, r),
                            "volume_share": volume[r],
                            "enrichment": voxels.mean[v] / volume[r] if volume[r] > 0 else np.nan,
                            "mean_relevance": level[r],
                            "mean_relevance_display": level[r] / largest if largest > 0 else np.nan,
                        }
                    )
    return rows


def occlusion_rows(
    found: Mapping[ScanId, ScanRegions], members: Mapping[str, Sequence[ScanId]], settings: Settings
) -> list[dict[str, object]]:
    """Average what the margin loses by region; empty groups have no row, single scans no spread."""
    rows = []
    for group, scans in members.items():
        if not scans:
            continue
        deltas = np.stack([found[scan].deltas for scan in scans])  # (n, r)
        one = average_over(np.hstack([deltas, np.abs(deltas)]), _patients(scans), **averaging(settings))
        for r, region in enumerate(REGIONS):
            rows.append(
                {
                    "group": group,
                    "region": region.name,
                    "n_scans": len(scans),
                    "mean_delta": one.mean[r],
                    "sd_delta": one.sd[r],
                    "mean_absolute_delta": one.mean[N_REGIONS + r],
                }
            )
    return rows


def n_patients(scans: Sequence[ScanId]) -> int:
    """Count the patients of some scans."""
    return len({scan.participant for scan in scans})


def _averages(shares: Sequence[RegionShares], scans: Sequence[ScanId], settings: Settings) -> dict[str, Averages]:
    patients, options = _patients(scans), averaging(settings)
    return {
        name: average_over(np.stack([np.ravel(getattr(one, name)) for one in shares]), patients, **options)
        for name in SHARES
    }


def _columns(name: str, one: Averages, column: int) -> dict[str, float]:
    values = (one.mean, one.sd, one.ci_low, one.ci_high)
    return {f"{name}{end}": v[column] for end, v in zip(("", "_sd", "_ci_low", "_ci_high"), values, strict=True)}


def _patients(scans: Sequence[ScanId]) -> np.ndarray:
    return np.array([scan.participant for scan in scans])
