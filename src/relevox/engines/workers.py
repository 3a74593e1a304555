"""Many items, few workers: every stage maps a plain function over scans or folds."""

from __future__ import annotations

import logging
import multiprocessing
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any

from relevox.errors import EngineError, Problems, RelevoxError

logger = logging.getLogger("relevox")


@dataclass(frozen=True)
class Outcome:
    """What became of one item."""

    item: Any
    """The item."""
    value: Any = None
    """What the function returned; None after an error."""
    error: RelevoxError | None = None
    """Why it failed, or None."""


def cores() -> int:
    """Number of processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_all(
    function: Callable[[Any], Any],
    items: Sequence[Any],
    workers: int = 1,
    description: str = "",
    labels: Sequence[str] | None = None,
) -> list[Outcome]:
    """Apply a function to every item and tell how each one went.

    Parameters
    ----------
    function : callable
        Of the module level (or a ``partial`` of one), so that it can travel to another process.
    items : sequence
        Its arguments.
    workers : int
        Local processes; 1 stays in this one. The cores are divided among them.
    description : str
        Beside the progress bar.
    labels : sequence of str, optional
        Names of the items in messages.

    Returns
    -------
    list of Outcome
        In the order of the items. A failed item never stops the others.
    """
    labels = [str(item) for item in items] if labels is None else list(labels)
    workers = max(1, min(workers, len(items)))
    outcomes: list[Outcome | None] = [None] * len(items)
    with _progress(description, len(items)) as advance:
        if workers == 1:
            for n, item in enumerate(items):
                outcomes[n] = _attempt(function, item)
                advance(labels[n])
        else:
            _in_processes(function, items, workers, outcomes, labels, advance)
    for outcome, label in zip(outcomes, labels, strict=True):
        if outcome.error is not None:
            logger.error("%s: %s failed: %s", description, label, outcome.error)
    return outcomes


def raise_failures(outcomes: Sequence[Outcome]) -> None:
    """Raise what went wrong, if anything did.

    Raises
    ------
    RelevoxError
        The one error, or :class:`Problems` for several.
    """
    errors = [outcome.error for outcome in outcomes if outcome.error is not None]
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise Problems(errors)


def _attempt(function: Callable[[Any], Any], item: Any) -> Outcome:
    try:
        return Outcome(item, function(item))
    except RelevoxError as error:
        return Outcome(item, error=error)
    except MemoryError:
        return Outcome(item, error=_out_of_memory())


def _in_processes(function, items, workers, outcomes, labels, advance) -> None:
    threads = max(1, cores() // workers)
    # spawn: a forked process inherits locked threads of torch and ITK
    context = multiprocessing.get_context("spawn")
    level = logger.getEffectiveLevel()
    with _threads_in_environment(threads):
        pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start, initargs=(threads, level))
        try:
            waiting = {pool.submit(_attempt, function, item): n for n, item in enumerate(items)}
            while waiting:
                done, _ = wait(waiting, return_when=FIRST_COMPLETED)
                for future in done:
                    n = waiting.pop(future)
                    try:
                        outcomes[n] = future.result()
                    except BrokenProcessPool:
                        outcomes[n] = Outcome(items[n], error=_worker_died(labels[n]))
                    advance(labels[n])
        except KeyboardInterrupt:
            for process in list(pool._processes.values()):
                process.terminate()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _start(threads: int, level: int) -> None:
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logger.setLevel(level)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)


class _threads_in_environment:
    """Numerical libraries in a worker read their share of the cores from here."""

    names = (
        "OMP_NUM_THREADS",
        "MKL_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
    )

    def __init__(self, threads: int) -> None:
        self.threads = threads

    def __enter__(self) -> None:
        self.before = {name: os.environ.get(name) for name in self.names}
        os.environ.update({name: str(self.threads) for name in self.names})

    def __exit__(self, *_) -> None:
        for name, value in self.before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


class _progress:
    """A progress bar where a person waits; silence elsewhere (the log has a line per item)."""

    def __init__(self, description: str, total: int) -> None:
        self.description, self.total, self.bar = description, total, None

    def __enter__(self) -> Callable[[str], None]:
        if self.total > 1 and sys.stderr is not None and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (
                TextColumn("{task.description:<14}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[label]}"),
            )
            self.bar = Progress(*columns, console=Console(stderr=True))
            self.bar.start()
            self.task = self.bar.add_task(self.description, total=self.total, label="")
        return self._advance

    def _advance(self, label: str) -> None:
        if self.bar is not None:
            self.bar.update(self.task, advance=1, label=label)

    def __exit__(self, *_) -> None:
        if self.bar is not None:
            self.bar.stop()


def _worker_died(label: str) -> EngineError:
    return EngineError(
        f"the process working on {label} was killed",
        code="worker-died",
        remedy="most often memory ran out: use fewer workers, then run the same command again",
    )


def _out_of_memory() -> EngineError:
    return EngineError("memory ran out", code="out-of-memory", remedy="use fewer workers or a coarser grid")
