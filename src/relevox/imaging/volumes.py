"""Tissue volumes in native millilitres."""

from __future__ import annotations

import numpy as np

from relevox.imaging.regions import REGION_INDEX

_INFRATENTORIAL = [REGION_INDEX[name] for name in ("brainstem", "cerebellar_cortex", "cerebellar_white_matter")]


def native_volumes_ml(
    grey: np.ndarray,
    white: np.ndarray,
    csf: np.ndarray,
    regions: np.ndarray,
    lesions: np.ndarray,
    voxel_volume_ml: float,
) -> dict[str, float]:
    """Measure the six volumes of the baselines (SPEC 4).

    Parameters
    ----------
    grey, white, csf : np.ndarray
        ``(x, y, z)`` probabilities that sum to 1 in the brain, on an affinely aligned grid (no warp).
    regions : np.ndarray
        ``(x, y, z)`` labels of ``REGIONS`` on the same grid.
    lesions : np.ndarray
        ``(x, y, z)`` bool.
    voxel_volume_ml : float
        *Native* volume of one voxel: its own volume times the determinant of the map from the grid to
        the patient. An affine map has one determinant, so volumes add up as in native space.

    Returns
    -------
    dict of str to float
        white_matter (lesions counted in) + grey_matter + CSF = intracranial, the volume of the brain mask.
    """
    lesion_voxels = np.count_nonzero(lesions)
    infratentorial = np.isin(regions, _INFRATENTORIAL)
    voxels = {
        "white_matter": white.sum(where=~lesions, dtype=np.float64) + lesion_voxels,
        "grey_matter": grey.sum(where=~lesions, dtype=np.float64),
        "lateral_ventricles": np.count_nonzero(regions == REGION_INDEX["lateral_ventricles"]),
        "brainstem_cerebellum": (grey + white).sum(where=infratentorial, dtype=np.float64),
        "intracranial": (grey + white + csf).sum(where=~lesions, dtype=np.float64) + lesion_voxels,
        "lesions": lesion_voxels,
    }
    return {name: float(count * voxel_volume_ml) for name, count in voxels.items()}
