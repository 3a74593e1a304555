"""The sweeps over the winners against the convolutions over everything."""

import numpy as np
import pytest
import torch
from tests.attribution.toys import scans, toy
from torch import nn

from relevox.attribution import attribute, sparse
from relevox.attribution.composites import composite
from relevox.attribution.options import Options
from relevox.attribution.supported import layer_for


def shared(conv, x, relevance, rule, wanted):
    layer = layer_for(conv, "conv", Options(composite(rule), sparse=wanted))
    layer.keep(x)
    layer.finish(conv(x).detach())
    return layer.share(relevance)[0]


@pytest.mark.parametrize("rule", ["alpha1-beta0", "alpha2-beta1", "epsilon", "gamma", "flat", "wsquare"])
@pytest.mark.parametrize("options", [{"padding": 1}, {"padding": (0, 2, 1), "stride": (2, 1, 3)}])
def test_both_ways_give_the_same_to_rounding(rule, options):
    torch.manual_seed(0)
    conv = nn.Conv3d(5, 16, 3, **options).double()  # sums that nearly cancel make single precision a poor judge
    x = torch.randn(2, 5, 9, 8, 7, dtype=torch.float64)
    relevance = torch.randn_like(conv(x)).detach()
    relevance[torch.rand_like(relevance) > 0.125] = 0
    assert sparse.units_with(relevance) is not None
    dense, swept = (shared(conv, x, relevance, rule, wanted) for wanted in (False, True))
    assert (swept - dense).abs().sum() / dense.abs().sum() < 1e-12


@pytest.mark.parametrize("rule", ["alpha1-beta0", "epsilon-gamma"])
def test_whole_maps_are_the_same_to_rounding(rule):
    model, x = toy(2, widths=(8, 16)), scans(2, edge=12)
    dense, swept = (attribute(model, x, 1, rule=rule, sparse=wanted) for wanted in (False, True))
    assert (swept.relevance - dense.relevance).abs().sum() / dense.relevance.abs().sum() < 1e-5
    for name, loss in dense.losses.items():
        torch.testing.assert_close(swept.losses[name], loss, rtol=0, atol=1e-6)


def test_units_are_found_in_the_order_of_memory():
    relevance = torch.zeros(2, 3, 2, 2, 2)
    relevance[0, 2, 0, 0, 1] = -1.0
    relevance[0, 0, 1, 0, 0] = 1.0
    first, second = sparse.units_with(relevance)
    np.testing.assert_array_equal(first, [1 * 3 + 2, 4 * 3])
    assert len(second) == 0


def test_relevance_almost_everywhere_is_left_to_the_convolutions():
    assert sparse.units_with(torch.ones(1, 2, 3, 3, 3)) is None


@pytest.mark.parametrize(
    "conv", [nn.Conv3d(4, 4, 3, groups=2), nn.Conv3d(4, 4, 3, dilation=2), nn.Conv3d(4, 4, 3, padding="same")]
)
def test_other_convolutions_are_left_to_torch(conv):
    assert not sparse.possible(sparse.LinearMap(conv), torch.zeros(1, 4, 5, 5, 5))
    assert not sparse.possible(sparse.LinearMap(nn.Conv3d(4, 4, 3)), torch.zeros(1, 4, 5, 5, 5, dtype=torch.bfloat16))
