"""The exact cluster enhancement against its definition and against nilearn's steps."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nilearn.mass_univariate._utils import calculate_tfce
from scipy import ndimage

from relevox.errors import InputError
from relevox.statistics.cluster_enhancement import ClusterEnhancement

AXES = {6: 1, 18: 2, 26: 3}


def by_definition(values, mask, connectivity, extent_power=0.5, height_power=2.0):
    """Label the clusters above every height that occurs; the integrand is constant times h^H in between."""
    image = np.zeros(mask.shape)
    image[mask] = np.nan_to_num(values)
    structure = ndimage.generate_binary_structure(3, AXES[connectivity])
    enhanced, power = np.zeros(mask.shape), height_power + 1
    for sign in (1, -1):
        heights = np.unique(np.maximum(sign * image, 0))
        for low, high in itertools.pairwise(heights):
            labels, _ = ndimage.label(sign * image >= high, structure)
            extent = np.bincount(labels.ravel())[labels] * (labels > 0)
            enhanced += sign * extent**extent_power * (high**power - low**power) / power * (labels > 0)
    return np.where(np.isnan(values), np.nan, enhanced[mask])


def smooth(rng, shape, sd=1.0):
    return ndimage.gaussian_filter(rng.standard_normal(shape), sd) * 5


@pytest.mark.parametrize("connectivity", [6, 18, 26])
@pytest.mark.parametrize("steps", [None, 2])
def test_every_voxel_has_the_integral_of_the_definition(connectivity, steps):
    rng = np.random.default_rng(connectivity)
    mask = rng.random((7, 8, 9)) < 0.8
    values = smooth(rng, mask.shape)[mask]
    values = values if steps is None else np.round(values * steps) / steps  # many ties and zeros
    values[[5, 60]] = np.nan
    enhanced = ClusterEnhancement(mask, connectivity=connectivity)(values)
    np.testing.assert_allclose(enhanced, by_definition(values, mask, connectivity), rtol=1e-12, atol=1e-14)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(-3, 3), min_size=12, max_size=12),
    st.lists(st.booleans(), min_size=12, max_size=12),
    st.sampled_from([6, 18, 26]),
    st.sampled_from([(0.5, 2.0), (1.0, 1.0), (0.0, 0.0)]),
)
def test_any_small_map_agrees_with_the_definition(values, inside, connectivity, powers):
    mask = np.array(inside).reshape(3, 2, 2)
    values = np.array(values, dtype=float)[mask.ravel()]
    enhanced = ClusterEnhancement(mask, *powers, connectivity=connectivity)(values)
    np.testing.assert_allclose(enhanced, by_definition(values, mask, connectivity, *powers), rtol=1e-12, atol=1e-14)


def test_nilearn_comes_closer_the_finer_its_steps():
    rng = np.random.default_rng(0)
    mask = np.ones((12, 13, 11), dtype=bool)
    image = smooth(rng, mask.shape, 1.5)
    ours = ClusterEnhancement(mask)(image.ravel()).reshape(mask.shape)
    structure = ndimage.generate_binary_structure(3, 1)
    errors = []
    for steps in (10, 100, 1000):
        dh = np.abs(image).max() / steps
        # nilearn, like fslmaths, sums without dh
        theirs = dh * calculate_tfce(image[..., None], structure, dh=dh, two_sided_test=True)[..., 0]
        errors.append(np.abs(theirs - ours).max() / np.abs(ours).max())
    assert errors[0] > 5 * errors[1] > 25 * errors[2] and errors[2] < 0.002


def test_one_voxel_alone_has_a_third_of_its_cube():
    enhance = ClusterEnhancement(np.ones((1, 1, 1), dtype=bool))
    np.testing.assert_allclose([enhance(np.array([h]))[0] for h in (3.0, -3.0, 0.0)], [9.0, -9.0, 0.0])


def test_the_sign_turns_with_the_map():
    rng = np.random.default_rng(0)
    mask = np.ones((6, 6, 6), dtype=bool)
    values, enhance = smooth(rng, mask.shape).ravel(), ClusterEnhancement(mask)
    np.testing.assert_array_equal(enhance(-values), -enhance(values))
    np.testing.assert_array_equal(np.sign(enhance(values)), np.sign(values))


def test_neighbours_do_not_reach_around_the_edges_of_the_grid():
    values = np.zeros((3, 3, 3))
    values[0, 1, 2] = values[0, 2, 0] = values[1, 0, 0] = values[2, 2, 2] = 1.0
    mask = np.ones((3, 3, 3), dtype=bool)
    enhanced = ClusterEnhancement(mask, connectivity=26)(values.ravel())
    np.testing.assert_allclose(enhanced[values.ravel() == 1], 1 / 3)


@pytest.mark.parametrize(
    ("mask", "connectivity", "values", "message"),
    [
        (np.ones((3, 3), dtype=bool), 6, np.zeros(9), "mask"),
        (np.ones((3, 3, 1), dtype=bool), 8, np.zeros(9), "connectivity"),
        (np.ones((3, 3, 1), dtype=bool), 6, np.zeros(8), "9 values"),
        (np.ones((3, 3, 1), dtype=bool), 6, np.full(9, np.inf), "infinite"),
    ],
)
def test_what_does_not_fit_is_refused(mask, connectivity, values, message):
    with pytest.raises(InputError, match=message):
        ClusterEnhancement(mask, connectivity=connectivity)(values)
