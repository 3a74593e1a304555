"""Brain extraction by HD-BET (Isensee et al., Human Brain Mapping 2019), where it is installed."""

from __future__ import annotations

from pathlib import Path

from relevox.engines.program import Program

PROGRAM = Program(
    name="HD-BET",
    command="hd-bet",
    purpose="brain mask",
    setting='preprocessing.brain_extraction = "hdbet"',
    get="pip install hd-bet into an environment of its own (it needs nnunetv2), and put hd-bet on PATH; "
    "its weights (about 65 MB) are fetched from Zenodo at the first use",
    weights=("~/hd-bet_params/release_2.0.0",),
)


def extract(image: Path, folder: Path, timeout_s: float, threads: int = 1) -> Path:
    """Find the brain.

    Parameters
    ----------
    image : Path
        T1w, or any other contrast, ``.nii.gz``.
    folder : Path
        For its outputs.
    timeout_s : float
        Time limit in seconds.
    threads : int
        Not used: HD-BET takes its threads from the environment.

    Returns
    -------
    Path
        The brain mask on the image's grid.
    """
    PROGRAM.run(
        ["-i", image, "-o", folder / "brain.nii.gz", "-device", "cpu", "--disable_tta", "--save_bet_mask"],
        timeout_s,
        folder,
    )
    return PROGRAM.left(folder / "brain_bet.nii.gz")
