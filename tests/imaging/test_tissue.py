import numpy as np
import pytest
from scipy import ndimage

from relevox.errors import ImageError
from relevox.imaging.quality import dice
from relevox.imaging.tissue import TEMPLATE_CSF, TEMPLATE_GREY, TEMPLATE_WHITE, segment, template_fractions


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
