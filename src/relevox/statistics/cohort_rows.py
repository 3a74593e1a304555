"""Rows of a cohort table: values per group, the right test, n, missing and effect (SPEC 8; paper, Tables 2-3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from relevox.statistics.description import NOT_TESTED, Comparison, compare_counts, compare_values

ONE_SCAN = "last scans"
"""Ends the name of a test of scans that was made on one scan of each patient."""


@dataclass(frozen=True)
class DescribedRow:
    """One line of a cohort table."""

    name: str
    """Variable, or one of its levels, with its unit."""
    cells: tuple[str, str, str]
    """Group 0, group 1, both together."""
    comparison: Comparison | None
    """None for a level below its variable, and for rows that are not to be tested."""
    n: int
    """Patients or scans with a value."""
    missing: int
    """Patients or scans without one."""
    is_level: bool = False
    """One level of the variable above."""
    higher: int | None = None
    """Group in which the measure, or ``leading``, is higher; None where neither is."""
    leading: str = ""
    """Level whose count departs most from what equal groups would have."""


def describe_measure(
    name: str, values: np.ndarray, groups: np.ndarray, patients: np.ndarray, decimals: int = 1
) -> DescribedRow:
    """Make the row of a measure: mean (SD) per group and the comparison.

    Parameters
    ----------
    name : str
        With its unit.
    values, groups, patients : ndarray, ``(n,)``
        As in :func:`compare_values`.
    decimals : int
        Of mean and SD.
    """
    values = np.asarray(values, dtype=float)
    parts = [values[rows] for rows in (groups == 0, groups == 1, groups >= 0)]
    comparison = compare_values(values, groups, patients)
    effect = comparison.effect
    higher = int(effect < 0) if np.isfinite(effect) and effect != 0 else None
    known = int(np.isfinite(values).sum())
    cells = tuple(_mean_sd(part, decimals) for part in parts)
    return DescribedRow(name, cells, comparison, known, values.size - known, higher=higher)


def describe_grouping(name: str, values: np.ndarray, groups: np.ndarray) -> DescribedRow:
    """Make the row of the score that defines the groups: median [range], and no test (SPEC 8)."""
    values = np.asarray(values, dtype=float)
    cells = tuple(_median_range(values[rows]) for rows in (groups == 0, groups == 1, groups >= 0))
    known = int(np.isfinite(values).sum())
    return DescribedRow(name, cells, None, known, values.size - known)


def describe_counts(
    name: str, values: Sequence[str], groups: np.ndarray, tested: np.ndarray | None = None
) -> tuple[DescribedRow, ...]:
    """Make the rows of a categorical variable: the comparison, then count (%) per level.

    Parameters
    ----------
    name : str
        Of the variable.
    values : sequence of str
        One a patient or scan; empty = missing.
    groups : ndarray of int, ``(n,)``
        0 or 1.
    tested : ndarray of bool, ``(n,)``, optional
        Rows on which the test is made; default all. Chi-square and its like take rows as independent, so where
        patients have several scans one of each should be named here.
    """
    values = np.asarray(values, dtype=str)
    known = values != ""
    levels = sorted(set(values[known]))

    def counted(rows: np.ndarray) -> np.ndarray:
        counts = [[(rows & (values == level) & (groups == g)).sum() for g in (0, 1)] for level in levels]
        return np.array(counts, dtype=np.int64).reshape(-1, 2)

    counts = counted(known)
    independent = counts if tested is None else counted(known & tested)
    comparison = compare_counts(independent)
    if tested is not None and comparison is not NOT_TESTED and not tested.all():
        comparison = replace(comparison, test=f"{comparison.test}; {ONE_SCAN}")
    leading, higher = _leading(levels, independent) if np.isfinite(comparison.p) else ("", None)
    n, missing = int(known.sum()), int((~known).sum())
    rows = [DescribedRow(name, ("", "", ""), comparison, n, missing, higher=higher, leading=leading)]
    for level, pair in zip(levels, counts, strict=True):
        totals = (*counts.sum(axis=0), counts.sum())
        cells = tuple(_share(int(k), int(total)) for k, total in zip((*pair, pair.sum()), totals, strict=True))
        rows.append(DescribedRow(str(level), cells, None, int(pair.sum()), 0, is_level=True))
    return tuple(rows)


def _leading(levels: Sequence[str], counts: np.ndarray) -> tuple[str, int | None]:
    """The level with the largest adjusted residual (Haberman 1973), and the group where it is more frequent."""
    expected = counts.sum(axis=1, keepdims=True) * counts.sum(axis=0) / counts.sum()
    share = counts.sum(axis=1) / counts.sum()
    with np.errstate(invalid="ignore", divide="ignore"):
        residual = np.nan_to_num((counts - expected)[:, 0] / np.sqrt(expected[:, 0] * (1 - share)))
    strongest = int(np.abs(residual).argmax())
    if residual[strongest] == 0:
        return "", None
    return str(levels[strongest]), int(residual[strongest] < 0)


def _median_range(values: np.ndarray) -> str:
    values = values[np.isfinite(values)]
    if values.size == 0:
        return "no values"
    return f"{np.median(values):.1f} [{values.min():.1f} to {values.max():.1f}]"


def _mean_sd(values: np.ndarray, decimals: int) -> str:
    values = values[np.isfinite(values)]
    if values.size == 0:
        return "no values"
    if values.size == 1:
        return f"{values[0]:.{decimals}f}"
    return f"{values.mean():.{decimals}f} ({values.std(ddof=1):.{decimals}f})"


def _share(count: int, total: int) -> str:
    return f"{count} ({100 * count / total:.0f} %)" if total else "0"
