"""Where every voxel of a simulated head lies: its pose, its shape, its textures."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch.nn import functional as F

from relevox.phantom.head_template import HeadTemplate

TURNED_SHARE = 0.35
"""Share of heads turned far from the scanner's axes."""
BRAIN_CENTRE_MM = (0.0, -18.0, 6.0)
"""Template position that lies in the middle of the field of view when a head is not shifted."""
TEXTURE_SCALES_MM = {"fine": 7.0, "medium": 14.0, "coarse": 35.0}
TEXTURE_COUNTS = {"fine": 2, "medium": 2, "coarse": 3}


@dataclass(frozen=True)
class HeadGrid:
    """An isotropic grid whose middle is the origin, axes along RAS+."""

    shape: tuple[int, int, int]
    """Voxels along x, y, z."""
    voxel_size_mm: float
    """Edge of a voxel."""
    device: str | torch.device = "cpu"
    """Where tensors are made."""

    @property
    def positions(self) -> torch.Tensor:
        """Centres of the voxels in millimetres, ``(x, y, z, 3)``."""
        axes = [
            (torch.arange(n, dtype=torch.float32, device=self.device) - (n - 1) / 2) * self.voxel_size_mm
            for n in self.shape
        ]
        return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)


def draw_knots(rng: np.random.Generator, grid: HeadGrid, scale_mm: float, count: int) -> np.ndarray:
    """Draw standard-normal values on knots ``scale_mm`` apart, ``(count, a, b, c)`` float32."""
    shape = [max(2, math.ceil(n * grid.voxel_size_mm / scale_mm) + 1) for n in grid.shape]
    return rng.standard_normal((count, *shape), dtype=np.float32)


def smooth_fields(knots: np.ndarray, grid: HeadGrid) -> torch.Tensor:
    """Interpolate knots trilinearly to the grid, whose corners are knots, ``(count, x, y, z)``.

    One axis after the other as matrix products: several times faster than
    ``torch.nn.functional.interpolate`` with ``align_corners=True``, and the same.
    """
    values = torch.from_numpy(knots).to(grid.device)
    along_x, along_y, along_z = (
        _interpolation(n, m, grid.device) for n, m in zip(knots.shape[1:], grid.shape, strict=True)
    )
    values = along_y @ (values @ along_z.T)  # (count, a, b, c) -> (count, a, y, z)
    return (along_x @ values.flatten(2)).unflatten(2, grid.shape[1:])


@cache
def _interpolation(n_knots: int, n_voxels: int, device: str | torch.device) -> torch.Tensor:
    """Weights of linear interpolation, ``(n_voxels, n_knots)``."""
    position = torch.linspace(0, n_knots - 1, n_voxels, dtype=torch.float64)
    weights = (1 - (position[:, None] - torch.arange(n_knots)).abs()).clamp(min=0)
    return weights.float().to(device)


def rotation_matrix(degrees: np.ndarray) -> np.ndarray:
    """Turn about x, then y, then z, ``(3, 3)``."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


@dataclass(frozen=True)
class Pose:
    """How the template's brain is turned, scaled, shifted and bent."""

    rotation_deg: np.ndarray
    """Angles about x (nodding), y, z, ``(3,)``."""
    scale: np.ndarray
    """Size along the head's own axes, ``(3,)``; the template is larger than most brains."""
    shift_mm: np.ndarray
    """Position of the brain's centre, ``(3,)``."""
    bend_mm: tuple[float, float]
    """Standard deviations of the displacement at the knots of the two fields."""
    bend_knots: tuple[np.ndarray, np.ndarray]
    """Displacement fields with knots 55 and 24 mm apart."""


def draw_pose(rng: np.random.Generator, grid: HeadGrid) -> Pose:
    """Draw the pose of one head."""
    if rng.random() < TURNED_SHARE:
        rotation = rng.uniform([-35, -25, -25], [35, 25, 25])
    else:
        rotation = np.clip(rng.normal(0, 9, 3), -25, 25)
    return Pose(
        rotation_deg=rotation,
        scale=rng.uniform(0.86, 1.04) * rng.uniform(0.95, 1.05, 3),
        shift_mm=rng.uniform([-18, -18, -20], [18, 18, 30]),
        bend_mm=(rng.uniform(0, 5), rng.uniform(0, 2)),
        bend_knots=(draw_knots(rng, grid, 55, 3), draw_knots(rng, grid, 24, 3)),
    )


@dataclass(frozen=True)
class HeadSpace:
    """What the painters know of every voxel; all ``(x, y, z)`` unless stated."""

    x: torch.Tensor
    """Template coordinates in millimetres: to the right,"""
    y: torch.Tensor
    """to the front,"""
    z: torch.Tensor
    """to the top."""
    distance: torch.Tensor
    """Signed distance to the closed brain in millimetres, > 0 outside."""
    brain_distance: torch.Tensor
    """The same for the brain with its sulci."""
    tissue: torch.Tensor
    """``(3, x, y, z)`` shares of fluid, grey and white matter."""
    fine: torch.Tensor
    """``(2, x, y, z)`` random textures, knots 7 mm apart,"""
    medium: torch.Tensor
    """``(2, x, y, z)`` 14 mm apart,"""
    coarse: torch.Tensor
    """``(3, x, y, z)`` 35 mm apart."""


def draw_textures(rng: np.random.Generator, grid: HeadGrid) -> dict[str, np.ndarray]:
    """Draw the knots of the textures of one head."""
    return {name: draw_knots(rng, grid, scale, TEXTURE_COUNTS[name]) for name, scale in TEXTURE_SCALES_MM.items()}


def head_space(template: HeadTemplate, grid: HeadGrid, pose: Pose, textures: dict[str, np.ndarray]) -> HeadSpace:
    """Carry the template's maps onto the grid."""
    to_template = np.diag(1 / pose.scale) @ rotation_matrix(pose.rotation_deg).T
    offset = np.array(BRAIN_CENTRE_MM) - to_template @ pose.shift_mm
    matrix = torch.tensor(to_template.T, dtype=torch.float32, device=grid.device)
    where = grid.positions @ matrix + torch.tensor(offset, dtype=torch.float32, device=grid.device)
    for size, knots in zip(pose.bend_mm, pose.bend_knots, strict=True):
        where = where + size * smooth_fields(knots, grid).movedim(0, -1)

    shape = torch.tensor(template.tissue.shape[1:], dtype=torch.float32, device=grid.device)
    first = torch.tensor(template.origin_mm, device=grid.device)
    relative = (where - first) * (2 / template.voxel_size_mm / (shape - 1)) - 1  # -1..1 inside the maps
    distance = _sample(template.distance_mm, relative)
    # Outside the maps the distance goes on growing.
    outside = (relative.abs() > 1).any(dim=-1)
    beyond = (relative[outside].abs() - 1).clamp(min=0) * (shape - 1) / 2 * template.voxel_size_mm
    distance[:, outside] += beyond.norm(dim=-1)
    # Tissue is looked up in and near the brain only.
    brain = distance[1] < 2 * template.voxel_size_mm
    tissue = torch.zeros(3, *grid.shape, device=grid.device)
    tissue[:, brain] = _sample(template.tissue, relative[brain][None, None])[:, 0, 0]
    x, y, z = where.unbind(dim=-1)
    return HeadSpace(
        x=x,
        y=y,
        z=z,
        distance=distance[0],
        brain_distance=distance[1],
        tissue=tissue,
        **{name: smooth_fields(knots, grid) for name, knots in textures.items()},
    )


def _sample(maps: torch.Tensor, relative: torch.Tensor) -> torch.Tensor:
    """Look up ``(channels, ...)`` maps at ``(x, y, z, 3)`` positions from -1 to 1, linearly."""
    return F.grid_sample(maps[None], relative.flip(-1)[None], align_corners=True, padding_mode="border")[0]


def edge(values: torch.Tensor, width: float = 1.0) -> torch.Tensor:
    """Soft step: 0 far below zero, 1 far above, over about four widths."""
    return torch.sigmoid(values / width)


def blend(first, second, share: torch.Tensor):
    """``first`` where the share is 0, ``second`` where it is 1."""
    return first + (second - first) * share


def ellipsoid(space: HeadSpace, centre, radii, mirrored: bool = False) -> torch.Tensor:
    """Squared relative distance to a centre, 1 on the surface; mirrored: one on either side."""
    x = space.x.abs() if mirrored else space.x
    total = ((x - centre[0]) / radii[0]) ** 2
    for values, middle, radius in zip((space.y, space.z), centre[1:], radii[1:], strict=True):
        if math.isfinite(radius):
            total = total + ((values - middle) / radius) ** 2
    return total
