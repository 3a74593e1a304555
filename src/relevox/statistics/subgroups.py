"""Is the model as good for everybody: scores by scanner, field strength, sex, age band, MS type (SPEC 7)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from relevox.errors import InputError
from relevox.statistics.resampling import Estimate, resample
from relevox.statistics.scores import MEASURES, checked, weighted_scores

UNKNOWN = "unknown"
"""Level of scans whose value is not known."""

NEEDS = {"sensitivity": (0, 1), "specificity": (1, 0), "balanced_accuracy": (1, 1), "auc": (1, 1)}
"""Whether a measure needs patients of class 0 and class 1; the others need patients only."""


@dataclass(frozen=True)
class Subgroup:
    """The scores of one level."""

    level: str
    """Name."""
    n: int
    """Scans."""
    n_patients: int
    """Patients."""
    n_patients_0: int
    """Patients with scans of class 0."""
    n_patients_1: int
    """Patients with scans of class 1."""
    scores: Mapping[str, Estimate]
    """One entry per measure; NaN where suppressed."""
    suppressed: tuple[str, ...]
    """Measures that are not shown because too few patients are behind them."""


@dataclass(frozen=True)
class Interaction:
    """Whether a score differs between levels more than chance."""

    statistic: float
    """Variance of the levels' scores, weighted by their patients; NaN with fewer than two levels."""
    p: float
    """Share of permutations that reach it."""
    levels: tuple[str, ...]
    """Levels that were compared: those whose score is not suppressed."""
    n_patients: int
    """Patients that were permuted."""
    n_excluded: int
    """Patients who were left out: of suppressed or unknown levels, or of several levels."""


def subgroup_scores(
    y_true: np.ndarray,
    probability: np.ndarray,
    patients: np.ndarray,
    levels: Sequence[str],
    smallest: int = 10,
    smallest_class: int = 5,
    n_bootstrap: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> tuple[Subgroup, ...]:
    """Score every level of a variable by itself.

    Parameters
    ----------
    y_true, probability, patients : array-like, (n,)
        Per scan.
    levels : sequence of str, (n,)
        Level of every scan; empty is unknown, and comes last.
    smallest : int
        A level with fewer patients shows no score.
    smallest_class : int
        A measure that needs a class shows nothing with fewer patients of that class.
    n_bootstrap, confidence, seed
        Of the intervals (:meth:`.resampling.Resampled.interval`), over the level's patients.
    """
    y, p = checked(y_true, probability)
    patients, levels = np.asarray(patients), _named(levels, len(y))
    names = sorted(set(levels.tolist()), key=lambda name: (name == UNKNOWN, name))
    return tuple(
        _subgroup(name, levels == name, y, p, patients, smallest, smallest_class, n_bootstrap, confidence, seed)
        for name in names
    )


def scores_without(
    y_true: np.ndarray,
    probability: np.ndarray,
    patients: np.ndarray,
    levels: Sequence[str],
    smallest: int = 10,
    smallest_class: int = 5,
    n_bootstrap: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> tuple[Subgroup, ...]:
    """Score the rest when one level is left out: does one scanner carry the result?

    Parameters and records are those of :func:`subgroup_scores`; ``level`` is the one left out.
    """
    y, p = checked(y_true, probability)
    patients, levels = np.asarray(patients), _named(levels, len(y))
    names = sorted(set(levels.tolist()), key=lambda name: (name == UNKNOWN, name))
    return tuple(
        _subgroup(name, levels != name, y, p, patients, smallest, smallest_class, n_bootstrap, confidence, seed)
        for name in names
    )


def interaction(
    y_true: np.ndarray,
    probability: np.ndarray,
    patients: np.ndarray,
    levels: Sequence[str],
    measure: str = "auc",
    smallest: int = 10,
    smallest_class: int = 5,
    n_permutations: int = 2000,
    seed: int = 0,
) -> Interaction:
    """Test whether a score is the same in all levels, by exchanging levels between patients of a class.

    Parameters
    ----------
    y_true, probability, patients : array-like, (n,)
        Per scan.
    levels : sequence of str, (n,)
        Level of every scan. Patients with scans of several levels, and scans of
        unknown level, are left out.
    measure : str
        One of ``MEASURES``.
    smallest, smallest_class : int
        As for :func:`subgroup_scores`: suppressed levels are not compared.
    n_permutations : int
        The smallest possible p is 1 / (n_permutations + 1).
    seed : int
        Of the permutations.

    Notes
    -----
    Patients keep their scans; those with the same classes (0, 1 or both)
    exchange levels, so every level keeps its patients per class and a different
    share of class 1 is no interaction. What is tested is that the level tells
    nothing about the probabilities beyond the class. A scanner that shifts all
    probabilities alike therefore counts for accuracy, sensitivity and Brier,
    and hardly for the AUC.
    """
    if measure not in MEASURES:
        raise InputError(f"expected one of {', '.join(MEASURES)}, but got {measure!r}", code="scores-measure")
    y, p = checked(y_true, probability)
    levels = _named(levels, len(y))
    everyone, patient = np.unique(np.asarray(patients), return_inverse=True)
    n_all = len(everyone)
    members = {name: np.unique(patient[levels == name]) for name in sorted(set(levels.tolist())) if name != UNKNOWN}
    in_levels = np.zeros(n_all, dtype=int)
    for rows in members.values():
        in_levels[rows] += 1
    usable = (in_levels == 1)[patient] & (levels != UNKNOWN)
    kept = [
        name
        for name in members
        if measure
        not in _suppressed(y[usable & (levels == name)], patient[usable & (levels == name)], smallest, smallest_class)
    ]
    usable &= np.isin(levels, kept)
    n_patients = len(np.unique(patient[usable]))
    if len(kept) < 2:
        return Interaction(np.nan, np.nan, tuple(kept), n_patients, n_all - n_patients)
    y, p, levels = y[usable], p[usable], levels[usable]
    _, first, patient = np.unique(patient[usable], return_index=True, return_inverse=True)
    level = np.searchsorted(kept, levels[first])  # (n_patients,)
    pattern = (np.bincount(patient, y) > 0) + 2 * (np.bincount(patient, ~y) > 0)
    rng = np.random.default_rng(seed)
    exchanged = np.tile(level, (n_permutations + 1, 1))  # row 0 is the cohort itself
    for of in np.unique(pattern):
        rows = np.flatnonzero(pattern == of)
        exchanged[1:, rows] = rng.permuted(exchanged[1:, rows], axis=1)
    row = MEASURES.index(measure)
    values = np.array(
        [weighted_scores(y, p, (exchanged[:, patient] == k).astype(float))[row] for k in range(len(kept))]
    )  # (levels, permutations + 1)
    weight = np.bincount(level)[:, None] / len(level)
    spread = (weight * (values - (weight * values).sum(axis=0)) ** 2).sum(axis=0)
    reached = np.count_nonzero(spread[1:] >= spread[0] - 1e-12)
    return Interaction(
        float(spread[0]), (reached + 1) / (n_permutations + 1), tuple(kept), n_patients, n_all - n_patients
    )


def bands(values: np.ndarray, edges: Sequence[float] = (30, 40, 50)) -> np.ndarray:
    """Put numbers into named bands; unknown values get an empty name.

    Parameters
    ----------
    values : array-like, (n,)
        Age in years, say.
    edges : sequence of float
        Rising; a band includes its lower edge.

    Examples
    --------
    >>> bands([25, 30, 71, np.nan], (30, 40)).tolist()
    ['< 30', '30 to < 40', '>= 40', '']
    """
    values = np.asarray(values, dtype=float)
    names = [f"< {edges[0]:g}", *(f"{a:g} to < {b:g}" for a, b in pairwise(edges))]
    names.append(f">= {edges[-1]:g}")
    named = np.array(names)[np.searchsorted(edges, values, side="right").clip(max=len(edges))]
    return np.where(np.isfinite(values), named, "")


def _named(levels: Sequence[str], n: int) -> np.ndarray:
    named = np.array([str(level) or UNKNOWN for level in levels])
    if len(named) != n:
        raise InputError(f"expected {n} levels, but got {len(named)}", code="subgroup-levels")
    return named


def _suppressed(y: np.ndarray, patients: np.ndarray, smallest: int, smallest_class: int) -> tuple[str, ...]:
    """Measures with too few patients behind them."""
    if len(np.unique(patients)) < smallest:
        return MEASURES
    of_class = [len(np.unique(patients[y == value])) for value in (False, True)]
    return tuple(
        name
        for name in MEASURES
        if any(needed and n < smallest_class for needed, n in zip(NEEDS.get(name, (0, 0)), of_class, strict=True))
    )


def _subgroup(level, rows, y, p, patients, smallest, smallest_class, n_bootstrap, confidence, seed) -> Subgroup:
    y, p, patients = y[rows], p[rows], patients[rows]
    suppressed = _suppressed(y, patients, smallest, smallest_class)
    scores = dict.fromkeys(MEASURES, Estimate(np.nan, np.nan, np.nan, len(y)))
    if len(suppressed) < len(MEASURES):
        found = resample(lambda weights: weighted_scores(y, p, weights), patients, n_bootstrap, seed)
        for name, value, (low, high) in zip(MEASURES, found.value, found.interval(confidence), strict=True):
            if name not in suppressed:
                scores[name] = Estimate(float(value), float(low), float(high), len(y))
    return Subgroup(
        level,
        len(y),
        len(np.unique(patients)),
        len(np.unique(patients[~y])),
        len(np.unique(patients[y])),
        scores,
        suppressed,
    )
