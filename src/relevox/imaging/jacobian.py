"""The Jacobian determinant of the non-linear registration (SPEC 2)."""

from __future__ import annotations

import numpy as np

from relevox.records import Volume


def jacobian(displacement: Volume) -> np.ndarray:
    """Return J = d(template volume) / d(native volume) in template space.

    J > 1 where the patient's tissue is stretched to reach the template
    (tissue was lost), J < 1 where it is squeezed (ventricles enlarged by 1.1
    along each axis: 1 / 1.331 = 0.751). The affine part is left out.

    Parameters
    ----------
    displacement : Volume
        ``(3, x, y, z)`` RAS+ millimetres: a template point plus its displacement is the patient's point
        (after the affine part). This is the map that resampling uses.

    Returns
    -------
    np.ndarray
        ``(x, y, z)`` float32; 0 or less where the map folds.

    Notes
    -----
    The map runs from template to patient, so its own determinant is
    d(native) / d(template): many programs store that one. J is its inverse.
    A determinant of 0 or less (a fold) is passed on with its sign, since its inverse means nothing.
    """
    inverse_affine = np.linalg.inv(displacement.affine)[:3, :3]
    # gradient[i, j] = d u_i / d x_j in millimetres: differences along voxel axes, turned to world axes
    along_axes = np.stack([np.stack(np.gradient(u.astype(np.float64), edge_order=1)) for u in displacement.data])
    gradient = np.einsum("ia...,aj->ij...", along_axes, inverse_affine)
    gradient[[0, 1, 2], [0, 1, 2]] += 1
    determinant = np.linalg.det(np.moveaxis(gradient, (0, 1), (-2, -1)))
    return np.where(determinant > 0, 1 / np.where(determinant > 0, determinant, 1), determinant).astype(np.float32)
