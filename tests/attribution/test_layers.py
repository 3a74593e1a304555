"""Layers that have no products: normalisation, addition, max-pools; and layers that are refused."""

import numpy as np
import pytest
import torch
from tests.attribution.test_rules import share_by_loops
from torch import nn

from relevox.attribution.composites import composite
from relevox.attribution.layers import SUPPORTED, Addition
from relevox.attribution.options import Options
from relevox.attribution.pooling import WinnerTakesAll
from relevox.attribution.products import Products
from relevox.attribution.supported import LAYERS, layer_for
from relevox.errors import ModelError, SettingsError


def options(**chosen):
    return Options(composite("alpha1-beta0"), **chosen)


def shared_by(layer, *inputs, relevance):
    layer.keep(*inputs)
    return layer.share(relevance)


@pytest.mark.parametrize("sparse", [True, False])
def test_a_batchnorm_behind_a_convolution_turns_its_weights(sparse):
    torch.manual_seed(0)
    conv, x = nn.Conv3d(2, 3, 3).double(), torch.randn(1, 2, 4, 4, 4, dtype=torch.float64)
    norm = nn.BatchNorm3d(3).double()
    norm.weight.data = torch.tensor([1.5, -2.0, 0.3], dtype=torch.float64)  # a negative gamma swaps the signs
    norm.running_var = torch.tensor([0.5, 4.0, 1.0], dtype=torch.float64)
    norm.running_mean = torch.tensor([0.1, -4.0, 1.0], dtype=torch.float64)
    relevance = torch.rand(1, 3, 2, 2, 2, dtype=torch.float64)
    by_hand = nn.Conv3d(2, 3, 3).double()
    factor = (norm.weight / torch.sqrt(norm.running_var + norm.eps)).detach()
    by_hand.weight.data = conv.weight.detach() * factor[:, None, None, None, None]
    by_hand.bias.data = (conv.bias - norm.running_mean) * factor + norm.bias
    for bias in ("ignore", "absorb"):
        layer = layer_for(conv, "conv", options(sparse=sparse, bias=bias))
        layer.keep(x)
        layer.finish(conv(x).detach(), layer_for(norm, "norm", options()))
        (folded,) = layer.share(relevance)
        slow = share_by_loops(by_hand, x[0].numpy(), relevance[0].numpy(), with_bias=bias == "absorb")
        np.testing.assert_allclose(folded[0], slow, atol=1e-12)


def test_an_addition_splits_by_positive_parts():
    first, second = torch.tensor([[3.0, -1.0, 2.0, -1.0]]), torch.tensor([[1.0, 4.0, -9.0, -1.0]])
    a, b = shared_by(Addition(None, "+", options()), first, second, relevance=torch.full((1, 4), 8.0))
    assert a.tolist() == [[6.0, 0.0, 8.0, 0.0]]
    assert b.tolist() == [[2.0, 8.0, 0.0, 0.0]]


def test_an_addition_splits_by_signed_shares_on_request():
    first, second = torch.tensor([[3.0, -1.0, 1.0, -1.0]]), torch.tensor([[1.0, 3.0, -1.0, -3.0]])
    a, b = shared_by(Addition(None, "+", options(addition="norm")), first, second, relevance=torch.full((1, 4), 8.0))
    assert a.tolist() == [[6.0, -4.0, 0.0, 2.0]]
    assert b.tolist() == [[2.0, 12.0, 0.0, 6.0]]


def test_an_addition_of_images_splits_like_one_of_vectors():
    torch.manual_seed(0)
    first, second, relevance = torch.randn(3, 2, 3, 4, 5, 6)
    flat = [values.flatten(1) for values in (first, second, relevance)]
    vectors = shared_by(Addition(None, "+", options()), *flat[:2], relevance=flat[2].clone())
    images = shared_by(Addition(None, "+", options()), first, second, relevance=relevance.clone())
    for vector, image in zip(vectors, images, strict=True):
        torch.testing.assert_close(image.flatten(1), vector)


def test_the_winner_of_a_pool_takes_all_of_every_window_it_wins():
    x = torch.zeros(1, 1, 3, 3, 3)
    x[0, 0, 1, 1, 1] = 1.0  # the centre wins all eight overlapping windows
    relevance = torch.arange(1.0, 9.0).reshape(1, 1, 2, 2, 2)
    (shared,) = shared_by(layer_for(nn.MaxPool3d(2, stride=1), "pool", options()), x, relevance=relevance)
    assert shared[0, 0, 1, 1, 1] == 36.0
    assert shared.sum() == 36.0


@pytest.mark.parametrize("pool", [nn.MaxPool3d(2), nn.MaxPool3d(3, 2, 1, ceil_mode=True), nn.AdaptiveMaxPool3d(2)])
def test_a_pool_shares_like_its_own_gradient(pool):
    torch.manual_seed(0)
    x = torch.randn(2, 3, 6, 5, 7, requires_grad=True)
    y = pool(x)
    relevance = torch.rand_like(y)
    (gradient,) = torch.autograd.grad(y, x, relevance)
    (shared,) = shared_by(layer_for(pool, "pool", options()), x.detach(), relevance=relevance)
    torch.testing.assert_close(shared, gradient)
    assert isinstance(layer_for(pool, "pool", options()), WinnerTakesAll)


@pytest.mark.parametrize(
    "layer", [nn.Sigmoid(), nn.Conv2d(1, 1, 1), nn.AvgPool2d(2), nn.Conv3d(1, 1, 3, padding=1, padding_mode="circular")]
)
def test_a_layer_without_a_rule_is_refused_by_its_dotted_name(layer):
    with pytest.raises(ModelError, match=r"'blocks\.2\.layer'") as caught:
        layer_for(layer, "blocks.2.layer", options()).keep(torch.zeros(1, 1, 4, 4, 4))
    assert caught.value.code == "layer-unsupported"


def test_a_subclass_that_may_compute_something_else_is_refused():
    class Sharper(nn.Conv3d):
        def forward(self, x):
            return super().forward(x) ** 2

    with pytest.raises(ModelError, match="Sharper"):
        layer_for(Sharper(1, 1, 1), "sharper", options())


def test_every_layer_call_is_looked_at_anew():
    conv = nn.Conv3d(1, 1, 1)
    assert isinstance(layer_for(conv, "a", options()), Products)
    assert layer_for(conv, "a", options()) is not layer_for(conv, "a", options())  # nothing is left over between calls


def test_the_message_names_all_supported_layers():
    assert sorted(SUPPORTED) == sorted(layer.__name__ for layer in LAYERS)


def masked_pool(mask, x, relevance, pool):
    layer = layer_for(pool, "pool", options(pool_mask=mask))
    layer.mask = mask.expand(len(x), 1, *x.shape[2:])
    return shared_by(layer, x, relevance=relevance)[0]


def test_a_mask_keeps_winners_inside_where_a_window_has_an_inside():
    x = torch.tensor([9.0, 1.0, 2.0, 3.0]).reshape(1, 1, 4, 1, 1)
    mask = torch.tensor([False, True, False, False]).reshape(4, 1, 1)
    relevance = torch.tensor([5.0, 7.0]).reshape(1, 1, 2, 1, 1)
    for pool in (nn.MaxPool3d((2, 1, 1)), nn.AdaptiveMaxPool3d((2, 1, 1))):
        assert masked_pool(mask, x, relevance, pool).flatten().tolist() == [0.0, 5.0, 0.0, 7.0]


def test_a_mask_of_everything_changes_no_winner():
    torch.manual_seed(0)
    x, pool = torch.randn(2, 3, 4, 4, 4), nn.MaxPool3d(2)
    relevance = torch.rand(2, 3, 2, 2, 2)
    plain = shared_by(layer_for(pool, "pool", options()), x, relevance=relevance)[0]
    torch.testing.assert_close(masked_pool(torch.ones(4, 4, 4, dtype=torch.bool), x, relevance, pool), plain)


@pytest.mark.parametrize("name", ["start", "batchnorm", "addition", "bias"])
def test_an_unknown_option_is_refused(name):
    with pytest.raises(SettingsError, match=f"expected {name} to be one of"):
        options(**{name: "nothing"})
