"""Fingerprints of brains: one person's stay alike, two persons' do not."""

import numpy as np
import pytest

from relevox.statistics.likeness import ALIKE, fingerprint, likeness


def test_a_fingerprint_is_the_mean_over_cubes_of_eight_millimetres():
    image = np.arange(4 * 6 * 5, dtype=float).reshape(4, 6, 5)
    found = fingerprint(image, voxel_size_mm=4)
    expected = [
        image[2 * i : 2 * i + 2, 2 * j : 2 * j + 2, 2 * k : 2 * k + 2].mean()
        for i in range(2)
        for j in range(3)
        for k in range(2)
    ]
    np.testing.assert_allclose(found, expected)
    np.testing.assert_array_equal(fingerprint(image, voxel_size_mm=8), image.ravel())


def test_one_person_is_alike_under_noise_and_another_scale_and_two_persons_are_not():
    rng = np.random.default_rng(0)
    common, own = 5 * rng.random((1, 400)), 0.3 * rng.standard_normal((30, 400))
    cohort = common + own
    again = 1.02 * cohort + 0.1 * rng.standard_normal(cohort.shape)
    found = likeness(again, cohort, cohort.mean(axis=0))
    assert np.diag(found).min() > ALIKE > np.abs(found[~np.eye(30, dtype=bool)]).max()


def test_likeness_is_the_correlation_of_deviations_and_nan_for_the_mean_itself():
    rng = np.random.default_rng(1)
    a = rng.standard_normal((3, 50))
    a -= a.mean(axis=1, keepdims=True)  # then the cosine is Pearson's correlation
    mean = np.zeros(50)
    np.testing.assert_allclose(likeness(a, a, mean), np.corrcoef(a))
    assert np.isnan(likeness(mean[None], a, mean)).all()
    assert likeness(a, a, mean)[1, 1] == pytest.approx(1)
