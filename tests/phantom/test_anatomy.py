"""Anatomy: one map resamples the tissue and gives the Jacobian."""

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from relevox.phantom.anatomy import (
    VENTRICLES,
    anatomical_velocity,
    exponential,
    jacobian_determinant,
    make_anatomy,
    resample,
    sharpened,
    template_maps,
    velocity_from_log_jacobian,
)

INDEX = {
    "frontal_cortex": 1,
    "temporal_cortex": 2,
    "parietal_cortex": 3,
    "occipital_cortex": 4,
    "insular_cortex": 5,
    "brainstem": 8,
    "cerebellar_cortex": 9,
    "cerebellar_white_matter": 10,
    "lateral_ventricles": 11,
}


def ball_head(n=32, size=4.0):
    """A ball of white matter around a ventricle, with a shell of cortex in four quarters and fluid around it."""
    x, y, z = np.meshgrid(*[(np.arange(n) - (n - 1) / 2) * size] * 3, indexing="ij")
    radius = np.sqrt(x**2 + y**2 + z**2)
    csf = ((radius < 14) | ((radius >= 48) & (radius < 56))).astype(np.float32)
    grey = ((radius >= 40) & (radius < 48)).astype(np.float32)
    white = ((radius >= 14) & (radius < 40)).astype(np.float32)
    regions = np.zeros((n, n, n), dtype=np.int32)
    cortex = radius >= 40
    for label, quarter in enumerate([(x < 0) & (y < 0), (x < 0) & (y >= 0), (x >= 0) & (y < 0), (x >= 0) & (y >= 0)]):
        regions[cortex & quarter & (radius < 56)] = label + 1
    regions[cortex & (z < -30) & (radius < 56)] = INDEX["cerebellar_cortex"]
    regions[radius < 14] = INDEX["lateral_ventricles"]
    return template_maps(grey, white, csf, regions, INDEX, size), radius


@pytest.fixture(scope="module")
def head():
    return ball_head()


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


def test_the_exponential_of_nothing_is_the_identity(head):
    maps, _ = head
    anatomy = make_anatomy(maps, np.zeros((3, *maps.grey.shape), np.float32), {})
    np.testing.assert_allclose(anatomy.grey, maps.grey, atol=1e-5)
    np.testing.assert_allclose(anatomy.jacobian, 1)


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


def test_growing_ventricles_are_larger_and_have_j_below_one(head):
    maps, radius = head
    still = np.zeros((3, *maps.grey.shape), np.float32)
    grown = make_anatomy(maps, still, {VENTRICLES: 0.4})
    assert grown.ventricles.sum() > 1.1 * maps.ventricles.sum()
    assert grown.jacobian[radius < 8].max() < 0.95


def test_lost_cortex_has_j_above_one_there_only(head):
    maps, radius = head
    still = np.zeros((3, *maps.grey.shape), np.float32)
    thin = make_anatomy(maps, still, {"frontal_cortex": 0.3})
    n = maps.grey.shape[0] // 2
    frontal = np.zeros(maps.grey.shape, bool)
    frontal[:n, :n, n:] = True
    cortex = (radius > 41) & (radius < 46)
    assert thin.grey[frontal].sum() < 0.97 * maps.grey[frontal].sum()
    assert thin.jacobian[cortex & frontal].mean() > 1.02
    opposite = cortex & frontal[::-1, ::-1, :]
    assert 0.95 < thin.jacobian[opposite].mean() < 1  # the loss is shared out over the whole head


def test_one_unit_is_one_unit_of_log_volume_to_first_order(head):
    maps, _ = head
    still = np.zeros((3, *maps.grey.shape), np.float32)
    grown = make_anatomy(maps, still, {VENTRICLES: 0.1})
    assert np.log(grown.ventricles.sum() / maps.ventricles.sum()) == pytest.approx(0.1, abs=0.03)
    assert all(abs(pattern.sum()) < 1e-2 * np.abs(pattern).sum() for pattern in maps.patterns.values())


def test_the_jacobian_accounts_for_the_volume_of_tissue(head):
    maps, _ = head
    velocity = anatomical_velocity(maps.grey.shape, 4.0, np.random.default_rng(3))
    anatomy = make_anatomy(maps, velocity, {VENTRICLES: 0.3})
    # integrating J over the patient's white matter gives the template's volume back
    assert (anatomy.white * anatomy.jacobian).sum() == pytest.approx(maps.white.sum(), rel=0.02)


def test_anatomies_do_not_fold(head):
    maps, _ = head
    for seed in range(5):
        velocity = anatomical_velocity(maps.grey.shape, 4.0, np.random.default_rng(seed))
        anatomy = make_anatomy(maps, velocity, {VENTRICLES: 1.5, "frontal_cortex": 0.2})
        assert anatomy.jacobian.min() > 0.05


def test_sharpening_keeps_the_sum_and_pure_voxels():
    grey, white, csf = np.array([[1.0, 0.5, 0.0], [0.0, 0.5, 0.2], [0.0, 0.0, 0.6]], dtype=np.float32)
    sharp = sharpened(grey, white, csf)
    np.testing.assert_allclose(sum(sharp), grey + white + csf, rtol=1e-6)
    assert sharp[0][0] == 1 and sharp[2][0] == 0
    assert sharp[1][1] > 0.5  # where grey and white tie, white wins
