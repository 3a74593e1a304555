"""Maps of a whole cohort in temporary files, so that no stage holds them in memory.

One file a map, one row a scan, mapped into memory where it is read. The files
are removed at the end, also after an error; what a killed run left is removed
when the next one begins.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from relevox.errors import StudyError
from relevox.store import layout


@dataclass(frozen=True)
class Stack:
    """Where the files lie; it can travel to another process."""

    study: Path
    """The study folder."""
    shape: tuple[int, int]
    """Scans, voxels."""

    def put(self, name: str, row: int, values: np.ndarray) -> None:
        """Write the ``(v,)`` values of one scan."""
        file = layout.path(self.study, "group_stack", desc=name)
        mapped = np.load(file, mmap_mode="r")
        # not through the map: on a cluster's disk, maps of two machines overwrite each other's pages
        with open(file, "r+b") as opened:
            opened.seek(mapped.offset + row * mapped.strides[0])
            opened.write(np.broadcast_to(values, mapped.shape[1:]).astype(mapped.dtype).tobytes())

    def get(self, name: str) -> np.ndarray:
        """Return the ``(n, v)`` values of all scans, read where they are used."""
        # a plain view: np.memmap's subclass costs time in every slice
        return np.load(layout.path(self.study, "group_stack", desc=name), mmap_mode="r").view(np.ndarray)


@contextmanager
def stack(study: Path, shape: tuple[int, int], dtypes: Mapping[str, type]) -> Iterator[Stack]:
    """Make files for maps of that many scans and voxels, and remove them at the end.

    Parameters
    ----------
    study : Path
        The study folder; a run holds it alone (``provenance.lock``).
    shape : (int, int)
        Scans, voxels.
    dtypes : mapping of str to type
        Of each map.

    Raises
    ------
    StudyError
        When the disk has no room for them.
    """
    clear(study)
    try:
        try:
            for name, dtype in dtypes.items():
                file = layout.path(study, "group_stack", desc=name)
                file.parent.mkdir(parents=True, exist_ok=True)
                np.lib.format.open_memmap(file, mode="w+", dtype=dtype, shape=shape)
                _reserve(file)
        except OSError as error:
            needed = sum(np.dtype(dtype).itemsize for dtype in dtypes.values()) * np.prod(shape, dtype=np.float64)
            raise StudyError(
                f"expected room for {needed / 1e9:.1f} GB of temporary files, but got: {error.strerror or error}",
                code="write-failed",
                file=layout.path("", "group_stack", desc="*").parent.as_posix(),
                remedy="free some space, then run the same command again",
            ) from error
        yield Stack(Path(study), tuple(shape))
    finally:
        clear(study)


def clear(study: Path) -> None:
    """Remove what a run that was killed left behind."""
    shutil.rmtree(layout.path(study, "group_stack", desc="").parent, ignore_errors=True)


def _reserve(file: Path) -> None:
    """Take the room now: a mapped file that meets a full disk later kills the process."""
    if hasattr(os, "posix_fallocate"):
        with open(file, "r+b") as opened:
            os.posix_fallocate(opened.fileno(), 0, file.stat().st_size)
