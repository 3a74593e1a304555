"""A known signal in a scan: where it lies, how large it is, and what stays as it was."""

import numpy as np
import pytest

from relevox.phantom.plant import add_blobs, blob, deform, draw_centre, loss_velocity
from relevox.phantom.planted_scan import Planter, brain_of
from relevox.phantom.warping import exponential, jacobian_determinant

SIZE_MM = 4.0


@pytest.fixture
def head():
    """A ball of brain with one region in its left half, fluid around the region, and a scan of it."""
    axes = np.meshgrid(*[np.arange(24) - 11.5] * 3, indexing="ij")
    radius = np.sqrt(sum(axis**2 for axis in axes))
    brain = radius < 11
    region = brain & (radius < 9) & (axes[0] < -2)
    other = brain & (radius < 9) & (axes[0] > 2)
    third = brain & (radius < 9) & ~region & ~other
    fluid = (brain & (radius >= 9)).astype(float)
    regions = region * 1 + other * 2 + third * 3
    x = np.stack([brain * 1.0, brain * 2.0]).astype(np.float32)
    return brain, region, fluid, regions, x


def test_nothing_planted_changes_nothing(head):
    brain, _, _, regions, x = head
    planter = Planter(regions, 1, (2, 3), strength=0.5, voxel_size_mm=SIZE_MM, radius_mm=8.0)
    assert np.array_equal(planter.insert(x, []), x)
    assert np.array_equal(add_blobs(x, brain, [np.zeros(brain.shape)], 0.5), x)
    assert np.allclose(deform(x, np.zeros((3, *brain.shape)), SIZE_MM), x, atol=1e-5)


def test_a_blob_is_bright_on_flair_dark_on_t1w_and_nowhere_else(head):
    brain, _, _, _, x = head
    ball = blob(brain.shape, (12, 12, 12), 10.0, SIZE_MM)
    change = add_blobs(x, brain, [ball], 0.5) - x
    assert change[0, 12, 12, 12] == pytest.approx(-0.25)  # half of 0.5, of a median of 1
    assert change[1, 12, 12, 12] == pytest.approx(1.0)  # 0.5 of a median of 2
    assert (change[:, ball == 0] == 0).all()


def test_a_blob_has_the_volume_of_a_ball():
    fine = blob((60, 60, 60), (30, 30, 30), 12.0, 1.0)
    assert fine.sum() == pytest.approx(4 / 3 * np.pi * 12**3, rel=0.03)


def test_blobs_outside_the_brain_stay_outside(head):
    brain, _, _, _, x = head
    changed = add_blobs(x, brain, [np.ones(brain.shape)], 0.5)
    assert (changed[:, ~brain] == 0).all()


def test_centres_lie_deep_in_their_region(head):
    _, region, _, _, _ = head
    rng = np.random.default_rng(0)
    for _ in range(20):
        assert region[tuple(draw_centre(region, 8.0, SIZE_MM, rng))]


def test_a_planted_loss_takes_that_much_of_the_region_and_the_brain_keeps_its_size(head):
    brain, region, fluid, _, _ = head
    velocity = loss_velocity(region, fluid, brain, SIZE_MM)
    shapes = deform(np.stack([region, brain]).astype(np.float32), 0.2 * velocity, SIZE_MM)
    assert shapes[0].sum() / region.sum() == pytest.approx(np.exp(-0.2), abs=0.04)
    assert shapes[1].sum() / brain.sum() == pytest.approx(1, abs=0.02)
    assert jacobian_determinant(exponential(0.4 * velocity, SIZE_MM), SIZE_MM).min() > 0.1


def test_losses_of_two_regions_add(head):
    brain, _, fluid, regions, x = head
    flows = {label: loss_velocity(regions == label, fluid, brain, SIZE_MM) for label in (1, 2, 3)}
    planter = Planter(regions, 1, (2, 3), strength=0.2, voxel_size_mm=SIZE_MM, velocities=flows)
    both = planter.insert(x, [1, 2])
    assert np.allclose(both, deform(x, 0.2 * (flows[1] + flows[2]), SIZE_MM), atol=1e-6)


def test_only_class_1_has_its_first_signal_in_the_region(head):
    brain, _, fluid, regions, x = head
    flows = {label: loss_velocity(regions == label, fluid, brain, SIZE_MM) for label in (1, 2, 3)}
    blobs = Planter(regions, 1, (2, 3), 0.5, SIZE_MM, radius_mm=8.0)
    losses = Planter(regions, 1, (2, 3), 0.2, SIZE_MM, velocities=flows)
    for seed in range(10):
        for label in (0, 1):
            first, second = blobs.draw(brain_of(x), label, np.random.default_rng(seed))
            assert (regions[first] == 1) == (label == 1)
            assert regions[second] in (2, 3)
            first, second = losses.draw(brain_of(x), label, np.random.default_rng(seed))
            assert (first == 1) == (label == 1)
            assert second in (2, 3) and second != first
