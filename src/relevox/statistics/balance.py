"""How classes, age and sex spread over scanners and other strata of a cohort (SPEC 4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Balance:
    """One stratum of a cohort."""

    stratum: str
    """Name; empty where unknown."""
    n: int
    """Scans."""
    n_patients: int
    """Patients."""
    n_class_1: int
    """Scans of class 1."""
    n_patients_1: int
    """Patients with scans of class 1."""
    share_class_1: float
    """Of the stratum's scans."""
    share_of_cohort: float
    """Of the cohort's scans."""


@dataclass(frozen=True)
class Distribution:
    """A variable among the scans of one stratum and class."""

    stratum: str
    """Name; empty where unknown."""
    label: int
    """Class."""
    n: int
    """Scans."""
    missing: int
    """Scans whose value is unknown."""
    mean: float
    """Over scans; of a 0/1 variable the share of 1. NaN without a known value."""
    sd: float
    """ddof 1; NaN with fewer than two known values."""
    low: float
    """Smallest known value."""
    high: float
    """Largest known value."""


def balance(strata: Sequence[str], labels: np.ndarray, patients: np.ndarray) -> tuple[Balance, ...]:
    """Count scans, patients and classes per stratum (scanner, field strength, sex, age band).

    Parameters
    ----------
    strata : sequence of str, (n,)
        Of every scan; empty is unknown, and comes last.
    labels, patients : array-like, (n,)
        Class and patient of every scan.
    """
    strata, labels, patients = np.asarray(strata, dtype=str), np.asarray(labels), np.asarray(patients)
    answer = []
    for name in sorted(set(strata.tolist()), key=lambda name: (name == "", name)):
        rows = strata == name
        positive = rows & (labels == 1)
        answer.append(
            Balance(
                name,
                int(rows.sum()),
                len(np.unique(patients[rows])),
                int(positive.sum()),
                len(np.unique(patients[positive])),
                float(positive.sum() / rows.sum()),
                float(rows.mean()),
            )
        )
    return tuple(answer)


def distribution(values: np.ndarray, strata: Sequence[str], labels: np.ndarray) -> tuple[Distribution, ...]:
    """Describe a variable (age in years; 1 female, 0 male) per stratum and class.

    Parameters
    ----------
    values : array-like, (n,)
        Of every scan; NaN where unknown.
    strata : sequence of str, (n,)
        Of every scan; empty is unknown, and comes last.
    labels : array-like, (n,)
        Class of every scan.
    """
    values, strata, labels = np.asarray(values, dtype=float), np.asarray(strata, dtype=str), np.asarray(labels)
    answer = []
    for name in sorted(set(strata.tolist()), key=lambda name: (name == "", name)):
        for label in (0, 1):
            of = values[(strata == name) & (labels == label)]
            known = of[np.isfinite(of)]
            mean, low, high = (known.mean(), known.min(), known.max()) if len(known) else (np.nan,) * 3
            sd = known.std(ddof=1) if len(known) > 1 else np.nan
            answer.append(
                Distribution(
                    name, label, len(of), len(of) - len(known), float(mean), float(sd), float(low), float(high)
                )
            )
    return tuple(answer)
