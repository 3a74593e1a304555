"""What may be said of a cohort without saying it of a person: cells of at least five patients."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

SMALLEST_CELL = 5
"""No number that leaves a study rests on fewer patients, and no name stands for fewer."""

OTHER = "other"

_PLAIN_NAME = re.compile(r"[A-Za-z][A-Za-z0-9 .+_-]{0,39}")
_LONG_NUMBER = re.compile(r"\d{5,}")


def pooled_counts(values: Sequence[str], patients: Sequence[str]) -> dict[str, int]:
    """Count the patients by value; rare values are pooled.

    Parameters
    ----------
    values : sequence of str, (n,)
        One a scan, for example the scanner's model; an empty one is unknown and not counted.
    patients : sequence of str, (n,)
        Whose scan; a patient with two values counts at both.

    Returns
    -------
    dict
        Value to number of patients, most frequent first, ``other`` last. Values of fewer than ``SMALLEST_CELL``
        patients are counted as ``other``, and so are values that may be more than a name (a path, a serial or
        record number: five digits in a row). Where ``other`` would be small itself, the rarest named value joins
        it: else it could be found by subtraction. Empty where nothing can be said.

    Examples
    --------
    >>> pooled_counts(["Trio"] * 9 + ["Avanto"] * 6 + ["Verio"] * 2, [str(n) for n in range(17)])
    {'Trio': 9, 'other': 8}
    """
    owners: dict[str, set[str]] = {}
    other: set[str] = set()
    for value, patient in zip(values, patients, strict=True):
        if value:
            plain = _PLAIN_NAME.fullmatch(value) and not _LONG_NUMBER.search(value) and value != OTHER
            (owners.setdefault(value, set()) if plain else other).add(patient)
    named = sorted(owners, key=lambda value: (-len(owners[value]), value))
    while named and (len(owners[named[-1]]) < SMALLEST_CELL or 0 < len(other) < SMALLEST_CELL):
        other |= owners[named.pop()]
    counts = {value: len(owners[value]) for value in named}
    if len(other) >= SMALLEST_CELL:
        counts[OTHER] = len(other)
    return counts


def moments(values: Sequence[float], patients: Sequence[str]) -> dict[str, float]:
    """Return number, mean and standard deviation over scans, NaN for fewer than ``SMALLEST_CELL`` patients.

    Parameters
    ----------
    values : sequence of float, (n,)
        One a scan; NaN is missing.
    patients : sequence of str, (n,)
        Whose scan.

    Examples
    --------
    >>> moments([1, 2, 3, 4, 5], list("abcde"))["mean"]
    3.0
    """
    values, patients = np.asarray(values, dtype=float), np.asarray(patients)
    known = np.isfinite(values)
    if len(set(patients[known])) < SMALLEST_CELL:
        return {"n": float("nan"), "mean": float("nan"), "sd": float("nan")}
    kept = values[known]
    return {"n": len(kept), "mean": float(kept.mean()), "sd": float(kept.std(ddof=1))}


def sharable_levels(levels: Sequence[float], n_patients: int) -> tuple[float, ...]:
    """Return the quantile levels with at least ``SMALLEST_CELL`` patients on either side.

    Examples
    --------
    >>> sharable_levels((0.05, 0.25, 0.5, 0.75, 0.95), 30)
    (0.25, 0.5, 0.75)
    """
    return tuple(level for level in levels if n_patients * min(level, 1 - level) >= SMALLEST_CELL - 1e-9)
