"""A raw T1w and FLAIR pair of one simulated patient: a whole head in the scanner, and the truth about it.

The patient is made on the template's grid, affinely aligned, as every other
simulated one. Around the brain a skull, a scalp, a face and a neck are
painted; then the head gets its real size and pose, and each scanner samples
it on its own oblique grid.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from scipy import ndimage

from relevox.phantom import head_shell as shell
from relevox.phantom import native_face as face
from relevox.phantom import native_scanner as scanning
from relevox.phantom.anatomy import Anatomy, resample
from relevox.phantom.cohort import PlannedScan
from relevox.phantom.contrast import ALL_SCANNERS, EXTERNAL_SCANNERS, Scanner
from relevox.phantom.head_space import BRAIN_CENTRE_MM, HeadSpace, blend, edge, rotation_matrix
from relevox.phantom.head_template import HeadTemplate
from relevox.phantom.lesions import Lesions
from relevox.phantom.native_brain import BrainSignal, brain_signals, fold, sulcal_width_mm
from relevox.phantom.native_contrast import NativeContrast, native_contrast
from relevox.phantom.patient import Patient, native_volumes
from relevox.phantom.random_fields import random_field
from relevox.phantom.warping import look_up
from relevox.records import Volume

MARGIN_MM = 8
"""The head is painted on the study's box and this much around it, since brains differ from the template."""

_TEXTURES_MM = {"fine": 2.5, "medium": 6.0, "coarse": 30.0}
_TEXTURE_SHAPE, _TEXTURE_ORIGIN_MM, _TEXTURE_VOXEL_MM = (112, 144, 144), (-112.0, -144.0, -168.0), 2.0
_AIR_MM = 34.0
"""Farther than this from the closed brain there is air, except before and below it."""
_FACE_TOP_MM = 30.0
"""Higher there is nothing of face, orbits and skull base: their soft edges have faded to a millionth."""
_PURE_BRAIN_MM = -4.0
"""Deeper than this there is nothing but brain."""

_T1W_CODES, _T1W_CODE_SHARES = ("PSR", "ASR", "LAS", "RAS"), (0.7, 0.1, 0.1, 0.1)
_FLAIR_CODES, _FLAIR_CODE_SHARES = ("LAS", "LPS", "RAS"), (0.6, 0.25, 0.15)
_NOISE = {"t1w": 2.0, "flair": 1.4}
"""Noise in an acquired voxel, in the scanner's noise at 4 mm: 1 mm of MPRAGE, 3 mm thick slices of FLAIR."""


class Surroundings(NamedTuple):
    """What the template says of a head beyond the study's box; the same for everybody."""

    maps: np.ndarray
    """``(8, x, y, z)`` the template at 1 mm (:func:`anatomy.carried_maps`), on the study's box and ``MARGIN_MM`` around
    it."""
    template: HeadTemplate
    """Distances to the template's brain."""
    origin_mm: tuple[float, float, float]
    """Centre of the first voxel of ``maps``, template millimetres."""


class NativeTruth(NamedTuple):
    """What is known of a native pair; an aligned point is one of the patient's, affinely aligned to the template."""

    to_t1w: np.ndarray
    """``(4, 4)``: from an aligned point to the T1w's world point, RAS+ millimetres."""
    to_flair: np.ndarray
    """``(4, 4)``: from an aligned point to the FLAIR's; the patient moved between the two."""
    t1w_brain: Volume
    """bool, on the T1w's grid: tissue and fluid, as the template's mask counts them."""
    t1w_lesions: Volume
    """bool, on the T1w's grid."""
    flair_lesions: Volume
    """bool, on the FLAIR's grid: voxels of which at least half is lesion."""
    volumes_ml: Mapping[str, float]
    """Native volumes of what was painted, sulci included."""


class NativePair(NamedTuple):
    """Two raw images as a scanner stores them, and the truth."""

    t1w: Volume
    """int16."""
    flair: Volume
    """int16."""
    fat_suppressed: bool
    """Whether the FLAIR saturates fat."""
    truth: NativeTruth
    """No pipeline may read it."""


class _Head(NamedTuple):
    """What does not depend on the sequence."""

    template: HeadTemplate
    origin_mm: np.ndarray
    displacement: torch.Tensor
    shell: shell.Shell
    vessels: shell.Vessels
    sinus: shell.FrontalSinus
    textures: Mapping[str, torch.Tensor]


def native_pair(patient: Patient, surroundings: Surroundings, planned: PlannedScan, seed: int) -> NativePair:
    """Scan one simulated patient.

    1. sulci, skull, scalp, face and neck, the patient's own at every visit;
    2. pose, and a move of some millimetres between the two sequences;
    3. each sequence on its own oblique grid: slices, coils, noise, whole numbers.

    Parameters
    ----------
    patient : Patient
        Made on the study's box at 1 mm.
    surroundings : Surroundings
        The template beyond the box.
    planned : PlannedScan
        Patient, visit, age and scanner.
    seed : int
        The cohort's seed.

    Returns
    -------
    NativePair
    """
    wider = _wider(patient.anatomy, surroundings)
    lesions = Lesions(*(np.pad(mask, MARGIN_MM) for mask in patient.lesions))
    head = _draw_head(surroundings, wider, np.random.default_rng([seed, 6, planned.index]))
    folded = fold(
        wider,
        -_distance(head, _grid_points(wider.grey.shape, surroundings.origin_mm))[0].numpy().reshape(wider.grey.shape),
        sulcal_width_mm(planned.age_years),
        np.random.default_rng([seed, 7, planned.index]),
    )

    rng = np.random.default_rng([seed, 8, planned.index, planned.visit])
    scanner = ALL_SCANNERS[planned.scanner]
    signals = brain_signals(folded, lesions, scanner, rng)
    to_t1w = _pose(np.cbrt(1000 * patient.voxel_ml), rng)
    moved = np.eye(4)
    moved[:3, :3] = rotation_matrix(rng.normal(0, 0.8, 3))
    moved[:3, 3] = rng.normal(0, 1.2, 3)
    to_flair = moved @ to_t1w
    suppressed = bool(rng.random() < (0.9 if scanner in EXTERNAL_SCANNERS else 0.55))

    images, masks = {}, {}
    for kind, pose in (("t1w", to_t1w), ("flair", to_flair)):
        contrast = native_contrast(scanner, kind, suppressed and kind == "flair")
        images[kind], masks[kind] = _scan(head, kind, contrast, signals[kind], lesions, pose, scanner, rng)
    truth = NativeTruth(
        to_t1w=to_t1w,
        to_flair=to_flair,
        t1w_brain=masks["t1w"]["brain"],
        t1w_lesions=masks["t1w"]["lesions"],
        flair_lesions=masks["flair"]["lesions"],
        volumes_ml=native_volumes(folded, lesions, patient.voxel_ml),
    )
    return NativePair(images["t1w"], images["flair"], suppressed, truth)


def _wider(anatomy: Anatomy, surroundings: Surroundings) -> Anatomy:
    """Put what the template holds beyond the box around the patient, carried by the map of the box's nearest face."""
    displacement = np.pad(anatomy.displacement, ((0, 0), *[(MARGIN_MM, MARGIN_MM)] * 3), mode="edge")
    carried = resample(surroundings.maps, displacement, 1.0)
    # within the box the tissue is the patient's, whose borders have moved within voxels, too
    carried[:, *[slice(MARGIN_MM, -MARGIN_MM)] * 3] = np.stack(anatomy[: len(carried)])
    return Anatomy(*carried, np.pad(anatomy.jacobian, MARGIN_MM, mode="edge"), displacement)


def _draw_head(surroundings: Surroundings, anatomy: Anatomy, rng: np.random.Generator) -> _Head:
    """Draw the person's skull and scalp, within what is usual."""
    own = shell.Shell(
        fluid_mm=rng.uniform(0.8, 2.2),
        bone_mm=rng.uniform(5.0, 7.5),
        bone_growth_below=rng.uniform(0.2, 0.6),
        base_top_mm=-rng.uniform(33, 38),
        scalp_mm=rng.uniform(3.5, 6.0),
        temporalis_mm=rng.uniform(6, 10),
        temporalis_centre_mm=(rng.uniform(12, 20), -rng.uniform(8, 16)),
        temporalis_is_muscle=True,
        fat_from=rng.uniform(0.95, 1.15),
        skin_mm=rng.uniform(1.4, 2.0),
        marrow=(0.3, 0.74, rng.uniform(0.3, 1.2)),
        base_threshold=rng.uniform(0.2, 0.7),
        base_air_threshold=rng.uniform(0.6, 1.2),
        dura=(0.6, 0.7, 0.6),
    )
    textures = {
        name: torch.from_numpy(
            np.stack([random_field(_TEXTURE_SHAPE, (mm,), (1.0,), _TEXTURE_VOXEL_MM, rng) for _ in range(3)])
        )
        for name, mm in _TEXTURES_MM.items()
    }
    sinus = shell.FrontalSinus(
        (rng.uniform(6, 10), rng.uniform(72, 76), -rng.uniform(12, 20)),
        (rng.uniform(7, 13), rng.uniform(4, 7), rng.uniform(8, 14)),
    )
    vessels = shell.Vessels(rng.uniform(3.5, 5), rng.uniform(4, 7), rng.uniform(2.0, 2.4))
    origin = np.array(surroundings.origin_mm)
    return _Head(surroundings.template, origin, torch.from_numpy(anatomy.displacement), own, vessels, sinus, textures)


def _pose(scale: float, rng: np.random.Generator) -> np.ndarray:
    """Draw how an aligned head lies in the scanner, ``(4, 4)``; its volume grows by ``scale`` cubed."""
    shape = np.exp(rng.normal(0, 0.02, 3))
    matrix = np.eye(4)
    turned = rotation_matrix(np.clip(rng.normal(0, (7, 3.5, 3.5)), -18, 18))
    matrix[:3, :3] = turned * (scale * shape / np.cbrt(shape.prod()))
    matrix[:3, 3] = rng.normal(0, (3, 6, 8)) - matrix[:3, :3] @ np.array(BRAIN_CENTRE_MM)
    return matrix


def _scan(
    head: _Head,
    kind: str,
    contrast: NativeContrast,
    brain: BrainSignal,
    lesions: Lesions,
    pose: np.ndarray,
    scanner: Scanner,
    rng: np.random.Generator,
) -> tuple[Volume, dict[str, Volume]]:
    """Acquire one sequence; returns the image, and brain and lesion masks on its grid."""
    geometry = scanning.protocol(scanner, kind, slices=int(rng.integers(44, 53)))
    turned = pose[:3, :3] / np.linalg.norm(pose[:3, :3], axis=0)
    if geometry.plane == "sagittal":  # planned along the falx: tilt follows, nodding does not
        yaw, roll = (np.degrees(np.arcsin(v)) for v in (turned[1, 0], -turned[2, 0]))
        rotation = rotation_matrix(np.array([0.0, 0.9 * roll, 0.9 * yaw]) + rng.normal(0, 1, 3) * (0.3, 1, 1))
        target = np.array(BRAIN_CENTRE_MM) + rng.normal((0, 6, -34), (1, 3, 7))
        codes = rng.choice(_T1W_CODES, p=_T1W_CODE_SHARES)
    else:  # along the commissures, tilted to the front
        rotation = turned @ rotation_matrix(rng.normal((-6, 0, 0), (4, 1.5, 1.5)))
        target = np.array(BRAIN_CENTRE_MM) + rng.normal((0, 0, 0), (1, 4, 4))
        codes = rng.choice(_FLAIR_CODES, p=_FLAIR_CODE_SHARES)
    placement = scanning.place(geometry, rotation, pose[:3, :3] @ target + pose[:3, 3])
    to_head = np.linalg.inv(pose)

    coefficients = [ndimage.spline_filter(image, order=3, output=np.float32) for image in brain]

    def aligned(world: np.ndarray) -> np.ndarray:
        return np.stack([row[0] * world[0] + row[1] * world[1] + row[2] * world[2] + row[3] for row in to_head[:3]])

    def signal_at(world: np.ndarray) -> np.ndarray:
        return _signal(head, contrast, coefficients, aligned(world).astype(np.float32))

    image = scanning.expose(signal_at, geometry, placement, rng)
    image *= scanning.coil_sensitivity(image.shape, {1.5: 0.10, 3.0: 0.17}[scanner.field_strength_t], rng)
    data = scanning.detect(image, _NOISE[kind] * scanner.noise, rng.uniform(220, 420), geometry.interpolation, rng)
    affine = scanning.zero_filled_affine(placement.affine, geometry.interpolation)
    masks = {
        name: scanning.stored(_share_on(image_, head.origin_mm, to_head, data.shape, affine), affine, codes)
        for name, image_ in (("brain", brain.share), ("lesions", lesions.mask.astype(np.float32)))
    }
    return scanning.stored(data, affine, codes), masks


def _share_on(
    image: np.ndarray, origin_mm: np.ndarray, to_head: np.ndarray, shape: tuple[int, ...], affine: np.ndarray
) -> np.ndarray:
    """Voxels of a native grid of which at least half is in the image; thick slices are averaged."""
    matrix = to_head @ affine
    matrix[:3, 3] -= origin_mm
    thick = np.argmax(np.linalg.norm(affine[:3, :3], axis=0))
    offsets = (-0.3, 0.0, 0.3) if np.linalg.norm(affine[:3, thick]) > 2 else (0.0,)
    total = np.zeros(shape, dtype=np.float32)
    there = _reached(image, matrix, shape)
    if there is None:
        return total > 0
    first = np.array([part.start for part in there])
    for offset in offsets:
        start = matrix[:3, 3] + matrix[:3, :3] @ (first + np.eye(3)[thick] * offset)
        size = tuple(part.stop - part.start for part in there)
        total[there] += ndimage.affine_transform(image, matrix[:3, :3], start, output_shape=size, order=1)
    return total >= 0.5 * len(offsets)


def _reached(image: np.ndarray, matrix: np.ndarray, shape: tuple[int, ...]) -> tuple[slice, ...] | None:
    """Box of a grid within which an image can be other than 0; ``matrix`` leads from the grid to the image."""
    filled = ndimage.find_objects((image > 0).view(np.int8))
    if not filled:
        return None
    corners = np.stack(np.meshgrid(*[(part.start - 1, part.stop) for part in filled[0]], indexing="ij")).reshape(3, -1)
    on_grid = np.linalg.solve(matrix[:3, :3], corners - matrix[:3, 3:])
    low, high = np.floor(on_grid.min(axis=1)) - 1, np.ceil(on_grid.max(axis=1)) + 2
    return tuple(slice(int(np.clip(a, 0, n)), int(np.clip(b, 0, n))) for a, b, n in zip(low, high, shape, strict=True))


def _signal(head: _Head, contrast: NativeContrast, brain: list[np.ndarray], points: np.ndarray) -> np.ndarray:
    """Ideal signal at ``(3, n)`` aligned points, ``(n,)``."""
    distance, where = _distance(head, points)
    front = torch.from_numpy(points[2]) < 5
    kept = ((distance < _AIR_MM) | (front & (distance < 150))).numpy()
    values = np.zeros(points.shape[1], dtype=np.float32)
    around = kept & (distance > _PURE_BRAIN_MM).numpy()
    values[around] = _paint(head, contrast, distance[around], where[:, around]).numpy()
    near = np.flatnonzero(distance.numpy() < 6)
    index = points[:, near] - head.origin_mm[:, None].astype(np.float32)
    signal, share = (
        ndimage.map_coordinates(image, index, order=3, prefilter=False, mode="constant") for image in brain
    )
    share = np.clip(share, 0, 1)
    values[near] = values[near] * (1 - share) + np.clip(signal, 0, None)
    return values


def _distance(head: _Head, points: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Distance to the closed brain, ``(n,)``, and template coordinates, ``(3, n)``, of aligned points."""
    moved = torch.from_numpy(points.astype(np.float32)).clone()
    moved += _look_up(head.displacement, head.origin_mm, 1.0, moved)
    template = head.template
    first = torch.tensor(template.origin_mm)[:, None]
    last = first + template.voxel_size_mm * (torch.tensor(template.distance_mm.shape[1:]) - 1)[:, None]
    beyond = (moved - torch.minimum(torch.maximum(moved, first), last)).square().sum(dim=0).sqrt()
    distance = _look_up(template.distance_mm[:1], template.origin_mm, template.voxel_size_mm, moved)[0]
    return distance + beyond, moved


def _paint(head: _Head, contrast: NativeContrast, distance: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
    """Everything but the brain, from the outside in."""
    textures = {
        name: _look_up(field, _TEXTURE_ORIGIN_MM, _TEXTURE_VOXEL_MM, where) for name, field in head.textures.items()
    }
    nothing = torch.zeros(3, 0)
    space = HeadSpace(*where, distance=distance, brain_distance=distance, tissue=nothing, **textures)
    image = torch.full_like(distance, contrast.air)
    layer = shell.layers(space, head.shell)
    image = shell.paint_scalp(image, space, layer, head.shell, contrast)
    low = torch.nonzero(space.z < _FACE_TOP_MM)[:, 0]
    below = _points_of(space, low)
    image[low] = face.paint_face(image[low], below, (layer.scalp - distance)[low], contrast)
    image = shell.paint_skull(image, space, layer, head.shell, contrast)
    image[low] = face.paint_orbits(image[low], below, contrast)
    image = shell.paint_frontal_sinus(image, space, head.sinus, contrast)
    image[low] = face.paint_skull_base(image[low], below, contrast)
    image = shell.paint_fluid(image, space, layer, head.shell, contrast)
    image = shell.paint_vessels(image, space, head.vessels, contrast)
    # the falx, between the hemispheres
    falx = edge(0.8 - space.x.abs(), 0.3) * edge(space.z - 0.25 * (space.y + 40), 4) * edge(space.distance + 40, 3)
    return blend(image, contrast.dura, falx * edge(-space.distance, 0.5)).clamp(min=0)


def _points_of(space: HeadSpace, chosen: torch.Tensor) -> HeadSpace:
    """Keep some of the points, by number."""
    return HeadSpace(
        **{name: values[..., chosen] if values.numel() else values for name, values in vars(space).items()}
    )


def _look_up(
    maps: torch.Tensor, origin_mm: np.ndarray | tuple[float, ...], voxel_size_mm: float, points: torch.Tensor
) -> torch.Tensor:
    """Take ``(channels, x, y, z)`` maps at ``(3, n)`` millimetre points, linearly, ``(channels, n)``."""
    first = torch.tensor(np.asarray(origin_mm), dtype=torch.float32)[:, None]
    return torch.from_numpy(look_up(maps.numpy(), ((points - first) / voxel_size_mm).numpy()))


def _grid_points(shape: tuple[int, ...], origin_mm: np.ndarray) -> np.ndarray:
    """Millimetre points of a 1 mm grid, ``(3, n)`` float32."""
    axes = [np.arange(n, dtype=np.float32) + o for n, o in zip(shape, origin_mm, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij")).reshape(3, -1).astype(np.float32)
