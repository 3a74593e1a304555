"""Linear registration by FSL FLIRT (Jenkinson et al., NeuroImage 2002), where it is installed: the paper's choice.

FLIRT's matrices live in millimetres counted from a corner of each image, with the first axis turned round
where an image is right-handed. They become maps of RAS+ millimetres here and nowhere else.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from relevox.engines.program import Program
from relevox.errors import EngineError
from relevox.records import Volume

PROGRAM = Program(
    name="FSL FLIRT",
    command="flirt",
    purpose="rigid and affine registration",
    setting='preprocessing.registration = "flirt"',
    get="install FSL (fsl.fmrib.ox.ac.uk; non-commercial licence), and put $FSLDIR/bin on PATH",
    version_arguments=("-version",),
)


@dataclass(frozen=True)
class Flirt:
    """Stands where :mod:`relevox.engines.ants` stands for linear registrations."""

    write: Callable[[Path, Volume], Path]
    """Writes an image as ``.nii.gz``."""
    timeout_s: float
    """Of each registration."""

    def rigid(self, fixed: Volume, moving: Volume, start: np.ndarray | None = None, threads: int = 1) -> np.ndarray:
        """Register by 6 degrees of freedom; parameters and result as :func:`relevox.engines.ants.rigid`."""
        return self._register(fixed, moving, start, 6)

    def affine(self, fixed: Volume, moving: Volume, start: np.ndarray | None = None, threads: int = 1) -> np.ndarray:
        """Register by 12 degrees of freedom; parameters and result as :func:`relevox.engines.ants.affine`."""
        return self._register(fixed, moving, start, 12)

    def _register(self, fixed: Volume, moving: Volume, start: np.ndarray | None, degrees: int) -> np.ndarray:
        with tempfile.TemporaryDirectory(prefix="relevox-") as name:
            folder = Path(name)
            found, first = folder / "found.mat", folder / "start.mat"
            np.savetxt(first, to_flirt(np.eye(4) if start is None else start, fixed, moving))
            images = self.write(folder / "moving.nii.gz", moving), self.write(folder / "fixed.nii.gz", fixed)
            PROGRAM.run(
                [
                    *("-in", images[0], "-ref", images[1], "-omat", found, "-init", first),
                    *("-dof", degrees, "-cost", "mutualinfo", "-nosearch"),
                ],
                self.timeout_s,
                folder,
            )
            PROGRAM.left(found)
            try:
                matrix = np.loadtxt(found)
            except ValueError:
                matrix = np.empty(0)
        if matrix.shape != (4, 4) or not np.isfinite(matrix).all() or abs(np.linalg.det(matrix)) < 1e-6:
            raise EngineError(
                "FSL FLIRT wrote a matrix that cannot be used",
                code="program-output",
                remedy="look at both images; a wrong header or an empty image is the usual cause",
            )
        return from_flirt(matrix, fixed, moving)


def to_flirt(matrix: np.ndarray, fixed: Volume, moving: Volume) -> np.ndarray:
    """Turn a map from fixed to moving points (RAS+ mm) into FLIRT's matrix, from moving to fixed."""
    return np.linalg.inv(_corner(moving) @ np.linalg.inv(moving.affine) @ matrix @ fixed.affine @ _uncorner(fixed))


def from_flirt(matrix: np.ndarray, fixed: Volume, moving: Volume) -> np.ndarray:
    """Turn FLIRT's matrix into a map from fixed to moving points, RAS+ millimetres."""
    return moving.affine @ _uncorner(moving) @ np.linalg.inv(matrix) @ _corner(fixed) @ np.linalg.inv(fixed.affine)


def _corner(volume: Volume) -> np.ndarray:
    """Voxels to FLIRT's millimetres."""
    scale = np.diag([*volume.voxel_size_mm, 1.0])
    if np.linalg.det(volume.affine[:3, :3]) > 0:
        turned = np.eye(4)
        turned[0, 0], turned[0, 3] = -1, volume.data.shape[0] - 1
        return scale @ turned
    return scale


def _uncorner(volume: Volume) -> np.ndarray:
    return np.linalg.inv(_corner(volume))
