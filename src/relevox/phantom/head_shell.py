"""What wraps the brain of a simulated head: scalp, skull, orbits, meninges, vessels.

Each part is drawn first (``draw_...``), then painted without randomness. The
layers follow the distance to the closed brain: fluid, then bone, then scalp.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from relevox.phantom.head_contrast import Contrast
from relevox.phantom.head_space import HeadSpace, blend, edge, ellipsoid


@dataclass(frozen=True)
class Shell:
    """Thicknesses and textures of the layers around the brain."""

    fluid_mm: float
    """Between brain and bone."""
    bone_mm: float
    """Of the skull,"""
    bone_growth_below: float
    """and how much thicker, relatively, it gets towards its base."""
    base_top_mm: float
    """Height of the skull base."""
    scalp_mm: float
    """Of skin, fat and muscle,"""
    temporalis_mm: float
    """and what the temporal muscle adds on either side."""
    temporalis_centre_mm: tuple[float, float]
    """Its position along y and z."""
    temporalis_is_muscle: bool
    """False where the scalp keeps its texture there."""
    fat_from: float
    """Relative depth in the scalp where fat gives way to muscle."""
    skin_mm: float
    """Of the skin."""
    marrow: tuple[float, float, float]
    """Relative depths between which bone holds marrow; offset of the texture that says where."""
    base_threshold: float
    """The fine texture above which the skull base is marrow or air,"""
    base_air_threshold: float
    """and the medium one above which it is air."""
    dura: tuple[float, float, float] | None
    """Depths within and beyond the fluid's edge, offset of the texture; None: not visible."""


def draw_shell(rng: np.random.Generator) -> Shell:
    """Draw the layers of one head."""
    thin_fluid = rng.random() < 0.6
    return Shell(
        fluid_mm=rng.uniform(0.2, 1.5) if thin_fluid else rng.uniform(1.5, 5),
        bone_mm=rng.uniform(3, 9),
        bone_growth_below=rng.uniform(0, 1.2),
        base_top_mm=-rng.uniform(25, 45),
        scalp_mm=rng.uniform(3, 9),
        temporalis_mm=rng.uniform(0, 12),
        temporalis_centre_mm=(rng.uniform(5, 30), -rng.uniform(5, 30)),
        temporalis_is_muscle=rng.random() < 0.8,
        fat_from=rng.uniform(0.5, 1.1),
        skin_mm=rng.uniform(1, 2.5),
        marrow=(rng.uniform(0.25, 0.4), rng.uniform(0.6, 0.85), rng.uniform(-0.5, 2)),
        base_threshold=rng.uniform(-0.5, 1),
        base_air_threshold=rng.uniform(-0.5, 1.5),
        dura=tuple(rng.uniform([0.5, 0.5, -0.5], [1, 1, 1.5])) if rng.random() < 0.7 else None,
    )


@dataclass(frozen=True)
class Layers:
    """Where the layers of a shell end; all ``(x, y, z)``, distances to the closed brain."""

    fluid: torch.Tensor
    """Outer surface of the fluid,"""
    bone: torch.Tensor
    """of the skull,"""
    scalp: torch.Tensor
    """of the scalp."""
    temporal: torch.Tensor
    """Share of the temporal muscle."""
    base: torch.Tensor
    """Share of the skull base."""


def layers(space: HeadSpace, shell: Shell) -> Layers:
    """Measure out the layers."""
    y, z = shell.temporalis_centre_mm
    temporal = torch.exp(-(((space.y - y) / 32) ** 2) - ((space.z - z) / 26) ** 2) * edge(space.x.abs() - 45, 6)
    base = edge(shell.base_top_mm - space.z, 8)
    fluid = shell.fluid_mm * (1 + 0.45 * space.coarse[0]).clamp(min=0.05)
    bone = shell.bone_mm * (1 + 0.3 * space.coarse[1]) * (1 + shell.bone_growth_below * base)
    scalp = shell.scalp_mm * (1 + 0.3 * space.coarse[2]) + shell.temporalis_mm * temporal
    bone = fluid + bone.clamp(min=1.2)
    return Layers(fluid, bone, bone + scalp.clamp(min=1.5), temporal, base)


def paint_scalp(image: torch.Tensor, space: HeadSpace, layer: Layers, shell: Shell, contrast: Contrast) -> torch.Tensor:
    """Paint fat, muscle and skin."""
    depth = (layer.scalp - space.distance) / (layer.scalp - layer.bone)  # 0 at the skin
    value = blend(contrast.fat, contrast.muscle, edge(depth - shell.fat_from + 0.2 * space.medium[0], 0.25))
    if shell.temporalis_is_muscle:
        value = blend(value, contrast.muscle, edge(layer.temporal - 0.35, 0.25))
    image = blend(image, value * (1 + 0.1 * space.fine[0]), edge(layer.scalp - space.distance, 0.8))
    skin = edge(layer.scalp - space.distance, 0.6) * edge(space.distance - layer.scalp + shell.skin_mm, 0.6)
    return blend(image, contrast.muscle, skin)


def paint_skull(image: torch.Tensor, space: HeadSpace, layer: Layers, shell: Shell, contrast: Contrast) -> torch.Tensor:
    """Paint bone, its marrow, and the patchwork of the skull base."""
    distance, thickness = space.distance, layer.bone - layer.fluid
    within = edge(layer.bone - distance, 0.8)
    image = blend(image, contrast.bone * (1 + 0.2 * space.fine[1]), within)
    start, end, offset = shell.marrow
    marrow = edge(distance - layer.fluid - thickness * start, 0.7)
    marrow = marrow * edge(layer.fluid + thickness * end - distance, 0.7)
    marrow = marrow * edge(thickness - 3, 0.7) * edge(space.medium[1] + offset, 1 / 3)
    image = blend(image, contrast.marrow * (1 + 0.25 * space.medium[0]), marrow)
    patches = within * edge(distance - layer.fluid - 0.5, 0.8) * layer.base
    patches = patches * edge(space.fine[0] - shell.base_threshold, 1 / 3)
    filling = blend(contrast.marrow, contrast.air + 0.05, edge(space.medium[0] - shell.base_air_threshold, 0.25))
    return blend(image, filling, patches)


def paint_fluid(image: torch.Tensor, space: HeadSpace, layer: Layers, shell: Shell, contrast: Contrast) -> torch.Tensor:
    """Paint the fluid around the brain and, where visible, the dura at its edge."""
    image = blend(image, contrast.csf, edge(layer.fluid - space.distance, 0.7))
    if shell.dura is None:
        return image
    inner, outer, offset = shell.dura
    sheet = edge(space.distance - layer.fluid + inner, 0.4) * edge(layer.fluid + outer - space.distance, 0.4)
    return blend(image, contrast.dura, sheet * edge(space.medium[0] + offset, 1 / 3))


@dataclass(frozen=True)
class Orbits:
    """A pair of eyes in fat."""

    fat_centre_mm: tuple[float, float, float]
    fat_radius_mm: float
    eye_centre_mm: tuple[float, float, float]
    eye_radius_mm: float


def draw_orbits(rng: np.random.Generator) -> Orbits:
    """Draw the orbits of one head."""
    return Orbits(
        fat_centre_mm=(rng.uniform(28, 35), rng.uniform(58, 66), -rng.uniform(32, 40)),
        fat_radius_mm=rng.uniform(17, 22),
        eye_centre_mm=(rng.uniform(29, 36), rng.uniform(62, 71), -rng.uniform(34, 41)),
        eye_radius_mm=rng.uniform(10.5, 13.5),
    )


def paint_orbits(image: torch.Tensor, space: HeadSpace, orbits: Orbits, contrast: Contrast) -> torch.Tensor:
    """Paint the orbits, outside the brain only."""
    fat = ellipsoid(space, orbits.fat_centre_mm, (orbits.fat_radius_mm,) * 3, mirrored=True).sqrt()
    image = blend(image, contrast.orbital_fat, edge(1 - fat, 1 / 20) * edge(space.distance - 1.5))
    eye = ellipsoid(space, orbits.eye_centre_mm, (orbits.eye_radius_mm,) * 3, mirrored=True).sqrt()
    return blend(image, contrast.eye, edge(1 - eye, 1 / 16) * edge(space.distance - 1))


@dataclass(frozen=True)
class FrontalSinus:
    """A pair of hollows above the orbits."""

    centre_mm: tuple[float, float, float]
    radii_mm: tuple[float, float, float]


def draw_frontal_sinus(rng: np.random.Generator) -> FrontalSinus:
    """Draw the frontal sinuses of one head."""
    return FrontalSinus(
        centre_mm=(rng.uniform(4, 12), rng.uniform(70, 80), -rng.uniform(5, 25)),
        radii_mm=(rng.uniform(8, 18), rng.uniform(5, 11), rng.uniform(8, 18)),
    )


def paint_frontal_sinus(image: torch.Tensor, space: HeadSpace, sinus: FrontalSinus, contrast: Contrast) -> torch.Tensor:
    """Paint the frontal sinuses, outside the brain only."""
    inside = edge(1 - ellipsoid(space, sinus.centre_mm, sinus.radii_mm, mirrored=True), 1 / 6)
    return blend(image, contrast.air, inside * edge(space.distance - 2))


@dataclass(frozen=True)
class Vessels:
    """The superior sagittal sinus and vessels scattered over the brain's surface."""

    sagittal_half_width_mm: float
    sagittal_depth_mm: float
    scatter_threshold: float
    """The fine texture above which a vessel runs."""


def draw_vessels(rng: np.random.Generator) -> Vessels:
    """Draw the vessels of one head."""
    return Vessels(rng.uniform(3, 6), rng.uniform(4, 8), rng.uniform(1.2, 2))


def paint_vessels(image: torch.Tensor, space: HeadSpace, vessels: Vessels, contrast: Contrast) -> torch.Tensor:
    """Paint vessels just outside the brain."""
    outside = edge(space.distance + 1)
    sagittal = edge(vessels.sagittal_half_width_mm - space.x.abs()) * outside
    sagittal = sagittal * edge(vessels.sagittal_depth_mm - space.distance) * edge(space.z + 10, 5)
    image = blend(image, contrast.vessel, sagittal)
    scattered = edge(space.fine[0] - vessels.scatter_threshold, 0.25) * outside
    return blend(image, contrast.vessel, scattered * edge(5 - space.distance, 0.8))


@dataclass(frozen=True)
class SpinalCanal:
    """Vertebra, fluid and cord below the foramen magnum."""

    centre_y_mm: float
    vertebra_mm: float
    canal_mm: float
    cord_mm: float


def draw_spinal_canal(rng: np.random.Generator) -> SpinalCanal:
    """Draw the spinal canal of one head."""
    return SpinalCanal(-rng.uniform(34, 42), rng.uniform(20, 30), rng.uniform(9, 12), rng.uniform(5, 8))


def paint_spinal_canal(image: torch.Tensor, space: HeadSpace, canal: SpinalCanal, contrast: Contrast) -> torch.Tensor:
    """Paint the canal below the template's brain."""
    below = edge(-68 - space.z, 1.5) * edge(space.distance - 0.3, 0.6)
    radius = torch.hypot(space.x, space.y - canal.centre_y_mm)
    bone = blend(contrast.marrow, contrast.muscle, edge(space.medium[0], 0.25))
    image = blend(image, bone, below * edge(canal.vertebra_mm - radius, 2))
    image = blend(image, contrast.csf, below * edge(canal.canal_mm - radius))
    return blend(image, contrast.white, below * edge(canal.cord_mm - radius))
