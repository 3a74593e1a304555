"""What made an artefact, and whether it is still up to date.

One record per unit of work (a scan in a stage, a fold), written after all of
its outputs: version, settings, hashes of the inputs, sizes and hashes of the
outputs. What has no record does not count, so an interrupted run resumes with
the unit it was in.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from relevox import __version__
from relevox.errors import StudyError
from relevox.records import ScanId
from relevox.store import layout
from relevox.store.atomic import write_text

PACKAGES = ("torch", "numpy", "scipy", "scikit-learn", "nibabel", "nilearn", "antspyx", "SimpleITK", "matplotlib")
"""Named with their versions in every methods section."""


def sha256(path: str | Path) -> str:
    """Hash a file's content."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True)
class Unit:
    """A unit of work of one stage.

    Parameters
    ----------
    study : Path
        The study folder.
    stage : str
        ``preprocess``, ``train``, ...
    name : str
        ``sub-001_ses-01``, ``fold-3``, ...
    settings : mapping
        The settings that matter to this unit, JSON-able.
    inputs : mapping of str to str
        Hash or digest per input.
    """

    study: Path
    stage: str
    name: str
    settings: Mapping[str, object] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        """Where the record lies."""
        return layout.path(self.study, "provenance", stage=self.stage, unit=self.name)

    def is_current(self) -> bool:
        """Tell whether the outputs are there, whole, and made from the same version, settings and inputs."""
        record = _read(self.path)
        if record is None or any(record.get(key) != value for key, value in self._made_from().items()):
            return False
        outputs = record.get("outputs", {})
        return all(_size(self.study / name) == entry["bytes"] for name, entry in outputs.items())

    def record(self, outputs: Sequence[Path], logs: Sequence[Path] = ()) -> None:
        """Write the record; call it after the last output is in place.

        Logs belong to the unit too, but tell of seconds: nothing that is made from its outputs depends on them.
        """
        entries = {
            Path(path).relative_to(self.study).as_posix(): {"bytes": _size(path), "sha256": sha256(path)}
            for path in sorted(outputs)
        }
        entries |= {Path(path).relative_to(self.study).as_posix(): {"bytes": _size(path)} for path in sorted(logs)}
        text = json.dumps(self._made_from() | {"outputs": entries}, indent=1, sort_keys=True)
        write_text(self.path, text + "\n")

    def _made_from(self) -> dict[str, object]:
        return json.loads(
            json.dumps({"version": __version__, "settings": dict(self.settings), "inputs": dict(self.inputs)})
        )


def digest(study: Path, stage: str, name: str) -> str:
    """Return one hash over the outputs of a finished unit, logs aside, or "" where there is none.

    Later stages use it as an input: they become stale when it changes.
    """
    record = _read(layout.path(study, "provenance", stage=stage, unit=name))
    if record is None:
        return ""
    outputs = {key: entry["sha256"] for key, entry in record["outputs"].items() if "sha256" in entry}
    return hashlib.sha256(json.dumps(outputs, sort_keys=True).encode()).hexdigest()


def image_digests(study: Path, scan: ScanId, space: str) -> dict[str, str]:
    """Return the digests of a scan's images: the files it was made from, where they are recorded, and its own.

    Equal digests are equal images. Files that differ in their header only become equal after preprocessing.
    """
    record = _read(layout.path(study, "provenance", stage="preprocess", unit=scan.key)) or {}
    raw = {name: sha for name, sha in record.get("inputs", {}).items() if name in _IMAGES}
    outputs = {name: entry["sha256"] for name, entry in record.get("outputs", {}).items()}
    for kind in ("t1w", "flair"):
        path = layout.existing(study, kind, scan, space=space)
        raw[f"preprocessed_{kind}"] = outputs.get(path.relative_to(study).as_posix()) or sha256(path)
    return raw


_IMAGES = ("t1w", "flair", "space_t1w", "space_flair")


def inputs(study: Path, stage: str, name: str) -> dict[str, str]:
    """Return what a finished unit was made from, by input; empty where there is no such unit."""
    record = _read(layout.path(study, "provenance", stage=stage, unit=name))
    return {} if record is None else dict(record["inputs"])


def versions() -> dict[str, str]:
    """Return the versions of the programs that results depend on."""
    found = {"relevox": __version__, "Python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


@contextmanager
def lock(study: Path) -> Iterator[None]:
    """Hold a study folder: two runs never write to one.

    Raises
    ------
    StudyError
        When another run on this host is alive, or one on another host may be.
    """
    path = layout.path(study, "lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        try:
            handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
            break
        except FileExistsError:
            if not _is_stale(path):
                raise StudyError(
                    "another run is working on this study folder",
                    code="study-locked",
                    file=path.name,
                    remedy="wait for it, or delete this file if you are sure that no run is alive",
                ) from None
            path.unlink(missing_ok=True)
        except OSError as error:
            raise StudyError(
                f"the study folder cannot be written: {error.strerror}",
                code="write-failed",
                file=path.name,
                remedy="choose a folder that you may write to",
            ) from None
    try:
        with os.fdopen(handle, "w") as file:
            # a hash stands for the host: its name is nobody's business
            json.dump({"pid": os.getpid(), "host": _host()}, file)
        yield
    finally:
        path.unlink(missing_ok=True)


def _is_stale(path: Path) -> bool:
    owner = _read(path)
    if owner is None:
        return True
    if owner.get("host") != _host():
        return False
    try:
        os.kill(int(owner["pid"]), 0)
    except (ProcessLookupError, ValueError):
        return True
    except PermissionError:
        return False
    return False


def _host() -> str:
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:16]


def _read(path: Path) -> dict | None:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _size(path: Path) -> int:
    try:
        return Path(path).stat().st_size
    except OSError:
        return -1
