"""What ``analyse`` tests: in which voxels a group's maps depend on a regressor, beyond chance."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from relevox.config import Settings
from relevox.errors import InputError
from relevox.imaging.regions import REGIONS
from relevox.imaging.template import Template
from relevox.statistics.permutation import PermutationTest, freedman_lane, null_r2
from relevox.store.group_maps import GroupMaps
from relevox.store.stacks import Stack

ALPHA = 0.05
"""Voxels with a smaller p are counted."""

COMMON = "common_lesion"
"""Name in the stack of the lesions that are tested."""

NULL_PERMUTATIONS = 50
"""Of whole patients, for the R2 that chance alone gives: its mean over the brain is steady after a few."""


def keep_common(stack: Stack, rows: slice, least: int) -> np.ndarray:
    """Leave out the lesions of voxels where too few scans of a group have one, or have none.

    Returns
    -------
    ndarray, (n, v)
        The group's lesions, constant where they are left out: the test drops them there.
    """
    lesions = stack.get("lesion")[rows]
    with_lesion = sum((row.astype(np.int64) for row in lesions), start=np.zeros(stack.shape[1], dtype=np.int64))
    common = np.minimum(with_lesion, len(lesions) - with_lesion) >= least
    for row, values in zip(range(rows.start, rows.stop), lesions, strict=True):
        stack.put(COMMON, row, values * common)
    return stack.get(COMMON)[rows]


def infer(
    maps: GroupMaps,
    settings: Settings,
    head: Template,
    y: np.ndarray,
    X: Sequence[np.ndarray],
    tested: Sequence[np.ndarray],
    patients: np.ndarray,
    threads: int = 1,
    progress: Callable[[int, int], object] | None = None,
) -> tuple[list[dict[str, object]], float]:
    """Write t and p maps of a group.

    Parameters
    ----------
    maps : GroupMaps
        Where they go.
    settings : Settings
        ``analysis`` and ``seed``.
    head : Template
        Where the voxels lie.
    y, X, patients
        As for :func:`relevox.statistics.permutation.freedman_lane`.
    tested : sequence of ndarray
        The regressors as they are tested (:func:`keep_common`).
    threads : int
        Tiles of voxels at once.
    progress : callable, optional
        Told (done, total) steps.

    Returns
    -------
    rows : list of dict
        What to add to the rows of ``regressors.tsv``, one a regressor.
    expected : float
        Mean R2 over the brain when whole patients are exchanged; NaN where none can be.
    """
    options = {"seed": settings.seed, "threads": threads}
    try:
        null = null_r2(y, X, patients, NULL_PERMUTATIONS, **options)
        test = freedman_lane(
            y,
            tested,
            patients,
            settings.analysis.n_permutations,
            mask=head.brain_mask if settings.analysis.tfce else None,
            progress=progress,
            **options,
        )
    except InputError as error:
        if error.code != "permutation-arrangements":
            raise
        return [{"note": "no test: no two patients with the same number of scans"} for _ in X], math.nan
    _write(maps, settings, test)
    return [_row(test, j, head) for j in range(len(X))], null.mean


def _write(maps: GroupMaps, settings: Settings, test: PermutationTest) -> None:
    for j, name in enumerate(settings.analysis.regressors):
        maps.write(name, "t", test.t[j])
        maps.write(name, "logpuncorrected", -np.log10(test.p_uncorrected[j]))
        maps.write(name, "logpfwe", -np.log10(test.p_fwe[j]))
        if test.tfce is not None:
            maps.write(name, "tfce", test.tfce[j])
            maps.write(name, "logptfce", -np.log10(test.p_tfce[j]))


def _row(test: PermutationTest, j: int, head: Template) -> dict[str, object]:
    known = np.isfinite(test.t[j])
    row: dict[str, object] = {
        "n_permutations": test.n_permutations,
        "n_arrangements": _magnitude(test.n_arrangements),
        "voxels_tested": int(known.sum()),
    }
    if not known.any():
        return row | {"note": "no test: in no voxel have enough scans a lesion and enough have none"}
    row |= {
        "voxels_fwe": _below(test.p_fwe[j]),
        "smallest_p_fwe": np.nanmin(test.p_fwe[j]),
        "voxels_uncorrected": _below(test.p_uncorrected[j]),
        **_peak(test.t[j], head),
    }
    if test.p_tfce is not None:
        row |= {"voxels_tfce": _below(test.p_tfce[j]), "smallest_p_tfce": np.nanmin(test.p_tfce[j])}
    if 1 / (test.n_permutations + 1) >= ALPHA:
        row["note"] = f"too few patients: with {test.n_arrangements} arrangements no p is below {ALPHA:g}"
    return row


def _peak(t: np.ndarray, head: Template) -> dict[str, object]:
    """Say where |t| is largest: region and MNI millimetres."""
    peak = int(np.nanargmax(np.abs(t)))
    voxel = np.argwhere(head.brain_mask)[peak]
    x, y, z = (head.affine @ [*voxel, 1])[:3]
    region = {region.index: region.name for region in REGIONS}[int(head.regions[tuple(voxel)])]
    return {"peak_t": t[peak], "peak_region": region, "peak_x_mm": x, "peak_y_mm": y, "peak_z_mm": z}


def _below(p: np.ndarray) -> int:
    return int(np.count_nonzero(p < ALPHA))  # NaN is not


def _magnitude(count: int) -> int | str:
    """Write a count that may have hundreds of digits.

    Examples
    --------
    >>> _magnitude(720), _magnitude(math.factorial(74))
    (720, '1e107')
    """
    return count if count < 10**6 else f"1e{int(math.log10(count))}"
