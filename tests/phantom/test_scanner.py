"""The scanner: noise never goes below zero and never leaves the brain."""

import numpy as np
import pytest

from relevox.phantom.scanner import acquire


@pytest.fixture(scope="module")
def box():
    mask = np.zeros((20, 22, 18), bool)
    mask[4:-4, 4:-4, 4:-4] = True
    return mask


def test_images_are_never_negative_and_zero_outside_the_brain(box):
    image = acquire(np.zeros(box.shape), box, 0.1, 4.0, np.random.default_rng(0))
    assert image.dtype == np.float32
    assert image.min() == 0 and (image[~box] == 0).all() and (image[box] > 0).all()


def test_noise_has_the_size_that_was_asked_for(box):
    quiet = acquire(np.ones(box.shape), box, 0.0, 4.0, np.random.default_rng(1))
    noisy = acquire(np.ones(box.shape), box, 0.05, 4.0, np.random.default_rng(1))
    assert np.std(noisy[box] / quiet[box]) == pytest.approx(0.05, rel=0.1)


def test_the_intensity_scale_is_arbitrary(box):
    medians = [np.median(acquire(np.ones(box.shape), box, 0.0, 4.0, np.random.default_rng(s))[box]) for s in range(8)]
    assert max(medians) > 1.2 * min(medians)


def test_the_same_generator_gives_the_same_image(box):
    one, two = (acquire(np.ones(box.shape), box, 0.02, 4.0, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(one, two)
