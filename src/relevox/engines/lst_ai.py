"""Lesions by LST-AI (Wiltgen et al., NeuroImage: Clinical 2024), where it is installed."""

from __future__ import annotations

from pathlib import Path

from relevox.engines.program import Program

PROGRAM = Program(
    name="LST-AI",
    command="lst",
    purpose="lesion mask",
    setting='preprocessing.lesions = "lst_ai"',
    get="pip install lst-ai (github.com/CompImg/LST-AI; non-commercial licence) into an environment of its own, "
    "and put lst on PATH; its weights are fetched at the first use",
    weights=("$LST_AI_DATA_DIR", "~/.cache/lst_ai"),
)


def segment(t1w: Path, flair: Path, folder: Path, timeout_s: float, threads: int = 1) -> Path:
    """Find lesions.

    Parameters
    ----------
    t1w, flair : Path
        Raw images, ``.nii.gz``.
    folder : Path
        For its outputs.
    timeout_s : float
        Time limit in seconds.
    threads : int
        For its registrations.

    Returns
    -------
    Path
        The lesion mask on the grid of the FLAIR image.
    """
    out = folder / "lst"
    PROGRAM.run(
        [
            *("--t1", t1w, "--flair", flair, "--output", out, "--temp", folder / "temp"),
            *("--device", "cpu", "--threads", threads, "--segment_only"),
        ],
        timeout_s,
        folder,
    )
    return PROGRAM.left(out / "space-flair_seg-lst.nii.gz")
