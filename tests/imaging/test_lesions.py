import numpy as np
import pytest
from scipy import ndimage

from relevox.imaging.lesions import MIN_VOXELS, segment_lesions
from relevox.imaging.quality import dice
from relevox.imaging.regions import REGION_INDEX


@pytest.fixture
def brain():
    """A ball of white matter in a shell of grey, with noise."""
    rng = np.random.default_rng(0)
    radius = np.sqrt(sum((axis - 30) ** 2 for axis in np.indices((61, 61, 61))))
    mask = radius < 28
    grey = (mask & (radius > 20)).astype(float)
    white = (mask & (radius <= 20)).astype(float)
    flair = mask * (100 * grey + 85 * white + rng.normal(0, 6, mask.shape))
    regions = np.where(grey > 0, REGION_INDEX["frontal_cortex"], REGION_INDEX["frontal_white_matter"]) * mask
    return {"flair": flair, "mask": mask, "grey": grey, "white_prior": white, "regions": regions}


def ball(centre, radius, shape=(61, 61, 61)):
    return sum((axis - c) ** 2 for axis, c in zip(np.indices(shape), centre, strict=True)) <= radius**2


def test_a_brain_without_lesions_has_none(brain):
    assert np.count_nonzero(segment_lesions(**brain)) < 20


def test_a_bright_lesion_in_white_matter_is_found(brain):
    lesion = ball((30, 36, 30), 4)
    brain["flair"][lesion] += 60
    assert dice(segment_lesions(**brain), lesion) > 0.85


def test_scanner_units_do_not_matter(brain):
    brain["flair"][ball((30, 36, 30), 4)] += 60
    found = segment_lesions(**brain)
    brain["flair"] = brain["flair"] * 3.7
    assert np.array_equal(segment_lesions(**brain), found)


def test_bright_grey_matter_and_the_cerebellum_are_not_lesions(brain):
    brain["flair"][ball((30, 54, 30), 3)] += 60  # cortex
    assert not (segment_lesions(**brain) & ball((30, 54, 30), 3)).any()
    below = ball((30, 36, 30), 4)
    brain["flair"][below] += 60
    brain["regions"][below] = REGION_INDEX["cerebellar_white_matter"]
    assert not (segment_lesions(**brain) & below).any()


def test_specks_and_the_edge_of_the_mask_are_left_out(brain):
    brain["flair"][30, 36, 30:32] += 200
    assert not segment_lesions(**brain)[30, 36, 30:32].any()
    brain["white_prior"] = brain["mask"].astype(float)  # white matter everywhere: only depth protects
    brain["flair"][ball((30, 57, 30), 2)] += 80
    assert not segment_lesions(**brain)[30, 57, 30]


def test_every_lesion_is_one_piece_of_some_size(brain):
    for centre in ((30, 36, 30), (22, 30, 30), (36, 28, 24)):
        brain["flair"][ball(centre, 3)] += 60
    pieces, n = ndimage.label(segment_lesions(**brain))
    assert n >= 3
    assert np.bincount(pieces.ravel())[1:].min() >= MIN_VOXELS


def test_without_grey_matter_nothing_can_be_compared(brain):
    brain["grey"] = np.zeros_like(brain["grey"])
    assert not segment_lesions(**brain).any()
