"""Printed tables, row by row: does the printed p-value follow from the printed numbers?

A row gives counts, or means with SDs and n. Its test is made again, and the
p-value is held against the printed one at the precision that was printed.
Where another common test gives the printed value, that test is named.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import product

import numpy as np

from relevox.statistics.alternatives import (
    ANOVA,
    FREEMAN_HALTON,
    MCNEMAR,
    PAIRED,
    STUDENT,
    WELCH_ANOVA,
    count_tests,
    mcnemar,
    moment_tests,
    paired_t,
)
from relevox.statistics.description import FISHER, MONTE_CARLO, NOT_TESTED, PEARSON, WELCH, YATES, Comparison

REPRODUCED = "reproduced"
NOT_REPRODUCED = "not reproduced"
WITHIN_ROUNDING = "reproduced within rounding"
NO_PRINTED_P = "no printed p"
NOT_TESTABLE = "not testable"


@dataclass(frozen=True)
class PrintedP:
    """A p-value as it stands in print."""

    text: str
    """As printed; empty where none is."""
    relation: str = ""
    """``=``, ``<``, ``>``, or empty where no p-value is printed."""
    value: float = np.nan
    """The number."""
    decimals: int = 0
    """Decimals of the number: it stands for every value that rounds to it."""

    def agrees(self, low: float, high: float) -> bool:
        """Tell whether some p-value from ``low`` to ``high`` would be printed so.

        Examples
        --------
        >>> PrintedP("0.08", "=", 0.08, 2).agrees(0.0804, 0.0804)
        True
        >>> PrintedP("<0.001", "<", 0.001, 3).agrees(0.047, 0.047)
        False
        """
        if self.relation == "<":
            return low < self.value
        if self.relation == ">":
            return high > self.value
        half = 0.5 * 10.0**-self.decimals + 1e-12
        return low <= self.value + half and high >= self.value - half


@dataclass(frozen=True)
class PublishedRow:
    """One row of a printed table, with the numbers that were read from it."""

    table: str
    """Number or name of the table."""
    name: str
    """Of the variable."""
    unit: str
    """``patient``, ``scan``, ...: what was counted."""
    printed: PrintedP
    """The printed p-value."""
    test: str = ""
    """Name of the test to make; empty = our own choice for such data."""
    counts: np.ndarray | None = None
    """``(levels, groups)`` counts; for paired data first answer by second."""
    counts_range: Sequence[np.ndarray] = ()
    """Other counts that round to the printed percentages."""
    moments: np.ndarray | None = None
    """``(3, groups)`` mean, SD and n; one group = paired differences."""
    halves: np.ndarray | None = None
    """``(2, groups)`` half a unit of the last printed digit of mean and SD."""
    why_not: str = ""
    """Why nothing can be tested; empty where it can."""
    notes: tuple[str, ...] = ()
    """What else was seen in the row."""


@dataclass(frozen=True)
class Recomputed:
    """What follows from the numbers of a row."""

    row: PublishedRow
    """The row."""
    result: Comparison
    """The test that was made."""
    p_range: tuple[float, float]
    """Smallest and largest p-value of numbers that round to the printed ones."""
    verdict: str
    """``reproduced``, ``reproduced with Yates only`` (the uncorrected chi-square does not), ``reproduced by ... only``
    (not by our test), ``reproduced within rounding``, ``not reproduced``, ``no printed p`` or ``not testable``."""
    notes: tuple[str, ...] = ()
    """Everything a reader should know besides."""
    others: dict[str, float] = field(default_factory=dict)
    """p-value of every other common test of such numbers."""

    @property
    def misprint(self) -> bool:
        """No common test of the printed numbers gives the printed p-value."""
        return self.verdict == NOT_REPRODUCED


def recompute(row: PublishedRow) -> Recomputed:
    """Make the test of a row again and compare it with the printed p-value.

    Parameters
    ----------
    row : PublishedRow
        With counts or moments, or the reason why neither can be tested.

    Returns
    -------
    Recomputed
        An exact printed value is reproduced when the p-value rounds to it at its decimals; ``<`` and ``>`` when it
        lies on that side. Rounding: means and SDs are moved by half a unit of their last digit either way, and
        percentages stand for every count that rounds to them.

    Examples
    --------
    >>> counts = np.array([[59, 24], [74, 24], [60, 38], [22, 18]])
    >>> result = recompute(PublishedRow("2", "topography", "patient", PrintedP("<0.001", "<", 0.001, 3), counts=counts))
    >>> result.verdict, round(result.result.p, 3)
    ('not reproduced', 0.047)
    """
    tests = {} if row.why_not else _tests(row)
    if not tests:
        why = row.why_not or "nothing differs, or a group has fewer than two values"
        return Recomputed(row, NOT_TESTED, (np.nan, np.nan), NOT_TESTABLE, (*row.notes, why))
    name = _named(row, tests)
    chosen = tests[name]
    others = {other: result.p for other, result in tests.items() if other != name}
    low, high = _range(row, name, chosen.p)
    notes = list(row.notes)
    if row.test and name not in (row.test, _FITTING.get(row.test)):
        notes.append(f"{row.test} cannot be made from these numbers")
    if row.unit == "scan" and name in _INDEPENDENT:
        notes.append("counts every scan as independent")
    verdict = _verdict(row.printed, name, chosen.p, (low, high), others, notes)
    return Recomputed(row, chosen, (low, high), verdict, tuple(notes), others)


_INDEPENDENT = (YATES, PEARSON, FISHER, MONTE_CARLO, FREEMAN_HALTON, WELCH, STUDENT, ANOVA, WELCH_ANOVA)


def _tests(row: PublishedRow) -> dict[str, Comparison]:
    """Every test of the row's numbers by name, our own choice first; those that cannot be made are left out."""
    if row.moments is not None:
        tests = {PAIRED: paired_t(*row.moments[:, 0])} if row.test == PAIRED else moment_tests(*row.moments)
    elif row.test == MCNEMAR:
        paired = mcnemar(row.counts)
        tests = {paired.test: paired}
    else:
        tests = count_tests(row.counts)
    return {name: result for name, result in tests.items() if np.isfinite(result.p)}


def _named(row: PublishedRow, tests: dict[str, Comparison]) -> str:
    """The test the row names, in the form that fits its size; else our own choice."""
    for wanted in (row.test, _FITTING.get(row.test)):
        if wanted in tests:
            return wanted
    return next(iter(tests))


_FITTING = {YATES: PEARSON, FISHER: FREEMAN_HALTON, WELCH: WELCH_ANOVA, STUDENT: ANOVA, ANOVA: STUDENT}
"""The form of a test for tables of another size."""


def _range(row: PublishedRow, name: str, p: float) -> tuple[float, float]:
    """Smallest and largest p-value over the numbers that round to the printed ones."""
    found = [p]
    if row.counts is not None:
        for counts in row.counts_range:
            tests = count_tests(counts)
            if name in tests:
                found.append(tests[name].p)
    elif row.halves is not None and row.moments.shape[1] <= 2:
        mean, sd, n = row.moments
        for steps in product((-1, 0, 1), repeat=2 * mean.size):
            shift = np.reshape(steps, (2, mean.size)) * row.halves
            near = np.vstack([mean + shift[0], np.maximum(sd + shift[1], 0), n])
            result = paired_t(*near[:, 0]) if name == PAIRED else moment_tests(*near).get(name, NOT_TESTED)
            if np.isfinite(result.p):
                found.append(result.p)
        # between the corners the difference may be zero
        if abs(np.diff(mean) if mean.size == 2 else mean).item() <= row.halves[0].sum():
            found.append(1.0)
    return min(found), max(found)


def _verdict(
    printed: PrintedP, name: str, p: float, span: tuple[float, float], others: dict[str, float], notes: list[str]
) -> str:
    if not printed.relation:
        return NO_PRINTED_P
    agreeing = [other for other, value in others.items() if printed.agrees(value, value)]
    if printed.agrees(p, p):
        if len(agreeing) < len(others):
            notes.append(_said(others))
        return f"{REPRODUCED} with Yates only" if name == YATES and PEARSON not in agreeing else REPRODUCED
    if printed.agrees(*span):
        notes.append(f"the rounded numbers allow p from {span[0]:.2g} to {span[1]:.2g}")
        return WITHIN_ROUNDING
    if agreeing:
        return f"{REPRODUCED} by {' and '.join(agreeing)} only"
    if printed.relation == "=" and printed.value <= p < printed.value + 10.0**-printed.decimals:
        notes.append("the digits are cut off, not rounded")
    notes.append(f"printed {printed.text}, but the numbers give {p:.2g}" + (f" ({_said(others)})" if others else ""))
    return NOT_REPRODUCED


def _said(others: dict[str, float]) -> str:
    return ", ".join(f"{name} gives {p:.2g}" for name, p in others.items())


def summary(results: Iterable[Recomputed]) -> str:
    """Count the verdicts in one sentence.

    Examples
    --------
    >>> summary([])
    '0 rows'
    """
    results = list(results)
    counts: dict[str, int] = {}
    for result in results:
        words = REPRODUCED if result.verdict.startswith(REPRODUCED) else result.verdict
        counts[words] = counts.get(words, 0) + 1
    parts = [f"{n} {words}" for words, n in counts.items()]
    return ": ".join([f"{len(results)} row{'s' if len(results) != 1 else ''}", *([", ".join(parts)] if parts else [])])
