"""What a region's volume is worth to a network."""

import pytest
import torch
from torch import nn

from relevox.attribution.deformation import deform_regions, warp
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
    found = deform_regions(model, bar(), [scaling(5.5, step)], [scaling(5.5, -step)], step, target=1)
    assert found.slope.item() == pytest.approx(-bar().sum().item(), rel=0.03)


def test_a_region_the_network_does_not_look_at_has_no_slope():
    where = torch.zeros(SHAPE)
    where[:, :5] = 1
    x = torch.cat([bar(), 2 * bar()])
    elsewhere = [scaling(5.5, amount) for amount in (0.1, -0.1)]
    for u in elsewhere:
        u[:, :, :5] = 0
    both = [scaling(5.5, amount) for amount in (0.1, -0.1)]
    found = deform_regions(Volume(where), x, [elsewhere[0], both[0]], [elsewhere[1], both[1]], 0.1, 1, batch_size=1)
    assert found.slope[:, 0].abs().max() < 1e-4
    assert (found.slope[:, 1] < -1).all()
    assert found.slope[1, 1] == pytest.approx(2 * found.slope[0, 1].item(), rel=1e-4)


def test_the_contribution_is_the_slope_times_what_was_lost():
    model = Volume(torch.ones(SHAPE))
    found = deform_regions(model, bar(), [scaling(5.5, 0.05)], [scaling(5.5, -0.05)], 0.05, target=0)
    assert found.contribution(torch.tensor([[0.2]])).item() == pytest.approx(0.2 * found.slope.item())
    assert found.slope.item() > 0  # less volume speaks for class 0


def test_displacements_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="warps-shape"):
        deform_regions(Volume(torch.ones(SHAPE)), bar(), [torch.zeros(3, 2, 2, 2)], [torch.zeros(3, 2, 2, 2)], 0.1)
