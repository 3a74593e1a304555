import numpy as np
import pytest
from scipy import ndimage

from relevox.imaging.lesion_filling import fill_lesions
from relevox.imaging.tissue import segment


def ball(shape, centre, radius):
    return sum((axis - c) ** 2 for axis, c in zip(np.indices(shape), centre, strict=True)) <= radius**2


@pytest.fixture
def brain():
    """White matter in a shell of cortex in fluid; T1w with a gradient and noise."""
    rng = np.random.default_rng(0)
    shape = (50, 50, 50)
    radius = np.sqrt(sum((axis - 24.5) ** 2 for axis in np.indices(shape)))
    mask = radius < 23
    labels = np.digitize(radius, [17, 21])  # 0 white, 1 grey, 2 fluid
    shares = [ndimage.gaussian_filter((labels == k).astype(float), 1) for k in range(3)]
    white, grey, csf = (share * mask for share in shares)
    t1w = (100 * white + 80 * grey + 35 * csf) * (1 + 0.002 * (np.indices(shape)[0] - 25))
    t1w = t1w + rng.normal(0, 2, shape) * mask
    lesions = ball(shape, (18, 24, 24), 5) | ball(shape, (32, 30, 24), 4) | ball(shape, (26, 18, 30), 3)
    return t1w, mask, grey, white, csf, lesions


def test_without_lesions_nothing_changes(brain):
    t1w, mask, _, white, _, lesions = brain
    assert np.array_equal(fill_lesions(t1w, lesions & False, white, mask), t1w.astype(np.float32))


def test_only_lesions_change_and_they_look_like_the_white_matter_around_them(brain):
    t1w, mask, _, white, _, lesions = brain
    dark = np.where(lesions, 0.6 * t1w, t1w)
    filled = fill_lesions(dark, lesions, white, mask)
    assert np.array_equal(filled[~lesions], t1w[~lesions].astype(np.float32))
    assert filled[lesions].mean() == pytest.approx(t1w[lesions].mean(), rel=0.01)
    assert filled[lesions].std() == pytest.approx(t1w[lesions].std(), rel=0.35)
    left, right = (ball(mask.shape, centre, 3) for centre in ((18, 24, 24), (32, 30, 24)))
    assert filled[right].mean() > filled[left].mean()  # the gradient is followed


def test_tissue_volumes_are_those_of_the_same_brain_without_lesions(brain):
    t1w, mask, grey, white, csf, lesions = brain
    dark = np.where(lesions, 0.75 * t1w, t1w)
    filled = fill_lesions(dark, lesions, white, mask)
    priors = [np.full(mask.shape, share[mask].mean()) for share in (grey, white, csf)]  # no help from place

    def volumes(image):
        return np.array([share.sum() for share in segment(image, mask, *priors)])

    truth, seen, mended = volumes(t1w), volumes(dark), volumes(filled)
    assert np.all(np.abs(mended - truth) < 0.01 * truth)
    assert np.abs(seen - truth)[:2].min() > 3 * np.abs(mended - truth)[:2].max()


def test_the_same_scan_is_filled_alike(brain):
    t1w, mask, _, white, _, lesions = brain
    assert np.array_equal(*(fill_lesions(t1w, lesions, white, mask) for _ in range(2)))


def test_without_normal_white_matter_nothing_is_filled(brain):
    t1w, mask, _, white, _, lesions = brain
    assert np.array_equal(fill_lesions(t1w, lesions, 0 * white, mask), t1w.astype(np.float32))
