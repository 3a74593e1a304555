"""The template as the simulator wants it, prepared once in every process."""

from __future__ import annotations

from functools import lru_cache

from relevox.imaging.regions import REGION_INDEX
from relevox.phantom.anatomy import TemplateMaps, template_maps
from relevox.store import template


@lru_cache(maxsize=2)
def prepared(voxel_size_mm: int) -> TemplateMaps:
    """Prepare the template on the study's box.

    Parameters
    ----------
    voxel_size_mm : int
        Of the grid on which anatomies are made.
    """
    head = template.load(voxel_size_mm)
    return template_maps(
        head.grey, head.white, head.csf, head.regions, REGION_INDEX, float(voxel_size_mm), head.affine[:3, 3]
    )
