"""The door of the room."""

import pytest
import torch
from torch import nn

import relevox.attribution
from relevox.attribution import METHODS, attribute
from relevox.errors import SettingsError
from relevox.learning.network import ResNet3d


def test_the_public_names_are_these():
    public = {"METHODS", "Attribution", "RegionOcclusion", "attribute", "mean_scan", "occlude_regions"}
    assert set(relevox.attribution.__all__) == public
    assert all(hasattr(relevox.attribution, name) for name in public)
    assert set(METHODS) == {"lrp", "integrated_gradients"}


@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_method_explains_the_network_of_the_paper(method):
    torch.manual_seed(0)
    x = torch.rand(2, 2, 18, 23, 19)
    result = attribute(ResNet3d(widths=(4, 8, 8, 8), head_widths=(8, 8)), x, method=method)
    assert result.relevance.shape == x.shape
    assert result.method == method
    assert result.target.shape == result.start.shape == (2,)
    assert torch.isfinite(result.relevance).all()
    assert result.relevance.abs().max() > 0
    torch.testing.assert_close(result.total + sum(result.losses.values()), result.start, rtol=0, atol=1e-5)


def test_an_unknown_method_names_the_nearest():
    with pytest.raises(SettingsError, match="integrated_gradients"):
        attribute(nn.Linear(2, 2), torch.ones(1, 2), method="integrated_gradient")
