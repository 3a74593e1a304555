"""One simulated scan: a label-free anatomy on the study's grid, and the images a scanner makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from relevox.phantom.anatomy import TemplateMaps, average_jacobian
from relevox.phantom.causes import REGIONS
from relevox.phantom.cohort import PlannedScan
from relevox.phantom.contrast import ALL_SCANNERS, tissue_signals
from relevox.phantom.counterfactual import changed_shares
from relevox.phantom.patient import Patient, cause_volumes, make_patient, native_volumes, pooled, tissue_shares
from relevox.phantom.scanner import acquire

LESION_SHARE = 0.3
"""A voxel of the image is lesion when at least this share of it is: at 4 mm this keeps the volume."""

REGION_SHARE = 0.3
"""A voxel belongs to a region that is a cause when at least this share of it is the region's tissue."""

_NOISE_VOXEL_MM = 4.0
_PERIVENTRICULAR, _OTHER = 1, 2


class ScanAnatomy(NamedTuple):
    """One head on the study's grid, before any label or scanner; ``(x, y, z)`` each."""

    shares: np.ndarray
    """``(4, x, y, z)`` float16: what every voxel consists of, in the order of ``contrast.TISSUES``."""
    periventricular: np.ndarray
    """float16 share of periventricular lesions."""
    other: np.ndarray
    """float16 share of other lesions."""
    regions: np.ndarray
    """int16: regions whose volume may be a cause, 1, 2, ... in the order of ``causes.REGIONS``; 0 elsewhere."""
    jacobian: np.ndarray
    """float32 J = d(template volume) / d(patient's volume), without the affine part."""
    disease_jacobian: np.ndarray
    """float32 the part of it that is this patient's change: J over the J of a head of the same shape with the average
    patient's volumes."""
    volumes_ml: Mapping[str, float]
    """The six native volumes of the logistic regression."""
    causes_ml: Mapping[str, float]
    """Native volumes that causes are computed from."""
    changed: Mapping[str, np.ndarray]
    """``(4, x, y, z)`` float16 by cause: shares of the same head with that cause changed; may be empty."""

    @property
    def brain_mask(self) -> np.ndarray:
        """Bool."""
        return self.shares.sum(axis=0, dtype=np.float32) >= 0.5

    @property
    def causes(self) -> np.ndarray:
        """int16: 1 periventricular lesion, 2 other lesion, 0 neither."""
        lesion = (self.periventricular.astype(np.float32) + self.other >= LESION_SHARE) & self.brain_mask
        return (np.where(self.periventricular >= self.other, _PERIVENTRICULAR, _OTHER) * lesion).astype(np.int16)


def scan_anatomy(
    maps: TemplateMaps, planned: PlannedScan, block: int, seed: int, counterfactuals: bool = False
) -> ScanAnatomy:
    """Make one head and bring it to the study's grid.

    Parameters
    ----------
    maps : TemplateMaps
        The template on the grid on which anatomy is made.
    planned : PlannedScan
        What was drawn; its label is not looked at.
    block : int
        Edge of an image voxel in voxels of ``maps``.
    seed : int
        The cohort's seed.
    counterfactuals : bool
        Make the heads with one cause changed, too.

    Returns
    -------
    ScanAnatomy
    """
    patient = make_patient(maps, planned, seed)

    def share(image: np.ndarray) -> np.ndarray:
        return pooled(image, block).astype(np.float16)

    changed = changed_shares(maps, planned, patient) if counterfactuals else ()
    return ScanAnatomy(
        share(tissue_shares(patient.anatomy, patient.lesions)),
        share(patient.lesions.periventricular),
        share(patient.lesions.other),
        _regions(patient, block),
        pooled(patient.anatomy.jacobian, block),
        pooled(disease_jacobian(maps, patient), block),
        native_volumes(patient.anatomy, patient.lesions, patient.voxel_ml),
        cause_volumes(patient),
        {cause: share(image) for cause, image in changed},
    )


def disease_jacobian(maps: TemplateMaps, patient: Patient) -> np.ndarray:
    """Return J over the J of a head of the same shape with the average patient's volumes, ``(x, y, z)`` float32."""
    return patient.anatomy.jacobian / average_jacobian(maps, patient.velocity)


def render(
    shares: np.ndarray, brain_mask: np.ndarray, planned: PlannedScan, voxel_size_mm: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Let the patient's scanner make T1w and FLAIR of an anatomy.

    Parameters
    ----------
    shares : np.ndarray
        ``(4, x, y, z)`` what every voxel consists of: the patient's own, or with one cause changed.
    brain_mask : np.ndarray
        ``(x, y, z)`` bool; of the patient's own, so that images of one scan differ only where tissue does.
    planned : PlannedScan
        Labelled: its scanner is used. Patient, visit and label draw seed noise, bias, texture and scale.
    voxel_size_mm : float
        Edge of a voxel.
    seed : int
        The cohort's seed.

    Returns
    -------
    tuple of np.ndarray
        T1w and FLAIR, ``(x, y, z)`` float32, not normalised, 0 outside the brain, never below 0.
    """
    scanner = ALL_SCANNERS[planned.scanner]
    # averaging over a voxel averages its noise; the exponent is gentle, since other artefacts do not average
    noise = scanner.noise * _NOISE_VOXEL_MM / voxel_size_mm
    rng = np.random.default_rng([seed, 4, planned.index, planned.visit, planned.label_draw])
    signals = tissue_signals(scanner)
    # einsum, not a matrix product: its sums do not depend on the number of threads
    ideal = [np.einsum("t,txyz->xyz", signals[kind], np.asarray(shares, np.float32)) for kind in ("t1w", "flair")]
    return tuple(acquire(signal, brain_mask, noise, voxel_size_mm, rng) for signal in ideal)


def _regions(patient: Patient, block: int) -> np.ndarray:
    """Label voxels by the cause region of which they hold most tissue, if it is enough."""
    anatomy = patient.anatomy
    tissue = [anatomy.ventricles if name == "lateral_ventricles" else anatomy.grey for name in REGIONS]
    shares = np.stack(
        [pooled(image * (patient.regions == label), block) for label, image in enumerate(tissue, start=1)]
    )
    return np.where(shares.max(axis=0) >= REGION_SHARE, shares.argmax(axis=0) + 1, 0).astype(np.int16)
