"""Atrophy: borders within voxels and the map's patterns, solved for wanted shares."""

import numpy as np
import pytest

from relevox.phantom.atrophy import _volumes, patterns, response, thinned, tissues
from relevox.phantom.warping import exponential, shares_taken, velocity_from_log_jacobian


@pytest.fixture(scope="module")
def blurred():
    """Layers of fluid, cortex and white matter with blurred borders, the grid's edge outside the head."""
    rng = np.random.default_rng(0)
    depth = np.broadcast_to(np.linspace(-1, 3, 24)[:, None, None], (24, 20, 22)) + rng.normal(0, 0.2, (24, 20, 22))
    fractions = np.stack([np.exp(-((depth - centre) ** 2) / 0.3) for centre in (1.0, 2.2, 0.0)])
    fractions /= fractions.sum(axis=0)
    fractions[:, :2] = 0
    return fractions.astype(np.float32)


def test_thinning_meets_both_volumes_and_keeps_every_voxels_sum(blurred):
    thin = thinned(blurred, -0.06, -0.03)
    change = np.log(thin.sum(axis=(1, 2, 3), dtype=float) / blurred.sum(axis=(1, 2, 3), dtype=float))
    np.testing.assert_allclose(change[:2], [-0.06, -0.03], atol=1e-3)
    np.testing.assert_allclose(thin.sum(axis=0), blurred.sum(axis=0), atol=1e-5)


def test_thinning_by_nothing_changes_nothing_and_pure_voxels_stay_pure(blurred):
    np.testing.assert_array_equal(thinned(blurred, 0, 0), blurred)
    pure = np.eye(3, dtype=np.float32)[np.random.default_rng(1).integers(0, 3, (6, 6, 6))].transpose(3, 0, 1, 2)
    np.testing.assert_allclose(thinned(pure, -0.1, -0.1), pure, atol=1e-6)


def test_tissues_tile_grey_white_and_ventricles(blurred):
    labels = np.random.default_rng(2).integers(0, 7, blurred.shape[1:]).astype(np.int16)
    parts = tissues(blurred, labels)
    np.testing.assert_allclose(parts[:6].sum(axis=0), blurred[0], atol=1e-6)
    np.testing.assert_array_equal(parts[6], blurred[1])
    np.testing.assert_array_equal(parts[7], blurred[2] * (labels == 6))


def test_measured_volumes_are_those_of_the_tissues(blurred):
    rng = np.random.default_rng(3)
    labels, taken = rng.integers(0, 7, blurred.shape[1:]).astype(np.int16), rng.random(blurred.shape[1:])
    brain = blurred.sum(axis=0, dtype=float)
    volumes, head = _volumes(blurred, brain, labels, taken)
    np.testing.assert_allclose(volumes, (tissues(blurred, labels) * taken).sum(axis=(1, 2, 3)), rtol=1e-12)
    assert head == pytest.approx((brain * taken).sum(), rel=1e-12)


def test_the_response_is_the_slope_of_the_measured_shares(blurred):
    size = 4.0
    labels = np.zeros(blurred.shape[1:], np.int16)
    labels[:, :10], labels[:, 10:] = 1, 2
    parts = tissues(blurred, labels)
    brain = blurred.sum(axis=0)
    pattern = patterns(parts, blurred[2], size)
    predicted = response(parts, brain, pattern)

    def log_shares(column, amount):
        taken = shares_taken(exponential(velocity_from_log_jacobian(amount * pattern[column], size), size), size)
        return np.log([(part * taken).sum() / (brain * taken).sum() for part in parts[[0, 1, 6]]])

    for column in (0, 1, 6):
        slope = (log_shares(column, 0.02) - log_shares(column, -0.02)) / 0.04
        # the flow's finite differences see a little less than the pattern's full divergence
        np.testing.assert_allclose(slope, predicted[[0, 1, 6], column], atol=0.15 * np.abs(predicted).max())


def test_what_is_not_there_does_not_answer(blurred):
    labels = np.zeros(blurred.shape[1:], np.int16)
    parts = tissues(blurred, labels)
    pattern = patterns(parts, blurred[2], 4.0)
    assert not response(parts, blurred.sum(axis=0), pattern)[:5].any()
    assert all(abs(p.sum(dtype=float)) < 1e-3 * max(np.abs(p).sum(), 1) for p in pattern)
