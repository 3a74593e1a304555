"""One simulated scan, rendered from its anatomy and written with its truth."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from relevox.config import PhantomSettings
from relevox.imaging.crop import study_grid
from relevox.phantom.causes import LESIONS, REGIONS
from relevox.phantom.cohort import PlannedScan
from relevox.phantom.contrast import ALL_SCANNERS, TISSUES, Scanner, Sequence
from relevox.phantom.simulated_scan import ScanAnatomy, render
from relevox.records import Volume
from relevox.stages.simulate_native import write_native
from relevox.stages.simulate_truth import TRUTH
from relevox.store import acquisition, anatomies, images, layout, provenance, tables, template

logger = logging.getLogger("relevox")

SIMULATED = "derivatives/simulated"
"""Folder of the images in template space."""

BIDS_TISSUES = dict(zip(TISSUES, ("GM", "WM", "CSF", "lesion"), strict=True))
"""BIDS label of each tissue's map."""

_STEPS = (
    "template deformed by the exponential of a velocity field",
    "lesions placed by prior and random field",
    "contrast by signal equations",
    "bias, Rician noise and intensity scale",
)


def is_native(scan: PlannedScan, phantom: PhantomSettings) -> bool:
    """Tell whether the scan is to be raw images of a whole head."""
    return scan.index < phantom.first_patient + phantom.native_heads


def make_scan(job: tuple[Path, PlannedScan, bool], heads: Path, voxel_size_mm: int, seed: int) -> None:
    """Render and write one scan, unless it is up to date.

    Parameters
    ----------
    job : tuple
        Root of the data set, the labelled scan, and whether it is to be native.
    heads : Path
        Folder of the anatomies.
    voxel_size_mm : int
        Grid of images and truth.
    seed : int
        The cohort's seed.
    """
    bids, planned, native = job
    unit = provenance.Unit(
        bids,
        stage="simulate",
        name=planned.id.key,
        settings={"seed": seed, "voxel_size_mm": voxel_size_mm, "native": native, "planned": repr(planned)},
        inputs={"anatomy": provenance.digest(heads, "anatomy", planned.id.key)},
    )
    if unit.is_current():
        return
    head = anatomies.read(heads, planned.id, template.SPACE)
    written = _write_truth(bids / TRUTH, planned, head, voxel_size_mm, seed)
    if native:
        written += write_native(bids, planned, seed)
    else:
        written += _write_scan(bids / SIMULATED, planned, head, voxel_size_mm, seed)
    unit.record(written)
    logger.info("simulate: %s of %s", planned.id, bids.name)


def _write_scan(root: Path, planned: PlannedScan, head: ScanAnatomy, voxel_size_mm: int, seed: int) -> list[Path]:
    """Write what preprocessing would have made of a scan."""
    t1w, flair = render(head.shares, head.brain_mask, planned, voxel_size_mm, seed)
    of_scan = {
        "t1w": t1w,
        "flair": flair,
        "brain_mask": head.brain_mask,
        "lesion_mask": head.causes > 0,
        "jacobian": head.jacobian,
    }
    written = [_write(root, kind, planned, data, voxel_size_mm) for kind, data in of_scan.items()]
    scanner = ALL_SCANNERS[planned.scanner]
    for image, sequence in zip(written[:2], (scanner.mprage, scanner.flair), strict=True):
        written.append(tables.write_json(acquisition.beside(image), _sidecar(scanner, sequence)))
    measures = {
        "volumes_ml": head.volumes_ml,
        "quality": {},
        "flags": [],
        "steps": list(_STEPS),
        # how long it took would make two equal runs differ
        "seconds": {},
    }
    return [*written, tables.write_json(layout.path(root, "measures", planned.id), measures)]


def _write_truth(root: Path, planned: PlannedScan, head: ScanAnatomy, voxel_size_mm: int, seed: int) -> list[Path]:
    """Write what no stage but the benchmark may read."""

    def write(kind: str, data: np.ndarray, **entities: str) -> Path:
        return _write(root, kind, planned, data, voxel_size_mm, **entities)

    causes, regions = write("causes", head.causes), write("cause_regions", head.regions)
    loads = {kind.removesuffix("_lesions"): head.causes_ml[kind] for kind in LESIONS}
    written = [
        causes,
        regions,
        tables.write_json(
            acquisition.beside(causes),
            {"labels": {"1": "periventricular lesion", "2": "other lesion"}, "loads_ml": loads},
        ),
        tables.write_json(
            acquisition.beside(regions), {"labels": {str(n): name for n, name in enumerate(REGIONS, start=1)}}
        ),
        write("true_jacobian", head.jacobian),
        write("disease_jacobian", head.disease_jacobian),
    ]
    for tissue, share in zip(TISSUES, head.shares, strict=True):
        written.append(write("tissue", share, tissue=BIDS_TISSUES[tissue]))
    for cause, shares in head.changed.items():
        pair = render(shares, head.brain_mask, planned, voxel_size_mm, seed)
        for suffix, image in zip(("T1w", "FLAIR"), pair, strict=True):
            written.append(write("counterfactual", image, desc=f"changed_{cause}", suffix=suffix))
    return written


def _write(root: Path, kind: str, planned: PlannedScan, data: np.ndarray, voxel_size_mm: int, **entities: str) -> Path:
    path = layout.path(root, kind, planned.id, space=template.SPACE, **entities)
    return images.write(path, Volume(data, study_grid(voxel_size_mm).affine))


def _sidecar(scanner: Scanner, sequence: Sequence) -> dict[str, object]:
    """Describe the protocol whose contrast was simulated, in the fields and units of BIDS."""
    return {
        "ManufacturersModelName": scanner.name,
        "MagneticFieldStrength": scanner.field_strength_t,
        "RepetitionTime": sequence.repetition_ms / 1000,
        "EchoTime": sequence.echo_ms / 1000,
        "InversionTime": sequence.inversion_ms / 1000,
    }
