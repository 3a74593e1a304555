"""Which voxels a network's decision rests on, for any model of supported layers.

:func:`attribute` is the door; the methods stand in files of their own name.
"""

from relevox.attribution.baseline import mean_scan
from relevox.attribution.methods import METHODS, attribute, options_of
from relevox.attribution.occlusion import RegionOcclusion, occlude_regions
from relevox.attribution.result import Attribution

__all__ = ["METHODS", "Attribution", "RegionOcclusion", "attribute", "mean_scan", "occlude_regions", "options_of"]
