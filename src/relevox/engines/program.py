"""Other people's programs: found, called by argument lists, and checked for what they left.

No shell ever sees an argument. A program gets a folder of its own, a time limit, and no input; what it said
last stands in the error. An adapter (``hdbet``, ``synthstrip``, ``fsl``, ``fastsurfer``, ``lst_ai``,
``dcm2niix``) is a :class:`Program` and one function from files to files.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from relevox.errors import EngineError

_KEPT_CHARACTERS = 600
"""Of what a failed program said last."""

_VERSION_SECONDS = 20


@dataclass(frozen=True)
class Program:
    """A program that a user may have."""

    name: str
    """As people call it."""
    command: str
    """Executable that is looked for on PATH."""
    purpose: str
    """What it does for a study."""
    setting: str
    """What to write into ``study.toml``, or type, so that it is used."""
    get: str
    """How to install it."""
    version_arguments: tuple[str, ...] = ()
    """What makes it say its version and end; empty: it does not."""
    weights: tuple[str, ...] = ()
    """Places where its weights may lie; ``~`` and ``$NAME`` are resolved. Empty: it needs none of its own."""

    def find(self) -> Path | None:
        """Find the executable on PATH; None where it is not installed."""
        found = shutil.which(self.command)
        return None if found is None else Path(found)

    def require(self) -> Path:
        """Find the executable.

        Raises
        ------
        EngineError
            When it is not installed.
        """
        executable = self.find()
        if executable is None:
            raise EngineError(
                f"expected the program {self.command} ({self.name}), but it is not installed",
                code="program-missing",
                remedy=f"{self.get}; or change {self.setting}; relevox doctor shows what is there",
            )
        return executable

    def has_weights(self) -> bool | None:
        """Tell whether its weights are there already; None for a program without any."""
        if not self.weights:
            return None
        places = (Path(os.path.expandvars(os.path.expanduser(place))) for place in self.weights)
        return any(place.is_file() or (place.is_dir() and any(place.iterdir())) for place in places)

    def version(self) -> str:
        """Ask for the version; empty where it does not tell."""
        if not self.version_arguments or self.find() is None:
            return ""
        try:  # some end with an exit code above 0 here
            _, said, complained = self._call(self.version_arguments, _VERSION_SECONDS)
        except (EngineError, OSError):
            return ""
        lines = [line.strip() for line in f"{said}\n{complained}".splitlines() if any(c.isdigit() for c in line)]
        return lines[-1][:80] if lines else ""

    def run(self, arguments: Sequence[str | Path], timeout_s: float, folder: Path | None = None) -> str:
        """Run it to its end.

        Parameters
        ----------
        arguments : sequence of str or Path
            After the executable's name.
        timeout_s : float
            Seconds after which it is stopped, with all processes it started.
        folder : Path, optional
            Its working folder.

        Returns
        -------
        str
            What it printed, errors last.

        Raises
        ------
        EngineError
            When it is not installed, fails, or takes too long.
        """
        code, said, complained = self._call(arguments, timeout_s, folder)
        if code:
            last = (complained.strip() or said.strip())[-_KEPT_CHARACTERS:]
            # what it said may hold paths: messages go into tables, remedies do not
            raise EngineError(
                f"{self.name} failed with exit code {code}",
                code="program-failed",
                remedy=f"it said: {last or 'nothing'}",
            )
        return f"{said}\n{complained}".strip()

    def _call(
        self, arguments: Sequence[str | Path], timeout_s: float, folder: Path | None = None
    ) -> tuple[int, str, str]:
        """Return exit code, standard output and standard error."""
        executable = self.require()
        process = subprocess.Popen(
            [str(executable), *(str(argument) for argument in arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            cwd=folder,
            start_new_session=True,  # so that a time limit ends its children, too
        )
        try:
            said, complained = process.communicate(timeout=timeout_s)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            raise EngineError(
                f"{self.name} did not end within {timeout_s:g} seconds",
                code="program-timeout",
                remedy="raise preprocessing.program_timeout_s, or use another method",
            ) from None
        return process.returncode, said, complained

    def left(self, path: Path) -> Path:
        """Return a file that the program should have written.

        Raises
        ------
        EngineError
            When it is not there or empty.
        """
        if not path.is_file() or path.stat().st_size == 0:
            raise EngineError(
                f"{self.name} ended well, but did not write {path.name}",
                code="program-output",
                remedy="run it by hand on this scan; its version may name its outputs differently",
            )
        return path
