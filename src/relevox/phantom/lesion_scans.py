"""Pieces of T1w and FLAIR scans with lesions, everything random, to train a network that finds lesions.

As for whole heads (``phantom.heads``), contrast, resolution, noise and bias
are drawn anew for every patch. What is bright on FLAIR and no lesion is
painted, too: grey matter, the rims of the ventricles, choroid plexus, flowing
fluid, dirty-appearing white matter, residual skull.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from relevox.phantom.head_space import HeadGrid, blend, draw_knots, edge, rotation_matrix, smooth_fields
from relevox.phantom.lesion_space import LesionTemplate, PatchSpace, draw_space
from relevox.phantom.random_fields import random_field

SCANS_OF_ANATOMY = 2
"""To bend an anatomy takes as long as to paint it."""

EDGE = 0.4
"""A voxel belongs to a lesion from this share on: raters draw where brightness begins to rise."""


@dataclass(frozen=True)
class Patch:
    """A piece of a simulated scan and the truth about it."""

    image: torch.Tensor
    """``(2, x, y, z)`` T1w and FLAIR, 0 outside the brain mask; normal white matter is about 1."""
    flair_z: torch.Tensor
    """``(x, y, z)`` FLAIR against grey matter, in its robust standard deviations; 0 outside the brain mask."""
    priors: torch.Tensor
    """``(2, x, y, z)`` the template's white matter and CSF brought to the patient."""
    lesion: torch.Tensor
    """``(x, y, z)`` float32: 1 in lesions, else 0."""
    mask: torch.Tensor
    """``(x, y, z)`` float32: 1 in the brain mask."""


def simulate_patches(
    template: LesionTemplate, grid: HeadGrid, seed: int, start: int = 0, stop: int | None = None
) -> Iterator[Patch]:
    """Yield patches ``start`` to ``stop`` of the endless sequence that a seed stands for.

    Each anatomy is scanned ``SCANS_OF_ANATOMY`` times, with other lesions and another scanner.
    """
    number = start
    while stop is None or number < stop:
        first = number - number % SCANS_OF_ANATOMY
        if number in (first, start):
            space = draw_space(template, grid, np.random.default_rng([seed, 0, first]))
        yield draw_patch(space, grid, np.random.default_rng([seed, 1, number]))
        number += 1


def draw_patch(space: PatchSpace, grid: HeadGrid, rng: np.random.Generator) -> Patch:
    """Draw one scan of an anatomy: lesions, contrast, what only looks like a lesion, scanner."""
    lesion = draw_lesions(space, grid, rng)
    t1w, flair = _paint(space, lesion, grid, rng)
    mask = _brain_mask(space, grid, rng)
    t1w, flair = _surround(t1w, flair, space, grid, rng)
    if rng.random() < 0.5:  # FLAIR, on which lesions are drawn, stays where it is
        t1w = _moved(t1w, grid, rotation_matrix(rng.normal(0, 0.6, 3)), rng.normal(0, 0.5, 3))
    images = [_acquire(image, grid, rng, thick) for image, thick in ((t1w, 0.5), (flair, 0.6))]
    image = torch.stack(images) * mask
    flair_z = _against_grey(image[1], (space.grey > 0.5) & (mask > 0), rng) * mask
    return Patch(image, flair_z, space.priors[1:], (lesion > EDGE).float() * mask, mask)


def draw_lesions(space: PatchSpace, grid: HeadGrid, rng: np.random.Generator) -> torch.Tensor:
    """Draw the share of every voxel that is lesion, ``(x, y, z)``.

    Most come from a random field on a prior of place, cut at a height that stands for the patient's load (see
    ``phantom.lesions``); a few small ones lie anywhere in white matter, at the cortex and below the tentorium too.
    """
    lesion = torch.zeros(grid.shape, device=grid.device)
    if rng.random() < 0.12:
        return lesion
    weights = np.array([0.9, 1.2, 1.2]) * rng.uniform(0.6, 1.4, 3)
    field = torch.from_numpy(random_field(grid.shape, (1.6, 4.0, 10.0), weights, grid.voxel_size_mm, rng))
    near = 2.5 * torch.exp(-space.ventricle_distance.clamp(min=0) / 10)
    cortical = rng.uniform(0.5, 1.5) * torch.exp(-space.cortex_distance / 3)
    score = near - cortical - rng.uniform(0, 1.5) * space.infratentorial + field.to(grid.device)
    height = rng.uniform(3, 6.5) if rng.random() < 0.9 else rng.uniform(2, 3)
    lesion = edge(score - height, rng.uniform(0.05, 0.8))

    positions = grid.positions
    candidates = torch.nonzero((space.white > 0.3) & (space.ventricle_distance > 1)).cpu().numpy()
    for _ in range(rng.poisson(2.5) if len(candidates) else 0):
        middle = positions[tuple(candidates[rng.integers(len(candidates))])]
        radius_mm = float(np.clip(np.exp(rng.normal(0.8, 0.5)), 1, 7))
        axes = rotation_matrix(rng.uniform(0, 180, 3)) / np.array(
            [radius_mm * rng.uniform(1, 1.8), radius_mm, radius_mm]
        )
        offset = (positions - middle) @ torch.tensor(axes, dtype=torch.float32, device=grid.device)
        lesion = torch.maximum(lesion, edge((1 - offset.norm(dim=-1)) * radius_mm, rng.uniform(0.1, 0.5)))
    return lesion * edge(space.white - rng.uniform(0.1, 0.4), 0.08)


def _paint(space: PatchSpace, lesion: torch.Tensor, grid: HeadGrid, rng: np.random.Generator):
    """Give T1w and FLAIR intensities, white matter 1."""
    grey_flair = rng.uniform(1.03, 1.4)
    contrast = grey_flair - 1 + rng.uniform(0.12, 0.9)  # of a lesion against white matter: brighter than grey matter
    csf_t1w, csf_flair = rng.uniform(0.1, 0.5), rng.uniform(0.0, 0.55)
    grey_t1w, lesion_t1w = rng.uniform(0.6, 0.92), rng.uniform(0.5, 1.0)

    def varied(value: float, knots_mm: float, sd: float) -> torch.Tensor:
        return value * (1 + sd * smooth_fields(draw_knots(rng, grid, knots_mm, 1), grid)[0])

    def fluid_flair() -> torch.Tensor:
        value = varied(csf_flair, 16, 0.15)
        if rng.random() < 0.35:  # inflow: fluid that was not inverted
            value = value + rng.uniform(0.3, 1.5) * edge(varied(1.0, 14, 1.0) - 1.8, 0.25)
        if rng.random() < 0.5:  # choroid plexus
            inside = edge(-space.ventricle_distance - 1, 0.5)
            value = value + rng.uniform(0.3, 1.6) * inside * edge(_texture(grid, 2.5, rng) - 1.2, 0.3)
        return value

    bright = lesion * varied(contrast, 8, 0.2)
    bright = torch.maximum(bright, _halo(lesion, rng) * contrast)
    bright = bright + (_rim(space, grid, rng) + _dirty(space, grid, rng)) * contrast
    grey = varied(varied(grey_flair, 20, 0.06), 8, rng.uniform(0.02, 0.08))
    white = varied(varied(1.0, 24, 0.025), 8, 0.02) + bright
    # lesions that reach into grey matter are bright there as well
    grey = torch.maximum(grey, lesion * white)
    flair = space.csf * fluid_flair() + space.grey * grey + space.white * white
    flair = flair * (1 + rng.uniform(0, 0.04) * _texture(grid, 1.5, rng))

    white_t1w = blend(varied(varied(1.0, 24, 0.02), 8, 0.02), varied(lesion_t1w, 8, 0.1), lesion)
    grey_t1w = varied(varied(grey_t1w, 20, 0.06), 8, 0.04)
    t1w = space.csf * varied(csf_t1w, 16, 0.1) + space.grey * grey_t1w + space.white * white_t1w
    return t1w, flair


def _texture(grid: HeadGrid, scale_mm: float, rng: np.random.Generator) -> torch.Tensor:
    return torch.from_numpy(random_field(grid.shape, (scale_mm,), (1.0,), grid.voxel_size_mm, rng)).to(grid.device)


def _halo(lesion: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """What lies around lesions is a little bright, too."""
    wide = F.avg_pool3d(lesion[None, None], 4)
    return rng.uniform(0, 0.4) * F.interpolate(wide, size=lesion.shape, mode="trilinear")[0, 0]


def _rim(space: PatchSpace, grid: HeadGrid, rng: np.random.Generator) -> torch.Tensor:
    """Normal rims and caps of the ventricles, as shares of a lesion's contrast: thin, here and there."""
    if rng.random() < 0.2:
        return torch.zeros(grid.shape, device=grid.device)
    where = edge(smooth_fields(draw_knots(rng, grid, 18, 1), grid)[0] - rng.uniform(-1, 1), 0.4)
    outside = space.ventricle_distance.clamp(min=0)
    thin = torch.exp(-((outside / rng.uniform(0.5, 1.5)) ** 2))
    return rng.uniform(0.1, 0.7) * where * thin


def _dirty(space: PatchSpace, grid: HeadGrid, rng: np.random.Generator) -> torch.Tensor:
    """Dirty-appearing white matter, as a share of a lesion's contrast: wide and faint, most near the ventricles."""
    wide = smooth_fields(draw_knots(rng, grid, 12, 1), grid)[0].clamp(0, 2)
    near = torch.exp(-space.ventricle_distance.clamp(min=0) / 10)
    return rng.uniform(0, 0.15) * wide + rng.uniform(0, 0.2) * near * (0.5 + 0.5 * wide)


def _brain_mask(space: PatchSpace, grid: HeadGrid, rng: np.random.Generator) -> torch.Tensor:
    """A brain mask that is somewhat too tight or too wide, here and there."""
    error_mm = rng.normal(0, 1) + 0.7 * smooth_fields(draw_knots(rng, grid, 20, 1), grid)[0]
    return (space.brain_distance < error_mm).float()


def _surround(t1w, flair, space: PatchSpace, grid: HeadGrid, rng: np.random.Generator):
    """Fluid, then bright and dark tissue outside the brain, in case the mask holds some of it."""
    tissue = (space.csf + space.grey + space.white).clamp(0, 1)
    patchy = edge(smooth_fields(draw_knots(rng, grid, 8, 1), grid)[0], 0.3)
    gap_mm = rng.uniform(0.5, 3)
    outer = edge(space.brain_distance - gap_mm, 0.4) * patchy
    painted = []
    for image, brightest in ((t1w, 1.8), (flair, 2.2)):
        around = blend(rng.uniform(0, 0.5), rng.uniform(0.1, brightest), outer)
        painted.append(image + (1 - tissue) * around)
    return painted


def _against_grey(flair: torch.Tensor, grey: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Robust z-scores against grey matter, about as well as T1w would show where that is; 0 where there is none."""
    if not grey.any():
        return torch.zeros_like(flair)
    median = flair[grey].median()
    spread = 1.4826 * (flair[grey] - median).abs().median().clamp(min=1e-3)
    return (flair - median) / spread * float(np.exp(rng.normal(0, 0.15))) + float(rng.normal(0, 0.15))


def _moved(image: torch.Tensor, grid: HeadGrid, turn: np.ndarray, shift_mm: np.ndarray) -> torch.Tensor:
    """Turn and shift an image about the middle of the patch."""
    where = grid.positions @ torch.tensor(turn.T, dtype=torch.float32, device=grid.device)
    where = where + torch.tensor(shift_mm, dtype=torch.float32, device=grid.device)
    half = (torch.tensor(grid.shape, dtype=torch.float32, device=grid.device) - 1) / 2 * grid.voxel_size_mm
    return F.grid_sample(image[None, None], (where / half).flip(-1)[None], align_corners=True, padding_mode="border")[
        0, 0
    ]


def _acquire(image: torch.Tensor, grid: HeadGrid, rng: np.random.Generator, thick_share: float) -> torch.Tensor:
    """Scan: slices or blur, bias that N4 left, noise, scale; then back on the fine grid."""
    bias = rng.uniform(0, 0.06) * smooth_fields(draw_knots(rng, grid, 35, 1), grid)[0]
    image = (image * torch.exp(bias))[None, None]
    shape = list(grid.shape)
    if rng.random() < thick_share:
        axis = int(rng.choice(3, p=[0.1, 0.1, 0.8]))
        slice_mm = rng.uniform(2, 5)
        shape[axis] = max(4, round(shape[axis] * grid.voxel_size_mm / slice_mm))
        image = F.interpolate(image, size=shape, mode="area")
    elif rng.random() < 0.6:
        width = rng.uniform(0.1, 0.9)
        blurred = F.avg_pool3d(F.pad(image, (1,) * 6, mode="replicate"), 3, 1)
        image = image + width * (blurred - image)
    sd = rng.uniform(0.005, 0.05) if rng.random() < 0.8 else rng.uniform(0.05, 0.1)
    real, imaginary = torch.from_numpy(rng.standard_normal((2, *shape), dtype=np.float32)).to(grid.device) * sd
    image = torch.hypot(image + real, imaginary)
    if tuple(shape) != tuple(grid.shape):
        image = F.interpolate(image, size=grid.shape, mode="trilinear")
    return image[0, 0] * float(np.exp(rng.normal(0, 0.05)))
