"""Tables as plain text (for a terminal) and as LaTeX (for a paper)."""

from __future__ import annotations

import re

from relevox.report.page import Table

_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
    "|": "$|$",
    '"': r"\textquotedbl{}",
    "\N{GREATER-THAN OR EQUAL TO}": r"$\geq$",
    "\N{LESS-THAN OR EQUAL TO}": r"$\leq$",
    "\N{MINUS SIGN}": "$-$",
    "\N{MULTIPLICATION SIGN}": r"$\times$",
    "\N{PLUS-MINUS SIGN}": r"$\pm$",
    "\N{SUPERSCRIPT TWO}": "$^2$",
    "\N{DEGREE SIGN}": r"$^\circ$",
    "\N{EN DASH}": "--",
    "\N{EM DASH}": "---",
    "\N{EM SPACE}": r"\quad ",
    "\N{NO-BREAK SPACE}": "~",
}

WORDS = 28
"""A column with a longer cell than this is set as wrapped text."""


def aligned(table: Table) -> str:
    """Write a table in columns of equal width; empty columns are left out."""
    rows = [list(table.header), *map(list, table.rows)]
    kept = [i for i in range(len(table.header)) if any(row[i] for row in rows[1:])]
    widths = [max(len(row[i]) for row in rows) for i in kept]
    lines = ["  ".join(row[i].ljust(w) for i, w in zip(kept, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * min(120, sum(widths) + 2 * len(widths)), *lines[1:]])


def escape_latex(text: str) -> str:
    r"""Write text so that LaTeX prints it and nothing in it is a command.

    Examples
    --------
    >>> print(escape_latex("5 % of a_b & \\input{x}"))
    5 \% of a\_b \& \textbackslash{}input\{x\}
    """
    return "".join(_LATEX.get(c, c if c.isprintable() else " ") for c in text)


def latex(table: Table, label: str) -> str:
    r"""Write a table for ``\input``; it needs the packages booktabs and array, and UTF-8.

    Parameters
    ----------
    table : Table
        Caption, header and rows.
    label : str
        For ``\ref``: letters, digits, colon and dash.
    """
    long = [max(len(row[i]) for row in (table.header, *table.rows)) > WORDS for i in range(len(table.header))]
    words = [max((len(row[i]) for row in table.rows), default=0) > WORDS for i in range(len(table.header))]
    columns = ["l" if i == 0 and not words[0] else r">{\raggedright\arraybackslash}p{3.2cm}" if w else "r"
               for i, w in enumerate(words)]  # fmt: skip
    head = [_heading(cell, is_long) for cell, is_long in zip(table.header, long, strict=True)]
    body = [" & ".join(escape_latex(cell) for cell in row) + r" \\" for row in table.rows]
    lines = [
        r"% \usepackage{booktabs,array}",
        r"\begin{table}[htbp]",
        r"\centering\footnotesize",
        rf"\caption{{{escape_latex(table.caption)}}}",
        rf"\label{{{re.sub(r'[^A-Za-z0-9:-]', '', label)}}}",
        rf"\begin{{tabular}}{{{''.join(columns)}}}",
        r"\toprule",
        " & ".join(head) + r" \\",
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _heading(cell: str, is_long: bool) -> str:
    """A long heading is broken at its first colon or comma, so that a column is as wide as its cells."""
    parts = re.split(r"(?<=[:,])\s+", cell) if is_long else [cell]
    text = r" \\ ".join(escape_latex(part) for part in parts)
    return rf"\begin{{tabular}}[b]{{@{{}}r@{{}}}}{text}\end{{tabular}}" if len(parts) > 1 else text
