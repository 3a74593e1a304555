import numpy as np
import pytest
from scipy import ndimage

from relevox.errors import ImageError
from relevox.imaging.quality import dice
from relevox.imaging.tissue import (
    TEMPLATE_CSF,
    TEMPLATE_GREY,
    TEMPLATE_WHITE,
    _posterior,
    segment,
    template_fractions,
)


@pytest.fixture
def labelled():
    """Random blobs of CSF (0), grey (1) and white (2) with a blurred copy of themselves as priors."""
    rng = np.random.default_rng(0)
    field = ndimage.gaussian_filter(rng.normal(size=(3, 32, 32, 32)), (0, 3, 3, 3))
    truth = field.argmax(axis=0)
    mask = np.zeros(truth.shape, dtype=bool)
    mask[3:-3, 3:-3, 3:-3] = True
    csf, grey, white = (ndimage.gaussian_filter((truth == k).astype(float), 2.5) for k in range(3))
    t1w = np.array([30.0, 80.0, 120.0])[truth] + rng.normal(0, 8, truth.shape)
    return t1w, mask, grey, white, csf, truth


def test_three_tissues_are_told_apart(labelled):
    t1w, mask, *priors, truth = labelled
    grey, white, csf = segment(t1w, mask, *priors)
    for found, label in ((csf, 0), (grey, 1), (white, 2)):
        assert dice((found > 0.5) & mask, (truth == label) & mask) > 0.95


def test_probabilities_sum_to_one_in_the_brain_and_vanish_outside(labelled):
    t1w, mask, *priors, _ = labelled
    total = np.sum(segment(t1w, mask, *priors), axis=0)
    assert np.allclose(total[mask], 1, atol=1e-5)
    assert not total[~mask].any()


def test_scanner_units_do_not_matter(labelled):
    t1w, mask, *priors, _ = labelled
    first, second = segment(t1w, mask, *priors), segment(1000 * t1w, mask, *priors)
    assert np.allclose(first, second, atol=1e-4)


@pytest.fixture(scope="module")
def thick_slices():
    """Fine truth, seen in slices three voxels thick and through a blur, with a prior that knows half of it."""
    rng = np.random.default_rng(1)
    field = ndimage.gaussian_filter(rng.normal(size=(3, 54, 54, 54)), (0, 3, 3, 3))
    fine = np.stack([field.argmax(axis=0) == k for k in range(3)]).astype(float)
    shares = ndimage.uniform_filter(fine, (0, 2, 2, 3))  # (3, x, y, z): what of each voxel is CSF, grey, white
    t1w = np.tensordot([0.35, 0.86, 1.0], shares, axes=1) + rng.normal(0, 0.03, shares.shape[1:])
    priors = [ndimage.gaussian_filter(share, 3) for share in fine]
    return t1w, shares, priors


def test_mixed_voxels_are_divided_so_that_volumes_are_true(thick_slices):
    t1w, shares, (csf, grey, white) = thick_slices
    found = segment(t1w, np.ones(t1w.shape, dtype=bool), grey, white, csf)
    for estimate, truth in zip(found, shares[[1, 2, 0]], strict=True):
        assert estimate.sum() == pytest.approx(truth.sum(), rel=0.05)
        assert np.corrcoef(estimate.ravel(), truth.ravel())[0, 1] > 0.9


def test_a_voxel_halfway_between_two_tissues_is_half_of_each():
    prior = np.full((3, 1), 1 / 3)
    _, fractions = _posterior(np.array([0.8]), prior, np.array([-5.0, 0.6, 1.0]), 0.02)
    assert fractions[:, 0] == pytest.approx([0, 0.5, 0.5], abs=0.05)


def test_an_intensity_far_from_every_tissue_goes_to_the_nearest():
    _, fractions = _posterior(np.array([90.0]), np.full((3, 1), 1 / 3), np.array([0.3, 0.8, 1.0]), 0.02)
    assert fractions[:, 0].tolist() == [0, 0, 1]


def test_priors_decide_where_intensity_cannot(labelled):
    t1w, mask, grey, white, csf, truth = labelled
    nowhere = np.zeros_like(grey)
    found_grey, _, _ = segment(t1w, mask, nowhere, white + grey, csf)
    assert found_grey[mask].sum() < 0.2 * (truth[mask] == 1).sum()


def test_a_constant_image_is_refused(labelled):
    _, mask, *priors, _ = labelled
    with pytest.raises(ImageError):
        segment(np.ones(mask.shape), mask, *priors)


def test_the_template_gives_back_the_fractions_its_intensities_are_made_of():
    rng = np.random.default_rng(0)
    csf, grey, white = rng.dirichlet((1, 1, 1), 500).T
    t1 = TEMPLATE_CSF * csf + TEMPLATE_GREY * grey + TEMPLATE_WHITE * white
    # The map of grey matter holds the fluid, as the ICBM152 map does.
    solid = grey + white
    found = template_fractions(t1, grey / solid, white / solid, np.ones(500, dtype=bool))
    assert np.allclose(found, (grey, white, csf), atol=1e-4)
