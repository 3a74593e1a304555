import numpy as np
import pytest

from relevox.errors import ImageError
from relevox.imaging.intensity import normalise, truncate

METHODS = ("minmax", "median", "percentile")


@pytest.fixture
def head():
    rng = np.random.default_rng(0)
    image = rng.normal(100, 20, (12, 12, 12))
    mask = np.zeros(image.shape, dtype=bool)
    mask[2:10, 2:10, 2:10] = True
    return image, mask


@pytest.mark.parametrize("method", METHODS)
def test_background_is_zero_and_scanner_units_do_not_matter(head, method):
    image, mask = head
    scaled = normalise(image, mask, method)
    assert not scaled[~mask].any()
    assert np.allclose(normalise(7 * image, mask, method), scaled, atol=1e-5)


def test_each_scale_has_its_anchor(head):
    image, mask = head
    minmax = normalise(image, mask, "minmax")[mask]
    assert (minmax.min(), minmax.max()) == (0, 1)
    assert np.median(normalise(image, mask, "median")[mask]) == pytest.approx(1)
    percentile = normalise(image, mask, "percentile")[mask]
    assert (percentile.min(), percentile.max()) == (0, 1)
    assert np.mean(percentile == 1) == pytest.approx(0.005, abs=0.003)


def test_one_hot_voxel_rules_the_minmax_scale_only(head):
    image, mask = head
    hot = image.copy()
    hot[5, 5, 5] = 5000
    cool = mask.copy()
    cool[5, 5, 5] = False
    for method, moves in (("minmax", True), ("median", False), ("percentile", False)):
        change = np.abs(normalise(hot, mask, method) - normalise(image, mask, method))[cool].max()
        assert (change > 0.1) == moves, method


def test_negative_voxels_become_zero_under_the_median_scale(head):
    image, mask = head
    image[4, 4, 4] = -50
    assert normalise(image, mask, "median")[4, 4, 4] == 0


@pytest.mark.parametrize("method", METHODS)
def test_constant_images_and_empty_masks_are_refused(head, method):
    image, mask = head
    with pytest.raises(ImageError) as constant:
        normalise(np.full_like(image, 3), mask, method)
    assert constant.value.code == "image-constant"
    with pytest.raises(ImageError) as empty:
        normalise(image, np.zeros_like(mask), method)
    assert empty.value.code == "mask-empty"


def test_truncation_clips_both_ends():
    image = np.arange(-10, 1000, dtype=float).reshape(10, 101)
    assert truncate(image).min() == 0
    assert truncate(image).max() == pytest.approx(np.percentile(np.arange(1, 1000), 99.5))
    with pytest.raises(ImageError):
        truncate(np.zeros((3, 3)))
