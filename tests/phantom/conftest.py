"""The template at 4 mm, prepared once for all tests that make whole patients."""

import pytest

from relevox.imaging.regions import REGION_INDEX
from relevox.phantom.anatomy import template_maps
from relevox.store import template


@pytest.fixture(scope="session")
def maps():
    head = template.load(4)
    return template_maps(head.grey, head.white, head.csf, head.regions, REGION_INDEX, 4, head.affine[:3, 3])
