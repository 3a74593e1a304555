"""Printed tables beside what their own numbers give."""

from __future__ import annotations

from collections.abc import Sequence

from relevox.report.page import Table
from relevox.report.tables import DASH, number, p_value
from relevox.statistics.description import CRAMERS_V
from relevox.statistics.published import NOT_TESTABLE, Recomputed

_SHORT = {CRAMERS_V: "V"}


def published_table(results: Sequence[Recomputed], source: str) -> Table:
    """Return one line a printed row: test, p-value, printed p-value and verdict.

    Parameters
    ----------
    results : sequence of Recomputed
        In the order of print.
    source : str
        Where the rows were copied from.
    """
    body = []
    for item in results:
        result = item.result
        untested = item.verdict == NOT_TESTABLE
        effect = DASH if untested else f"{_SHORT.get(result.effect_name, result.effect_name)} {number(result.effect)}"
        body.append(
            (
                item.row.table,
                item.row.name,
                item.row.unit,
                DASH if untested else result.test,
                number(result.statistic),
                p_value(result.p),
                effect.strip(),
                item.row.printed.text or DASH,
                item.verdict,
                "; ".join(item.notes),
            )
        )
    caption = (
        f"P-values of {source}, computed again from the printed counts, means and SDs. A printed value is reproduced "
        "when the computed one rounds to it. SMD: mean of the first group minus the second, over the pooled SD; V: "
        "Cramer's V."
    )
    header = ("table", "row", "unit", "test", "statistic", "p", "effect", "printed p", "verdict", "notes")
    return Table(caption, header, body)


def published_rows(results: Sequence[Recomputed]) -> list[dict[str, object]]:
    """Return the same as numbers, one mapping a row."""
    return [
        {
            "table": item.row.table,
            "row": item.row.name,
            "unit": item.row.unit,
            "test": item.result.test,
            "statistic": item.result.statistic,
            "p": item.result.p,
            "p_low": item.p_range[0],
            "p_high": item.p_range[1],
            "effect": item.result.effect,
            "effect_name": item.result.effect_name,
            "printed_p": item.row.printed.text,
            "verdict": item.verdict,
            "other_tests": "; ".join(f"{name} {p:.4g}" for name, p in item.others.items()),
            "notes": "; ".join(item.notes),
        }
        for item in results
    ]
