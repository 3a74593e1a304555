"""Medians, and peak memory, of things measured side by side in one run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path


def median_seconds(function: Callable[[], object], repeats: int = 5) -> float:
    """Return the median wall-clock time of a call, after one that warms up."""
    function()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def peak_gb(function: Callable[[], object]) -> float:
    """Return by how much a call raised this process's resident memory at its peak (Linux), in GB."""
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before = _status("VmRSS")
    function()
    return (_status("VmHWM") - before) / 1e6


def show(title: str, rows: list[tuple[str, float, str]]) -> None:
    """Print rows of (what, number, unit)."""
    print(f"\n{title}")
    for what, number, unit in rows:
        print(f"  {what:<58}{number:>10.3g} {unit}")


def _status(field: str) -> float:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return float(line.split()[1])
