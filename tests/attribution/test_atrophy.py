"""What a region's volume is worth to a network."""

import math

import pytest
import torch
from torch import nn

from relevox.attribution.atrophy import atrophy_slopes, exchange_tissue, tissue_values, warp
from relevox.errors import InputError

SHAPE = (12, 10, 8)


class Volume(nn.Module):
    """Class 1's logit is the volume of what is bright in one half of the grid."""

    def __init__(self, where):
        super().__init__()
        self.where = where

    def forward(self, x):
        volume = (x[:, 0] * self.where).sum(dim=(1, 2, 3))
        return torch.stack([torch.zeros_like(volume), volume], dim=1)


def scaling(centre, amount):
    """Displacement in voxels that scales the grid around a plane x = centre: u = amount (x - centre)."""
    u = torch.zeros(3, *SHAPE)
    u[0] = amount * (torch.arange(SHAPE[0]) - centre).reshape(-1, 1, 1)
    return u


def around(x, step):
    """The scans after a loss and after a gain, by scaling around the bar's middle."""
    return warp(x, scaling(5.5, step)), warp(x, scaling(5.5, -step))


def bar():
    """A bar across x from 3 to 8, fading at its ends."""
    place = torch.arange(SHAPE[0], dtype=torch.float32)
    profile = (3 - (place - 5.5).abs()).clamp(0, 1)
    return profile.reshape(-1, 1, 1).expand(1, 1, *SHAPE).clone()


def test_no_displacement_changes_nothing():
    x = torch.rand(2, 2, *SHAPE)
    assert torch.allclose(warp(x, torch.zeros(3, *SHAPE)), x, atol=1e-5)


def test_a_displacement_of_one_voxel_takes_the_next_voxel():
    x = torch.rand(1, 1, *SHAPE)
    u = torch.zeros(3, *SHAPE)
    u[1] = 1.0
    assert torch.allclose(warp(x, u)[..., :-1, :], x[..., 1:, :], atol=1e-5)


def test_the_slope_of_a_volume_is_minus_the_volume():
    model = Volume(torch.ones(SHAPE))
    step = 0.05  # u = step (x - c): the bar's width times 1 / (1 + step), a loss of log volume of about step
    found = atrophy_slopes(model, bar(), [around(bar(), step)], step, target=1)
    assert found.slope.item() == pytest.approx(-bar().sum().item(), rel=0.03)


def test_a_region_the_network_does_not_look_at_has_no_slope():
    where = torch.zeros(SHAPE)
    where[:, :5] = 1
    x = torch.cat([bar(), 2 * bar()])
    elsewhere = tuple(torch.where(where > 0, x, changed) for changed in around(x, 0.1))
    found = atrophy_slopes(Volume(where), x, [elsewhere, around(x, 0.1)], 0.1, 1, batch_size=1)
    assert found.slope[:, 0].abs().max() < 1e-4
    assert (found.slope[:, 1] < -1).all()
    assert found.slope[1, 1] == pytest.approx(2 * found.slope[0, 1].item(), rel=1e-4)


def test_the_contribution_is_the_slope_times_what_was_lost():
    model = Volume(torch.ones(SHAPE))
    found = atrophy_slopes(model, bar(), [around(bar(), 0.05)], 0.05, target=0)
    assert found.contribution(torch.tensor([[0.2]])).item() == pytest.approx(0.2 * found.slope.item())
    assert found.slope.item() > 0  # less volume speaks for class 0


def test_changed_scans_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="changed-shape"):
        atrophy_slopes(Volume(torch.ones(SHAPE)), bar(), [(bar()[..., :-1], bar())], 0.1)


def test_exchanged_tissue_looks_like_fluid_and_the_background_stays():
    x = torch.full((1, 2, *SHAPE), 3.0)
    x[:, :, 0] = 0
    share = torch.zeros(SHAPE)
    share[:6] = 0.5
    changed = exchange_tissue(x, share, torch.tensor([[3.0, 3.0]]), torch.tensor([[1.0, 5.0]]), loss=0.1)
    lost = 0.5 * (1 - math.exp(-0.1))
    assert changed[0, :, 3, 0, 0].tolist() == pytest.approx([3 - 2 * lost, 3 + 2 * lost])
    assert (changed[:, :, 0] == 0).all() and (changed[:, :, 6:] == 3).all()
    assert torch.equal(exchange_tissue(x, share, torch.ones(1, 2), torch.zeros(1, 2), loss=0.0), x)


def test_tissue_is_measured_where_the_template_is_surest():
    x = torch.ones(2, 1, *SHAPE)
    share = torch.rand(SHAPE, generator=torch.Generator().manual_seed(0)) * 0.8
    share[4:6] = 1.0
    x[1, :, 4:6] = 7.0
    assert tissue_values(x, share).tolist() == [[1.0], [7.0]]
