"""Medians, and peak memory, of things measured side by side in one run."""

from __future__ import annotations

import statistics
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path


def median_seconds(
    function: Callable[[], object], repeats: int = 5, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Return the median time of a call, after one that warms up.

    ``time.process_time`` as clock counts the work of one thread alone, whatever else the machine does.
    """
    function()
    seconds = []
    for _ in range(repeats):
        start = clock()
        function()
        seconds.append(clock() - start)
    return statistics.median(seconds)


def peak_gb(function: Callable[[], object]) -> float:
    """Return by how much a call raised this process's resident memory at its peak (Linux), in GB."""
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before = _status("VmRSS")
    function()
    return (_status("VmHWM") - before) / 1e6


def allocated_gb(function: Callable[[], object]) -> float:
    """Return the most memory that a call held in arrays of its own, in GB; pages of mapped files do not count."""
    tracemalloc.start()
    function()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 1e9


def show(title: str, rows: list[tuple[str, float, str]]) -> None:
    """Print rows of (what, number, unit)."""
    print(f"\n{title}")
    for what, number, unit in rows:
        print(f"  {what:<66}{number:>10.3g} {unit}")


def _status(field: str) -> float:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return float(line.split()[1])
