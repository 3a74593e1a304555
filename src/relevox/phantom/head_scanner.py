"""What the scanner and the archive make of a simulated head.

Slices, bias field, noise; a field of view that may cut the head; a defaced,
zeroed or already stripped background.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from relevox.phantom.head_space import HeadGrid, HeadSpace, draw_knots, rotation_matrix, smooth_fields

STRIPPED_SHARE = 0.1
"""Share of heads that come already stripped."""


@dataclass(frozen=True)
class Slab:
    """The part of space that was scanned lies between two parallel planes."""

    normal: np.ndarray
    """Direction of the slices, ``(3,)``, grid axes."""
    middle_mm: float
    """Position along it, from the middle of the grid."""
    length_mm: float
    """Distance between the planes."""


@dataclass(frozen=True)
class Scanner:
    """How one head is imaged and archived."""

    slice_axis: int
    """HeadGrid axis along which slices are thick."""
    slab: Slab | None
    """Field of view across the slices; None: the whole grid."""
    side_slab: Slab | None
    """Field of view along one of the in-plane axes."""
    slice_mm: float | None
    """Thickness of the slices; None: that of the grid."""
    blurred: bool
    """Whether in-plane resolution is lower than the grid's."""
    bias_size: float
    """Standard deviation of the logarithm of the bias field at its knots,"""
    bias_knots: np.ndarray
    """the knots,"""
    bias_slope: float
    """and its slope along z, per 100 mm."""
    noise: float
    """Standard deviation of the noise in both channels (white matter is about 1)."""
    noise_seed: int
    """The noise itself is too large to keep."""
    zeroed_from_mm: float | None
    """Air farther than this from the scalp is set to zero; None: kept."""
    defacing: tuple[float, float, float, float] | None
    """Plane that cuts the face off: angle (rad), y, z (mm); distance to the brain it respects."""
    stripped_at_mm: float | None
    """Everything farther than this from the closed brain is zero; None: not stripped."""
    gamma: float
    """Exponent of the final intensities."""


def draw_scanner(rng: np.random.Generator, grid: HeadGrid, centre_mm: np.ndarray) -> Scanner:
    """Draw the imaging of a head whose brain is centred at ``centre_mm``."""
    axis = int(rng.choice([2, 1, 0], p=[0.75, 0.1, 0.15]))
    slab = side_slab = None
    if rng.random() < 0.65:
        normal = rotation_matrix(rng.normal(0, 8, 3)) @ np.eye(3)[axis]
        slab = Slab(normal, normal @ centre_mm + rng.uniform(-22, 22), rng.uniform(95, 190))
    if rng.random() < 0.2:
        side = int(rng.integers(2))
        side_slab = Slab(np.eye(3)[side], centre_mm[side], 2 * rng.uniform(80, 110))
    defacing = None
    if rng.random() < 0.5:
        angle = np.radians(rng.uniform(10, 60))
        defacing = (float(angle), rng.uniform(35, 75), -rng.uniform(25, 60), rng.uniform(3, 10))
    return Scanner(
        slice_axis=axis,
        slab=slab,
        side_slab=side_slab,
        slice_mm=rng.uniform(3, 6) if rng.random() < 0.7 else None,
        blurred=rng.random() < 0.3,
        bias_size=rng.uniform(0, 0.35),
        bias_knots=draw_knots(rng, grid, rng.uniform(60, 140), 1),
        bias_slope=rng.uniform(-0.6, 0.6) if rng.random() < 0.4 else 0.0,
        noise=rng.uniform(0, 0.04) if rng.random() < 0.7 else rng.uniform(0.04, 0.12),
        noise_seed=int(rng.integers(2**31)),
        zeroed_from_mm=rng.uniform(2, 6) if rng.random() < 0.5 else None,
        defacing=defacing,
        stripped_at_mm=rng.uniform(-1, 3) if rng.random() < STRIPPED_SHARE else None,
        gamma=float(np.exp(rng.normal(0, 0.25))),
    )


def scanned(grid: HeadGrid, scanner: Scanner) -> torch.Tensor:
    """Which voxels lie in the field of view, ``(x, y, z)`` bool."""
    inside = torch.ones(grid.shape, dtype=torch.bool, device=grid.device)
    for slab in (scanner.slab, scanner.side_slab):
        if slab is not None:
            normal = torch.tensor(slab.normal, dtype=torch.float32, device=grid.device)
            inside &= (grid.positions @ normal - slab.middle_mm).abs() < slab.length_mm / 2
    return inside


def acquire(image: torch.Tensor, grid: HeadGrid, scanner: Scanner) -> torch.Tensor:
    """Apply slices, blur, bias field and Rician noise to ``(x, y, z)`` intensities."""
    image = image[None, None]
    if scanner.slice_mm is not None:
        thick = list(grid.shape)
        extent = thick[scanner.slice_axis] * grid.voxel_size_mm
        thick[scanner.slice_axis] = max(4, round(extent / scanner.slice_mm))
        slices = F.interpolate(image, size=thick, mode="area")
        image = F.interpolate(slices, size=grid.shape, mode="trilinear")
    if scanner.blurred:
        padded = F.pad(image, (1,) * 6, mode="replicate")
        image = (image + F.avg_pool3d(padded, 3, stride=1)) / 2
    height = grid.positions[..., 2] / 100
    bias = scanner.bias_size * smooth_fields(scanner.bias_knots, grid)[0] + scanner.bias_slope * height
    image = image[0, 0] * torch.exp(bias)
    noise = np.random.default_rng(scanner.noise_seed).standard_normal((2, *grid.shape), dtype=np.float32)
    real, imaginary = torch.from_numpy(noise).to(grid.device) * scanner.noise
    return torch.hypot(image + real, imaginary)


def archive(
    image: torch.Tensor, space: HeadSpace, scanner: Scanner, scalp: torch.Tensor, below: torch.Tensor
) -> torch.Tensor:
    """Zero the background, deface, strip and change the grey scale.

    Parameters
    ----------
    scalp : torch.Tensor
        ``(x, y, z)`` distance of the scalp's surface to the closed brain, mm.
    below : torch.Tensor
        ``(x, y, z)`` share of neck and face: never zeroed as background.
    """
    distance = space.distance
    if scanner.zeroed_from_mm is not None:
        image = image * ~((distance > scalp + scanner.zeroed_from_mm) & (below < 0.3))
    if scanner.defacing is not None:
        angle, y, z, keep = scanner.defacing
        before = (space.y - y) * np.cos(angle) - (space.z - z) * np.sin(angle) > 0
        image = image * ~(before & (distance > keep))
    if scanner.stripped_at_mm is not None:
        image = image * (distance < scanner.stripped_at_mm)
    return image.clamp(min=0) ** scanner.gamma
