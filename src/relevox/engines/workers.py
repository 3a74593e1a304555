"""Many items, few workers: every stage maps a plain function over scans or folds.

Items are worked on here, by local processes, or by the workers of a cluster
(:mod:`relevox.engines.cluster`); results and errors look the same.
"""

from __future__ import annotations

import logging
import multiprocessing
import multiprocessing.connection
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol

from relevox.engines.progress import progress
from relevox.errors import EngineError, Problems, RelevoxError

logger = logging.getLogger("relevox")

ALLOCATOR = "glibc.malloc.hugetlb=1:glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=68719476736"
"""Of worker processes: huge pages, and freed memory is kept, because a network asks for the same arrays again."""


@dataclass(frozen=True)
class Outcome:
    """What became of one item."""

    item: Any
    """The item."""
    value: Any = None
    """What the function returned; None after an error."""
    error: RelevoxError | None = None
    """Why it failed, or None."""


class Elsewhere(Protocol):
    """Workers that are not processes of this machine's pool."""

    threads_each: int
    """Of the processor, that an item may use."""

    def run(self, function: Callable[[Any], Outcome], items: Sequence[Any], labels: Sequence[str], done: Callable):
        """Apply a function to every item, and call ``done(number, outcome)`` as each one ends."""


_elsewhere: ContextVar[Elsewhere | None] = ContextVar("workers elsewhere", default=None)


@contextmanager
def working_at(place: Elsewhere | None) -> Iterator[None]:
    """Let every :func:`run_all` in the body use these workers instead of local processes."""
    token = _elsewhere.set(place)
    try:
        yield
    finally:
        _elsewhere.reset(token)


_kept: ContextVar[dict[tuple, ProcessPoolExecutor] | None] = ContextVar("processes kept", default=None)


@contextmanager
def same_processes() -> Iterator[None]:
    """Let every :func:`run_all` in the body use the same local processes, with all that they have loaded."""
    pools: dict[tuple, ProcessPoolExecutor] = {}
    token = _kept.set(pools)
    try:
        yield
    finally:
        _kept.reset(token)
        for pool in pools.values():
            pool.shutdown(wait=True, cancel_futures=True)


def cores() -> int:
    """Number of processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads_each(workers: int) -> int:
    """Number of threads an item may use when so many are worked on at once."""
    elsewhere = _elsewhere.get()
    return max(1, cores() // max(1, workers)) if elsewhere is None else elsewhere.threads_each


def run_all(
    function: Callable[[Any], Any],
    items: Sequence[Any],
    workers: int = 1,
    description: str = "",
    labels: Sequence[str] | None = None,
    gpus: Sequence[str] = (),
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
    gpus : sequence of str, optional
        Dealt to the local processes: each sees one of them only, as its first.

    Returns
    -------
    list of Outcome
        In the order of the items. A failed item never stops the others.
    """
    labels = [str(item) for item in items] if labels is None else list(labels)
    workers = max(1, min(workers, len(items)))
    outcomes: list[Outcome | None] = [None] * len(items)
    elsewhere = _elsewhere.get()
    with progress(description, len(items)) as bar:

        def done(n: int, outcome: Outcome) -> None:
            outcomes[n] = outcome
            if bar is not None:
                bar.advance(labels[n])

        if elsewhere is not None:
            elsewhere.run(function, items, labels, done)
        elif workers == 1:
            for n, item in enumerate(items):
                done(n, attempt(function, item))
        else:
            _in_processes(function, items, workers, labels, gpus, done)
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


def attempt(function: Callable[[Any], Any], item: Any) -> Outcome:
    """Apply a function to one item; what a user can mend becomes part of the outcome."""
    try:
        return Outcome(item, function(item))
    except RelevoxError as error:
        return Outcome(item, error=error)
    except MemoryError:
        return Outcome(item, error=_out_of_memory())


def _in_processes(function, items, workers, labels, gpus, done) -> None:
    with _environment_of_workers(max(1, cores() // workers)), _processes(workers, gpus) as pool:
        waiting = {pool.submit(attempt, function, item): n for n, item in enumerate(items)}
        while waiting:
            ended, _ = wait(waiting, return_when=FIRST_COMPLETED)
            for future in ended:
                n = waiting.pop(future)
                try:
                    done(n, future.result())
                except BrokenProcessPool:
                    done(n, Outcome(items[n], error=worker_died(labels[n])))


@contextmanager
def _processes(workers: int, gpus: Sequence[str]) -> Iterator[ProcessPoolExecutor]:
    """Start processes, or take those that were kept; they end with an interruption."""
    kept = _kept.get()
    key = (workers, *gpus)
    pool = kept.pop(key, None) if kept is not None else None
    if pool is None or _is_broken(pool):
        # spawn: a forked process inherits locked threads of torch and ITK
        context = multiprocessing.get_context("spawn")
        hands = context.SimpleQueue()  # each worker takes one GPU
        for n in range(workers):
            hands.put(gpus[n % len(gpus)] if gpus else None)
        settings = (max(1, cores() // workers), logger.getEffectiveLevel(), hands)
        pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start, initargs=settings)
    try:
        yield pool
        if kept is not None:
            kept[key] = pool
    except KeyboardInterrupt:
        for process in list(pool._processes.values()):
            process.terminate()
        raise
    finally:
        if kept is None or key not in kept:
            pool.shutdown(wait=True, cancel_futures=True)


def _is_broken(pool: ProcessPoolExecutor) -> bool:
    """Tell whether one of its processes died; such a pool takes nothing any more."""
    try:
        pool.submit(int).result()
    except BrokenProcessPool:
        return True
    return False


def _start(threads: int, level: int, hands) -> None:
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    gpu = hands.get()
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu  # torch looks at it when it first asks for a GPU
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logger.setLevel(level)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)


def _end_with_the_parent() -> None:
    """End this worker when the process that started it was killed: it would go on, and then wait for ever."""
    multiprocessing.connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)


@contextmanager
def _environment_of_workers(threads: int) -> Iterator[None]:
    """Set what numerical libraries and the allocator of a worker read when they start."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS")
    changes = dict.fromkeys(names, str(threads))
    if "GLIBC_TUNABLES" not in os.environ:
        changes["GLIBC_TUNABLES"] = ALLOCATOR
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def worker_died(label: str) -> EngineError:
    """Build the error of an item whose process is gone."""
    return EngineError(
        f"the process working on {label} was killed",
        code="worker-died",
        remedy="most often memory ran out: use fewer workers, then run the same command again",
    )


def _out_of_memory() -> EngineError:
    return EngineError("memory ran out", code="out-of-memory", remedy="use fewer workers or a coarser grid")
