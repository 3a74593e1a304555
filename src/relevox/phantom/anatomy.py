"""Anatomy: the template, deformed into one patient by the exponential of a velocity field.

One map carries everything. ``psi`` leads from the patient's (affinely aligned)
space to the template's; tissue is resampled through it, and its Jacobian
determinant *is* the true J of SPEC section 2: d(template volume) / d(patient's
volume), above 1 where tissue was lost, below 1 in enlarged ventricles.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from scipy.fft import dctn, idctn

from relevox.phantom.random_fields import random_field

LOBES = ("frontal_cortex", "temporal_cortex", "parietal_cortex", "occipital_cortex", "cerebellar_cortex")
"""Cortex that can be lost, by name of region."""

VENTRICLES = "lateral_ventricles"
"""The region that can grow."""

_SHAPE_SCALES_MM = (12.0, 32.0)
_SHAPE_WEIGHTS_MM = (1.2, 2.0)
"""How far healthy anatomies differ after affine alignment: smooth displacements, SD by scale."""

_SMOOTHING_MM = 3.0
"""Patterns of growth and loss are smoothed, so that the finite grid can carry them."""

_SQUARINGS = 6
"""The velocity is integrated in 2 ** 6 steps."""


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
    patterns: Mapping[str, np.ndarray]
    """Change of log J per unit of log volume gained (ventricles) or lost (lobes); each sums to 0."""
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

    Notes
    -----
    The template is an average, its cortex blurred into the white matter. The
    fractions are sharpened, and white matter is favoured, until grey and
    white matter stand, after a twentieth of the cortex is lost, in the
    proportion of Table 2 (788 : 695 ml).
    """
    grey, white, csf = sharpened(grey, white, csf)

    def distance(mask: np.ndarray) -> np.ndarray:
        return ndimage.distance_transform_edt(~mask, sampling=voxel_size_mm).astype(np.float32)

    def region(*names: str) -> np.ndarray:
        return np.isin(regions, [region_index[name] for name in names])

    sigma = _SMOOTHING_MM / voxel_size_mm
    chamber = region(VENTRICLES)
    to_ventricles = distance(chamber)
    infratentorial = region("brainstem", "cerebellar_cortex", "cerebellar_white_matter")
    brain = grey + white + csf

    patterns = {}
    for lobe in LOBES:
        lost = ndimage.gaussian_filter(grey * region(lobe), sigma)
        # the affine alignment fits the head as a whole, so a lobe's loss is everyone's gain
        patterns[lobe] = _pattern(lost, brain, weight=grey * region(lobe))
    grown = ndimage.gaussian_filter(csf * chamber, sigma)
    squeezed = ndimage.gaussian_filter(white * np.exp(-to_ventricles / 12.0) * ~infratentorial, sigma)
    patterns[VENTRICLES] = -_pattern(grown, squeezed, weight=csf * chamber)
    return TemplateMaps(
        grey,
        white,
        csf,
        (csf * chamber).astype(np.float32),
        infratentorial.astype(np.float32),
        to_ventricles,
        distance(region(*LOBES[:4], "insular_cortex")),
        patterns,
        float(voxel_size_mm),
        sum(label * region(name) for label, name in enumerate((*LOBES, VENTRICLES), start=1)).astype(np.int16),
    )


def sharpened(
    grey: np.ndarray, white: np.ndarray, csf: np.ndarray, exponent: float = 2.0, white_gain: float = 3.8
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Undo some of the average's blur: raise fractions to a power, favour white matter, rescale to the old sum."""
    raised = np.stack([grey, np.sqrt(white_gain) * white, csf]).astype(np.float64) ** exponent
    total = raised.sum(axis=0)
    brain = grey + white + csf
    shares = raised * (brain / np.where(total > 0, total, 1))
    return tuple(shares.astype(np.float32))


def velocity_from_log_jacobian(log_jacobian: np.ndarray, voxel_size_mm: float) -> np.ndarray:
    """Return the potential flow with a prescribed divergence.

    The divergence of a velocity is, to first order, the logarithm of the
    Jacobian of its exponential: ``div v = log J``, solved for ``v = grad p``
    by a cosine transform (nothing flows through the grid's faces).

    Parameters
    ----------
    log_jacobian : np.ndarray
        ``(x, y, z)`` wanted log J; its mean is taken off, since the box keeps its volume.
    voxel_size_mm : float
        Edge of a voxel.

    Returns
    -------
    np.ndarray
        ``(3, x, y, z)`` float32, millimetres.
    """
    spectrum = dctn(np.asarray(log_jacobian, dtype=np.float64), type=2, norm="ortho")
    axes = np.meshgrid(*[np.cos(np.pi * np.arange(n) / n) for n in log_jacobian.shape], indexing="ij")
    laplacian = (2 * sum(axes) - 6) / voxel_size_mm**2
    laplacian[0, 0, 0] = 1.0
    spectrum /= laplacian
    spectrum[0, 0, 0] = 0.0
    potential = idctn(spectrum, type=2, norm="ortho")
    return np.stack(np.gradient(potential, voxel_size_mm)).astype(np.float32)


def anatomical_velocity(shape: tuple[int, int, int], voxel_size_mm: float, rng: np.random.Generator) -> np.ndarray:
    """Draw how one healthy anatomy differs from the template, ``(3, x, y, z)`` millimetres."""
    return np.stack([random_field(shape, _SHAPE_SCALES_MM, _SHAPE_WEIGHTS_MM, voxel_size_mm, rng) for _ in range(3)])


def exponential(velocity: np.ndarray, voxel_size_mm: float) -> np.ndarray:
    """Integrate a stationary velocity field by scaling and squaring.

    Parameters
    ----------
    velocity : np.ndarray
        ``(3, x, y, z)`` millimetres.
    voxel_size_mm : float
        Edge of a voxel.

    Returns
    -------
    np.ndarray
        ``(3, x, y, z)`` displacement ``psi(y) - y`` in millimetres.
    """
    displacement = np.asarray(velocity, dtype=np.float32) / 2**_SQUARINGS
    for _ in range(_SQUARINGS):
        displacement = displacement + resample(displacement, displacement, voxel_size_mm)
    return displacement


def resample(images: np.ndarray, displacement: np.ndarray, voxel_size_mm: float) -> np.ndarray:
    """Take images at displaced positions: ``image(y + displacement(y))``, linear, edges repeated.

    Parameters
    ----------
    images : np.ndarray
        ``(channels, x, y, z)``.
    displacement : np.ndarray
        ``(3, x, y, z)`` millimetres.
    voxel_size_mm : float
        Edge of a voxel.

    Returns
    -------
    np.ndarray
        ``(channels, x, y, z)`` float32.
    """
    shape = displacement.shape[1:]
    coordinates = [
        # position in voxels, as grid_sample counts: -1 and 1 are the centres of the outer voxels
        (np.arange(n, dtype=np.float32).reshape([-1 if a == axis else 1 for a in range(3)]) + step / voxel_size_mm)
        * (2.0 / (n - 1))
        - 1.0
        for axis, (n, step) in enumerate(zip(shape, displacement, strict=True))
    ]
    grid = torch.from_numpy(np.stack(coordinates[::-1], axis=-1).astype(np.float32))[None]
    source = torch.from_numpy(np.ascontiguousarray(images, dtype=np.float32))[None]
    sampled = F.grid_sample(source, grid, mode="bilinear", padding_mode="border", align_corners=True)
    return sampled[0].numpy()


def jacobian_determinant(displacement: np.ndarray, voxel_size_mm: float) -> np.ndarray:
    """Return det(1 + grad u), ``(x, y, z)`` float32, by central differences.

    Parameters
    ----------
    displacement : np.ndarray
        ``(3, x, y, z)`` millimetres.
    voxel_size_mm : float
        Edge of a voxel.
    """
    rows = [np.gradient(component, voxel_size_mm) for component in displacement]
    (a, b, c), (d, e, f), (g, h, i) = rows
    a, e, i = 1 + a, 1 + e, 1 + i
    return (a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)).astype(np.float32)


def make_anatomy(maps: TemplateMaps, velocity: np.ndarray, change: Mapping[str, float]) -> Anatomy:
    """Deform the template into one patient.

    Parameters
    ----------
    maps : TemplateMaps
        The template.
    velocity : np.ndarray
        ``(3, x, y, z)`` the healthy anatomy's own shape, millimetres (:func:`anatomical_velocity`).
    change : mapping of str to float
        Disease: loss of log volume by lobe, growth of log volume for ``lateral_ventricles``.

    Returns
    -------
    Anatomy
    """
    size = maps.voxel_size_mm
    wanted = sum(amount * maps.patterns[region] for region, amount in change.items())
    disease = velocity_from_log_jacobian(wanted, size) if change else 0.0
    displacement = exponential(velocity + disease, size)
    # the named tuple's first seven fields travel; J belongs to the map itself
    carried = resample(np.stack(maps[:7]), displacement, size)
    return Anatomy(*carried, jacobian_determinant(displacement, size), displacement)


def _pattern(source: np.ndarray, sink: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Weigh two non-negative patterns: the sum is 0, the mean over the tissue concerned is 1.

    The first keeps the head's volume; the second makes one unit one unit of
    log volume, to first order, however thin the tissue.
    """
    balanced = source - sink * (source.sum() / sink.sum())
    return (balanced * (weight.sum() / (balanced * weight).sum())).astype(np.float32)
