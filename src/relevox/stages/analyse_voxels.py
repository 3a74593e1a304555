"""What ``analyse`` does for one group of scans: mean maps, the voxel-wise regression, its p-values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from relevox.config import Settings
from relevox.imaging.template import Template
from relevox.records import ScanId, VoxelwiseFit
from relevox.stages.analyse_inference import infer, keep_common
from relevox.stages.analyse_regions import n_patients
from relevox.statistics.averaging import scan_weights, weighted_mean
from relevox.statistics.voxelwise import VoxelwiseRegression
from relevox.store.group_maps import GroupMaps
from relevox.store.stacks import Stack

AVERAGED = ("lesion", "jacobian", "t1w")
"""Images whose mean over a group is shown beside that of the maps."""


GROUP_COLUMNS = (
    "group",
    "n_scans",
    "n_patients",
    "n_fitted",
    "voxels_fitted",
    "terms_mean",
    "r2_mean",
    "r2_median",
    "r2_95th",
    "r2_expected",
    "r2_expected_permuted",
    "r2_above_chance",
    "note",
)
REGRESSOR_COLUMNS = (
    "group",
    "method",
    "regressor",
    "n_scans",
    "n_patients",
    "voxels_tested",
    "partial_r2_median",
    "beta_median",
    "n_permutations",
    "n_arrangements",
    "voxels_fwe",
    "smallest_p_fwe",
    "voxels_uncorrected",
    "peak_t",
    "peak_region",
    "peak_x_mm",
    "peak_y_mm",
    "peak_z_mm",
    "voxels_tfce",
    "smallest_p_tfce",
    "note",
)


@dataclass(frozen=True)
class Members:
    """One group of scans and where its maps lie in the stack."""

    group: str
    """``TP``, ``FP``, ``TN``, ``FN`` or ``all``."""
    scans: tuple[ScanId, ...]
    """Who belongs to it, in the order of ``rows``."""
    rows: np.ndarray
    """``(n,)`` rows of the stack."""
    fitted: slice
    """Rows in the regression: scans whose regressors are all known."""

    @property
    def patients(self) -> np.ndarray:
        """Patient of every scan, ``(n,)``."""
        return np.array([scan.participant for scan in self.scans])

    @property
    def fitted_patients(self) -> np.ndarray:
        """Patient of every scan in the regression."""
        return self.patients[: self.fitted.stop - self.fitted.start]


@dataclass(frozen=True)
class GroupResult:
    """Rows and files of one group."""

    row: dict[str, object]
    """Of ``groups.tsv``."""
    regressors: list[dict[str, object]]
    """Of ``regressors.tsv``, one a regressor."""
    written: list[Path]
    """Maps."""


def analyse_group(
    stack: Stack,
    settings: Settings,
    head: Template,
    members: Members,
    known: Mapping[str, np.ndarray],
    threads: int = 1,
    progress: Callable[[int, int], object] | None = None,
) -> GroupResult:
    """Average, fit and test one group.

    Parameters
    ----------
    stack : Stack
        Maps of all scans over the template's brain.
    settings : Settings
        ``analysis``, ``attribution.methods`` and ``seed``.
    head : Template
        Where the voxels lie.
    members : Members
        The group.
    known : mapping of str to ndarray
        Regressors with one number a scan, ``(n,)`` over the rows of the stack.
    threads : int
        For the permutations.
    progress : callable, optional
        Told how many of their (done, total) steps are done.
    """
    scans, regressors = members.scans, settings.analysis.regressors
    maps = GroupMaps(stack.study, members.group, head.brain_mask, head.affine)
    row = {"group": members.group, "n_scans": len(scans), "n_patients": n_patients(scans)}
    rows = [
        {"group": members.group, "method": settings.attribution.methods[0], "regressor": name} for name in regressors
    ]

    def result(notes: Sequence[str]) -> GroupResult:
        return GroupResult(row | {"note": "; ".join(notes)}, rows, maps.written)

    if not scans:
        return result(["empty: no scan belongs to this group"])
    weights = scan_weights(members.patients, settings.analysis.average)
    for name in (*settings.attribution.methods, *AVERAGED):
        stacked = stack.get(name)
        mean = weighted_mean(lambda part, s=stacked: s[members.rows, part], stack.shape[1], weights)
        maps.write(name, "mean", mean)

    y = stack.get(settings.attribution.methods[0])[members.fitted]
    X = [(known[name] if name in known else stack.get(name))[members.fitted] for name in regressors]
    row["n_fitted"] = len(y)
    notes = []
    if len(y) < len(scans):
        names = " or ".join(name.replace("_", " ") for name in known)
        notes.append(f"{len(scans) - len(y)} scans without {names} are left out")
    if len(y) <= len(regressors) + 1:
        return result([*notes, "too few scans for the regression"])
    fit = VoxelwiseRegression(len(X)).update(y, X).fit()
    if not fit.fitted.any():
        return result([*notes, "nothing varies between its scans"])
    _write_fit(maps, settings, fit)
    row |= _r2_row(fit)
    for j, one in enumerate(rows):
        one |= _regressor_row(fit, j, members.fitted_patients)
    if settings.analysis.n_permutations:
        common = [
            keep_common(stack, members.fitted, settings.analysis.min_lesion_scans) if name == "lesion" else x
            for name, x in zip(regressors, X, strict=True)
        ]
        found_by, expected = infer(maps, settings, head, y, X, common, members.fitted_patients, threads, progress)
        for one, found in zip(rows, found_by, strict=True):
            one |= found
        if np.isfinite(expected):
            row |= {"r2_expected_permuted": expected, "r2_above_chance": row["r2_mean"] - expected}
    return result([*notes, *_coverage(fit, regressors)])


def _write_fit(maps: GroupMaps, settings: Settings, fit: VoxelwiseFit) -> None:
    method, terms = settings.attribution.methods[0], fit.fitted.sum(axis=0)
    maps.write(method, "r2", fit.r2)
    maps.write(method, "adjustedr2", fit.adjusted_r2)
    maps.write(method, "terms", terms.astype(np.int16))
    maps.write(method, "n", np.where(terms > 0, fit.n, 0).astype(np.int16))
    for j, name in enumerate(settings.analysis.regressors):
        maps.write(name, "partialr2", fit.partial_r2[j])
        maps.write(name, "beta", fit.standardised_beta[j])
        maps.write(name, "fitted", fit.fitted[j])


def _r2_row(fit: VoxelwiseFit) -> dict[str, object]:
    """Summarise the fit over the voxels, beside what chance alone would give."""
    known = np.isfinite(fit.r2)
    terms = fit.fitted[:, known].sum(axis=0).mean()
    mean, expected = fit.r2[known].mean(), terms / (fit.n - 1)
    return {
        "voxels_fitted": int(known.sum()),
        "terms_mean": terms,
        "r2_mean": mean,
        "r2_median": np.median(fit.r2[known]),
        "r2_95th": np.percentile(fit.r2[known], 95),
        "r2_expected": expected,
        "r2_above_chance": mean - expected,
    }


def _regressor_row(fit: VoxelwiseFit, j: int, patients: np.ndarray) -> dict[str, object]:
    """Summarise one regressor over the voxels in which it was fitted."""
    return {
        "n_scans": fit.n,
        "n_patients": len(np.unique(patients)),
        "voxels_tested": int(fit.fitted[j].sum()),
        "partial_r2_median": _median(fit.partial_r2[j]),
        "beta_median": _median(fit.standardised_beta[j]),
    }


def _coverage(fit: VoxelwiseFit, regressors: Sequence[str]) -> list[str]:
    """Say where the fit could not use what it was given."""
    known = np.isfinite(fit.r2)
    notes = [] if known.all() else [f"{known.mean():.0%} of voxels fitted"]
    if "lesion" in regressors:
        without = np.mean(~fit.fitted[list(regressors).index("lesion")][known])
        notes.append(f"{without:.0%} of voxels without any lesion")
    return notes


def _median(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else float("nan")
