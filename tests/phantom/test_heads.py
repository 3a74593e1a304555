"""Domain-randomised heads: repeatable, true to their template, as varied as they claim."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from relevox.phantom import head_scanner
from relevox.phantom.head_brain import Brain, paint_brain
from relevox.phantom.head_contrast import Contrast, draw_contrast
from relevox.phantom.head_space import (
    BRAIN_CENTRE_MM,
    HeadGrid,
    Pose,
    draw_knots,
    draw_textures,
    head_space,
    rotation_matrix,
    smooth_fields,
)
from relevox.phantom.head_template import head_template, signed_distance
from relevox.phantom.heads import draw_head, render_head, simulate_heads

GRID = HeadGrid((24, 26, 24), 8.0)
RADIUS_MM = 60.0


@pytest.fixture(scope="module")
def ball_template():
    """A ball of white matter, 60 mm in radius, under 8 mm of grey matter and 4 mm of fluid."""
    affine = np.diag([4.0, 4.0, 4.0, 1.0])
    affine[:3, 3] = np.array([-98, -116, -94]) + BRAIN_CENTRE_MM
    axes = [np.arange(n) * 4.0 + start for n, start in zip((50, 58, 48), (-98, -116, -94), strict=True)]
    radius = np.sqrt(sum(a**2 for a in np.meshgrid(*axes, indexing="ij")))
    csf, white = (radius <= RADIUS_MM) & (radius > 56), radius <= 48
    brain = radius <= RADIUS_MM
    return head_template(csf, brain & ~csf & ~white, white, brain, affine, factor=2)


def straight_pose(grid=GRID, **changes):
    knots = (np.zeros_like(draw_knots(np.random.default_rng(0), grid, scale, 3)) for scale in (55, 24))
    pose = Pose(np.zeros(3), np.ones(3), np.zeros(3), (0.0, 0.0), tuple(knots))
    return replace(pose, **changes)


def straight_space(template, **changes):
    textures = draw_textures(np.random.default_rng(0), GRID)
    return head_space(template, GRID, straight_pose(**changes), textures)


def test_the_same_seed_gives_the_same_heads_and_another_seed_others(ball_template):
    first, again = (list(simulate_heads(ball_template, GRID, 7, stop=3)) for _ in range(2))
    other = next(simulate_heads(ball_template, GRID, 8))
    for a, b in zip(first, again, strict=True):
        assert torch.equal(a.image, b.image)
        assert torch.equal(a.distance_mm, b.distance_mm)
    assert not torch.equal(first[0].image, first[1].image)
    assert not torch.equal(first[0].image, other.image)


def test_a_head_can_be_made_without_those_before_it(ball_template):
    heads = list(simulate_heads(ball_template, GRID, 7, stop=4))
    alone = next(simulate_heads(ball_template, GRID, 7, start=3))
    assert torch.equal(heads[3].image, alone.image)


def test_nothing_is_random_once_a_head_is_drawn(ball_template):
    head = draw_head(np.random.default_rng(1), GRID)
    torch.manual_seed(0)
    first = render_head(ball_template, GRID, head)
    torch.manual_seed(1)
    assert torch.equal(first.image, render_head(ball_template, GRID, head).image)


def test_every_head_is_finite_not_negative_and_dark_outside_the_field_of_view(ball_template):
    for head in simulate_heads(ball_template, GRID, 0, stop=12):
        assert head.image.shape == head.distance_mm.shape == head.valid.shape == GRID.shape
        assert torch.isfinite(head.image).all()
        assert (head.image >= 0).all()
        assert (head.image[~head.valid] == 0).all()
        assert torch.isfinite(head.distance_mm).all()
        assert (head.distance_mm > 0).any()


def test_an_unmoved_ball_has_the_distances_of_a_ball(ball_template):
    space = straight_space(ball_template)
    true = GRID.positions.norm(dim=-1) - RADIUS_MM
    near = true.abs() < 30
    assert (space.distance - true)[near].abs().max() < 4  # half a voxel of the source image, and interpolation
    assert (space.distance - true)[near].abs().mean() < 1.5
    assert space.tissue.sum(dim=0)[true < -12] == pytest.approx(1, abs=1e-4)
    assert (space.tissue.sum(dim=0)[true > 12] == 0).all()


def test_distances_go_on_growing_beyond_the_template(ball_template):
    far = HeadGrid((2, 2, 2), 600.0)
    textures = draw_textures(np.random.default_rng(0), far)
    space = head_space(ball_template, far, straight_pose(far), textures)
    assert (space.distance > 250).all()


def test_a_shift_and_a_scale_move_and_enlarge_the_brain(ball_template):
    shift = np.array([10.0, -12.0, 9.0])
    space = straight_space(ball_template, scale=np.full(3, 0.9), shift_mm=shift)
    inside = space.distance < 0
    centre = GRID.positions[inside].mean(dim=0).numpy()
    np.testing.assert_allclose(centre, shift, atol=1.5)
    radius = (float(inside.sum()) * 8.0**3 * 3 / 4 / np.pi) ** (1 / 3)
    assert radius == pytest.approx(0.9 * RADIUS_MM, rel=0.04)


def test_a_turned_head_shows_the_template_turned(ball_template):
    degrees = np.array([20.0, -10.0, 15.0])
    space = straight_space(ball_template, rotation_deg=degrees)
    turned = rotation_matrix(degrees)
    template_points = torch.stack([space.x, space.y, space.z], dim=-1) - torch.tensor(BRAIN_CENTRE_MM)
    back = template_points @ torch.tensor(turned.T, dtype=torch.float32)
    torch.testing.assert_close(back, GRID.positions, atol=1e-3, rtol=0)


def test_a_rotation_matrix_keeps_lengths_and_hands():
    matrix = rotation_matrix(np.array([30.0, -20.0, 70.0]))
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(matrix) == pytest.approx(1)
    np.testing.assert_allclose(rotation_matrix(np.array([90.0, 0, 0])) @ [0, 1, 0], [0, 0, 1], atol=1e-12)


def test_smooth_fields_are_trilinear_interpolation():
    knots = draw_knots(np.random.default_rng(3), GRID, 35.0, 2)
    expected = F.interpolate(torch.from_numpy(knots)[None], size=GRID.shape, mode="trilinear", align_corners=True)
    torch.testing.assert_close(smooth_fields(knots, GRID), expected[0], atol=1e-5, rtol=0)


def test_signed_distance_changes_sign_between_neighbours():
    ball = np.linalg.norm(np.indices((21, 21, 21)) - 10, axis=0) <= 6
    distance = signed_distance(ball)
    assert (distance[ball] < 0).all()
    assert (distance[~ball] > 0).all()
    np.testing.assert_allclose(np.abs(distance).min(), 0.5)


def test_the_closed_brain_holds_its_sulci_but_not_what_lies_outside():
    brain = np.zeros((40, 40, 40), dtype=bool)
    brain[10:30, 10:30, 10:30] = True
    brain[18:21, 10:20, 10:30] = False  # a sulcus of 3 mm
    zero = np.zeros(brain.shape, dtype=np.float32)
    maps = head_template(zero, brain, zero, brain, np.eye(4), factor=1)
    closed, open_ = (maps.distance_mm < 0).numpy()[:, :, :, 80:]
    assert closed[19, 14, 20]
    assert not open_[19, 14, 20]
    assert not closed[5, 20, 20]
    assert (closed >= brain).all()


def test_tissue_intensities_are_those_of_the_contrast(ball_template):
    contrast = draw_contrast(np.random.default_rng(0))
    space = straight_space(ball_template)
    plain = Brain(1.0, 0.0, 5.0, 0.0, None, (0.0, 0.0))
    image = paint_brain(torch.full(GRID.shape, 9.0), space, plain, contrast)
    radius = GRID.positions.norm(dim=-1)
    assert image[radius < 36].numpy() == pytest.approx(contrast.white, abs=1e-3)
    assert image[radius > 72].numpy() == pytest.approx(9.0, abs=1e-3)
    lesions = paint_brain(image, space, replace(plain, lesion_threshold=0.5), contrast)
    deep = radius < 36
    assert ((lesions - contrast.white).abs()[deep] > 0.5 * abs(contrast.lesion - contrast.white)).float().mean() > 0.01


def test_contrasts_are_what_their_names_say():
    rng = np.random.default_rng(0)
    drawn = [draw_contrast(rng) for _ in range(300)]
    t1_like = [c for c in drawn if c.white == 1 and c.grey < 1 and c.lesion <= 1]
    flair_like = [c for c in drawn if c.white == 1 and c.grey >= 1 and c.lesion > 1.2]
    assert 0.35 < len(t1_like) / 300 < 0.55
    assert 0.2 < len(flair_like) / 300 < 0.4
    assert all(c.csf < c.white for c in t1_like + flair_like)
    assert any(c.fat < 0.6 and c.orbital_fat > 1.5 for c in flair_like)  # failed fat suppression
    assert all(value >= 0 for c in drawn for value in (getattr(c, name) for name in Contrast.__dataclass_fields__))


def test_about_one_head_in_ten_is_already_stripped():
    scanners = [draw_head(np.random.default_rng([5, n]), HeadGrid((8, 8, 8), 24.0)).scanner for n in range(300)]
    assert 0.05 < np.mean([s.stripped_at_mm is not None for s in scanners]) < 0.16


def plain_scanner(**changes):
    scanner = head_scanner.draw_scanner(np.random.default_rng(0), GRID, np.zeros(3))
    nothing = {"slab": None, "side_slab": None, "slice_mm": None, "blurred": False}
    smooth = {"bias_size": 0.0, "bias_slope": 0.0, "noise": 0.0}
    archive = {"zeroed_from_mm": None, "defacing": None, "stripped_at_mm": None, "gamma": 1.0}
    return replace(scanner, **(nothing | smooth | archive | changes))


def test_a_scanner_without_faults_returns_the_head():
    image = torch.rand(GRID.shape, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(head_scanner.acquire(image, GRID, plain_scanner()), image)
    assert head_scanner.scanned(GRID, plain_scanner()).all()


def test_noise_is_rician():
    empty = torch.zeros(GRID.shape)
    noisy = head_scanner.acquire(empty, GRID, plain_scanner(noise=0.1))
    assert float(noisy.mean()) == pytest.approx(0.1 * np.sqrt(np.pi / 2), rel=0.02)


def test_thick_slices_keep_the_mean_and_lose_detail():
    image = torch.rand(GRID.shape, generator=torch.Generator().manual_seed(0))
    thick = head_scanner.acquire(image, GRID, plain_scanner(slice_axis=2, slice_mm=32.0))
    assert float(thick.mean()) == pytest.approx(float(image.mean()), rel=0.02)
    assert thick.diff(dim=2).abs().mean() < 0.4 * image.diff(dim=2).abs().mean()


def test_a_slab_is_as_long_as_drawn():
    slab = head_scanner.Slab(np.array([0.0, 0.0, 1.0]), 8.0, 64.0)
    inside = head_scanner.scanned(GRID, plain_scanner(slab=slab))
    heights = GRID.positions[0, 0, :, 2]
    assert torch.equal(inside[3, 4], (heights - 8).abs() < 32)


def test_a_stripped_head_holds_brain_only(ball_template):
    space = straight_space(ball_template)
    image = torch.ones(GRID.shape)
    far = torch.full(GRID.shape, 20.0)
    stripped = head_scanner.archive(image, space, plain_scanner(stripped_at_mm=1.0), far, torch.zeros(GRID.shape))
    assert torch.equal(stripped > 0, space.distance < 1.0)


def test_a_zeroed_background_spares_the_neck(ball_template):
    space = straight_space(ball_template)
    neck = (space.z < -60).float()
    scalp = torch.full(GRID.shape, 20.0)
    image = head_scanner.archive(torch.ones(GRID.shape), space, plain_scanner(zeroed_from_mm=3.0), scalp, neck)
    assert torch.equal(image > 0, (space.distance <= 23) | (neck > 0))
