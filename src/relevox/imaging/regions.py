"""The regions of the analyses, made from a Desikan-Killiany volume and the template's tissue (SPEC 6.1).

The atlas labels about 80 % of the template's grey and white matter. Every
other voxel takes the nearest label of its own tissue, so that the regions
tile the brain: none is left out of a region table.
"""

from __future__ import annotations

import csv
from importlib import resources
from typing import NamedTuple

import numpy as np
from scipy import ndimage


class Region(NamedTuple):
    """One region."""

    index: int
    """Label in region maps; 0 is outside the brain."""
    name: str
    """For example ``frontal_cortex``."""
    group: str
    """``cortex``, ``deep_grey``, ``infratentorial``, ``white_matter`` or ``csf``."""


def _read_regions() -> tuple[Region, ...]:
    with resources.files(__package__).joinpath("regions.tsv").open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t")
        return tuple(Region(int(row["index"]), row["name"], row["group"]) for row in rows)


REGIONS = _read_regions()
"""All regions, by index."""

REGION_INDEX = {region.name: region.index for region in REGIONS}
"""Label of a region by name."""

_LOBES = {
    # Desikan-Killiany parcels by lobe, cingulate as FreeSurfer's lobar grouping has it:
    # anterior = frontal, posterior and isthmus = parietal.
    "frontal_cortex": (2, 3, 12, 14, 17, 18, 19, 20, 24, 26, 27, 28, 32),
    "temporal_cortex": (1, 6, 7, 9, 15, 16, 30, 33, 34),
    "parietal_cortex": (8, 10, 22, 23, 25, 29, 31),
    "occipital_cortex": (5, 11, 13, 21),
    "insular_cortex": (35,),
}
_SUBCORTICAL = {
    "temporal_cortex": (17, 53),  # hippocampus: allocortex of the temporal lobe
    "thalamus": (10, 49),
    # caudate, putamen, pallidum, amygdala, accumbens, ventral diencephalon
    "deep_grey": (11, 12, 13, 18, 26, 28, 50, 51, 52, 54, 58, 60),
    "brainstem": (16,),
    "cerebellar_cortex": (8, 47),
    "cerebellar_white_matter": (7, 46),
    "lateral_ventricles": (4, 5, 31, 43, 44, 63),  # with inferior horns and choroid plexus
    "other_csf": (14, 15, 24),
}
_CEREBRAL_WHITE_MATTER = (2, 41, 77, 251, 252, 253, 254, 255)
_UNSORTED = 99
"""Cerebral white matter before it is divided into lobes."""

_VENTRICLE_REACH_MM = 3.0
"""CSF this near to the atlas's lateral ventricles belongs to them: the atlas is of one head, narrower."""


def template_regions(
    atlas: np.ndarray,
    grey: np.ndarray,
    white: np.ndarray,
    csf: np.ndarray,
    brain_mask: np.ndarray,
    voxel_size_mm: float = 1.0,
    periventricular_mm: float = 10.0,
) -> np.ndarray:
    """Divide the template's brain into ``REGIONS``.

    Parameters
    ----------
    atlas : np.ndarray
        ``(x, y, z)`` int, FreeSurfer's Desikan-Killiany label values.
    grey, white, csf : np.ndarray
        ``(x, y, z)`` tissue fractions.
    brain_mask : np.ndarray
        ``(x, y, z)`` bool.
    voxel_size_mm : float
        Edge of a voxel.
    periventricular_mm : float
        Cerebral white matter this near to the lateral ventricles is periventricular.

    Returns
    -------
    np.ndarray
        int32 labels, > 0 exactly inside the brain mask.

    Notes
    -----
    Deep nuclei and the brainstem keep the atlas's borders, because tissue
    maps call much of them white. Lobar white matter belongs to the lobe whose
    cortex is nearest; the insula has none.
    """
    seeds = _atlas_to_regions(atlas)
    tissue = np.argmax(np.stack([csf, grey, white]), axis=0)
    solid = brain_mask & (tissue > 0)
    regions = np.zeros(atlas.shape, dtype=np.int32)

    cortex = [REGION_INDEX[name] for name in _LOBES]
    nuclei = [REGION_INDEX[name] for name in ("thalamus", "deep_grey", "brainstem")]
    grey_labels = [*cortex, *nuclei, REGION_INDEX["cerebellar_cortex"]]
    white_labels = [_UNSORTED, REGION_INDEX["cerebellar_white_matter"], REGION_INDEX["brainstem"]]
    is_grey, is_white = solid & (tissue == 1), solid & (tissue == 2)
    regions[is_grey] = _nearest(seeds, grey_labels)[is_grey]
    regions[is_white] = _nearest(seeds, white_labels)[is_white]
    own_borders = solid & np.isin(seeds, nuclei)
    regions[own_borders] = seeds[own_borders]

    # CSF: the lateral ventricles, and all the rest.
    fluid = brain_mask & (tissue == 0)
    core = seeds == REGION_INDEX["lateral_ventricles"]
    near = _distance(core, voxel_size_mm, _VENTRICLE_REACH_MM) <= _VENTRICLE_REACH_MM
    ventricles = fluid & near & (seeds != REGION_INDEX["other_csf"])
    regions[fluid] = REGION_INDEX["other_csf"]
    regions[ventricles] = REGION_INDEX["lateral_ventricles"]

    # Cerebral white matter: a shell around the ventricles, and lobes.
    cerebral = regions == _UNSORTED
    lobes = [REGION_INDEX[f"{lobe}_cortex"] for lobe in ("frontal", "temporal", "parietal", "occipital")]
    white_of = np.zeros(max(lobes) + 1, dtype=np.int32)
    white_of[lobes] = [
        REGION_INDEX[f"{lobe}_white_matter"] for lobe in ("frontal", "temporal", "parietal", "occipital")
    ]
    regions[cerebral] = white_of[_nearest(seeds, lobes)[cerebral]]
    shell = cerebral & (_distance(ventricles, voxel_size_mm, periventricular_mm) <= periventricular_mm)
    regions[shell] = REGION_INDEX["periventricular_white_matter"]
    return regions


def _atlas_to_regions(atlas: np.ndarray) -> np.ndarray:
    table = np.zeros(max(2036, int(atlas.max()) + 1), dtype=np.int32)
    for name, parcels in _LOBES.items():
        for parcel in parcels:
            table[[1000 + parcel, 2000 + parcel]] = REGION_INDEX[name]
    for name, labels in _SUBCORTICAL.items():
        table[list(labels)] = REGION_INDEX[name]
    table[list(_CEREBRAL_WHITE_MATTER)] = _UNSORTED
    return table[atlas]


def _nearest(seeds: np.ndarray, labels: list[int]) -> np.ndarray:
    """Label of the nearest seed among some labels, in every voxel."""
    index = ndimage.distance_transform_edt(~np.isin(seeds, labels), return_distances=False, return_indices=True)
    return seeds[tuple(index)]


def _distance(mask: np.ndarray, voxel_size_mm: float, reach_mm: float) -> np.ndarray:
    """Distance to a mask in millimetres; infinite beyond ``reach_mm`` of its bounding box."""
    distance = np.full(mask.shape, np.inf)
    if mask.any():
        margin = int(np.ceil(reach_mm / voxel_size_mm)) + 1
        box = tuple(
            slice(max(side.start - margin, 0), side.stop + margin)
            for side in ndimage.find_objects(mask.view(np.int8))[0]
        )
        distance[box] = ndimage.distance_transform_edt(~mask[box], sampling=voxel_size_mm)
    return distance
