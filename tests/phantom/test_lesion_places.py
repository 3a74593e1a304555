"""Lesion places: two lines on either side, in the coordinates of the template."""

from itertools import pairwise

import numpy as np
import pytest

from relevox.phantom.lesion_places import CAPSULE_MM, OUTER_EDGE_MM, TEMPORAL_HORN_MM, lesion_places, squared_distance
from relevox.phantom.lesions import PERIVENTRICULAR_MM


@pytest.mark.parametrize("corner", OUTER_EDGE_MM + TEMPORAL_HORN_MM)
@pytest.mark.parametrize("side", [1, -1])
def test_the_lines_draw_lesions_on_both_sides(corner, side):
    pull = lesion_places((1, 1, 1), 1.0, (side * corner[0], *corner[1:]))
    assert pull.item() == pytest.approx(1, abs=0.2)


def test_the_capsule_repels_and_the_cortex_is_left_alone():
    assert lesion_places((1, 1, 1), 1.0, CAPSULE_MM).item() < -0.3
    assert abs(lesion_places((1, 1, 1), 1.0, (60, -20, 10)).item()) < 0.01


def test_a_place_lies_where_it_lies_on_every_grid():
    coarse, fine = lesion_places((20, 20, 10), 4.0, (-38, -38, 2)), lesion_places((40, 40, 20), 2.0, (-38, -38, 2))
    np.testing.assert_allclose(coarse, fine[::2, ::2, ::2], atol=1e-6)


def test_the_lines_run_along_the_ventricles_in_white_matter(maps):
    line = maps.lesion_places > 0.9
    assert np.median(maps.ventricle_distance_mm[line]) < PERIVENTRICULAR_MM
    assert maps.white[line].mean() > 0.7
    assert maps.infratentorial[line].mean() == 0


def test_distances_to_a_line_are_those_to_its_nearest_point():
    rng = np.random.default_rng(0)
    corners, points = rng.normal(size=(4, 3)), rng.normal(size=(30, 3))
    dense = np.concatenate([a + np.linspace(0, 1, 2001)[:, None] * (b - a) for a, b in pairwise(corners)])
    nearest = ((points[:, None] - dense) ** 2).sum(axis=2).min(axis=1)
    np.testing.assert_allclose(squared_distance(points.T.astype(np.float32), corners), nearest, atol=1e-3)
