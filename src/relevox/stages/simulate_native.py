"""Native heads of a simulated cohort: raw images as a scanner would export them, and what is known of them."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from relevox.imaging import crop
from relevox.imaging.regions import REGION_INDEX
from relevox.phantom.anatomy import carried_maps
from relevox.phantom.cohort import PlannedScan
from relevox.phantom.contrast import ALL_SCANNERS
from relevox.phantom.head_template import head_template
from relevox.phantom.native_head import MARGIN_MM, NativePair, Surroundings, native_pair
from relevox.phantom.native_scanner import protocol
from relevox.phantom.patient import make_patient
from relevox.records import Volume
from relevox.stages.simulate_template import prepared
from relevox.stages.simulate_truth import TRUTH
from relevox.store import acquisition, images, layout, tables, template

WARP_MM = 2
"""Grid of the true map, as that of registrations."""


def write_native(bids: Path, planned: PlannedScan, seed: int) -> list[Path]:
    """Scan one patient and write the raw pair, its sidecars and its native truth.

    Parameters
    ----------
    bids : Path
        Root of the data set; the images become ``sub-*/ses-*/anat/*_{T1w,FLAIR}.nii.gz``.
    planned : PlannedScan
        Patient, visit, age and scanner.
    seed : int
        The cohort's seed; the patient is the one whose truth lies in template space.

    Returns
    -------
    list of Path
        What was written.
    """
    truth = bids / TRUTH
    patient = make_patient(prepared(1), planned, seed)
    pair = native_pair(patient, surroundings(), planned, seed)
    written = []
    for kind, volume in (("t1w", pair.t1w), ("flair", pair.flair)):
        image = images.write(layout.path(bids, f"raw_{kind}", planned.id), volume)
        written += [image, tables.write_json(acquisition.beside(image), sidecar(planned, pair, kind))]
    known = pair.truth
    for kind, mask in (
        ("native_brain", known.t1w_brain),
        ("native_lesions_t1w", known.t1w_lesions),
        ("native_lesions_flair", known.flair_lesions),
    ):
        written.append(images.write(layout.path(truth, kind, planned.id), mask))
    warp = np.stack([crop.block_mean(component, WARP_MM) for component in patient.anatomy.displacement])
    written.append(
        images.write(
            layout.path(truth, "native_warp", planned.id, space=template.SPACE),
            Volume(warp, crop.study_grid(WARP_MM).affine),
        )
    )
    card = {
        "aligned_to_t1w": known.to_t1w.tolist(),
        "aligned_to_flair": known.to_flair.tolist(),
        "volumes_ml": dict(known.volumes_ml),
    }
    return [*written, tables.write_json(layout.path(truth, "native_truth", planned.id), card)]


@lru_cache(maxsize=1)
def surroundings() -> Surroundings:
    """Prepare the template beyond the study's box, once in every process."""
    whole = template.full()
    origin = np.add(crop.TEMPLATE_ORIGIN_MM, crop.CROP_START) - MARGIN_MM
    parts = (_around_box(image) for image in (whole.grey, whole.white, whole.csf, whole.regions))
    maps = carried_maps(*parts, REGION_INDEX, 1.0, origin)
    # the skull's layers need no finer distances than 2 mm
    halves = [_halved(image) for image in (whole.csf, whole.grey, whole.white, whole.brain_mask)]
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = whole.affine[:3, 3] + 0.5
    around = head_template(*halves[:3], halves[3] >= 0.5, affine, factor=1)
    return Surroundings(maps, around, tuple(float(o) for o in origin))


def sidecar(planned: PlannedScan, pair: NativePair, kind: str) -> dict[str, object]:
    """Describe a raw image in the fields and units of BIDS."""
    scanner = ALL_SCANNERS[planned.scanner]
    timing = scanner.mprage if kind == "t1w" else scanner.flair
    geometry = protocol(scanner, kind, slices=1)
    fields = {
        "Manufacturer": "Siemens",
        "ManufacturersModelName": scanner.name,
        "MagneticFieldStrength": scanner.field_strength_t,
        "MRAcquisitionType": "3D" if geometry.plane == "sagittal" else "2D",
        "RepetitionTime": timing.repetition_ms / 1000,
        "EchoTime": timing.echo_ms / 1000,
        "InversionTime": timing.inversion_ms / 1000,
        "SliceThickness": max(geometry.voxel_mm),
    }
    if kind == "flair" and pair.fat_suppressed:
        fields["ScanOptions"] = "FS"
    return fields


def _around_box(image: np.ndarray) -> np.ndarray:
    """Cut the study's box and ``MARGIN_MM`` around it out of the whole template; 0 beyond its faces."""
    padded = np.pad(image, MARGIN_MM)
    return padded[tuple(slice(s, s + n + 2 * MARGIN_MM) for s, n in zip(crop.CROP_START, crop.CROP_SHAPE, strict=True))]


def _halved(image: np.ndarray) -> np.ndarray:
    """Average over cubes of two voxels; the last odd voxel stays alone with zeros."""
    padded = np.pad(image.astype(np.float32), [(0, n % 2) for n in image.shape])
    x, y, z = (n // 2 for n in padded.shape)
    return padded.reshape(x, 2, y, 2, z, 2).mean(axis=(1, 3, 5))
