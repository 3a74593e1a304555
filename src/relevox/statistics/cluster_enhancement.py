"""Threshold-free cluster enhancement: a voxel counts for more when its neighbours agree (Smith and Nichols 2009)."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from relevox.errors import InputError
from relevox.statistics.compiled import compiled


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
    _grid: np.ndarray = field(init=False, repr=False)
    """Number of the voxel at each place of the mask with a margin of one, flat; -1 outside."""
    _place: np.ndarray = field(init=False, repr=False)
    """``(v,)`` place of each voxel in the grid."""
    _steps: np.ndarray = field(init=False, repr=False)
    """From a place to those of its neighbours."""

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
        grid = np.full(padded.size, -1, dtype=np.int32)
        place = np.flatnonzero(padded)
        grid[place] = np.arange(len(place))
        moves = np.indices((3, 3, 3)).reshape(3, -1).T - 1
        n_axes = np.abs(moves).sum(axis=1)
        strides = np.array([padded.shape[1] * padded.shape[2], padded.shape[2], 1])
        steps = moves[(n_axes > 0) & (n_axes <= axes)] @ strides
        for name, value in (("mask", mask), ("_grid", grid), ("_place", place), ("_steps", steps)):
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
            _enhance(
                heights,
                downwards,
                self._grid,
                self._place,
                self._steps,
                self.extent_power,
                self.height_power,
                sign,
                enhanced,
            )
        return enhanced


@compiled
def _enhance(heights, downwards, grid, place, steps, extent_power, height_power, sign, enhanced):
    """Grow clusters from the highest voxel down, then add up each voxel's steps from the lowest cluster up.

    Every voxel stands for the cluster it completes; its parent is the voxel that next makes this cluster
    grow. The clusters form a tree (Najman and Couprie 2006), in which ``leader`` finds the top by
    union-find with path halving.
    """
    parent = np.full(len(heights), -1, dtype=np.int32)
    leader = np.full(len(heights), -1, dtype=np.int32)  # -1: below the height reached
    extent = np.zeros(len(heights), dtype=np.int32)
    for voxel in downwards:
        leader[voxel] = voxel
        extent[voxel] = 1
        for step in steps:
            neighbour = grid[place[voxel] + step]
            if neighbour < 0 or leader[neighbour] < 0:
                continue
            while leader[neighbour] != neighbour:
                leader[neighbour] = leader[leader[neighbour]]
                neighbour = leader[neighbour]
            if neighbour != voxel:
                leader[neighbour] = parent[neighbour] = voxel
                extent[voxel] += extent[neighbour]
    power = height_power + 1
    for upwards in range(len(downwards) - 1, -1, -1):
        voxel = downwards[upwards]
        below, start = 0.0, 0.0
        if parent[voxel] >= 0:
            below, start = enhanced[parent[voxel]], heights[parent[voxel]]
        step_up = extent[voxel] ** extent_power * (heights[voxel] ** power - start**power) / power
        enhanced[voxel] = below + sign * step_up
