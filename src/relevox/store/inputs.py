"""What the network sees of a scan, as preprocessing left it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from relevox.config import PreprocessingSettings
from relevox.errors import ImageError
from relevox.records import ScanId
from relevox.store import images, layout

KINDS = ("t1w", "flair")
"""Images, in the order of the network's channels (``models.CHANNELS``)."""


def read_scan(study: Path, scan: ScanId, settings: PreprocessingSettings) -> np.ndarray:
    """Read the channels of one scan, ``(2, x, y, z)`` float16.

    Raises
    ------
    ImageError
        For an image of another shape, or with values float16 cannot hold.
    StudyError
        When the scan has not been preprocessed.
    """
    return np.stack([read_channel(study, scan, kind, settings) for kind in KINDS])


def read_channel(study: Path, scan: ScanId, kind: str, settings: PreprocessingSettings) -> np.ndarray:
    """Read one channel, ``(x, y, z)`` float16; see :func:`read_scan`."""
    file = layout.existing(study, kind, scan, space=settings.space)
    data = images.read(file).data
    if data.shape != tuple(settings.shape):
        raise ImageError(
            f"expected {settings.shape} voxels, but got {data.shape}",
            code="input-shape",
            file=file.name,
            remedy="preprocess again with the present settings",
        )
    if not np.abs(data).max() < np.finfo(np.float16).max:
        raise ImageError(
            f"expected normalised intensities, but got values up to {np.abs(data).max():g}",
            code="input-range",
            file=file.name,
            remedy="preprocess the scan again",
        )
    return data.astype(np.float16)
