"""The door of the room."""

from typing import get_args

import pytest
import torch
from torch import nn

import relevox.attribution
from relevox.attribution import METHODS, attribute, options_of
from relevox.config import AttributionSettings, Method
from relevox.errors import SettingsError
from relevox.learning.network import ResNet3d


def test_the_public_names_are_these():
    public = {"METHODS", "Attribution", "RegionOcclusion", "attribute", "mean_scan", "occlude_regions", "options_of"}
    assert set(relevox.attribution.__all__) == public
    assert all(hasattr(relevox.attribution, name) for name in public)
    maps = {"lrp", "integrated_gradients", "gradient_input", "smoothgrad", "gradcam"}
    assert set(METHODS) == maps | {"occlusion"}
    assert set(get_args(Method)) == maps  # what a study can be asked for; occlusion is always made


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
    if method in ("smoothgrad", "gradcam"):
        assert result.start.isnan().all() and not result.losses  # nothing is distributed
    else:
        torch.testing.assert_close(result.total + sum(result.losses.values()), result.start, rtol=0, atol=1e-5)
    if not result.signed:
        assert result.relevance.min() >= 0
    assert result.colours == ("diverging" if result.signed else "sequential")
    assert "explained class" in result.convention


@pytest.mark.parametrize("method", sorted(METHODS))
def test_mode_weights_hooks_and_gradients_are_left_as_found(method):
    torch.manual_seed(0)
    model = ResNet3d(widths=(4, 8), head_widths=(8, 8)).train()
    model.blocks[0].eval()
    modes = [module.training for module in model.modules()]
    state = {k: v.clone() for k, v in model.state_dict().items()}
    attribute(model, torch.rand(1, 2, 8, 8, 8), method=method)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("method", ["integrated_gradients", "smoothgrad", "occlusion"])
def test_no_more_than_the_scans_pass_the_network_at_once(method):
    """Memory stays that of one pass, however many points a method needs."""
    seen = []
    model = ResNet3d(widths=(4, 8), head_widths=(8, 8))
    model.blocks[0].register_forward_pre_hook(lambda module, args: seen.append(len(args[0])))
    attribute(model, torch.rand(2, 2, 8, 8, 8), method=method)
    assert max(seen) == 2
    assert sum(seen) > 16


@pytest.mark.parametrize("method", ["integrated_gradients", "gradient_input", "smoothgrad", "gradcam"])
def test_an_unknown_explained_value_is_refused(method):
    with pytest.raises(SettingsError, match="logit"):
        attribute(ResNet3d(widths=(4, 8)), torch.rand(1, 2, 8, 8, 8), method=method, explained="odds")


@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_method_takes_the_options_of_a_study(method):
    baseline = torch.rand(2, 8, 8, 8)
    options = options_of(method, AttributionSettings(smoothgrad_samples=2), baseline, batch_size=3, seed=1)
    result = attribute(ResNet3d(widths=(4, 8), head_widths=(8, 8)), torch.rand(1, 2, 8, 8, 8), 1, method, **options)
    assert torch.isfinite(result.relevance).all()


def test_an_unknown_method_names_the_nearest():
    with pytest.raises(SettingsError, match="integrated_gradients"):
        attribute(nn.Linear(2, 2), torch.ones(1, 2), method="integrated_gradient")
