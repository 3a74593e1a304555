"""The brain of a simulated head: its fluid, grey and white matter, its lesions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from relevox.phantom.head_contrast import Contrast
from relevox.phantom.head_space import HeadSpace, blend, edge


@dataclass(frozen=True)
class Brain:
    """How a brain departs from the template's."""

    fluid_exponent: float
    """Of the fluid's share: below 1 sulci and ventricles are wider."""
    widening: float
    """Fluid added to sulci here and there, as a share of the voxel,"""
    widening_depth_mm: float
    """down to this depth,"""
    widening_threshold: float
    """where the medium texture exceeds this."""
    lesion_threshold: float | None
    """Of the texture above which white matter is lesion; None: no lesions."""
    roughness: tuple[float, float]
    """Relative sizes of the fine and medium textures."""


def draw_brain(rng: np.random.Generator) -> Brain:
    """Draw the brain of one head."""
    return Brain(
        fluid_exponent=rng.uniform(0.6, 1.8),
        widening=rng.uniform(0, 0.5) if rng.random() < 0.5 else 0.0,
        widening_depth_mm=rng.uniform(2, 7),
        widening_threshold=rng.uniform(0, 1),
        lesion_threshold=rng.uniform(1.2, 2.6) if rng.random() < 0.7 else None,
        roughness=(rng.uniform(0, 0.05), rng.uniform(0, 0.06)),
    )


def paint_brain(image: torch.Tensor, space: HeadSpace, brain: Brain, contrast: Contrast) -> torch.Tensor:
    """Paint the brain over what lies there."""
    fluid, grey, white = space.tissue
    present = (fluid + grey + white).clamp(0, 1) * edge(0.3 - space.brain_distance, 0.4)
    fluid = fluid**brain.fluid_exponent
    if brain.widening > 0:
        near_surface = edge(space.brain_distance + brain.widening_depth_mm, 2)
        where = edge(space.medium[0] - brain.widening_threshold, 1 / 3)
        fluid = (fluid + brain.widening * near_surface * where).clamp(0, 1)
    rest = (1 - fluid) / (grey + white).clamp(min=1e-3)
    grey, white = grey * rest, white * rest
    white_value = contrast.white
    if brain.lesion_threshold is not None:
        lesion = edge(space.fine[0] + 0.6 * space.medium[0] - brain.lesion_threshold, 0.2) * (white > 0.3)
        white_value = blend(contrast.white, contrast.lesion, lesion)
    value = fluid * contrast.csf + grey * contrast.grey + white * white_value
    value = value / (fluid + grey + white).clamp(min=1e-3)
    fine, medium = brain.roughness
    return blend(image, value * (1 + fine * space.fine[1] + medium * space.medium[1]), present)
