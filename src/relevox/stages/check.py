"""Every problem of a data set at once, before anything is computed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from relevox.config import Settings
from relevox.errors import CohortError, Problems, RelevoxError
from relevox.store import bids as bids_store
from relevox.store import clinical, images, matching


def run(bids: Path, settings: Settings) -> None:
    """Look at images, tables and the cohort.

    1. Find the scans.
    2. Read every image to its last byte.
    3. Read scores, dates and circumstances, and match them.
    4. See whether both classes have enough patients for the folds.

    Raises
    ------
    Problems, RelevoxError
        Everything that was found.
    """
    problems: list[RelevoxError] = []
    scans = _attempt(lambda: bids_store.index(bids, settings.preprocessing.space), problems) or []
    for scan in scans:
        for path in (scan.t1w, scan.flair):
            if path is not None:
                _attempt(lambda path=path: images.read_scan(path), problems)
        for kind, path in scan.derivatives.items():
            if kind != "measures":
                _attempt(lambda path=path: images.read(path), problems)
    known = _attempt(lambda: clinical.read(bids, scans, settings.cohort), problems) if scans else None
    if known is not None:
        positive: dict[int, set[str]] = {0: set(), 1: set()}
        for scan in scans:
            found = _attempt(lambda scan=scan: matching.scores_of(scan, known, settings.cohort), problems)
            if found is not None and found.is_complete(settings.cohort):
                positive[found.label(settings.cohort)].add(scan.id.participant)
        fewest = min(len(patients) for patients in positive.values())
        if fewest < settings.training.n_folds:
            problems.append(
                CohortError(
                    f"expected at least {settings.training.n_folds} patients of either class, "
                    f"but got {len(positive[0])} and {len(positive[1])}",
                    code="too-few-patients",
                    remedy=f"set training.n_folds to at most {fewest}" if fewest >= 3 else "add patients",
                )
            )
    if problems:
        raise problems[0] if len(problems) == 1 else Problems(problems)


def _attempt(step: Callable, problems: list[RelevoxError]):
    try:
        return step()
    except Problems as several:
        problems.extend(several.problems)
    except RelevoxError as error:
        problems.append(error)
    return None
