"""Tables copied out of a paper, as text: counts, moments and printed p-values.

One row a variable; the columns are ``table, row, unit, kind, levels, group0,
group1, ..., printed_p``. Every cell that cannot be read is named by its row.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from itertools import product
from math import ceil, floor
from pathlib import Path

import numpy as np

from relevox.errors import Problems, RelevoxError, TableError
from relevox.statistics import alternatives, description
from relevox.statistics.published import PrintedP, PublishedRow

_TESTS = (
    (r"mcnemar|bowker", alternatives.MCNEMAR),
    (r"paired", alternatives.PAIRED),
    (r"no yates|without yates|uncorrected|not corrected|no correction|pearson", description.PEARSON),
    (r"yates|corrected", description.YATES),
    (r"monte", description.MONTE_CARLO),
    (r"fisher|exact|freeman", description.FISHER),
    (r"welch anova", alternatives.WELCH_ANOVA),
    (r"welch|unequal", description.WELCH),
    (r"anova|analysis of variance", alternatives.ANOVA),
    (r"student|equal|pooled|\bt\b|t-test", alternatives.STUDENT),
    (r"chi", description.PEARSON),
)
"""Words in the brackets of ``kind`` and the tests they stand for; the first that fits counts."""

_COUNTED = ("count", "counts", "n", "number", "frequency", "categorical")
_KINDS = "count RxC, percent|n, mean|SD|n, mean|SE|n, median; the test in brackets, for example (Yates)"
_NUMBER = re.compile(r"[-+]?(\d+|\d{1,3}(,\d{3})+)?(\.\d+)?([eE][-+]?\d+)?")
_NO_P = {"", "n/a", "na", "nr", "-", "--", "none", "not reported", "\N{EN DASH}", "\N{EM DASH}"}


def read(path: str | Path) -> list[PublishedRow]:
    """Read a table of printed rows (comma, semicolon or tab between columns).

    Parameters
    ----------
    path : path-like
        ``row``, ``kind`` and two or more ``group0, group1, ...`` must be there; ``table``, ``unit``, ``levels`` and
        ``printed_p`` (or ``p``) may be. Other columns are left alone. ``kind`` says what a group's cell holds:

        ``count RxC``
            One count a level, ``147|68``; also ``147 (68 %)|68 (32 %)``, and ``147/215`` for 147 of 215. Bracketed
            percentages are checked.
        ``percent|n``
            ``68.4|215``.
        ``mean|SD|n`` or ``mean|SE|n``
            ``7.6|6.6|215``.
        ``median``, ``range``, ``mean|n``
            Nothing can be tested from these; the row says so.

        A test in brackets is taken: Yates, no Yates, Fisher, Monte-Carlo, Welch, Student, ANOVA, McNemar (paired
        counts), paired (``group0`` holds mean, SD and n of the differences).

    Raises
    ------
    Problems, TableError
        For every row that cannot be read.
    """
    path = Path(path)
    rows, groups = _lines(path)
    found, problems = [], []
    for number, row in rows:
        try:
            found.append(_row(row, groups, path, number))
        except RelevoxError as error:
            problems.append(error)
    if problems:
        raise problems[0] if len(problems) == 1 else Problems(problems)
    return found


def printed_p(text: str) -> PrintedP:
    """Read a p-value as journals print it.

    Raises
    ------
    ValueError
        For text that is none.

    Examples
    --------
    >>> printed_p("p < .001").value, printed_p("0.08").decimals, printed_p("n.s.").relation
    (0.001, 2, '>')
    """
    plain = text.strip().strip("*\N{DAGGER}").strip().lower()
    if plain in _NO_P:
        return PrintedP("")
    if re.fullmatch(r"(p\s*[=:]?\s*)?(n\.?\s*s\.?|not significant)", plain):
        return PrintedP(text.strip(), ">", 0.05, 2)
    match = re.fullmatch(
        r"(?:p(?:[- ]?value)?\s*)?([<>=\N{LESS-THAN OR EQUAL TO}\N{GREATER-THAN OR EQUAL TO}]?)=?\s*"
        r"(\d*[.,]?\d*(?:e-?\d+)?)",
        plain,
    )
    number = match.group(2).replace(",", ".") if match else ""
    if not re.search(r"\d", number) or not 0 <= (value := float(number)) <= 1:
        raise ValueError(text)
    sign = {"\N{LESS-THAN OR EQUAL TO}": "<", "\N{GREATER-THAN OR EQUAL TO}": ">", "": "="}
    return PrintedP(text.strip(), sign.get(match.group(1), match.group(1)), value, _decimals(number))


def _lines(path: Path) -> tuple[list[tuple[int, dict[str, str]]], list[str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise TableError("expected a table, but no file is there", code="table-missing", file=path.name) from None
    except (OSError, UnicodeDecodeError) as error:
        raise TableError(
            f"expected UTF-8 text, but got: {error}", code="table-encoding", file=path.name, remedy="save it as UTF-8"
        ) from None
    first = text.lstrip("\r\n").split("\n", 1)[0]
    separator = "\t" if "\t" in first else ";" if first.count(";") > first.count(",") else ","
    try:
        lines = [row for row in csv.reader(text.splitlines(), delimiter=separator) if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise TableError(f"expected rows of cells, but got: {error}", code="table-ragged", file=path.name) from None
    header = [_column(name) for name in lines[0]] if lines else []
    groups = sorted((name for name in header if re.fullmatch(r"group\d+", name)), key=lambda name: int(name[5:]))
    lacking = [name for name in ("row", "kind") if name not in header]
    if len(groups) < 2:
        lacking.append("group0, group1")
    repeated = sorted({name for name in header if name and header.count(name) > 1})
    if lacking or repeated:
        what = f"lack {', '.join(lacking)}" if lacking else f"hold {', '.join(repeated)} twice"
        raise TableError(
            f"expected the columns table, row, unit, kind, levels, group0, group1, printed_p, but they {what}",
            code="table-columns",
            file=path.name,
            row="header",
        )
    if len(lines) < 2:
        raise TableError("expected rows below the header, but got none", code="table-empty", file=path.name)
    rows = []
    for number, line in enumerate(lines[1:], start=1):
        if len(line) > len(header):
            raise TableError(
                f"expected {len(header)} cells, but got {len(line)}",
                code="table-ragged",
                file=path.name,
                row=number,
                remedy="put quotation marks around cells that hold a separator",
            )
        cells = [cell.strip() for cell in line] + [""] * (len(header) - len(line))
        rows.append((number, dict(zip(header, cells, strict=True))))
    return rows, groups


def _column(name: str) -> str:
    plain = re.sub(r"[\s_-]+", "", name.strip().lower())
    return {"printedp": "printed_p", "p": "printed_p", "pvalue": "printed_p", "variable": "row"}.get(plain, plain)


def _row(row: Mapping[str, str], groups: Sequence[str], path: Path, number: int) -> PublishedRow:
    def wrong(message: str, code: str, remedy: str | None = None) -> TableError:
        return TableError(f"{row['row']}: {message}", code=code, file=path.name, row=number, remedy=remedy)

    try:
        printed = printed_p(row.get("printed_p", ""))
    except ValueError:
        raise wrong(
            f"expected a p-value, but got {row['printed_p']!r}",
            "p-invalid",
            "write it as 0.08, <0.001 or n.s., or leave it empty",
        ) from None
    cells = [row[name].replace("\N{MINUS SIGN}", "-") for name in groups]
    while cells and not cells[-1]:
        cells.pop()
    content, test, unknown = _kind(row["kind"])
    seen = (f"{unknown} cannot be made from printed numbers",) if unknown else ()
    common = {"table": row.get("table", ""), "name": row["row"], "unit": row.get("unit", ""), "printed": printed}
    try:
        if content == "none":
            return PublishedRow(**common, why_not=f"{row['kind']}: a test needs the single values, or mean, SD and n")
        levels = [level.strip() for level in row.get("levels", "").split("|")] if row.get("levels") else []
        if content == "count":
            counts, notes = _counts(cells, levels, row["kind"], test)
            return PublishedRow(**common, test=test, counts=counts, notes=seen + notes)
        if content == "percent":
            counts, near, notes = _percentages(cells)
            return PublishedRow(**common, test=test, counts=counts, counts_range=near, notes=seen + notes)
        if content in ("mean|sd|n", "mean|se|n"):
            return _moments(common | {"notes": seen}, cells, test, standard_error=content == "mean|se|n")
    except ValueError as error:
        raise wrong(str(error), "cell-invalid") from None
    raise wrong(f"unknown kind {row['kind']!r}", "kind-unknown", f"known: {_KINDS}")


def _kind(text: str) -> tuple[str, str, str]:
    """What the cells hold, the test that is named, and a named test that we cannot make."""
    plain = text.lower().replace("(sd)", "|sd").replace("(se)", "|se")
    named = " ".join(re.findall(r"[(\[]([^)\]]*)[)\]]", plain))
    test = next((test for words, test in _TESTS if re.search(words, named)), "")
    return _content(plain), test, named if re.search("[a-z]", named) and not test else ""


def _content(plain: str) -> str:
    words = [word for word in re.split(r"[^a-z%]+", re.sub(r"[(\[].*?[)\]]", " ", plain)) if word not in ("", "x")]
    first, second = (*words, "", "")[:2]
    if first in ("percent", "percentage", "%") or (first in _COUNTED and second in ("percent", "%")):
        return "percent"
    if first in _COUNTED:
        return "count"
    if first in ("median", "range", "iqr"):
        return "none"
    if first == "mean":
        spread = {"sd": "sd", "se": "se", "sem": "se"}.get(second)
        return f"mean|{spread}|n" if spread and words[-1] == "n" else "none"
    return ""


def _counts(cells: Sequence[str], levels: Sequence[str], kind: str, test: str) -> tuple[np.ndarray, tuple[str, ...]]:
    columns, shares = [], []
    for cell in cells:
        of = re.fullmatch(r"(\d+)\s*(?:/|of)\s*(\d+)", cell)
        if of:
            k, n = int(of.group(1)), int(of.group(2))
            if k > n:
                raise ValueError(f"expected a count of {n} at most, but got {k}")
            columns.append([k, n - k])
            shares.append([None, None])
            continue
        read = [_count(part) for part in cell.split("|")]
        columns.append([count for count, _ in read])
        shares.append([share for _, share in read])
    lengths = {len(column) for column in columns}
    if len(columns) < 2 or len(lengths) != 1:
        raise ValueError(f"expected as many counts in every group, but got {[len(column) for column in columns]}")
    counts = np.array(columns, dtype=np.int64).T  # (levels, groups)
    if counts.shape[0] < 2:
        raise ValueError("expected a count for every level, those without it too (or 147/215)")
    if len(levels) > 1 and len(levels) != counts.shape[0]:
        raise ValueError(f"expected {len(levels)} counts, one a level, but got {counts.shape[0]}")
    size = re.search(r"(\d+)\s*[x\N{MULTIPLICATION SIGN}]\s*(\d+)", kind)
    if size and sorted(map(int, size.groups())) != sorted(counts.shape):
        raise ValueError(
            f"expected {size.group(0)} counts, but got {counts.shape[0]} levels in {counts.shape[1]} groups"
        )
    if test == alternatives.MCNEMAR and counts.shape[0] != counts.shape[1]:
        raise ValueError("expected a square table of pairs, first answer by second")
    return counts, tuple(_wrong_shares(counts, shares))


def _count(text: str) -> tuple[int, str | None]:
    match = re.fullmatch(r"(\d+|\d{1,3}(?:,\d{3})+)(?:\.0+)?\s*(?:\(\s*([\d.]+)\s*%?\s*\))?", text.strip())
    if not match:
        raise ValueError(f"expected whole counts, but got {text.strip()!r}")
    return int(match.group(1).replace(",", "")), match.group(2)


def _wrong_shares(counts: np.ndarray, shares: Sequence[Sequence[str | None]]) -> list[str]:
    """Printed percentages that do not follow from their counts."""
    wrong = []
    for column, printed in zip(counts.T, shares, strict=True):
        for count, share in zip(column, printed, strict=True):
            if share is not None and column.sum() > 0:
                true = 100 * count / column.sum()
                if abs(true - float(share)) > 0.5 * 10.0 ** -_decimals(share) + 1e-9:
                    wrong.append(f"{count} of {column.sum()} is {true:.3g} %, not {share} %")
    return wrong


def _percentages(cells: Sequence[str]) -> tuple[np.ndarray, list[np.ndarray], tuple[str, ...]]:
    likely, possible, notes = [], [], []
    for cell in cells:
        parts = [part.strip(" %") for part in cell.split("|")]
        if len(parts) != 2:
            raise ValueError(f"expected percent|n, but got {cell!r}")
        share, n = _number(parts[0]), _whole(parts[1])
        if not 0 <= share <= 100:
            raise ValueError(f"expected 0 to 100 %, but got {parts[0]}")
        half = 0.5 * 10.0 ** -_decimals(parts[0])
        nearest = round(share * n / 100)
        low, high = ceil((share - half) * n / 100 - 1e-9), floor((share + half) * n / 100 + 1e-9)
        if low > high:
            notes.append(f"{parts[0]} % of {n} is no whole number")
            low = high = nearest
        likely.append([nearest, n - nearest])
        possible.append([[k, n - k] for k in {max(low, 0), min(high, n)}])
    if len(likely) < 2:
        raise ValueError("expected two groups or more")
    notes.append("counts from rounded percentages")
    near = [np.array(columns, dtype=np.int64).T for columns in product(*possible)]
    return np.array(likely, dtype=np.int64).T, near, tuple(notes)


def _moments(common: Mapping, cells: Sequence[str], test: str, standard_error: bool) -> PublishedRow:
    paired = test == alternatives.PAIRED
    if paired and len(cells) != 1:
        return PublishedRow(**common, why_not="paired means: a test needs mean, SD and n of the differences, in group0")
    if not paired and len(cells) < 2:
        raise ValueError("expected mean, spread and n of two groups or more")
    moments, halves = [], []
    for cell in cells:
        parts = [part.strip() for part in cell.split("|")]
        if len(parts) != 3:
            raise ValueError(f"expected mean|spread|n, but got {cell!r}")
        mean, spread, n = _number(parts[0]), _number(parts[1]), _whole(parts[2])
        if spread < 0:
            raise ValueError(f"expected a spread of 0 or more, but got {parts[1]}")
        scale = np.sqrt(n) if standard_error else 1.0
        moments.append([mean, spread * scale, n])
        halves.append([0.5 * 10.0 ** -_decimals(parts[0]), 0.5 * 10.0 ** -_decimals(parts[1]) * scale])
    return PublishedRow(**common, test=test, moments=np.array(moments).T, halves=np.array(halves).T)


def _number(text: str) -> float:
    if not re.search(r"\d", text) or not _NUMBER.fullmatch(text):
        raise ValueError(f"expected a number with a decimal point, but got {text!r}")
    return float(text.replace(",", ""))


def _whole(text: str) -> int:
    value = _number(text)
    if value != int(value) or value < 0:
        raise ValueError(f"expected a whole number, but got {text!r}")
    return int(value)


def _decimals(text: str) -> int:
    mantissa, _, exponent = text.lower().partition("e")
    return len(mantissa.partition(".")[2]) - int(exponent or 0)
