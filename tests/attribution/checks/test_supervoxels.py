"""Patches: they tile the brain, are compact, and follow edges."""

import numpy as np
import pytest
from scipy import ndimage

from relevox.attribution.checks import supervoxels
from relevox.errors import InputError


def ball(edge=24, radius=10):
    places = np.indices((edge,) * 3) - (edge - 1) / 2
    return (places**2).sum(0) <= radius**2


def test_they_tile_the_brain_and_nothing_else():
    brain = ball()
    x = np.random.default_rng(0).standard_normal((2, *brain.shape))
    labels = supervoxels(x, brain, n=60)
    assert (labels[~brain] == 0).all()
    found = np.unique(labels[brain])
    assert found.tolist() == list(range(1, len(found) + 1))
    assert 30 <= len(found) <= 100


def test_they_are_compact():
    """Heavy on the position they are near cubes: their voxels lie about as close to the centre as in a cube."""
    brain = ball()
    x = np.random.default_rng(0).standard_normal((1, *brain.shape))
    labels = supervoxels(x, brain, n=60, compactness=100.0)
    sizes = np.bincount(labels.ravel())[1:]
    spread = sum(
        ndimage.variance(axis, labels, np.arange(1, len(sizes) + 1)) for axis in np.indices(brain.shape)
    ).mean()
    assert spread < 1.3 * 3 * np.mean(sizes) ** (2 / 3) / 12  # of a cube: 3 edge^2 / 12


def test_light_on_the_position_they_follow_an_edge():
    brain = np.ones((12, 12, 12), dtype=bool)
    x = np.zeros((1, 12, 12, 12))
    x[:, :5] = 1  # an edge that no regular grid of thirds meets
    labels = supervoxels(x, brain, n=27, compactness=0.5)
    across = [label for label in np.unique(labels) if len(np.unique(x[0][labels == label])) > 1]
    assert not across


def test_the_seed_decides():
    brain = ball()
    x = np.random.default_rng(0).standard_normal((2, *brain.shape))
    assert np.array_equal(supervoxels(x, brain, n=30, seed=1), supervoxels(x, brain, n=30, seed=1))


@pytest.mark.parametrize("brain", [np.zeros((4, 4, 4), dtype=bool), np.ones((3, 4, 4), dtype=bool)])
def test_what_has_no_brain_is_refused(brain):
    with pytest.raises(InputError):
        supervoxels(np.zeros((1, 4, 4, 4)), brain)
