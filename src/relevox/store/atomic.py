"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from relevox.errors import StudyError


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` and rename it into place at the end.

    If the body fails, or the machine stops, ``path`` stays as it was.

    Raises
    ------
    StudyError
        When the disk is full or the folder cannot be written.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise StudyError(
            f"could not be written: {error.strerror or error}",
            code="write-failed",
            file=path.name,
            remedy="check free space and permissions, then run the same command again: finished work is kept",
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def share(source: str | Path, path: str | Path) -> Path:
    """Let a finished file have a second name, or a copy where the file system knows no such thing.

    Neither name changes the other: files are only ever replaced as a whole.

    Raises
    ------
    StudyError
        When the disk is full or the folder cannot be written.
    """
    with replacing(path) as temporary:
        temporary.unlink(missing_ok=True)
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)
    return Path(path)


def write_text(path: str | Path, text: str) -> Path:
    """Write UTF-8 text with Unix line ends, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
    return Path(path)


def write_bytes(path: str | Path, content: bytes) -> Path:
    """Write bytes, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    return Path(path)
