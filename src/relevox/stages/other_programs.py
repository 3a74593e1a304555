"""Masks and labels of a raw scan by programs that the settings ask for; what was given comes first.

``preprocess`` and ``predict`` use it: a new patient is treated as the study's scans were.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np

from relevox.config import PreprocessingSettings
from relevox.engines import fastsurfer, fsl, hdbet, lst_ai, synthstrip
from relevox.engines.program import Program
from relevox.errors import EngineError
from relevox.records import Volume
from relevox.store import images

_BRAIN = {"hdbet": hdbet, "synthstrip": synthstrip}
_KINDS = ("brain_mask", "lesion_mask", "parcellation")


def asked_for(settings: PreprocessingSettings, given: Collection[str] = ()) -> list[Program]:
    """List the programs that a scan needs, beyond what is given."""
    programs = []
    if "brain_mask" not in given and settings.brain_extraction in _BRAIN:
        programs.append(_BRAIN[settings.brain_extraction].PROGRAM)
    if "lesion_mask" not in given and settings.lesions == "lst_ai":
        programs.append(lst_ai.PROGRAM)
    if "parcellation" not in given and settings.parcellation == "fastsurfer":
        programs.append(fastsurfer.PROGRAM)
    if settings.registration == "flirt":
        programs.append(fsl.PROGRAM)
    return programs


def versions(settings: PreprocessingSettings, given: Collection[str]) -> dict[str, str]:
    """Return what stands in the provenance of a scan for each program: another version, another result.

    Raises
    ------
    EngineError
        For a program that is not installed: said before any scan is computed.
    """
    return {program.command: _version(program) for program in asked_for(settings, given)}


@lru_cache(maxsize=8)
def _version(program: Program) -> str:
    program.require()
    return program.version() or "unknown"


def masks(
    t1w: Volume, flair: Volume, settings: PreprocessingSettings, given: Mapping[str, Volume], threads: int = 1
) -> dict[str, object]:
    """Make, or pass on, what ``engines.chain.to_template`` takes beside images and template.

    Parameters
    ----------
    t1w, flair : Volume
        Raw images. Programs see copies with a fresh header, without names and dates.
    settings : PreprocessingSettings
        Which programs, and how long each may take.
    given : mapping of str to Volume
        Derivatives of the data set: ``brain_mask``, ``lesion_mask``, ``parcellation``; others are passed over.
    threads : int
        For each program.

    Raises
    ------
    EngineError
        When a program is missing, fails, takes too long, or writes what cannot be used.
    ImageError
        When what it wrote is no readable image.
    """
    found: dict[str, object] = {kind: given[kind] for kind in _KINDS if kind in given}
    made_by: dict[str, str] = {}
    limit = settings.program_timeout_s
    with tempfile.TemporaryDirectory(prefix="relevox-") as name:
        root = Path(name)
        files = {}
        if set(asked_for(settings, given)) - {fsl.PROGRAM}:
            files = {key: images.write(root / f"{key}.nii.gz", volume) for key, volume in _pair(t1w, flair)}
        if "brain_mask" not in given and settings.brain_extraction in _BRAIN:
            engine = _BRAIN[settings.brain_extraction]
            mask = images.read_labels(engine.extract(files["t1w"], _room(root, "brain"), limit, threads))
            found["brain_mask"] = _on_grid(mask, t1w, engine.PROGRAM)
            made_by["brain_mask"] = _named(engine.PROGRAM)
        if "lesion_mask" not in given and settings.lesions == "lst_ai":
            path = lst_ai.segment(files["t1w"], files["flair"], _room(root, "lesions"), limit, threads)
            found["flair_lesion_mask"] = _on_grid(images.read_labels(path), flair, lst_ai.PROGRAM, may_be_empty=True)
            made_by["lesion_mask"] = _named(lst_ai.PROGRAM)
        if "parcellation" not in given and settings.parcellation == "fastsurfer":
            _refuse_thick_slices(t1w)
            path = fastsurfer.parcellate(files["t1w"], _room(root, "regions"), limit, threads)
            found["parcellation"] = _not_empty(images.read_labels(path), fastsurfer.PROGRAM)
            made_by["parcellation"] = f"by {_named(fastsurfer.PROGRAM)}"
    if settings.registration == "flirt":
        found["linear"] = fsl.Flirt(images.write, limit)
    return found | {"made_by": made_by}


def _pair(t1w: Volume, flair: Volume):
    return (("t1w", t1w), ("flair", flair))


def _room(root: Path, name: str) -> Path:
    folder = root / name
    folder.mkdir()
    return folder


def _named(program: Program) -> str:
    version = _version(program)
    return program.name if version == "unknown" else f"{program.name} ({version})"


def _refuse_thick_slices(t1w: Volume) -> None:
    thickest = float(t1w.voxel_size_mm.max())
    if thickest > fastsurfer.MAX_VOXEL_MM:
        raise EngineError(
            f"FastSurfer expects voxels up to {fastsurfer.MAX_VOXEL_MM} mm, but the T1w image has {thickest:.1f} mm",
            code="slices-too-thick",
            remedy='use preprocessing.parcellation = "template" for this study',
        )


def _on_grid(labels: Volume, image: Volume, program: Program, may_be_empty: bool = False) -> Volume:
    same = labels.data.shape == image.data.shape and np.allclose(labels.affine, image.affine, atol=1e-2)
    if not same:
        raise EngineError(
            f"expected a mask of {image.data.shape} voxels on the image's grid from {program.name}, but got "
            f"{labels.data.shape}",
            code="program-output",
            remedy="run it by hand on this scan, and look at what it writes",
        )
    return labels if may_be_empty else _not_empty(labels, program)


def _not_empty(labels: Volume, program: Program) -> Volume:
    if not labels.data.any():
        raise EngineError(
            f"{program.name} found nothing: its result is empty",
            code="program-output",
            remedy="look at the T1w image, or use another method",
        )
    return labels
