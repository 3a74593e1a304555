"""Intensity inhomogeneity: N4 (Tustison et al. 2010), by SimpleITK."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from relevox.records import Volume

_SHRUNK_MM = 4.0
"""The field is estimated on voxels of about this edge: it is smooth, and thick slices are left as they are."""

_ITERATIONS = (30, 30, 20)
_CONVERGENCE = 1e-3


def n4(image: Volume, mask: np.ndarray, threads: int = 1) -> np.ndarray:
    """Divide an image by its bias field.

    Parameters
    ----------
    image : Volume
        ``(x, y, z)``; negative voxels count as 0.
    mask : np.ndarray
        ``(x, y, z)`` bool: where the field is estimated. It is applied everywhere.
    threads : int
        For SimpleITK.

    Returns
    -------
    np.ndarray
        float32, >= 0.
    """
    data = np.clip(np.asarray(image.data, dtype=np.float32), 0, None)
    shrink = np.maximum(1, np.rint(_SHRUNK_MM / image.voxel_size_mm)).astype(int)
    every = tuple(slice(factor // 2, None, factor) for factor in shrink)
    inside = mask[every] & (data[every] > 0)  # N4 takes logarithms
    if not inside.any():
        return data
    small = _to_sitk(np.ascontiguousarray(data[every]), image.voxel_size_mm * shrink)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)  # N4's inner filters look nowhere else
    n4_filter = sitk.N4BiasFieldCorrectionImageFilter()
    n4_filter.SetMaximumNumberOfIterations(list(_ITERATIONS))
    n4_filter.SetConvergenceThreshold(_CONVERGENCE)
    n4_filter.Execute(small, _to_sitk(inside.astype(np.uint8), image.voxel_size_mm * shrink))
    log_field = sitk.GetArrayFromImage(n4_filter.GetLogBiasFieldAsImage(small)).transpose(2, 1, 0)
    # The field is smooth: between the shrunk voxels it is interpolated, beyond the outermost it is held.
    full = ndimage.affine_transform(
        log_field, np.diag(1 / shrink), -(shrink // 2) / shrink, output_shape=data.shape, order=1, mode="nearest"
    )
    return data / np.exp(full)


def head_mask(image: np.ndarray) -> np.ndarray:
    """Tell the head from the air by Otsu's threshold below the 99th percentile.

    Parameters
    ----------
    image : np.ndarray
        ``(x, y, z)``, any scale.

    Returns
    -------
    np.ndarray
        bool.
    """
    positive = image[image > 0]
    if positive.size == 0:
        return np.zeros(image.shape, dtype=bool)
    clipped = np.clip(image, 0, np.percentile(positive, 99)).astype(np.float32)
    return sitk.GetArrayFromImage(sitk.OtsuThreshold(sitk.GetImageFromArray(clipped), 0, 1, 64)).astype(bool)


def _to_sitk(data: np.ndarray, spacing_mm: np.ndarray) -> sitk.Image:
    image = sitk.GetImageFromArray(data.transpose(2, 1, 0))
    image.SetSpacing([float(size) for size in spacing_mm])
    return image
