import numpy as np
import pytest
from scipy import ndimage

from relevox.report import overlays
from relevox.report.drawing import to_png

FACE = 1e6


@pytest.fixture
def head():
    """A ball of brain with a very bright face in front of it."""
    shape = (60, 70, 60)
    mask = sum((axis - c) ** 2 for axis, c in zip(np.indices(shape), (30, 30, 30), strict=True)) < 22**2
    image = np.random.default_rng(0).uniform(80, 120, shape)
    face = ndimage.distance_transform_edt(~mask) > 6
    image[face] = FACE
    return image, mask


def drawn(figure):
    return [np.ma.filled(axes.images[0].get_array(), 0) for axes in figure.axes]


def test_nothing_far_from_the_brain_is_drawn(head):
    image, mask = head
    figure = overlays.brain_mask_overlay(image, mask, 1.0)
    assert len(figure.axes) == 2
    assert all(array.max() < FACE for array in drawn(figure))
    assert all(array.max() > 80 for array in drawn(figure))


def test_template_and_lesion_overlays_show_the_brain_only(head):
    image, mask = head
    ventricles = ndimage.binary_erosion(mask, iterations=15)
    for figure in (
        overlays.template_overlay(image, image, mask, np.roll(mask, 2, axis=0), ventricles),
        overlays.lesion_overlay(image, ventricles, mask),
    ):
        assert len(figure.axes) == 2
        assert all(array.max() < FACE for array in drawn(figure))


def test_outlines_are_drawn_where_there_is_something_to_outline(head):
    image, mask = head
    with_lesions = overlays.lesion_overlay(image, ndimage.binary_erosion(mask, iterations=10), mask)
    without = overlays.lesion_overlay(image, np.zeros_like(mask), mask)
    assert sum(len(axes.collections) for axes in with_lesions.axes) > 0
    assert sum(len(axes.collections) for axes in without.axes) == 0


def test_the_same_input_gives_the_same_bytes(head):
    image, mask = head
    first, second = (to_png(overlays.lesion_overlay(image, mask, mask)) for _ in range(2))
    assert first == second
