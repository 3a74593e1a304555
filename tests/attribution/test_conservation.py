"""What goes into a layer comes out of it, or its loss is named: over random networks of random layers."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.attribution.toys import Block, scans, toy
from torch import nn

from relevox.attribution import attribute

COMMON = {"deadline": None, "max_examples": 25, "derandomize": True}


def convolution(draw, channels):
    out, kernel = draw(st.sampled_from([1, 3, 4])), draw(st.sampled_from([1, 2, 3]))
    layers = [nn.Conv3d(channels, out, kernel, stride=draw(st.sampled_from([1, 2])), padding=kernel // 2)]
    if draw(st.booleans()):
        norm = nn.BatchNorm3d(out)
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
        layers.append(norm)
    return [*layers, draw(st.sampled_from([nn.ReLU(), nn.LeakyReLU(0.1), nn.Identity()]))], out


@st.composite
def networks(draw):
    torch.manual_seed(draw(st.integers(0, 1000)))
    layers, channels = [], 2
    for _ in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(["convolution", "block", "max-pool", "average"]))
        if kind == "convolution":
            new, channels = convolution(draw, channels)
            layers += new
        elif kind == "block":
            layers.append(Block(channels, channels + 1))
            channels += 1
        else:
            overlap = draw(st.booleans())
            pool = nn.MaxPool3d if kind == "max-pool" else nn.AvgPool3d
            layers.append(pool(2, stride=1 if overlap else 2, padding=1 if overlap else 0, ceil_mode=True))
    layers += [draw(st.sampled_from([nn.AdaptiveMaxPool3d(1), nn.AdaptiveAvgPool3d(1)])), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(channels, 2)).eval()


@settings(**COMMON)
@given(networks(), st.sampled_from(["alpha1-beta0", "alpha2-beta1", "gamma", "epsilon-zplus-flat"]), st.booleans())
def test_every_layers_loss_is_what_went_in_less_what_came_out(model, rule, sparse):
    model, x = model.double(), scans(2, edge=6).double()
    result = attribute(model, x, 1, rule=rule, start="one", sparse=sparse)
    lost = sum(result.losses.values())
    scale = (
        1
        + result.relevance.abs().sum(dim=(1, 2, 3, 4)).max()
        + sum(loss.abs().max() for loss in result.losses.values())
    )
    torch.testing.assert_close(result.total + lost, result.start, rtol=0, atol=1e-8 * float(scale))


@settings(**COMMON)
@given(networks())
def test_alpha_beta_relevance_stays_positive_and_grows_nowhere(model):
    result = attribute(model.double(), scans(2, edge=6).double(), 1, start="one", addition="positive")
    assert result.relevance.min() >= 0
    assert all(loss.min() > -1e-9 for loss in result.losses.values())


@pytest.mark.parametrize("bias", ["ignore", "absorb"])
def test_what_a_bias_absorbs_is_named_as_lost(bias):
    model = nn.Sequential(nn.Flatten(), nn.Linear(8, 2))
    nn.init.ones_(model[1].weight)
    nn.init.constant_(model[1].bias, 8.0)  # half of the sum of 16
    result = attribute(model, torch.ones(1, 1, 2, 2, 2), 1, start="one", bias=bias)
    expected = 0.5 if bias == "absorb" else 0.0
    assert result.losses["1"].tolist() == pytest.approx([expected])
    assert result.total.tolist() == pytest.approx([1 - expected])


def test_a_mask_brings_back_what_units_outside_had_won_by_their_bias():
    conv = nn.Conv3d(2, 1, 1)
    conv.weight.data = torch.tensor([0.5, -1.0]).reshape(1, 2, 1, 1, 1)  # inside 0.5 - 1 + 2, outside 2
    nn.init.constant_(conv.bias, 2.0)
    model = nn.Sequential(conv, nn.ReLU(), nn.MaxPool3d(2), nn.AdaptiveMaxPool3d(1), nn.Flatten(), nn.Linear(1, 2))
    nn.init.ones_(model[-1].weight)
    head = torch.zeros(1, 2, 4, 4, 4)
    head[..., 1:3, 1:3, 1:3] = 1.0
    plain, masked = (attribute(model, head, 1, start="one", pool_mask=mask) for mask in (None, head[0, 0] > 0))
    assert (plain.losses["0"].item(), plain.total.item()) == pytest.approx((1.0, 0.0))
    assert (masked.losses["0"].item(), masked.total.item()) == pytest.approx((0.0, 1.0))
    assert masked.relevance[head == 0].abs().max() == 0


def test_a_mask_follows_strides_and_pools_through_a_whole_network():
    x = scans(2, edge=8)
    mask = torch.zeros(8, 8, 8, dtype=torch.bool)
    mask[3:] = True
    plain, masked = (attribute(toy(), x, 1, start="one", pool_mask=m) for m in (None, mask))
    assert "inside the mask" in masked.rule
    assert not torch.equal(masked.relevance, plain.relevance)
    strided = nn.Sequential(
        nn.Conv3d(2, 3, 3, stride=2, padding=1), nn.MaxPool3d(2), nn.AdaptiveMaxPool3d(1), nn.Flatten()
    )
    assert torch.isfinite(attribute(strided, x, 1, pool_mask=mask.expand(2, 8, 8, 8)).relevance).all()
