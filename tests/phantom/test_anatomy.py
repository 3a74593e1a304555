"""Anatomy: one map resamples the tissue and gives the Jacobian."""

import numpy as np
import pytest

from relevox.phantom.anatomy import anatomical_velocity, make_anatomy, sharpened, template_maps
from relevox.phantom.atrophy import LOBES, TISSUES, VENTRICLES, tissues
from relevox.phantom.warping import resample

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
    return template_maps(grey, white, csf, regions, INDEX, size, [x.min(), y.min(), z.min()]), radius


@pytest.fixture(scope="module")
def head():
    return ball_head()


def test_the_exponential_of_nothing_is_the_identity(head):
    maps, _ = head
    anatomy = make_anatomy(maps, np.zeros((3, *maps.grey.shape), np.float32), {})
    np.testing.assert_allclose(anatomy.grey, maps.grey, atol=1e-5)
    np.testing.assert_array_equal(anatomy.jacobian, 1)


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
    assert thin.jacobian[opposite].mean() == pytest.approx(1, abs=0.02)
    assert thin.jacobian[(radius > 49) & (radius < 54)].mean() < 0.97  # fluid takes the place of the lost


def log_shares(maps, anatomy):
    """Measure log shares of the head in the final anatomy, relative to the template's."""
    names = [name for name in TISSUES if name != "other_grey"]  # the ball has no other grey matter
    parts = tissues(np.stack([maps.grey, maps.white, maps.csf]), maps.cause_regions)
    parts = parts[[TISSUES.index(name) for name in names]]
    carried = resample(parts, anatomy.displacement, maps.voxel_size_mm)

    def shares(volumes, head):
        return volumes.sum(axis=(1, 2, 3), dtype=float) / sum(tissue.sum(dtype=float) for tissue in head)

    before = shares(parts, (maps.grey, maps.white, maps.csf))
    after = shares(carried, (anatomy.grey, anatomy.white, anatomy.csf))
    return dict(zip(names, np.log(after / before), strict=True))


@pytest.mark.parametrize("seed", [0, 1])
def test_every_region_of_the_final_anatomy_has_the_share_that_was_drawn(head, seed):
    # the ball's tissue is pure, so that all of the change is in the map
    maps, _ = head
    rng = np.random.default_rng(seed)
    drawn = {lobe: float(rng.normal(0.05, 0.03)) for lobe in LOBES} | {"white_matter": 0.04, VENTRICLES: 0.5}
    anatomy = make_anatomy(maps, anatomical_velocity(maps.grey.shape, 4.0, rng), drawn)
    measured = log_shares(maps, anatomy)
    for name, amount in drawn.items():
        assert measured[name] == pytest.approx(amount if name == VENTRICLES else -amount, abs=0.01), name


def test_a_shape_of_its_own_changes_no_volume(head):
    maps, _ = head
    measured = log_shares(
        maps, make_anatomy(maps, anatomical_velocity(maps.grey.shape, 4.0, np.random.default_rng(7)), {})
    )
    assert all(abs(measured[name]) < 0.01 for name in (*LOBES, "white_matter", VENTRICLES))


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
        assert anatomy.jacobian.min() > 0.01  # ventricles 4.5 times as large have J = 0.22 on the whole


def test_sharpening_keeps_the_sum_and_pure_voxels():
    grey, white, csf = np.array([[1.0, 0.5, 0.0], [0.0, 0.5, 0.2], [0.0, 0.0, 0.6]], dtype=np.float32)
    sharp = sharpened(grey, white, csf)
    np.testing.assert_allclose(sum(sharp), grey + white + csf, rtol=1e-6)
    assert sharp[0][0] == 1 and sharp[2][0] == 0
    assert sharp[1][1] > 0.5  # where grey and white tie, white wins
