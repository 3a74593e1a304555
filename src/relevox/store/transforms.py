"""Affine transforms as text that ITK, ANTs and 3D Slicer read."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from relevox.errors import TableError
from relevox.store.atomic import write_text

_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def write_affine(path: str | Path, matrix: np.ndarray) -> Path:
    """Write an affine transform.

    Parameters
    ----------
    path : path-like
        ``..._xfm.txt``.
    matrix : np.ndarray
        ``(4, 4)`` from a point of the target ("to") to the point of the source ("from") image, RAS+
        millimetres: the map by which resamplers look up voxels. On disk it is LPS, as ITK has it.
    """
    lps = _LPS @ matrix @ _LPS
    parameters = " ".join(repr(float(value)) for value in (*lps[:3, :3].ravel(), *lps[:3, 3]))
    return write_text(
        path,
        "#Insight Transform File V1.0\n#Transform 0\nTransform: AffineTransform_double_3_3\n"
        f"Parameters: {parameters}\nFixedParameters: 0 0 0\n",
    )


def read_affine(path: str | Path) -> np.ndarray:
    """Read what :func:`write_affine` wrote, or any affine text transform of ITK.

    Raises
    ------
    TableError
        For text that is not one affine transform.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
        fields = dict(line.split(": ", 1) for line in lines if ": " in line)
        parameters = np.array(fields["Parameters"].split(), dtype=float)
        centre = np.array(fields["FixedParameters"].split(), dtype=float)
        lps = np.eye(4)
        lps[:3, :3] = parameters[:9].reshape(3, 3)
        lps[:3, 3] = parameters[9:12] + centre - lps[:3, :3] @ centre
    except (OSError, ValueError, KeyError) as error:
        raise TableError(f"expected an affine ITK transform, but got: {error}", code="transform", file=path) from None
    return _LPS @ lps @ _LPS
