"""Registration by ANTs (antspyx), behind arrays and RAS+ millimetres.

antspyx's ``random_seed`` does nothing; only the variable ANTS_RANDOM_SEED
with one ITK thread repeats. Metrics are therefore sampled densely, runs are
seeded by that variable, and several starts differ by their initial pose
instead of by luck. ITK points are LPS: the signs change here and nowhere else.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from relevox.errors import EngineError, ImageError
from relevox.records import Volume

_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_SEED = "20150805"

_LINEAR = {
    "aff_metric": "mattes",
    "aff_sampling": 32,
    "aff_shrink_factors": (6, 4, 2, 1),
    "aff_smoothing_sigmas": (3, 2, 1, 0),
    "aff_iterations": (500, 250, 100, 0),
}


class Warp(NamedTuple):
    """A non-linear registration, as displacements in RAS+ millimetres on the fixed image's grid."""

    forward: Volume
    """``(3, x, y, z)``: from a point of the fixed image to the point of the moving image."""
    inverse: Volume
    """``(3, x, y, z)``: from a point of the moving image to the point of the fixed image."""


def rigid(fixed: Volume, moving: Volume, start: np.ndarray | None = None, threads: int = 1) -> np.ndarray:
    """Register by rotation and translation.

    Parameters
    ----------
    fixed, moving : Volume
        ``(x, y, z)``.
    start : np.ndarray, optional
        ``(4, 4)`` initial map from fixed to moving points; identity (the headers) when absent.
    threads : int
        For ITK; results repeat exactly with one.

    Returns
    -------
    np.ndarray
        ``(4, 4)`` from a point of the fixed image to the point of the moving image, RAS+ millimetres.

    Raises
    ------
    EngineError
        When ANTs fails.
    ImageError
        For sheared images.
    """
    return _linear("Rigid", fixed, moving, start, threads, share=0.25)


def affine(fixed: Volume, moving: Volume, start: np.ndarray | None = None, threads: int = 1) -> np.ndarray:
    """Register by 12 degrees of freedom; parameters as :func:`rigid`."""
    return _linear("Affine", fixed, moving, start, threads, share=1.0)


def syn(fixed: Volume, moving: Volume, threads: int = 1) -> Warp:
    """Register non-linearly (SyN, mutual information) two images that are already aligned affinely.

    Parameters
    ----------
    fixed, moving : Volume
        ``(x, y, z)``, background 0.
    threads : int
        For ITK; results repeat exactly with one.

    Raises
    ------
    EngineError
        When ANTs fails.
    """
    with _ants(threads) as (ants, folder):
        found = _register(
            ants,
            folder,
            _to_ants(ants, fixed),
            _to_ants(ants, moving),
            type_of_transform="SyNOnly",
            initial_transform="Identity",
            syn_metric="mattes",
            syn_sampling=32,
            reg_iterations=(40, 20, 0),
        )
        fields = [
            next(file for file in files if file.endswith("Warp.nii.gz"))
            for files in (found["fwdtransforms"], found["invtransforms"])
        ]
        forward, inverse = (_displacement(ants, field, fixed.affine) for field in fields)
    return Warp(forward, inverse)


def _linear(
    kind: str, fixed: Volume, moving: Volume, start: np.ndarray | None, threads: int, share: float
) -> np.ndarray:
    with _ants(threads) as (ants, folder):
        initial = str(folder / "start.mat")
        _write_affine(ants, np.eye(4) if start is None else start, initial)
        found = _register(
            ants,
            folder,
            _to_ants(ants, fixed),
            _to_ants(ants, moving),
            type_of_transform=kind,
            initial_transform=initial,
            aff_random_sampling_rate=share,
            **_LINEAR,
        )
        return _read_affine(ants, found["fwdtransforms"][0])


@contextmanager
def _ants(threads: int) -> Iterator[tuple]:
    """Lend antspyx, seeded, with a folder that is gone afterwards."""
    # ITK reads the number of threads once, when it is first used. A worker's environment may offer more: the caller's
    # number counts, or results would depend on how many workers there are.
    ours = {"ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": str(threads), "ANTS_RANDOM_SEED": _SEED}
    before = {name: os.environ.get(name) for name in ours}
    os.environ.update(ours)
    try:
        import ants

        with tempfile.TemporaryDirectory(prefix="relevox-") as folder:
            yield ants, Path(folder)
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _register(ants, folder: Path, fixed, moving, **options) -> dict:
    try:
        return ants.registration(fixed, moving, outprefix=str(folder / "found_"), **options)
    except (RuntimeError, ValueError) as error:
        raise EngineError(
            f"ANTs could not register the images: {error}",
            code="registration-failed",
            remedy="look at both images; a wrong header or an empty image is the usual cause",
        ) from None


def _to_ants(ants, volume: Volume):
    lps = _LPS @ volume.affine
    spacing = volume.voxel_size_mm
    direction = lps[:3, :3] / spacing
    if not np.allclose(direction.T @ direction, np.eye(3), atol=1e-3):
        raise ImageError(
            "expected voxel axes at right angles, but the image is sheared",
            code="image-sheared",
            remedy="convert the scan again from DICOM without tilt correction by shearing, or resample it",
        )
    return ants.from_numpy(
        np.asarray(volume.data, dtype=np.float32),
        origin=lps[:3, 3].tolist(),
        spacing=spacing.tolist(),
        direction=direction,
    )


def _write_affine(ants, matrix: np.ndarray, path: str) -> None:
    lps = _LPS @ matrix @ _LPS
    transform = ants.new_ants_transform(dimension=3, transform_type="AffineTransform")
    transform.set_parameters(np.concatenate([lps[:3, :3].ravel(), lps[:3, 3]]))
    transform.set_fixed_parameters(np.zeros(3))
    ants.write_transform(transform, path)


def _read_affine(ants, path: str) -> np.ndarray:
    """Read any linear ITK transform: where it sends the origin and the unit points tells it all."""
    transform = ants.read_transform(path)
    sent = np.array([transform.apply_to_point(point) for point in np.vstack([np.zeros(3), np.eye(3)]).tolist()])
    lps = np.eye(4)
    lps[:3, 3] = sent[0]
    lps[:3, :3] = (sent[1:] - sent[0]).T
    return _LPS @ lps @ _LPS


def _displacement(ants, path: str, grid_affine: np.ndarray) -> Volume:
    field = np.moveaxis(ants.image_read(path).numpy(), -1, 0).astype(np.float32)
    return Volume(field * np.array([-1, -1, 1], dtype=np.float32)[:, None, None, None], grid_affine)
