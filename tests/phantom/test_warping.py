"""Warping: displacements, their exponential, determinant and transpose."""

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from relevox.phantom.anatomy import anatomical_velocity
from relevox.phantom.warping import (
    exponential,
    jacobian_determinant,
    look_up,
    resample,
    shares_taken,
    velocity_from_log_jacobian,
)


def dilation(factor, shape, size):
    """Displacement of the pull-back of a dilation by ``factor`` about the centre."""
    axes = [(np.arange(n) - (n - 1) / 2) * size for n in shape]
    y = np.stack(np.meshgrid(*axes, indexing="ij"))
    return (y / factor - y).astype(np.float32)


def test_a_head_dilated_by_a_tenth_along_each_axis_has_j_0_751():
    displacement = dilation(1.1, (12, 14, 10), 2.0)
    np.testing.assert_allclose(jacobian_determinant(displacement, 2.0), 1 / 1.331, rtol=1e-5)


def test_dilation_enlarges_what_is_resampled():
    size, shape = 2.0, (40, 40, 40)
    axes = [(np.arange(n) - (n - 1) / 2) * size for n in shape]
    ball = (sum(a**2 for a in np.meshgrid(*axes, indexing="ij")) < 20**2).astype(np.float32)
    grown = resample(ball[None], dilation(1.1, shape, size), size)[0]
    assert grown.sum() / ball.sum() == pytest.approx(1.331, rel=0.02)


def test_the_exponential_agrees_with_many_small_steps():
    rng = np.random.default_rng(0)
    velocity = anatomical_velocity((20, 22, 18), 4.0, rng)
    fast = exponential(velocity, 4.0)
    position = np.stack(np.meshgrid(*[np.arange(n, dtype=float) for n in (20, 22, 18)], indexing="ij"))
    start = position.copy()
    for _ in range(400):
        position = position + np.stack([map_coordinates(v, position, order=1, mode="nearest") for v in velocity]) / (
            400 * 4.0
        )
    slow = (position - start) * 4.0
    inside = (slice(None), *[slice(3, -3)] * 3)
    assert np.abs(fast - slow)[inside].max() < 0.05 * np.abs(slow).max()


def test_a_map_and_its_reverse_cancel():
    velocity = anatomical_velocity((20, 22, 18), 4.0, np.random.default_rng(1))
    there, back = exponential(velocity, 4.0), exponential(-velocity, 4.0)
    rest = there + resample(back, there, 4.0)
    assert np.abs(rest[:, 3:-3, 3:-3, 3:-3]).max() < 0.1 * np.abs(there).max()


def test_resampling_agrees_with_scipy():
    rng = np.random.default_rng(2)
    image = rng.random((9, 10, 11), dtype=np.float32)
    displacement = rng.normal(0, 3, (3, 9, 10, 11)).astype(np.float32)
    position = np.stack(np.meshgrid(*[np.arange(n) for n in image.shape], indexing="ij")) + displacement / 2.0
    expected = map_coordinates(image, position, order=1, mode="nearest")
    np.testing.assert_allclose(resample(image[None], displacement, 2.0)[0], expected, atol=1e-4)


def test_the_velocity_has_the_prescribed_divergence():
    axes = np.meshgrid(*[np.arange(n) for n in (24, 20, 22)], indexing="ij")
    wanted = np.exp(-sum((a - 11) ** 2 for a in axes) / 30.0)
    velocity = velocity_from_log_jacobian(wanted, 2.0)
    divergence = sum(np.gradient(v, 2.0, axis=axis) for axis, v in enumerate(velocity))
    inner = (slice(3, -3),) * 3
    assert np.corrcoef(divergence[inner].ravel(), wanted[inner].ravel())[0, 1] > 0.99
    assert divergence[11, 11, 11] == pytest.approx(wanted[11, 11, 11] - wanted.mean(), rel=0.1)


def test_what_is_taken_from_a_voxel_is_the_transpose_of_resampling():
    rng = np.random.default_rng(5)
    image = rng.random((9, 10, 11), dtype=np.float32)
    displacement = rng.normal(0, 3, (3, 9, 10, 11)).astype(np.float32)
    taken = shares_taken(displacement, 2.0)
    assert taken.sum() == pytest.approx(image.size)
    assert (image * taken).sum() == pytest.approx(resample(image[None], displacement, 2.0).sum(dtype=float), rel=1e-5)


def test_the_determinant_is_that_of_central_differences():
    displacement = np.random.default_rng(6).normal(0, 1, (3, 5, 6, 7)).astype(np.float32)
    gradient = np.stack([np.stack(np.gradient(u, 2.0)) for u in displacement])  # (component, axis, x, y, z)
    expected = np.linalg.det(np.eye(3) + np.moveaxis(gradient, (0, 1), (-2, -1)))
    np.testing.assert_allclose(jacobian_determinant(displacement, 2.0), expected, atol=1e-5)


def test_any_points_are_looked_up_as_scipy_does():
    rng = np.random.default_rng(7)
    images = rng.random((2, 6, 7, 8), dtype=np.float32)
    points = rng.uniform(-2, 9, (3, 1300)).astype(np.float32)  # some beyond the edges, more than one row of the loop
    expected = np.stack([map_coordinates(image, points, order=1, mode="nearest") for image in images])
    np.testing.assert_allclose(look_up(images, points), expected, atol=1e-5)
