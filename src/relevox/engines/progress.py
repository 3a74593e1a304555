"""A progress bar where a person waits; silence elsewhere (the log has a line per item)."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_running: ContextVar[Bar | None] = ContextVar("running bar", default=None)


class Bar:
    """How many items are done, and how far the present one is.

    Parameters
    ----------
    description : str
        Of the items.
    total : int
        Number of items.
    """

    def __init__(self, description: str, total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description:<14}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[label]}"),
        )
        self.shown = Progress(*columns, console=Console(stderr=True))
        self.items = self.shown.add_task(description, total=total, label="")
        self.within = None

    def advance(self, label: str) -> None:
        """Count an item that is done."""
        if self.within is not None:
            self.shown.remove_task(self.within)
            self.within = None
        self.shown.update(self.items, advance=1, label=label)

    def show_within(self, description: str, done: int, total: int) -> None:
        """Draw a second bar for the steps of the present item."""
        if self.within is None:
            self.within = self.shown.add_task(description, total=total, label="")
        self.shown.update(self.within, description=description, completed=done, total=total)


@contextmanager
def progress(description: str, total: int) -> Iterator[Bar | None]:
    """Show a bar while the body runs, when there is a terminal and more than one item."""
    if total <= 1 or sys.stderr is None or not sys.stderr.isatty():
        yield None
        return
    bar = Bar(description, total)
    token = _running.set(bar)
    try:
        with bar.shown, _messages_above():
            yield bar
    finally:
        _running.reset(token)


@contextmanager
def _messages_above() -> Iterator[None]:
    """Let log messages pass the bar, which has put itself in the place of ``sys.stderr``, instead of overwriting it."""
    handlers = [h for h in logging.getLogger().handlers if getattr(h, "stream", None) is sys.__stderr__]
    for handler in handlers:
        handler.setStream(sys.stderr)
    try:
        yield
    finally:
        for handler in handlers:
            handler.setStream(sys.__stderr__)


def show_within(description: str, done: int, total: int) -> bool:
    """Show how far the item is that this process works on; False when no bar is here to show it."""
    bar = _running.get()
    if bar is not None:
        bar.show_within(description, done, total)
    return bar is not None
