"""Where every voxel of a simulated patch lies: a piece of a brain aligned to the template.

The lesion network sees pieces of a brain that an affine registration has
brought to the template, beside the template's tissue maps brought to the
patient. So a piece is the template, bent as anatomies differ after alignment,
and its priors are the template bent *almost* alike: a registration is never exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage
from torch.nn import functional as F

from relevox.phantom.anatomy import sharpened
from relevox.phantom.head_space import HeadGrid, draw_knots, edge, rotation_matrix, smooth_fields
from relevox.phantom.head_template import signed_distance
from relevox.phantom.random_fields import random_field

_MARGIN_MM = 12
"""Kept around the template's brain."""

_PERIVENTRICULAR_SHARE, _INFRATENTORIAL_SHARE = 0.5, 0.12
"""Shares of the patches centred near the ventricles, and below the tentorium; the rest lies anywhere in the brain."""


@dataclass(frozen=True)
class LesionTemplate:
    """Maps of the template's brain and its surroundings, axes along RAS+."""

    maps: torch.Tensor
    """``(7, x, y, z)``: shares of CSF, grey and white matter of a single brain; signed distances to the lateral
    ventricles and to the brain, > 0 outside; distance to the cerebral cortex; 1 below the tentorium. Millimetres."""
    priors: torch.Tensor
    """``(3, x, y, z)``: the template's own grey matter, white matter and CSF."""
    centres: tuple[np.ndarray, ...]
    """Voxels ``(n, 3)`` at which patches are centred: near the ventricles, below the tentorium, anywhere."""
    voxel_size_mm: float
    """Edge of a voxel."""

    def to(self, device: str | torch.device) -> LesionTemplate:
        """Return the same maps on another device."""
        return LesionTemplate(self.maps.to(device), self.priors.to(device), self.centres, self.voxel_size_mm)


def lesion_template(
    grey: np.ndarray,
    white: np.ndarray,
    csf: np.ndarray,
    brain_mask: np.ndarray,
    ventricles: np.ndarray,
    cortex: np.ndarray,
    infratentorial: np.ndarray,
    voxel_size_mm: float,
) -> LesionTemplate:
    """Derive the maps from the template's images.

    Parameters
    ----------
    grey, white, csf : np.ndarray
        ``(x, y, z)`` fractions, 0 outside the brain.
    brain_mask, ventricles, cortex, infratentorial : np.ndarray
        ``(x, y, z)`` bool: the brain, its lateral ventricles, cerebral cortex, brainstem and cerebellum.
    voxel_size_mm : float
        Edge of a voxel.
    """
    margin = round(_MARGIN_MM / voxel_size_mm)
    inside = ndimage.find_objects(brain_mask.astype(np.int8))[0]

    def cut(image: np.ndarray) -> np.ndarray:
        return np.pad(image[inside], margin)

    grey, white, csf, brain_mask, ventricles, cortex, infratentorial = (
        cut(image) for image in (grey, white, csf, brain_mask, ventricles, cortex, infratentorial)
    )
    single_grey, single_white, single_csf = sharpened(grey, white, csf)
    to_ventricles = signed_distance(ventricles) * voxel_size_mm
    maps = [
        single_csf,
        single_grey,
        single_white,
        to_ventricles,
        signed_distance(brain_mask) * voxel_size_mm,
        ndimage.distance_transform_edt(~cortex, sampling=voxel_size_mm),
        infratentorial,
    ]
    near = brain_mask & (np.abs(to_ventricles) < 15)
    return LesionTemplate(
        torch.from_numpy(np.stack(maps).astype(np.float32)),
        torch.from_numpy(np.stack([grey, white, csf]).astype(np.float32)),
        tuple(np.argwhere(zone) for zone in (near, infratentorial & brain_mask, brain_mask)),
        voxel_size_mm,
    )


@dataclass(frozen=True)
class PatchSpace:
    """What the painters know of every voxel of a patch; ``(x, y, z)`` unless stated."""

    csf: torch.Tensor
    """Fraction of fluid,"""
    grey: torch.Tensor
    """of grey matter,"""
    white: torch.Tensor
    """and of white matter; together 1 in the brain and 0 outside."""
    ventricle_distance: torch.Tensor
    """Signed distance to the lateral ventricles in millimetres, > 0 outside."""
    brain_distance: torch.Tensor
    """Signed distance to the brain in millimetres, > 0 outside."""
    cortex_distance: torch.Tensor
    """Distance to the cerebral cortex in millimetres."""
    infratentorial: torch.Tensor
    """Share of brainstem and cerebellum."""
    priors: torch.Tensor
    """``(3, x, y, z)`` the template's grey matter, white matter and CSF as a registration would bring them."""


def draw_space(template: LesionTemplate, grid: HeadGrid, rng: np.random.Generator) -> PatchSpace:
    """Draw one piece of one brain."""
    zones = [_PERIVENTRICULAR_SHARE, _INFRATENTORIAL_SHARE, 1 - _PERIVENTRICULAR_SHARE - _INFRATENTORIAL_SHARE]
    centres = template.centres[rng.choice(3, p=zones)]
    centre = centres[rng.integers(len(centres))] * template.voxel_size_mm
    turn = rotation_matrix(rng.normal(0, 4, 3)) @ np.diag(rng.uniform(0.93, 1.07, 3))
    where = grid.positions @ torch.tensor(turn.T, dtype=torch.float32, device=grid.device)
    where = where + torch.tensor(centre, dtype=torch.float32, device=grid.device)
    bends = [(55, rng.uniform(0, 4)), (24, rng.uniform(0, 2.5)), (10, rng.uniform(0, 0.8))]
    for knots_mm, size_mm in bends:
        where = where + size_mm * smooth_fields(draw_knots(rng, grid, knots_mm, 3), grid).movedim(0, -1)
    to_ventricles, _, to_cortex = _look_up(template, template.maps[3:6], where)
    # Folds of the cortex differ from head to head, and no registration finds them all.
    error_mm = rng.uniform(0, 1.2) + rng.uniform(0, 3) * torch.exp(-to_cortex / 4)
    registered = where + error_mm[..., None] * smooth_fields(draw_knots(rng, grid, 14, 3), grid).movedim(0, -1)
    wider = _widening(to_ventricles, rng)
    missed = rng.uniform(0, 0.35)
    widened, registered = where - wider, registered - (1 - missed) * wider

    csf, grey, white, to_ventricles, to_brain, to_cortex, infratentorial = _look_up(template, template.maps, widened)
    csf, grey, white = _folded(csf, grey, white, to_ventricles, grid, rng)
    csf, grey, white = _deep_folds(csf, grey, white, to_cortex, grid, rng)
    priors = _look_up(template, template.priors, registered)
    return PatchSpace(csf, grey, white, to_ventricles, to_brain, to_cortex, infratentorial, priors)


def _widening(to_ventricles: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """How far ventricles grow into the tissue around them, ``(x, y, z, 3)`` millimetres away from them."""
    size_mm = rng.uniform(0, 5) if rng.random() < 0.6 else rng.uniform(-1, 1)
    reach_mm = rng.uniform(6, 14)
    slopes = torch.stack(torch.gradient(to_ventricles), dim=-1)
    slopes = slopes / slopes.norm(dim=-1, keepdim=True).clamp(min=0.5)
    return (size_mm * torch.exp(-to_ventricles.abs() / reach_mm))[..., None] * slopes


def _folded(csf, grey, white, to_ventricles, grid: HeadGrid, rng: np.random.Generator) -> tuple[torch.Tensor, ...]:
    """Fold the cortex anew: where the average brain is undecided, random fields decide; sulci narrow or wide."""
    depth = torch.clamp(to_ventricles / 4, 0, 1)  # the ventricles keep their walls
    exponent = rng.uniform(1.0, 2.0)
    decided = []
    for fraction, sd in ((csf, 0.5), (white, 0.15)):  # against grey matter
        field = torch.from_numpy(random_field(grid.shape, (1.5, 3.0), (0.7, 0.8), grid.voxel_size_mm, rng))
        gain = rng.normal(0, sd) + rng.uniform(0.3, 1.3) * field.to(grid.device)
        decided.append(fraction**exponent * torch.exp(depth * gain))
    csf_now, white_now, grey_now = *decided, grey**exponent
    scale = (csf + grey + white) / (csf_now + grey_now + white_now).clamp(min=1e-6)
    return csf_now * scale, grey_now * scale, white_now * scale


def _deep_folds(csf, grey, white, to_cortex, grid: HeadGrid, rng: np.random.Generator) -> tuple[torch.Tensor, ...]:
    """Let folds reach where the average brain has white matter: sheets and spots of grey matter, with or without fluid.

    The average has lost the depths of narrow sulci, which look like small lesions where the template says white matter.
    """
    if rng.random() < 0.15:
        return csf, grey, white
    field = torch.from_numpy(random_field(grid.shape, (2.0, 5.0), (0.7, 0.7), grid.voxel_size_mm, rng)).to(grid.device)
    reach = 2.5 * torch.exp(-((to_cortex / rng.uniform(4, 11)) ** 2))
    height = field + reach - rng.uniform(2.4, 3.8)
    fold, core = edge(height, 0.25), edge(height - rng.uniform(0.7, 1.6), 0.25)
    turned = white * fold
    return csf + turned * core, grey + turned * (1 - core), white - turned


def _look_up(template: LesionTemplate, maps: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
    """``(channels, x, y, z)`` maps at ``(x, y, z, 3)`` millimetres from their first voxel, linearly."""
    last = torch.tensor(maps.shape[1:], dtype=torch.float32, device=where.device) - 1
    relative = where * (2 / template.voxel_size_mm) / last - 1
    return F.grid_sample(maps[None], relative.flip(-1)[None], align_corners=True, padding_mode="border")[0]
