"""Recompute the p-values of a paper's printed tables."""

from __future__ import annotations

from pathlib import Path

from relevox.report.page import Table
from relevox.report.plain import latex
from relevox.report.published import published_rows, published_table
from relevox.statistics.published import recompute, summary
from relevox.store import layout, published, tables
from relevox.store.atomic import write_text


def run(file: Path, out: Path | None = None) -> tuple[Table, str]:
    """Make every row's test again and compare it with print (SPEC 8).

    1. Read the rows; all that cannot be read are listed at once.
    2. Make each row's test, and the other common tests of such numbers.
    3. Write ``published_tables.tsv`` and ``.tex`` where a folder is given.

    Parameters
    ----------
    file : Path
        Rows as text, see :func:`relevox.store.published.read`.
    out : Path, optional
        Folder; it is made.

    Returns
    -------
    table : Table
        One line a row.
    sentence : str
        How many were reproduced, and which were not.
    """
    results = [recompute(row) for row in published.read(file)]
    table = published_table(results, file.name)
    if out is not None:
        tables.write(layout.path(out, "published", suffix="tsv"), published_rows(results))
        write_text(layout.path(out, "published", suffix="tex"), latex(table, "tab:published"))
    wrong = [f"{item.row.name} (table {item.row.table})" for item in results if item.misprint]
    sentence = summary(results) + "."
    if wrong:
        sentence += f" The printed p-value does not follow from the printed numbers for: {', '.join(wrong)}."
    return table, sentence
