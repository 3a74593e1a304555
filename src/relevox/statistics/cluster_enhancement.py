"""Threshold-free cluster enhancement: a voxel counts for more when its neighbours agree (Smith and Nichols 2009)."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from relevox.compiled import compiled
from relevox.errors import InputError


@dataclass(frozen=True)
class ClusterEnhancement:
    """Enhance maps over the voxels of one mask.

    ``TFCE(v) = integral from 0 to h(v) of extent(v, h)^E h^H dh``, with the number of connected voxels
    above h around v as extent. The integral is exact: between two heights at which a cluster grows its
    extent is constant, so each step has a closed form, and no step dh is to be chosen. Negative values
    are enhanced apart, as minus the enhancement of ``-values``.

    Parameters
    ----------
    mask : array-like of bool, (x, y, z)
        Where the voxels lie, in C order.
    extent_power, height_power : float
        E and H.
    connectivity : {6, 18, 26}
        Neighbours of a voxel: by faces, also edges, also corners. 6 as in FSL's randomise and nilearn.

    Raises
    ------
    InputError
        When the mask is not three-dimensional, or for another connectivity.

    Examples
    --------
    Two neighbours of heights 1 and 2: (2^0.5 (1^3 - 0) + 1^0.5 (2^3 - 1^3)) / 3 for the higher one.

    >>> enhance = ClusterEnhancement(np.ones((2, 1, 1), dtype=bool))
    >>> enhance(np.array([1.0, 2.0])).round(4).tolist()
    [0.4714, 2.8047]
    """

    mask: np.ndarray
    """``(x, y, z)`` bool, v of them True."""
    extent_power: float = 0.5
    """E."""
    height_power: float = 2.0
    """H."""
    connectivity: int = 6
    """Neighbours of a voxel."""
    _place: np.ndarray = field(init=False, repr=False)
    """``(v,)`` place of each voxel in the flat grid, which is the mask's with a margin of one."""
    _steps: np.ndarray = field(init=False, repr=False)
    """From a place to those of its neighbours."""
    _grid_size: int = field(init=False, repr=False)
    """Places in the grid."""

    def __post_init__(self) -> None:
        mask = np.asarray(self.mask, dtype=bool)
        axes = {6: 1, 18: 2, 26: 3}.get(self.connectivity)
        if mask.ndim != 3 or axes is None:
            raise InputError(
                f"expected a mask (x, y, z) and a connectivity of 6, 18 or 26, "
                f"but got {mask.shape} and {self.connectivity}",
                code="tfce-mask",
            )
        padded = np.pad(mask, 1)
        moves = np.indices((3, 3, 3)).reshape(3, -1).T - 1
        n_axes = np.abs(moves).sum(axis=1)
        strides = np.array([padded.shape[1] * padded.shape[2], padded.shape[2], 1])
        steps = moves[(n_axes > 0) & (n_axes <= axes)] @ strides
        for name, value in (
            ("mask", mask),
            ("_place", np.flatnonzero(padded)),
            ("_steps", steps),
            ("_grid_size", padded.size),
        ):
            object.__setattr__(self, name, value)

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Return the enhanced map.

        Parameters
        ----------
        values : array-like, (v,)
            For example t. NaN voxels connect nothing and stay NaN.

        Returns
        -------
        ndarray, (v,)
            float64, with the sign of the values.

        Raises
        ------
        InputError
            When the number of values is not that of the mask's voxels, or one is infinite.
        """
        values = np.asarray(values, dtype=np.float64)
        if values.shape != self._place.shape or np.isinf(values).any():
            raise InputError(
                f"expected {len(self._place)} values, none infinite, but got {values.shape}", code="tfce-values"
            )
        enhanced = np.where(np.isnan(values), np.nan, 0.0)
        for sign in (1.0, -1.0):
            heights = sign * values
            above = np.flatnonzero(heights > 0)
            downwards = above[np.argsort(-heights[above])]
            place, heights = self._place[downwards], heights[downwards]
            grid = np.full(self._grid_size, len(place), dtype=np.int32)
            grid[place] = np.arange(len(place))
            parent, extent = _clusters(grid, place, self._steps)
            power = self.height_power + 1
            enhanced[downwards] = sign * _summed(parent, extent**self.extent_power, heights**power / power)
        return enhanced


@compiled
def _clusters(grid, place, steps):
    """Grow clusters from the highest voxel down.

    Voxels are numbered by height, 0 the highest; ``grid`` holds the numbers. Every voxel stands for the
    cluster it completes; its parent is the voxel that next makes this cluster grow (the component tree
    of Najman and Couprie 2006, by union-find with path halving).

    Returns the parent of each voxel (-1: none) and the extent of its cluster.
    """
    n = len(place)
    parent, extent = np.full(n, -1, dtype=np.int32), np.empty(n, dtype=np.int32)
    leader, size = np.empty(n, dtype=np.int32), np.ones(n, dtype=np.int32)
    lowest = np.empty(n, dtype=np.int32)  # of a leader: the voxel that stands for its cluster
    for voxel in range(n):
        leader[voxel] = own = voxel
        for step in steps:
            other = grid[place[voxel] + step]
            if other >= voxel:
                continue  # lower, or outside
            while leader[other] != other:
                leader[other] = leader[leader[other]]
                other = leader[other]
            if other == own:
                continue
            parent[lowest[other]] = voxel
            if size[other] > size[own]:
                own, other = other, own
            leader[other] = own
            size[own] += size[other]
        lowest[own] = voxel
        extent[voxel] = size[own]
    return parent, extent


@compiled
def _summed(parent, weight, integral):
    """Add up each voxel's steps, from the lowest cluster it is in to the one it completes."""
    total = np.empty(len(parent))
    for voxel in range(len(parent) - 1, -1, -1):
        below = parent[voxel]
        if below < 0:
            total[voxel] = weight[voxel] * integral[voxel]
        else:
            total[voxel] = total[below] + weight[voxel] * (integral[voxel] - integral[below])
    return total
