"""Where the brain is on the T1w: given, found by the network, and its edge drawn by the template."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from relevox.errors import EngineError, ImageError
from relevox.imaging import brain_network
from relevox.imaging.crop import Grid
from relevox.imaging.resample import resample
from relevox.imaging.template import Template
from relevox.records import Volume

TEMPLATE_MARGIN_MM, NETWORK_MARGIN_MM = 1.0, 1.5
"""How far the final mask may lie outside the warped template's brain, and outside the network's."""


def find(
    t1w: Volume, given: Volume | None, network: object | None, steps: list[str], maker: str | None = None
) -> tuple[np.ndarray, bool]:
    """Find the brain.

    Parameters
    ----------
    t1w : Volume
        ``(x, y, z)`` raw image.
    given : Volume or None
        A mask in the same space, on any grid; taken before our own.
    network : object or None
        From ``imaging.brain_network.load``; needed where no mask is given.
    steps : list of str
        What was done is appended in words.
    maker : str, optional
        Name of the program that made the given mask.

    Returns
    -------
    mask : ndarray, (x, y, z) bool
        On the T1w's grid.
    is_final : bool
        Whether it is to be kept as it is: a given mask, or that of a scan that was stripped already.

    Raises
    ------
    EngineError
        Without a mask and a network.
    ImageError
        For an empty mask.
    """
    is_final = True
    if given is not None:
        mask = move_mask(Volume(given.data != 0, given.affine), Grid(t1w.data.shape, t1w.affine), np.eye(4))
        steps.append("brain mask as given" if maker is None else f"brain mask of T1w by {maker}")
    else:
        if network is None:
            raise EngineError(
                "no brain mask was given and no brain network was loaded",
                code="brain-mask-missing",
                remedy="add a brain mask to the derivatives",
            )
        found = brain_network.brain_mask(t1w.data, t1w.affine, network)
        mask, is_final = found.mask, found.already_stripped
        steps.append("T1w was stripped already" if is_final else "brain mask of T1w by the brain network")
    if not mask.any():
        raise ImageError(
            "expected a brain, but the brain mask is empty on the T1w image",
            code="mask-empty",
            remedy="check the T1w image, or give a brain mask in the derivatives",
        )
    return mask, is_final


def refine(network_mask: Volume, template: Template, matrix: np.ndarray, warp_inverse: Volume) -> np.ndarray:
    """Draw the brain's edge by the template, where the network's mask is near.

    The network alone takes in fluid below the vertex and muscle at the neck; the template alone follows its
    registration wherever that goes. On five 2D clinical scans the overlap with the data set's masks rose
    from a Dice of 0.945-0.953 to 0.955-0.960.

    Parameters
    ----------
    network_mask : Volume
        ``(x, y, z)`` bool on the T1w's grid.
    template : Template
        On its whole 1 mm grid.
    matrix : ndarray, (4, 4)
        From a template point to the T1w point, RAS+ millimetres.
    warp_inverse : Volume
        ``(3, x, y, z)`` millimetres: from a point of the affinely aligned patient to the template's point.

    Returns
    -------
    ndarray, (x, y, z) bool
        On the T1w's grid.
    """
    brain, far = template.brain_mask, 20.0
    depth = ndimage.distance_transform_edt(brain) - ndimage.distance_transform_edt(~brain)
    # shifted above 0, which stands for "outside the image" when it is resampled
    shifted = Volume((np.clip(depth, -far, far) + far).astype(np.float32), template.affine)
    aligned = resample(shifted, Grid(brain.shape, template.affine), displacement=warp_inverse)
    grid = Grid(network_mask.data.shape, network_mask.affine)
    native = resample(Volume(aligned, template.affine), grid, np.linalg.inv(matrix))
    near = ndimage.distance_transform_edt(~network_mask.data, sampling=network_mask.voxel_size_mm)
    return (native > far - TEMPLATE_MARGIN_MM) & (near <= NETWORK_MARGIN_MM)


def move_mask(mask: Volume, grid: Grid, matrix: np.ndarray) -> np.ndarray:
    """Bring a mask to a grid: linear, then a threshold at a half, which keeps volumes.

    Parameters
    ----------
    mask : Volume
        ``(x, y, z)`` bool.
    grid : Grid
        Where to.
    matrix : ndarray, (4, 4)
        From a point of the grid to the point of the mask, RAS+ millimetres.
    """
    if grid.shape == mask.data.shape and np.allclose(matrix @ grid.affine, mask.affine, atol=1e-3):
        return mask.data.astype(bool)
    return resample(Volume(mask.data.astype(np.float32), mask.affine), grid, matrix) > 0.5
