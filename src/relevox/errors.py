"""What can go wrong, as one tree.

Every error a user can meet is a :class:`RelevoxError`; anything else is a
mistake of ours. Each carries a code (stable, to be searched for), a message,
the file and the row or field concerned, and what to do next.

::

    RelevoxError                     exit code
    |-- InputError                   2   the data set that was given
    |   |-- ImageError               2   an image that cannot be used
    |   |-- TableError               2   a table or one of its rows
    |   +-- CohortError              2   the cohort as a whole
    |-- SettingsError                3   a setting or an option
    |-- StudyError                   4   the study folder: missing or stale results
    |-- ModelError                   5   a model or bundle that cannot be trusted
    |-- EngineError                  6   a computation or program that failed
    +-- Problems                     2   several of the above, listed together
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


class RelevoxError(Exception):
    """An error with a code, a place and a remedy.

    Parameters
    ----------
    message : str
        What was expected and what came.
    code : str
        Stable identifier, for example ``"image-unreadable"``.
    file : path-like, optional
        The file concerned.
    row : int or str, optional
        Row number (1 = first row below the header), column or header field.
    remedy : str, optional
        What the user can do next.
    """

    exit_code = 1

    def __init__(
        self,
        message: str,
        *,
        code: str,
        file: str | Path | None = None,
        row: int | str | None = None,
        remedy: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.file = None if file is None else str(file)
        self.row = row
        self.remedy = remedy

    def __reduce__(self):
        # Keyword arguments survive the trip home from a worker process.
        return _rebuild, (type(self), self.message, self.code, self.file, self.row, self.remedy)

    def __str__(self) -> str:
        place = "" if self.file is None else f"{self.file}: "
        if self.row is not None:
            place += f"row {self.row}: " if isinstance(self.row, int) else f"{self.row}: "
        text = f"[{self.code}] {place}{self.message}"
        return text if self.remedy is None else f"{text} -> {self.remedy}"


def _rebuild(kind, message, code, file, row, remedy):
    return kind(message, code=code, file=file, row=row, remedy=remedy)


class InputError(RelevoxError):
    """Something in the data set that was given."""

    exit_code = 2


class ImageError(InputError):
    """An image that cannot be used."""


class TableError(InputError):
    """A table, or one of its rows, that cannot be used."""


class CohortError(InputError):
    """A cohort on which the study cannot be done."""


class SettingsError(RelevoxError):
    """A setting or an option that is unknown or impossible."""

    exit_code = 3


class StudyError(RelevoxError):
    """A study folder that lacks, or contradicts, what a stage needs."""

    exit_code = 4


class ModelError(RelevoxError):
    """A model that cannot be loaded or trusted."""

    exit_code = 5


class EngineError(RelevoxError):
    """A computation, or another program, that failed."""

    exit_code = 6


class Problems(RelevoxError):
    """Several problems, listed together before anything is computed.

    Parameters
    ----------
    problems : sequence of RelevoxError
        At least one.
    """

    exit_code = 2

    def __init__(self, problems: Sequence[RelevoxError]) -> None:
        self.problems = tuple(problems)
        super().__init__(f"{len(self.problems)} problems were found", code="problems")

    def __reduce__(self):
        return Problems, (self.problems,)

    def __str__(self) -> str:
        return "\n".join([f"[{self.code}] {self.message}:", *(f"  {p}" for p in self.problems)])
