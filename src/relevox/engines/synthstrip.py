"""Brain extraction by SynthStrip (Hoopes et al., NeuroImage 2022), where FreeSurfer or its container is installed."""

from __future__ import annotations

from pathlib import Path

from relevox.engines.program import Program

PROGRAM = Program(
    name="SynthStrip",
    command="mri_synthstrip",
    purpose="brain mask",
    setting='preprocessing.brain_extraction = "synthstrip"',
    get="install FreeSurfer 7.3 or newer, or save the script synthstrip-docker or synthstrip-singularity "
    "(surfer.nmr.mgh.harvard.edu/docs/synthstrip) as mri_synthstrip on PATH",
    weights=("$FREESURFER_HOME/models",),
)


def extract(image: Path, folder: Path, timeout_s: float, threads: int = 1) -> Path:
    """Find the brain; parameters as :func:`relevox.engines.hdbet.extract`."""
    mask = folder / "mask.nii.gz"
    PROGRAM.run(["-i", image, "-o", folder / "brain.nii.gz", "-m", mask], timeout_s, folder)
    return PROGRAM.left(mask)
