"""The Jacobian determinant of the non-linear registration (SPEC 2)."""

from __future__ import annotations

import numpy as np

from relevox.records import Volume


def jacobian(displacement: Volume) -> np.ndarray:
    """Return J = d(template volume) / d(native volume), where the patient's aligned images have their tissue.

    J > 1 where the patient's tissue is stretched to reach the template
    (tissue was lost), J < 1 where it is squeezed (ventricles enlarged by 1.1
    along each axis: 1 / 1.331 = 0.751). The affine part is left out.

    Parameters
    ----------
    displacement : Volume
        ``(3, x, y, z)`` RAS+ millimetres: a point of the affinely aligned patient plus its displacement is the
        template's point. It is the inverse of the map that resampling onto the template uses.

    Returns
    -------
    np.ndarray
        ``(x, y, z)`` float32; 0 or less where the map folds.

    Notes
    -----
    Images, lesions and attention maps are aligned by the affine map alone. J belongs beside them, voxel by voxel, so
    it is given at the patient's aligned points, not at the template's points that the warp takes them to, which lie
    millimetres away where it matters: at enlarged ventricles.
    """
    inverse_affine = np.linalg.inv(displacement.affine)[:3, :3]
    # gradient[i, j] = d u_i / d x_j in millimetres: differences along voxel axes, turned to world axes
    along_axes = np.stack([np.stack(np.gradient(u.astype(np.float64), edge_order=1)) for u in displacement.data])
    gradient = np.einsum("ia...,aj->ij...", along_axes, inverse_affine)
    gradient[[0, 1, 2], [0, 1, 2]] += 1
    return np.linalg.det(np.moveaxis(gradient, (0, 1), (-2, -1))).astype(np.float32)
