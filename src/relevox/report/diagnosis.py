"""What ``relevox doctor`` shows in a terminal."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Protocol

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

_MARK = {"ok": "[green]ok[/]", "missing": "[yellow]not there[/]", "broken": "[bold red]broken[/]"}

_TITLES = {
    "machine": "Machine",
    "package": "Packages (needed)",
    "our own": "What travels with relevox",
    "optional part": "Optional parts",
    "program": "Other programs: used where the settings ask for them, never needed",
}


class Found(Protocol):
    """One thing that was looked for (``stages.doctor.Finding``)."""

    group: str
    name: str
    state: str
    detail: str
    purpose: str
    advice: str


def show(findings: Iterable[Found], console: Console | None = None) -> None:
    """Print the findings, group by group.

    Parameters
    ----------
    findings : iterable of Found
        Sorted by group.
    console : Console, optional
        Where to; default: the terminal.
    """
    console = console or Console()
    findings = list(findings)
    width = max((len(found.name) for found in findings), default=0)
    for group, members in groupby(findings, key=lambda finding: finding.group):
        table = Table.grid(padding=(0, 2))
        table.add_column(width=width)
        table.add_column(width=max(len(Text.from_markup(mark)) for mark in _MARK.values()))
        table.add_column(overflow="fold")
        for found in members:
            words = escape(f"{found.purpose}: {found.detail}" if found.purpose else found.detail)
            if found.advice:
                words += f"\n[dim]{escape(found.advice)}[/]"
            table.add_row(escape(found.name), _MARK[found.state], words)
        console.print(f"\n[bold]{_TITLES[group]}[/]", Padding(table, (0, 0, 0, 2)))
    console.print()
    broken = [found.name for found in findings if found.state == "broken"]
    if broken:
        console.print(f"[bold red]relevox cannot work: {escape(', '.join(broken))}[/]")
    else:
        console.print("Everything that relevox needs is there.")
