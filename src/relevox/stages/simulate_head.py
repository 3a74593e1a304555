"""What is known of a simulated head before it has a label: written once, shared by the truths of all labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from relevox.imaging.crop import study_grid
from relevox.phantom.causes import LESIONS, REGIONS
from relevox.phantom.cohort import PlannedScan
from relevox.phantom.contrast import TISSUES
from relevox.phantom.simulated_scan import ScanAnatomy
from relevox.records import ScanId, Volume
from relevox.store import acquisition, images, layout, tables, template
from relevox.store.atomic import share

BIDS_TISSUES = dict(zip(TISSUES, ("GM", "WM", "CSF", "lesion"), strict=True))
"""BIDS label of each tissue's map."""

_IMAGES = ("causes", "cause_regions", "true_jacobian", "disease_jacobian")


def write_head(root: Path, planned: PlannedScan, head: ScanAnatomy, voxel_size_mm: int) -> list[Path]:
    """Write masks, Jacobians and tissue maps of a head.

    Parameters
    ----------
    root : Path
        Folder of the anatomies.
    planned : PlannedScan
        Patient and session.
    head : ScanAnatomy
        The head.
    voxel_size_mm : int
        Its grid.
    """
    data = {"causes": head.causes, "cause_regions": head.regions, "true_jacobian": head.jacobian}
    data["disease_jacobian"] = head.disease_jacobian
    written = [write_image(root, kind, planned, data[kind], voxel_size_mm) for kind in _IMAGES]
    for tissue, shares in zip(TISSUES, head.shares, strict=True):
        written.append(write_image(root, "tissue", planned, shares, voxel_size_mm, tissue=BIDS_TISSUES[tissue]))
    loads = {kind.removesuffix("_lesions"): head.causes_ml[kind] for kind in LESIONS}
    lesions = {"labels": {"1": "periventricular lesion", "2": "other lesion"}, "loads_ml": loads}
    regions = {"labels": {str(n): name for n, name in enumerate(REGIONS, start=1)}}
    for image, card in zip(written[:2], (lesions, regions), strict=True):
        written.append(tables.write_json(acquisition.beside(image), card))
    return written


def share_head(heads: Path, truth: Path, scan: ScanId) -> list[Path]:
    """Let the truth of a data set have the files of :func:`write_head`, too."""
    of_head = [layout.path(heads, kind, scan, space=template.SPACE) for kind in _IMAGES]
    of_head += [acquisition.beside(image) for image in of_head[:2]]
    of_head += [
        layout.path(heads, "tissue", scan, space=template.SPACE, tissue=tissue) for tissue in BIDS_TISSUES.values()
    ]
    return [share(file, truth / file.relative_to(heads)) for file in of_head]


def write_image(
    root: Path, kind: str, planned: PlannedScan, data: np.ndarray, voxel_size_mm: int, **entities: str
) -> Path:
    """Write one image of a scan on the study's grid."""
    path = layout.path(root, kind, planned.id, space=template.SPACE, **entities)
    return images.write(path, Volume(data, study_grid(voxel_size_mm).affine))
