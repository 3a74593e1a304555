"""Face, neck and skull base of a realistic head: a table of parts, painted in order.

Coordinates are template millimetres (RAS+, origin at the anterior commissure),
read off atlases of the adult head. Nothing here is random; a person's own
shape comes from the deformation and the pose of the whole head.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch

from relevox.phantom.head_space import HeadSpace, blend, edge
from relevox.phantom.native_contrast import NativeContrast

_CORD_Y_MM, _CORD_TOP_MM = -45.0, -66.0
"""Where the template's brainstem ends, the cord goes on."""

_DISC_EVERY_MM = 18.0

_EDGE_MM = 0.7
_SMOOTH_MM = 4.0
"""How far the parts of the outline reach into each other."""


class Part(NamedTuple):
    """An ellipsoid of one tissue."""

    tissue: str
    """Field of :class:`NativeContrast`; ``mixed`` is muscle with fat between."""
    centre_mm: tuple[float, float, float]
    """Of the right one where there are two."""
    radii_mm: tuple[float, float, float]
    """Half axes; ``inf``: a column."""
    paired: bool = False
    """Whether the left side has one, too."""
    grain: float = 0.0
    """Share of the part that stays what it was: cells of air between walls of bone."""


OUTLINE = (
    Part("mixed", (0, 26, -52), (60, 58, 52)),  # face
    Part("mixed", (0, 40, -88), (44, 46, 40)),  # jaw
    Part("mixed", (0, 84, -52), (9, 15, 20)),  # bridge of the nose
    Part("mixed", (0, 92, -62), (11, 13, 9)),  # its tip
    Part("mixed", (0, 80, -84), (20, 12, 14)),  # lips
    Part("mixed", (0, 74, -112), (17, 13, 12)),  # chin
    Part("mixed", (36, 14, -82), (28, 44, 42), paired=True),  # cheeks and masticators
    Part("mixed", (0, -34, -120), (54, 58, math.inf)),  # neck
    Part("mixed", (82, -24, -40), (5, 15, 26), paired=True),  # ears
)
"""What bounds the head below the scalp."""

PARTS = (
    # muscles of the neck and the jaw
    Part("muscle", (10, -74, -110), (9, 14, 55), paired=True),
    Part("muscle", (26, -72, -112), (9, 16, 52), paired=True),
    Part("muscle", (44, -38, -120), (9, 15, 60), paired=True),
    Part("muscle", (14, -14, -120), (7, 6, 50), paired=True),
    Part("muscle", (48, 26, -72), (9, 20, 32), paired=True),
    Part("muscle", (32, 24, -62), (10, 16, 20), paired=True),
    Part("muscle", (0, 40, -95), (21, 32, 19)),  # tongue
    Part("muscle", (0, 40, -116), (18, 28, 5)),  # floor of the mouth
    # bones that hold marrow
    Part("bone", (0, 58, -86), (26, 20, 13)),  # maxilla and teeth
    Part("marrow", (0, 58, -79), (20, 16, 4)),
    # airways
    Part("mucosa", (0, 50, -52), (18, 38, 22)),
    Part("air", (5.5, 54, -48), (3, 33, 17), paired=True),
    Part("air", (11, 50, -56), (2.5, 28, 14), paired=True),
    Part("mucosa", (8, 48, -62), (3.5, 24, 5), paired=True),
    Part("bone", (0, 56, -74), (24, 30, 2)),  # palate
    Part("bone", (31, 52, -58), (16, 19, 20), paired=True),
    Part("mucosa", (31, 52, -58), (15, 18, 19), paired=True),
    Part("air", (31, 52, -58), (13.5, 16.5, 17.5), paired=True),
    Part("bone", (9, 50, -32), (10, 24, 9), paired=True),
    Part("air", (9, 50, -32), (9, 22, 8), paired=True, grain=0.45),  # ethmoid cells
    Part("air", (8, 24, -40), (8, 11, 9), paired=True),  # sphenoid sinus
    Part("air", (0, 12, -66), (12, 7, 14)),  # nasopharynx
    Part("air", (0, 4, -104), (11, 6, 34)),
    Part("bone", (52, -30, -48), (14, 17, 17), paired=True),
    Part("air", (52, -30, -48), (12, 15, 15), paired=True, grain=0.5),  # mastoid cells
    Part("air", (66, -18, -44), (18, 3, 3), paired=True),  # ear canals
)
"""From the outside in; later parts cover earlier ones."""

_ORBIT, _GLOBE, _LENS = (32.0, 60.0, -38.0), (33.0, 66.0, -38.0), (33.0, 75.0, -38.0)


def paint_face(image: torch.Tensor, space: HeadSpace, scalp: torch.Tensor, contrast: NativeContrast) -> torch.Tensor:
    """Paint face, neck, airways and the bones below the brain.

    Parameters
    ----------
    image : torch.Tensor
        ``(n,)`` what lies at the points so far.
    space : HeadSpace
        The points.
    scalp : torch.Tensor
        ``(n,)`` depth below the scalp's surface in millimetres; the face flows into it.
    contrast : NativeContrast
        Intensities.

    Returns
    -------
    torch.Tensor
        The image.
    """
    # mm below the skin; the parts flow into each other
    depths = torch.stack([*(_depth(space, part) for part in OUTLINE), scalp])
    depth = _SMOOTH_MM * torch.logsumexp(depths / _SMOOTH_MM, dim=0)
    share = edge(depth, _EDGE_MM) * edge(-14 - 0.1 * space.y.abs() - space.z, 3)
    lean = edge(1.25 - space.medium[0] - 0.4 * space.fine[1], 0.2)
    value = blend(contrast.fat, contrast.muscle, lean * edge(depth - 5 - 2 * space.coarse[0], 0.8))
    value = blend(value, 0.7 * contrast.muscle, edge(1.8 - depth, 0.5))  # skin
    image = blend(image, value * (1 + 0.05 * space.fine[0]), share)
    for part in PARTS:
        inside = edge(_depth(space, part), _EDGE_MM) * share
        if part.grain:
            inside = inside * edge(space.fine[0] + 1.5 - 3 * part.grain, 0.2)
        texture = 1 + (0.06 if part.tissue != "air" else 0.0) * space.fine[1]
        image = blend(image, getattr(contrast, part.tissue) * texture, inside)
    image = _paint_mandible(image, space, contrast)
    return _paint_spine(image, space, contrast)


def paint_orbits(image: torch.Tensor, space: HeadSpace, contrast: NativeContrast) -> torch.Tensor:
    """Paint fat, globes with lenses, and optic nerves, outside the brain only."""
    outside = edge(space.distance - 2)
    image = blend(image, contrast.bone, edge(_depth(space, Part("", _ORBIT, (21, 27, 20), True)), 0.7) * outside)
    fat = edge(_depth(space, Part("", (30.0, 54.0, -38.0), (18.5, 26, 18), True)), 0.7) * outside
    image = blend(image, contrast.orbital_fat, fat)
    nerve = edge(2.3 - _to_segment(space, (32, 54, -38), (9, 14, -31)), 0.4) * outside
    image = blend(image, 0.9 * contrast.white, nerve)
    for centre in ((41.0, 50.0, -38.0), (22.0, 48.0, -38.0), (31.0, 50.0, -28.0), (31.0, 50.0, -48.0)):
        end = (20.0, 26.0, -34.0)  # extraocular muscles meet at the apex
        image = blend(image, contrast.muscle, edge(2.0 - _to_segment(space, centre, end), 0.5) * outside)
    globe = _depth(space, Part("", _GLOBE, (12, 12.5, 12), True))
    image = blend(image, contrast.muscle, edge(globe + 1, 0.4) * outside)
    image = blend(image, contrast.eye, edge(globe, 0.4) * outside)
    lens = edge(_depth(space, Part("", _LENS, (4.5, 2, 4.5), True)), 0.4)
    return blend(image, 0.7 * contrast.muscle, lens * outside)


def paint_skull_base(image: torch.Tensor, space: HeadSpace, contrast: NativeContrast) -> torch.Tensor:
    """Paint the clivus with its marrow and the gland above it, outside the brain only."""
    outside = edge(space.distance - 1.0)
    depth = 6 - torch.maximum(
        _to_segment(space, (0, 4, -45), (0, -24, -66), flat=True), (space.x.abs() - 8).clamp(min=0)
    )
    image = blend(image, contrast.bone, edge(depth, 0.6) * edge(14 - space.x.abs(), 2) * outside)
    image = blend(image, contrast.marrow, edge(depth - 1.3, 0.6) * edge(12 - space.x.abs(), 2) * outside)
    gland = _depth(space, Part("", (0, 5, -33), (6, 5, 4)))
    return blend(image, contrast.grey, edge(gland, 0.6) * edge(space.distance + 2))


def _paint_mandible(image: torch.Tensor, space: HeadSpace, contrast: NativeContrast) -> torch.Tensor:
    radius = torch.hypot(space.x / 42, (space.y - 12) / 58)
    arch = 5.5 - torch.maximum((radius - 1).abs() * 48, (space.z + 108).abs() - 6)
    arch = torch.where(space.y > 12, arch, -5.0)
    ramus = 5 - torch.maximum((space.x.abs() - 44).abs() * 1.2, torch.hypot(space.y - 8, (space.z + 84) / 2.2) - 9)
    depth = torch.maximum(arch, ramus)
    image = blend(image, contrast.bone, edge(depth, 0.6))
    return blend(image, contrast.marrow, edge(depth - 2, 0.6))


def _paint_spine(image: torch.Tensor, space: HeadSpace, contrast: NativeContrast) -> torch.Tensor:
    """Vertebrae with discs, canal and cord below the foramen magnum."""
    centre = _CORD_Y_MM - 0.06 * (space.z - _CORD_TOP_MM).abs()  # the neck leans back
    below = edge(_CORD_TOP_MM - 6 - space.z, 1.0)
    y = space.y - centre
    body = torch.minimum(13 - space.x.abs(), 8 - (y - 17).abs())
    odontoid = edge(space.z + 92, 1.0)  # above it the second vertebra's tooth only
    body = body - 6 * odontoid * (space.x.abs() > 0)
    level = torch.remainder(space.z + 96, _DISC_EVERY_MM)
    disc = edge(2.2 - torch.minimum(level, _DISC_EVERY_MM - level), 0.5) * edge(-95 - space.z, 1.0)
    image = blend(image, contrast.bone, edge(body, 0.6) * below)
    image = blend(image, contrast.marrow * (1 + 0.1 * space.medium[1]), edge(body - 1.2, 0.6) * below * (1 - disc))
    image = blend(image, contrast.muscle, edge(body - 1.0, 0.6) * below * disc)
    radius = torch.hypot(space.x, y)
    ring = edge(13 - radius, 0.6) * edge(-2 - y, 1.0)  # the arches behind the canal
    image = blend(image, contrast.bone, ring * below * (1 - disc))
    spine = torch.minimum(3 - space.x.abs(), torch.minimum(y + 34, -y - 9))
    image = blend(image, contrast.marrow, edge(spine, 0.7) * below * (1 - disc) * edge(-88 - space.z, 1.0))
    canal = edge(10 - radius, 0.6) * edge(_CORD_TOP_MM + 3 - space.z, 1.5) * edge(space.distance - 0.3, 0.5)
    image = blend(image, contrast.csf, canal)
    cord = torch.hypot(space.x / 6.6, y / 5.0)
    return blend(image, 0.97 * contrast.white, edge((1 - cord) * 5.5, 0.5) * edge(_CORD_TOP_MM - 2 - space.z, 1.0))


def _depth(space: HeadSpace, part: Part) -> torch.Tensor:
    """Depth below an ellipsoid's surface in millimetres, nearly (exact to first order); negative outside."""
    relative, slope = torch.zeros_like(space.x), torch.full_like(space.x, 1e-12)
    for values, middle, radius in zip(
        (space.x.abs() if part.paired else space.x, space.y, space.z), part.centre_mm, part.radii_mm, strict=True
    ):
        if math.isfinite(radius):
            squared = ((values - middle) / radius).square_()
            relative += squared
            slope += squared / radius**2
    relative = relative.sqrt_()
    return (relative * (1 - relative) / slope.sqrt_()).clamp(max=min(part.radii_mm))


def _to_segment(
    space: HeadSpace, start: tuple[float, float, float], end: tuple[float, float, float], flat: bool = False
) -> torch.Tensor:
    """Distance to a line segment on the right and its mirror image; ``flat`` leaves x out."""
    first, last = torch.tensor(start, dtype=torch.float32), torch.tensor(end, dtype=torch.float32)
    offset = torch.stack([space.x.abs() - first[0], space.y - first[1], space.z - first[2]])
    step = last - first
    if flat:
        offset[0] = 0
    along = ((offset * step[:, None]).sum(dim=0) / (step**2).sum()).clamp(0, 1)
    return (offset - along * step[:, None]).square().sum(dim=0).sqrt()
