"""One patient's head at one visit, from what was drawn: anatomy, lesions, size."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from relevox.phantom.anatomy import Anatomy, TemplateMaps, anatomical_velocity, make_anatomy
from relevox.phantom.causes import REGIONS
from relevox.phantom.cohort import PlannedScan
from relevox.phantom.lesions import Lesions, lesion_field, make_lesions


class Patient(NamedTuple):
    """A head without contrast."""

    anatomy: Anatomy
    """Tissue and the map that made it."""
    lesions: Lesions
    """In the same space."""
    velocity: np.ndarray
    """``(3, x, y, z)`` the healthy anatomy's own shape, millimetres."""
    regions: np.ndarray
    """``(x, y, z)`` int16: the template's regions, brought along; 1, 2, ... in the order of ``causes.REGIONS``."""
    voxel_ml: float
    """Native volume of a voxel: the head's size, which affine alignment takes away."""


def make_patient(maps: TemplateMaps, planned: PlannedScan, seed: int) -> Patient:
    """Deform the template and place lesions of the drawn loads.

    Parameters
    ----------
    maps : TemplateMaps
        The template on the grid on which anatomy is made. Another grid gives another patient.
    planned : PlannedScan
        What was drawn; its label is not looked at.
    seed : int
        The cohort's seed. Shape and lesion field are the patient's own at every visit.

    Returns
    -------
    Patient
    """
    size = maps.voxel_size_mm
    own = np.random.default_rng([seed, 3, planned.index])
    velocity = anatomical_velocity(maps.grey.shape, size, own)
    field = lesion_field(maps.grey.shape, size, own)
    anatomy = make_anatomy(maps, velocity, planned.change)
    brain = anatomy.grey + anatomy.white + anatomy.csf
    voxel_ml = planned.intracranial_ml / float(brain.sum(dtype=np.float64))
    lesions = make_lesions(anatomy, field, planned.periventricular_ml, planned.other_ml, voxel_ml)
    return Patient(anatomy, lesions, velocity, nearest(maps.cause_regions, anatomy.displacement, size), voxel_ml)


def nearest(labels: np.ndarray, displacement: np.ndarray, voxel_size_mm: float) -> np.ndarray:
    """Take labels at displaced positions, edges repeated.

    Parameters
    ----------
    labels : np.ndarray
        ``(x, y, z)`` integers.
    displacement : np.ndarray
        ``(3, x, y, z)`` millimetres.
    voxel_size_mm : float
        Edge of a voxel.
    """
    index = []
    for axis, (n, step) in enumerate(zip(labels.shape, displacement, strict=True)):
        position = np.arange(n, dtype=np.float32).reshape([-1 if a == axis else 1 for a in range(3)])
        index.append(np.clip(np.rint(position + step / voxel_size_mm), 0, n - 1).astype(np.int32))
    return labels[tuple(index)]


def tissue_shares(anatomy: Anatomy, lesions: Lesions) -> np.ndarray:
    """Return what every voxel consists of, ``(4, x, y, z)`` in the order of ``contrast.TISSUES``.

    A lesion takes the place of the solid tissue in its voxel; fluid stays.
    """
    return shares_with(anatomy, lesions.mask)


def shares_with(anatomy: Anatomy, lesion_mask: np.ndarray) -> np.ndarray:
    """Return the same as :func:`tissue_shares` for any mask of lesions, ``(x, y, z)`` bool."""
    healthy = ~lesion_mask
    solid = anatomy.grey + anatomy.white
    return np.stack([anatomy.grey * healthy, anatomy.white * healthy, anatomy.csf, solid * lesion_mask])


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


def cause_volumes(patient: Patient) -> dict[str, float]:
    """Measure what causes are computed from (:func:`causes.measure_causes`), native millilitres by name.

    A lobe's cortex is the grey matter in the region that its template region became.
    """
    anatomy, lesions, voxel_ml = patient.anatomy, patient.lesions, patient.voxel_ml
    ml = {
        "intracranial": (anatomy.grey + anatomy.white + anatomy.csf).sum(dtype=np.float64),
        "periventricular_lesions": np.count_nonzero(lesions.periventricular),
        "other_lesions": np.count_nonzero(lesions.other),
        "lateral_ventricles": anatomy.ventricles.sum(dtype=np.float64),
    }
    grey = np.bincount(patient.regions.ravel(), anatomy.grey.ravel().astype(np.float64), len(REGIONS) + 1)
    ml |= {name: grey[label] for label, name in enumerate(REGIONS, start=1) if name not in ml}
    return {name: float(amount * voxel_ml) for name, amount in ml.items()}


def pooled(image: np.ndarray, block: int) -> np.ndarray:
    """Average ``(..., x, y, z)`` over cubes of ``block`` voxels, float32."""
    image = np.asarray(image, dtype=np.float32)
    if block == 1:
        return image
    total = np.zeros((*image.shape[:-3], *(n // block for n in image.shape[-3:])), dtype=np.float32)
    for x, y, z in np.ndindex(block, block, block):
        total += image[..., x::block, y::block, z::block]
    return total / np.float32(block**3)
