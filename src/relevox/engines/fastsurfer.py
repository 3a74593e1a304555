"""Parcellation by FastSurfer (Henschel et al., NeuroImage 2020), where it is installed."""

from __future__ import annotations

from pathlib import Path

from relevox.engines.program import Program

PROGRAM = Program(
    name="FastSurfer",
    command="run_fastsurfer.sh",
    purpose="regions of each patient",
    setting='preprocessing.parcellation = "fastsurfer"',
    get="clone github.com/Deep-MI/FastSurfer, install its requirements into an environment of its own, and put its "
    "folder on PATH; its checkpoints are fetched at the first use",
    version_arguments=("--version",),
    weights=("$FASTSURFER_HOME/checkpoints",),
)

MAX_VOXEL_MM = 1.5
"""Thicker slices are not what it was trained on."""

_SUBJECT = "scan"


def parcellate(image: Path, folder: Path, timeout_s: float, threads: int = 1) -> Path:
    """Label a T1w image.

    Parameters
    ----------
    image : Path
        T1w with voxels up to ``MAX_VOXEL_MM``.
    folder : Path
        For its outputs.
    timeout_s : float
        Time limit in seconds.
    threads : int
        Of the processor.

    Returns
    -------
    Path
        ``.mgz`` with FreeSurfer's label values (Desikan-Killiany-Tourville), in the space of the image on
        FastSurfer's own 1 mm grid.
    """
    PROGRAM.run(
        [
            *("--seg_only", "--no_cereb", "--no_hypothal", "--t1", image, "--sid", _SUBJECT, "--sd", folder),
            *("--device", "cpu", "--threads", threads),
        ],
        timeout_s,
        folder,
    )
    return PROGRAM.left(folder / _SUBJECT / "mri" / "aparc.DKTatlas+aseg.deep.mgz")
