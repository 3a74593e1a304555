"""Random fields have the variance and the smoothness that were asked for."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from relevox.phantom.random_fields import random_field


def test_the_variance_is_the_sum_of_the_squared_weights():
    rng = np.random.default_rng(0)
    variances = [random_field((24, 22, 25), (3.0, 6.0), (1.0, 2.0), 2.0, rng).var() for _ in range(30)]
    # the mean is part of the variance of a field with few independent places
    assert np.mean(variances) == pytest.approx(5.0, rel=0.1)


def test_one_scale_is_smooth_noise_as_scipy_makes_it():
    shape, sigma = (24, 26, 20), 2.0
    ours = random_field(shape, (sigma * 2.0,), (1.0,), 2.0, np.random.default_rng(1))
    noise = np.random.default_rng(1).standard_normal(shape, dtype=np.float32)
    theirs = gaussian_filter(noise, sigma, mode="wrap", truncate=6)
    assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.9999


def test_odd_and_even_grids_keep_the_variance():
    for shape in ((16, 16, 16), (15, 17, 13)):
        rng = np.random.default_rng(2)
        fields = [random_field(shape, (1.0,), (1.0,), 1.0, rng) for _ in range(20)]
        assert np.mean(np.square(fields)) == pytest.approx(1.0, rel=0.05)
