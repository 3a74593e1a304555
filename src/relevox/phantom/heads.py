"""Whole heads with everything random, to train a network that finds the brain.

Real scans differ in contrast, resolution, field of view and in what lies
around the brain. Instead of collecting them, we paint heads around the
ICBM152 template brain in which all of that is drawn anew, far beyond what is
realistic, so that only the brain itself stays the same (domain randomisation;
Hoopes et al., SynthStrip, NeuroImage 2022).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from relevox.phantom import head_below as below
from relevox.phantom import head_brain, head_scanner
from relevox.phantom import head_shell as shell
from relevox.phantom.head_contrast import Contrast, draw_contrast
from relevox.phantom.head_space import HeadGrid, Pose, blend, draw_pose, draw_textures, edge, head_space
from relevox.phantom.head_template import HeadTemplate


@dataclass(frozen=True)
class HeadParameters:
    """All that was drawn for one head; None: the part is left out."""

    pose: Pose
    textures: dict[str, np.ndarray]
    contrast: Contrast
    soft: below.SoftTissue
    neck: below.Neck | None
    face: below.Face | None
    shell: shell.Shell
    orbits: shell.Orbits | None
    sinus: shell.FrontalSinus | None
    vessels: shell.Vessels | None
    canal: shell.SpinalCanal
    brain: head_brain.Brain
    scanner: head_scanner.Scanner


@dataclass(frozen=True)
class Head:
    """One simulated scan and the truth about it."""

    image: torch.Tensor
    """``(x, y, z)`` float32 intensities, >= 0."""
    distance_mm: torch.Tensor
    """``(x, y, z)`` float32 signed distance to the closed brain's surface, > 0 inside."""
    valid: torch.Tensor
    """``(x, y, z)`` bool: the field of view."""


def draw_head(rng: np.random.Generator, grid: HeadGrid) -> HeadParameters:
    """Draw one head; the same generator state gives the same head."""
    pose = draw_pose(rng, grid)
    has_body = rng.random() < 0.9
    return HeadParameters(
        pose=pose,
        textures=draw_textures(rng, grid),
        contrast=draw_contrast(rng),
        soft=below.draw_soft_tissue(rng),
        neck=below.draw_neck(rng) if has_body else None,
        face=below.draw_face(rng) if has_body else None,
        shell=shell.draw_shell(rng),
        orbits=shell.draw_orbits(rng) if rng.random() < 0.8 else None,
        sinus=shell.draw_frontal_sinus(rng) if rng.random() < 0.5 else None,
        vessels=shell.draw_vessels(rng) if rng.random() < 0.7 else None,
        canal=shell.draw_spinal_canal(rng),
        brain=head_brain.draw_brain(rng),
        scanner=head_scanner.draw_scanner(rng, grid, pose.shift_mm),
    )


def render_head(template: HeadTemplate, grid: HeadGrid, head: HeadParameters) -> Head:
    """Paint a head from the outside in, scan it and archive it.

    Later parts cover earlier ones; nothing here is random.
    """
    space = head_space(template, grid, head.pose, head.textures)
    contrast = head.contrast
    image = torch.full(grid.shape, contrast.air, device=grid.device)
    body = torch.zeros(grid.shape, device=grid.device)
    soft = below.soft_tissue(space, head.soft, contrast)
    if head.neck is not None:
        image, share = below.paint_neck(image, space, head.neck, contrast, soft)
        body = torch.maximum(body, share)
    if head.face is not None:
        image, share = below.paint_face(image, space, head.face, contrast, soft)
        body = torch.maximum(body, share)

    layer = shell.layers(space, head.shell)
    image = shell.paint_scalp(image, space, layer, head.shell, contrast)
    if head.face is not None:  # the face goes on where the scalp would be
        cheeks = below.face_share(space, head.face, top_mm=-10) * edge(space.distance - layer.bone - 2)
        image = blend(image, soft, cheeks)
    image = shell.paint_skull(image, space, layer, head.shell, contrast)
    if head.orbits is not None:
        image = shell.paint_orbits(image, space, head.orbits, contrast)
    if head.sinus is not None:
        image = shell.paint_frontal_sinus(image, space, head.sinus, contrast)
    image = shell.paint_fluid(image, space, layer, head.shell, contrast)
    if head.vessels is not None:
        image = shell.paint_vessels(image, space, head.vessels, contrast)
    image = shell.paint_spinal_canal(image, space, head.canal, contrast)
    image = head_brain.paint_brain(image, space, head.brain, contrast)

    image = head_scanner.acquire(image, grid, head.scanner)
    valid = head_scanner.scanned(grid, head.scanner)
    image = head_scanner.archive(image, space, head.scanner, layer.scalp, body) * valid
    return Head(image, -space.distance * float(head.pose.scale.mean()), valid)


def simulate_heads(
    template: HeadTemplate, grid: HeadGrid, seed: int, start: int = 0, stop: int | None = None
) -> Iterator[Head]:
    """Yield heads ``start`` to ``stop`` of the endless sequence that a seed stands for.

    Each head has its own random generator, so any part of the sequence can be
    made without what comes before it.
    """
    number = start
    while stop is None or number < stop:
        yield render_head(template, grid, draw_head(np.random.default_rng([seed, number]), grid))
        number += 1
