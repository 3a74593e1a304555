"""Simulated patches: they repeat, they hold what they say, and mimics are no lesions."""

import numpy as np
import pytest
import torch

from relevox.phantom import lesion_scans
from relevox.phantom.head_space import HeadGrid
from relevox.phantom.lesion_scans import draw_lesions, simulate_patches
from relevox.phantom.lesion_space import _deep_folds, draw_space, lesion_template

GRID = HeadGrid((24, 24, 24), 2.0)


@pytest.fixture(scope="module")
def template():
    """A ball of white matter with a chamber of fluid, in cortex, at 2 mm."""
    radius = 2 * np.sqrt(sum((axis - 29.5) ** 2 for axis in np.indices((60, 60, 60))))
    brain, inner, chamber = radius < 50, radius < 42, radius < 10
    below = np.indices(brain.shape)[2] < 16
    return lesion_template(
        (brain & ~inner).astype(float),
        (inner & ~chamber).astype(float),
        chamber.astype(float),
        brain,
        chamber,
        brain & ~inner,
        below & brain,
        2.0,
    )


@pytest.fixture(scope="module")
def patches(template):
    return list(simulate_patches(template, GRID, seed=1, stop=24))


def test_any_part_of_the_sequence_can_be_made_alone(template, patches):
    again = next(simulate_patches(template, GRID, seed=1, start=3, stop=4))
    assert torch.equal(again.image, patches[3].image)
    assert torch.equal(again.lesion, patches[3].lesion)
    assert not torch.equal(next(simulate_patches(template, GRID, seed=2)).image, patches[0].image)


def test_two_scans_of_an_anatomy_share_their_priors_and_nothing_else(patches):
    assert torch.equal(patches[0].priors, patches[1].priors)
    assert not torch.equal(patches[0].image, patches[1].image)
    assert not torch.equal(patches[1].priors, patches[2].priors)


def test_images_are_finite_never_negative_and_zero_outside_the_mask(patches):
    for patch in patches:
        assert torch.isfinite(patch.image).all()
        assert patch.image.min() >= 0
        assert not patch.image[:, patch.mask == 0].any()
        assert not patch.lesion[patch.mask == 0].any()
        assert patch.priors.min() >= 0
        assert patch.priors.max() <= 1.01


def test_lesions_are_brighter_on_flair_and_darker_on_t1w_than_white_matter(patches):
    t1w, flair = [], []
    for patch in patches:
        inside = patch.lesion > 0
        white = (patch.priors[0] > 0.95) & (patch.mask > 0) & ~inside
        if inside.sum() > 30 and white.sum() > 30:
            t1w.append(float(patch.image[0][inside].mean() / patch.image[0][white].mean()))
            flair.append(float(patch.image[1][inside].mean() / patch.image[1][white].mean()))
    assert len(flair) > 4
    assert np.median(flair) > 1.15
    assert np.median(t1w) < 0.97


def test_tissue_sums_to_one_deep_in_the_brain_and_to_nothing_far_outside(template):
    for seed in range(4):
        space = draw_space(template, GRID, np.random.default_rng(seed))
        total = space.csf + space.grey + space.white
        assert torch.allclose(total[space.brain_distance < -6], torch.ones(()), atol=1e-3)
        assert float(total[space.brain_distance > 4].sum()) == pytest.approx(0, abs=1e-3)


def test_lesions_lie_in_white_matter(template):
    space = draw_space(template, GRID, np.random.default_rng(0))
    lesions = sum(draw_lesions(space, GRID, np.random.default_rng(seed)) for seed in range(10))
    assert lesions[space.white > 0.9].mean() > 20 * lesions[space.white < 0.02].mean()


def test_rims_of_the_ventricles_are_bright_without_being_lesions(template, monkeypatch):
    monkeypatch.setattr(lesion_scans, "draw_lesions", lambda *_: torch.zeros(GRID.shape))
    monkeypatch.setattr(lesion_scans, "_dirty", lambda *_: torch.zeros(GRID.shape))
    spaces = (draw_space(template, GRID, np.random.default_rng(seed)) for seed in range(20))
    space = max(spaces, key=lambda space: int((space.ventricle_distance.abs() < 2).sum()))
    near = (space.ventricle_distance > 0) & (space.ventricle_distance < 2)
    rims = [float(lesion_scans._rim(space, GRID, np.random.default_rng(seed))[near].max()) for seed in range(20)]
    assert max(rims) > 0.4
    assert not lesion_scans.draw_patch(space, GRID, np.random.default_rng(0)).lesion.any()


def test_grey_matter_lies_about_zero_against_itself(template):
    for seed in range(6):
        rng = np.random.default_rng(seed)
        space = draw_space(template, GRID, rng)
        patch = lesion_scans.draw_patch(space, GRID, rng)
        grey = (space.grey > 0.5) & (patch.mask > 0)
        if grey.sum() > 100:
            assert abs(float(patch.flair_z[grey].median())) < 0.7
        assert torch.isfinite(patch.flair_z).all()
        assert not patch.flair_z[patch.mask == 0].any()


def test_deep_folds_turn_white_matter_near_the_cortex_into_grey_matter_and_fluid():
    shape = GRID.shape
    white, nothing = torch.ones(shape), torch.zeros(shape)
    to_cortex = torch.arange(shape[0]).float()[:, None, None].expand(shape) * GRID.voxel_size_mm
    turned = torch.zeros(shape)
    for seed in range(20):
        csf, grey, left = _deep_folds(nothing, nothing, white, to_cortex, GRID, np.random.default_rng(seed))
        assert torch.allclose(csf + grey + left, white, atol=1e-5)
        assert csf.min() >= 0 and grey.min() >= 0 and left.min() >= 0
        turned += (1 - left) / 20
    assert 0.02 < turned[0].mean() < 0.5
    assert turned[-6:].mean() < 0.2 * turned[0].mean()
