"""One simulated scan, from its causes to its images and its truth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from relevox.phantom.anatomy import Anatomy, TemplateMaps, anatomical_velocity, make_anatomy
from relevox.phantom.cohort import PlannedScan
from relevox.phantom.contrast import ALL_SCANNERS, tissue_signals
from relevox.phantom.lesions import Lesions, lesion_field, make_lesions
from relevox.phantom.scanner import acquire

LESION_SHARE = 0.3
"""A voxel of the image is lesion when at least this share of it is: at 4 mm this keeps the volume."""

_NOISE_VOXEL_MM = 4.0
_PERIVENTRICULAR, _OTHER = 1, 2


class SimulatedScan(NamedTuple):
    """Images on the study grid, ``(x, y, z)``, and volumes."""

    t1w: np.ndarray
    """float32, not normalised, 0 outside the brain."""
    flair: np.ndarray
    """float32, likewise."""
    brain_mask: np.ndarray
    """bool."""
    lesion_mask: np.ndarray
    """bool."""
    causes: np.ndarray
    """int16: 1 periventricular lesion, 2 other lesion, 0 neither."""
    jacobian: np.ndarray
    """float32 J = d(template volume) / d(patient's volume), without the affine part."""
    volumes_ml: Mapping[str, float]
    """Native volumes."""
    periventricular_ml: float
    """Native volume of lesions within 10 mm of the ventricles."""
    other_ml: float
    """Native volume of the other lesions."""


def simulate_scan(maps: TemplateMaps, planned: PlannedScan, block: int, seed: int) -> SimulatedScan:
    """Make one scan.

    1. deform the template (the anatomy is the patient's own at every visit);
    2. place lesions of the drawn loads;
    3. average over blocks of voxels, as a coarser grid would;
    4. give tissue the scanner's contrast, noise and intensity scale.

    Parameters
    ----------
    maps : TemplateMaps
        The template on the grid on which anatomy is made.
    planned : PlannedScan
        What was drawn.
    block : int
        Edge of an image voxel in voxels of ``maps``.
    seed : int
        The cohort's seed.

    Returns
    -------
    SimulatedScan
    """
    size = maps.voxel_size_mm
    own = np.random.default_rng([seed, 3, planned.index])
    velocity = anatomical_velocity(maps.grey.shape, size, own)
    field = lesion_field(maps.grey.shape, size, own)

    anatomy = make_anatomy(maps, velocity, planned.change)
    brain = anatomy.grey + anatomy.white + anatomy.csf
    # the head's size: native volume of what is one voxel after affine alignment
    voxel_ml = planned.intracranial_ml / float(brain.sum(dtype=np.float64))
    lesions = make_lesions(anatomy, field, planned.periventricular_ml, planned.other_ml, voxel_ml)

    shares = tissue_shares(anatomy, lesions)
    shares = np.stack([_pooled(share, block) for share in shares])
    brain_mask = shares.sum(axis=0) >= 0.5
    t1w, flair = _images(shares, brain_mask, planned, size * block, seed)

    inner, outer = (_pooled(mask.astype(np.float32), block) for mask in lesions)
    lesion_mask = (inner + outer >= LESION_SHARE) & brain_mask
    causes = np.where(inner >= outer, _PERIVENTRICULAR, _OTHER) * lesion_mask
    return SimulatedScan(
        t1w,
        flair,
        brain_mask,
        lesion_mask,
        causes.astype(np.int16),
        _pooled(anatomy.jacobian, block),
        native_volumes(anatomy, lesions, voxel_ml),
        np.count_nonzero(lesions.periventricular) * voxel_ml,
        np.count_nonzero(lesions.other) * voxel_ml,
    )


def tissue_shares(anatomy: Anatomy, lesions: Lesions) -> np.ndarray:
    """Return what every voxel consists of, ``(4, x, y, z)`` in the order of ``contrast.TISSUES``.

    A lesion takes the place of the solid tissue in its voxel; fluid stays.
    """
    healthy = ~lesions.mask
    solid = anatomy.grey + anatomy.white
    return np.stack([anatomy.grey * healthy, anatomy.white * healthy, anatomy.csf, solid * lesions.mask])


def native_volumes(anatomy: Anatomy, lesions: Lesions, voxel_ml: float) -> dict[str, float]:
    """Measure the six volumes of the logistic regression (paper 2.4).

    Parameters
    ----------
    anatomy : Anatomy
        The patient; white matter holds its lesions, as after lesion filling.
    lesions : Lesions
        Their lesions.
    voxel_ml : float
        Native volume of a voxel.

    Returns
    -------
    dict of str to float
        Millilitres.
    """
    solid = anatomy.grey + anatomy.white
    sums = {
        "white_matter": anatomy.white,
        "grey_matter": anatomy.grey,
        "lateral_ventricles": anatomy.ventricles,
        "brainstem_cerebellum": solid * anatomy.infratentorial,
        "intracranial": solid + anatomy.csf,
        "lesions": lesions.mask,
    }
    return {name: float(image.sum(dtype=np.float64) * voxel_ml) for name, image in sums.items()}


def _images(
    shares: np.ndarray, brain_mask: np.ndarray, planned: PlannedScan, voxel_size_mm: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    scanner = ALL_SCANNERS[planned.scanner]
    # averaging over a voxel averages its noise; the exponent is gentle, since other artefacts do not average
    noise = scanner.noise * _NOISE_VOXEL_MM / voxel_size_mm
    rng = np.random.default_rng([seed, 4, planned.index, planned.visit])
    signals = tissue_signals(scanner)
    # einsum, not a matrix product: its sums do not depend on the number of threads
    ideal = [np.einsum("t,txyz->xyz", signals[kind], shares) for kind in ("t1w", "flair")]
    return tuple(acquire(signal, brain_mask, noise, voxel_size_mm, rng) for signal in ideal)


def _pooled(image: np.ndarray, block: int) -> np.ndarray:
    """Average over cubes of ``block`` voxels."""
    if block == 1:
        return np.asarray(image, dtype=np.float32)
    x, y, z = (size // block for size in image.shape)
    return image.reshape(x, block, y, block, z, block).mean(axis=(1, 3, 5), dtype=np.float32)
