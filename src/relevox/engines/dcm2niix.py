"""DICOM to NIfTI by dcm2niix (Li et al., J Neurosci Methods 2016)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from relevox.engines.program import Program


@dataclass(frozen=True)
class _Dcm2niix(Program):
    def find(self) -> Path | None:
        """Find the executable on PATH, or inside the Python package of that name."""
        found = super().find()
        if found is not None:
            return found
        try:
            import dcm2niix
        except ImportError:
            return None
        return Path(dcm2niix.bin) if Path(dcm2niix.bin).is_file() else None


PROGRAM = _Dcm2niix(
    name="dcm2niix",
    command="dcm2niix",
    purpose="DICOM to BIDS",
    setting="relevox import DICOM BIDS",
    get="pip install relevox[dicom]",
    version_arguments=("--version",),
)


def convert(dicom: Path, folder: Path, timeout_s: float) -> list[Path]:
    """Convert every series of a folder.

    Parameters
    ----------
    dicom : Path
        Folder with DICOM files at any depth.
    folder : Path
        For images and sidecars. **The sidecars name the patient**: the folder must be private and short-lived.
    timeout_s : float
        Time limit in seconds.

    Returns
    -------
    list of Path
        The JSON sidecars, one a series, sorted; the image of each stands beside it as ``.nii.gz``.
    """
    PROGRAM.run(
        ["-g", "i", "-b", "y", "-ba", "n", "-z", "y", "-d", "9", "-w", "2", "-f", "series_%s_%j", "-o", folder, dicom],
        timeout_s,
        folder,
    )
    return sorted(folder.glob("*.json"))
