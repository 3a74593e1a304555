"""Anatomy: the template, deformed into one patient by the exponential of a velocity field.

One map carries everything. ``psi`` leads from the patient's (affinely aligned)
space to the template's; tissue is resampled through it, and its Jacobian
determinant *is* the true J of SPEC section 2: d(template volume) / d(patient's
volume), above 1 where tissue was lost, below 1 in enlarged ventricles.

Volumes are not a by-product: the map is solved for, so that every region of
the final anatomy has the share of the head that was drawn for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from relevox.phantom.atrophy import LOBES, VENTRICLES, Deformation, meet_shares, patterns, response, thinned, tissues
from relevox.phantom.lesion_places import lesion_places
from relevox.phantom.random_fields import random_field
from relevox.phantom.warping import jacobian_determinant, resample

_AVERAGE_SHARES = (787.9 / 1700.0, 694.8 / 1700.0)
"""Grey and white matter of all scans of Table 2, ml; the head's 1700 ml are not printed there."""

_SHAPE_SCALES_MM = (12.0, 32.0)
_SHAPE_WEIGHTS_MM = (1.2, 2.0)
"""How far healthy anatomies differ after affine alignment: smooth displacements, SD by scale."""


class TemplateMaps(NamedTuple):
    """What the simulator needs of the template; arrays on one grid, ``(x, y, z)`` float32."""

    grey: np.ndarray
    """Fraction of grey matter."""
    white: np.ndarray
    """Fraction of white matter."""
    csf: np.ndarray
    """Fraction of cerebrospinal fluid, ventricles included."""
    ventricles: np.ndarray
    """Fraction of fluid in the lateral ventricles."""
    infratentorial: np.ndarray
    """1 in brainstem and cerebellum."""
    ventricle_distance_mm: np.ndarray
    """Distance to the lateral ventricles."""
    cortex_distance_mm: np.ndarray
    """Distance to the cerebral cortex."""
    lesion_places: np.ndarray
    """How much a place draws lesions (:func:`lesion_places.lesion_places`)."""
    patterns: np.ndarray
    """``(8, x, y, z)`` changes of log J by tissue (:func:`atrophy.patterns`)."""
    response: np.ndarray
    """``(8, 8)`` how tissues answer to the patterns (:func:`atrophy.response`)."""
    voxel_size_mm: float
    """Edge of a voxel."""
    cause_regions: np.ndarray
    """``(x, y, z)`` int16: 1, 2, ... where the lobes' cortex and, last, the lateral ventricles are."""


class Anatomy(NamedTuple):
    """One patient's head, aligned to the template; ``(x, y, z)`` float32."""

    grey: np.ndarray
    """Fraction of grey matter."""
    white: np.ndarray
    """Fraction of white matter, lesions included."""
    csf: np.ndarray
    """Fraction of cerebrospinal fluid."""
    ventricles: np.ndarray
    """Fraction of fluid in the lateral ventricles."""
    infratentorial: np.ndarray
    """Share of brainstem and cerebellum."""
    ventricle_distance_mm: np.ndarray
    """The template's distance to the lateral ventricles, brought along."""
    cortex_distance_mm: np.ndarray
    """The template's distance to the cerebral cortex, brought along."""
    lesion_places: np.ndarray
    """How much a place draws lesions, brought along."""
    jacobian: np.ndarray
    """J = d(template volume) / d(patient's volume)."""
    displacement: np.ndarray
    """``(3, x, y, z)`` ``psi(y) - y`` in millimetres: from a point of the patient's to the template's."""


def template_maps(
    grey: np.ndarray,
    white: np.ndarray,
    csf: np.ndarray,
    regions: np.ndarray,
    region_index: Mapping[str, int],
    voxel_size_mm: float,
    origin_mm: Sequence[float],
) -> TemplateMaps:
    """Prepare the template for the simulator.

    Parameters
    ----------
    grey, white, csf : np.ndarray
        ``(x, y, z)`` tissue fractions that sum to 1 inside the brain.
    regions : np.ndarray
        ``(x, y, z)`` int32 labels.
    region_index : mapping of str to int
        Label of each region by name.
    voxel_size_mm : float
        Edge of a voxel.
    origin_mm : sequence of float
        Centre of the first voxel, RAS+ millimetres.

    """
    travelling = carried_maps(grey, white, csf, regions, region_index, voxel_size_mm, origin_mm)
    chamber = regions == region_index[VENTRICLES]
    labels = sum(label * (regions == region_index[name]) for label, name in enumerate((*LOBES, VENTRICLES), start=1))
    labels = labels.astype(np.int16)
    parts = tissues(travelling[:3], labels)
    pattern = patterns(parts, travelling[2] * ~chamber, voxel_size_mm)
    answer = response(parts, sum(travelling[:3]), pattern)
    return TemplateMaps(*travelling, pattern, answer, float(voxel_size_mm), labels)


def carried_maps(
    grey: np.ndarray,
    white: np.ndarray,
    csf: np.ndarray,
    regions: np.ndarray,
    region_index: Mapping[str, int],
    voxel_size_mm: float,
    origin_mm: Sequence[float],
) -> np.ndarray:
    """Return what a patient's map carries along, ``(8, x, y, z)`` float32: the first fields of :class:`TemplateMaps`.

    Parameters are those of :func:`template_maps`.

    Notes
    -----
    The template is an average, its cortex and its sulci blurred. The fractions
    are sharpened, and the borders moved until grey and white matter have, on
    every grid, the share of the head of Table 2's average patient.
    """
    sharp = np.stack(sharpened(grey, white, csf))
    grey, white, csf = thinned(sharp, *(np.log(_AVERAGE_SHARES) - np.log(_shares(sharp))))

    def distance(mask: np.ndarray) -> np.ndarray:
        return ndimage.distance_transform_edt(~mask, sampling=voxel_size_mm).astype(np.float32)

    def region(*names: str) -> np.ndarray:
        return np.isin(regions, [region_index[name] for name in names])

    chamber = region(VENTRICLES)
    return np.stack(
        [
            grey,
            white,
            csf,
            csf * chamber,
            region("brainstem", "cerebellar_cortex", "cerebellar_white_matter"),
            distance(chamber),
            distance(region(*LOBES[:4], "insular_cortex")),
            lesion_places(grey.shape, voxel_size_mm, origin_mm),
        ],
        dtype=np.float32,
        casting="same_kind",
    )


def _shares(fractions: np.ndarray) -> np.ndarray:
    """Return the shares of the head of grey and of white matter."""
    sums = fractions.reshape(3, -1).sum(axis=1, dtype=np.float64)
    return sums[:2] / sums.sum()


def sharpened(
    grey: np.ndarray,
    white: np.ndarray,
    csf: np.ndarray,
    exponent: float = 2.0,
    white_gain: float = 3.2,
    csf_gain: float = 2.5,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Undo some of the average's blur: raise fractions to a power, favour white matter and CSF, keep the old sum."""
    raised = np.stack([grey, np.sqrt(white_gain) * white, np.sqrt(csf_gain) * csf]).astype(np.float64) ** exponent
    total = raised.sum(axis=0)
    brain = grey + white + csf
    shares = raised * (brain / np.where(total > 0, total, 1))
    return tuple(shares.astype(np.float32))


def anatomical_velocity(shape: tuple[int, int, int], voxel_size_mm: float, rng: np.random.Generator) -> np.ndarray:
    """Draw how one healthy anatomy differs from the template, ``(3, x, y, z)`` millimetres."""
    return np.stack([random_field(shape, _SHAPE_SCALES_MM, _SHAPE_WEIGHTS_MM, voxel_size_mm, rng) for _ in range(3)])


def make_anatomy(maps: TemplateMaps, velocity: np.ndarray, change: Mapping[str, float]) -> Anatomy:
    """Deform the template into one patient.

    Parameters
    ----------
    maps : TemplateMaps
        The template.
    velocity : np.ndarray
        ``(3, x, y, z)`` the healthy anatomy's own shape, millimetres (:func:`anatomical_velocity`).
    change : mapping of str to float
        Loss of the logarithm of a tissue's share of the head, by name (``atrophy.TISSUES``); growth for
        ``lateral_ventricles``. What is not named keeps the template's share, whatever the shape.

    Returns
    -------
    Anatomy
    """
    size, found = maps.voxel_size_mm, _deformation(maps, velocity, change)
    grey, white, csf = found.fractions
    ventricles = tissues(found.fractions, maps.cause_regions)[-1]
    # what is known of places travels with them; J belongs to the map itself
    travelling = np.stack([grey, white, csf, ventricles, *maps[4:8]])
    carried = resample(travelling, found.displacement, size)
    return Anatomy(*carried, jacobian_determinant(found.displacement, size), found.displacement)


def average_jacobian(maps: TemplateMaps, velocity: np.ndarray) -> np.ndarray:
    """Return J of a head of this shape with the average patient's volumes, ``(x, y, z)`` float32.

    Parameters
    ----------
    maps : TemplateMaps
        The template.
    velocity : np.ndarray
        ``(3, x, y, z)`` as in :func:`make_anatomy`.
    """
    return jacobian_determinant(_deformation(maps, velocity, {}).displacement, maps.voxel_size_mm)


def _deformation(maps: TemplateMaps, velocity: np.ndarray, change: Mapping[str, float]) -> Deformation:
    template = np.stack([maps.grey, maps.white, maps.csf])
    return meet_shares(template, maps.cause_regions, maps.patterns, maps.response, velocity, change, maps.voxel_size_mm)
