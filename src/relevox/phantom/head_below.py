"""What lies below and before the brain of a simulated head: neck, face, airways.

Each part is drawn first (``draw_...``), then painted without randomness.
Coordinates are template millimetres; the foramen magnum is near ``z = -60``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from relevox.phantom.head_contrast import Contrast
from relevox.phantom.head_space import HeadSpace, blend, edge, ellipsoid


@dataclass(frozen=True)
class SoftTissue:
    """How muscle, fat and a third, arbitrary tissue mix outside the skull."""

    fat_threshold: float
    """The medium texture above which muscle gives way to fat."""
    other_threshold: float
    """The same for the third tissue."""
    other: float
    """Intensity of the third tissue."""
    roughness: float
    """Relative size of the fine texture."""


def draw_soft_tissue(rng: np.random.Generator) -> SoftTissue:
    """Draw the mixture of one head."""
    return SoftTissue(rng.uniform(-0.3, 1.2), rng.uniform(0.8, 2.5), rng.uniform(0, 1.5), rng.uniform(0, 0.25))


def soft_tissue(space: HeadSpace, soft: SoftTissue, contrast: Contrast) -> torch.Tensor:
    """Intensity of soft tissue, were it everywhere."""
    value = blend(contrast.muscle, contrast.fat, edge(space.medium[0] - soft.fat_threshold, 0.25))
    value = blend(value, soft.other, edge(space.medium[1] - soft.other_threshold, 0.25))
    return value * (1 + soft.roughness * space.fine[0])


@dataclass(frozen=True)
class Muscle:
    """A pair of neck muscles, often as bright and as even as brain."""

    centre_mm: tuple[float, float]
    """Distance from the midline, position along y."""
    radii_mm: tuple[float, float]
    """Half axes along x and y."""
    top_mm: float
    """Height where it ends."""
    like_white: float | None
    """Intensity relative to white matter; None: that of muscle."""
    roughness: float
    """Relative size of the fine texture."""
    fascia_top_mm: float
    """Height where the fat around it ends."""


@dataclass(frozen=True)
class Neck:
    """A column below the head."""

    radii_mm: tuple[float, float]
    """Half axes along x and y."""
    centre_y_mm: float
    """Position of the axis."""
    top_mm: float
    """Height where it meets the head."""
    fat_from: float
    """Share of the radius where the fat under the skin starts."""
    fat_top_mm: float
    """Height where that fat ends."""
    muscles: tuple[Muscle, ...]
    """Pairs of muscles."""


def draw_neck(rng: np.random.Generator) -> Neck:
    """Draw the neck of one head."""
    muscles = tuple(
        Muscle(
            centre_mm=(rng.uniform(8, 34), -rng.uniform(20, 80)),
            radii_mm=(rng.uniform(7, 17), rng.uniform(8, 22)),
            top_mm=-rng.uniform(45, 66),
            like_white=None if rng.random() < 0.6 else rng.uniform(0.7, 1.2),
            roughness=rng.uniform(0, 0.12),
            fascia_top_mm=-rng.uniform(50, 66),
        )
        for _ in range(rng.integers(0, 4))
    )
    return Neck(
        radii_mm=(rng.uniform(46, 66), rng.uniform(50, 75)),
        centre_y_mm=-rng.uniform(15, 32),
        top_mm=-rng.uniform(28, 58),
        fat_from=rng.uniform(0.82, 0.93),
        fat_top_mm=-rng.uniform(45, 60),
        muscles=muscles,
    )


def paint_neck(
    image: torch.Tensor, space: HeadSpace, neck: Neck, contrast: Contrast, soft: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Paint the neck; returns the image and the share of each voxel that is neck."""
    radius = torch.hypot(space.x / neck.radii_mm[0], (space.y - neck.centre_y_mm) / neck.radii_mm[1])
    column = edge(1 - radius, 1 / 30)
    share = column * edge(neck.top_mm - space.z, 3)
    image = blend(image, soft, share)
    rim = column * edge(radius - neck.fat_from, 1 / 30) * edge(neck.fat_top_mm - space.z, 3)
    image = blend(image, contrast.fat, rim)
    for muscle in neck.muscles:
        x, y = muscle.centre_mm
        inside = ((space.x.abs() - x) / muscle.radii_mm[0]) ** 2 + ((space.y - y) / muscle.radii_mm[1]) ** 2
        slope = space.z - 0.15 * (space.y + 40)  # muscles rise towards the occiput
        belly = edge(1 - inside, 1 / 6) * edge(muscle.top_mm - slope, 2) * (radius < 0.9)
        bright = contrast.muscle if muscle.like_white is None else contrast.white * muscle.like_white
        image = blend(image, bright * (1 + muscle.roughness * space.fine[0]), belly)
        fascia = edge(0.18 - (inside - 1).abs(), 1 / 20) * edge(muscle.fascia_top_mm - space.z, 2) * column
        image = blend(image, contrast.fat, fascia)
    return image, share


@dataclass(frozen=True)
class Face:
    """An ellipsoid of soft tissue with bone and, often, airways."""

    radii_mm: tuple[float, float, float]
    """Half axes."""
    centre_mm: tuple[float, float, float]
    """Centre."""
    bone_threshold: float
    """The fine texture above which there is bone."""
    airways: tuple[tuple[tuple[float, float, float], tuple[float, float, float], float], ...]
    """Maxillary sinuses and pharynx: centre, half axes, intensity above air."""
    pharynx_top_mm: float
    """Height where the pharynx ends."""


def draw_face(rng: np.random.Generator) -> Face:
    """Draw the face of one head."""
    airways = ()
    if rng.random() < 0.8:
        sinus = (
            (rng.uniform(8, 16), rng.uniform(54, 66), -rng.uniform(46, 60)),
            (rng.uniform(9, 16), rng.uniform(12, 20), rng.uniform(14, 24)),
            rng.uniform(0, 0.1),
        )
        pharynx = (
            (0.0, rng.uniform(0, 10), 0.0),
            (rng.uniform(8, 16), rng.uniform(8, 16), float("inf")),
            0.0,
        )
        airways = (sinus, pharynx)
    return Face(
        radii_mm=(rng.uniform(54, 68), rng.uniform(50, 66), rng.uniform(52, 68)),
        centre_mm=(0.0, rng.uniform(25, 38), -rng.uniform(50, 68)),
        bone_threshold=rng.uniform(0.6, 1.8),
        airways=airways,
        pharynx_top_mm=-rng.uniform(52, 66),
    )


def face_share(space: HeadSpace, face: Face, top_mm: float = -6.0) -> torch.Tensor:
    """Share of each voxel that is face, below a height."""
    inside = edge(1 - ellipsoid(space, face.centre_mm, face.radii_mm), 1 / 12)
    return inside * edge(space.y + 8, 4) * edge(top_mm - space.z, 3)


def paint_face(
    image: torch.Tensor, space: HeadSpace, face: Face, contrast: Contrast, soft: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Paint the face; returns the image and the share of each voxel that is face."""
    share = face_share(space, face)
    image = blend(image, soft, share)
    image = blend(image, contrast.bone, share * edge(space.fine[1] - face.bone_threshold, 0.25))
    for number, (centre, radii, brightness) in enumerate(face.airways):
        hollow = edge(1 - ellipsoid(space, centre, radii, mirrored=number == 0), 1 / 8)
        if number == 1:
            hollow = hollow * edge(face.pharynx_top_mm - space.z, 2)
        image = blend(image, contrast.air + brightness, hollow)
    return image, share
