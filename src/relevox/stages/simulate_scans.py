"""One simulated scan, rendered from its anatomy and written with its truth."""

from __future__ import annotations

import logging
from pathlib import Path

from relevox.config import PhantomSettings
from relevox.phantom.cohort import PlannedScan
from relevox.phantom.contrast import ALL_SCANNERS, Scanner, Sequence
from relevox.phantom.simulated_scan import ScanAnatomy, render
from relevox.stages.simulate_head import share_head, write_image
from relevox.stages.simulate_truth import TRUTH
from relevox.store import acquisition, anatomies, layout, provenance, tables, template

logger = logging.getLogger("relevox")

SIMULATED = "derivatives/simulated"
"""Folder of the images in template space."""

_STEPS = (
    "template deformed by the exponential of a velocity field",
    "lesions placed by prior and random field",
    "contrast by signal equations",
    "bias, Rician noise and intensity scale",
)


def is_native(scan: PlannedScan, phantom: PhantomSettings) -> bool:
    """Tell whether the scan is to be raw images of a whole head."""
    return scan.index >= phantom.first_patient + phantom.n_patients - phantom.native_heads


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
    written = share_head(heads, bids / TRUTH, planned.id)
    written += _write_counterfactuals(bids / TRUTH, planned, head, voxel_size_mm, seed)
    if native:
        # torch, which only native heads need, takes a second to import
        from relevox.stages.simulate_native import write_native

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
    written = [write_image(root, kind, planned, data, voxel_size_mm) for kind, data in of_scan.items()]
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


def _write_counterfactuals(
    root: Path, planned: PlannedScan, head: ScanAnatomy, voxel_size_mm: int, seed: int
) -> list[Path]:
    """Write what the same scanner would have seen with one cause changed."""
    written = []
    for cause, shares in head.changed.items():
        pair = render(shares, head.brain_mask, planned, voxel_size_mm, seed)
        for suffix, image in zip(("T1w", "FLAIR"), pair, strict=True):
            entities = {"desc": f"changed_{cause}", "suffix": suffix}
            written.append(write_image(root, "counterfactual", planned, image, voxel_size_mm, **entities))
    return written


def _sidecar(scanner: Scanner, sequence: Sequence) -> dict[str, object]:
    """Describe the protocol whose contrast was simulated, in the fields and units of BIDS."""
    return {
        "ManufacturersModelName": scanner.name,
        "MagneticFieldStrength": scanner.field_strength_t,
        "RepetitionTime": sequence.repetition_ms / 1000,
        "EchoTime": sequence.echo_ms / 1000,
        "InversionTime": sequence.inversion_ms / 1000,
    }
