"""Pictures of one scan, by which a person judges its preprocessing."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from relevox.config import PreprocessingSettings
from relevox.engines.chain import Preprocessed
from relevox.imaging import crop
from relevox.imaging.regions import REGION_INDEX
from relevox.imaging.resample import isotropic, resample
from relevox.records import ScanId, Volume
from relevox.report import drawing, overlays
from relevox.store import layout, template
from relevox.store.atomic import replacing

_OVERLAY_MM = 1.0


def write(scan: ScanId, study: Path, found: Preprocessed, flair: Volume, settings: PreprocessingSettings) -> list[Path]:
    """Write the overlays of a scan: brain mask, FLAIR on T1w, template, lesions.

    Parameters
    ----------
    scan : ScanId
        Whose.
    study : Path
        The study folder.
    found : Preprocessed
        What preprocessing made.
    flair : Volume
        ``(x, y, z)`` the raw FLAIR image.
    settings : PreprocessingSettings
        Grid.
    """
    native = isotropic(found.native_t1w, _OVERLAY_MM)
    grid = crop.Grid(native.data.shape, native.affine)
    mask = resample(Volume(found.native_mask.astype(np.float32), found.native_t1w.affine), grid) > 0.5
    head = template.load(settings.voxel_size_mm, settings.periventricular_mm)
    brain = found.brain_mask.data
    ventricles = head.regions == REGION_INDEX["lateral_ventricles"]
    moved = resample(flair, grid, found.flair_to_t1w)
    figures = {
        "brainmask": overlays.brain_mask_overlay(native.data, mask, _OVERLAY_MM),
        "alignment": overlays.alignment_overlay(native.data, moved, mask, _OVERLAY_MM),
        "template": overlays.template_overlay(found.t1w.data, found.flair.data, brain, head.brain_mask, ventricles),
        "lesions": overlays.lesion_overlay(found.flair.data, found.lesion_mask.data, brain),
    }
    written = []
    for desc, figure in figures.items():
        path = layout.path(study, "overlay", scan, desc=desc)
        with replacing(path) as temporary:
            temporary.write_bytes(drawing.to_png(figure))
        written.append(path)
    return written
