"""One layer at a time: every rule against its definition, written as loops over single products."""

import numpy as np
import pytest
import torch
from torch import nn

from relevox.attribution.composites import composite
from relevox.attribution.options import Options
from relevox.attribution.rules import SMALLEST, AlphaBeta, Epsilon, Gamma
from relevox.attribution.supported import layer_for
from relevox.errors import SettingsError


def shares_of_zplus(p, w, bias):
    positive = p.clip(0)
    return positive / (positive.sum() + max(bias, 0)) if positive.sum() + max(bias, 0) > 0 else 0 * p


def shares_of_alpha2_beta1(p, w, bias):
    negative = -p.clip(max=0)
    total = negative.sum() + max(-bias, 0)
    return 2 * shares_of_zplus(p, w, bias) - (negative / total if total > 0 else 0)


def shares_of_epsilon(p, w, bias):
    z = p.sum() + bias
    return p / (z + (0.1 if z >= 0 else -0.1))


def shares_of_gamma(p, w, bias):
    z = p.sum() + bias
    weighed = np.where(p * z > 0, 1.5 * p, p)
    return weighed / (weighed.sum() + bias * (1.5 if bias * z > 0 else 1)) if z else 0 * p


def shares_of_flat(p, w, bias):
    return np.full(len(p), 1 / len(p))


def shares_of_wsquare(p, w, bias):
    return w**2 / (w**2).sum()


DEFINITIONS = {
    "alpha1-beta0": shares_of_zplus,
    "alpha2-beta1": shares_of_alpha2_beta1,
    "epsilon=0.1": shares_of_epsilon,
    "gamma=0.5": shares_of_gamma,
    "flat": shares_of_flat,
    "wsquare": shares_of_wsquare,
}


def share_by_loops(conv, x, relevance, definition=shares_of_zplus, with_bias=False) -> np.ndarray:
    """Share the relevance (o, x, y, z) of one image (c, x, y, z): every product of every unit, one by one."""
    weight = conv.weight.detach().double().numpy()
    received = np.zeros_like(x)
    per_group = weight.shape[0] // conv.groups
    for unit in np.ndindex(*relevance.shape):
        channel_out, position = unit[0], unit[1:]
        first_channel = (channel_out // per_group) * weight.shape[1]
        sources, weights = [], []
        for channel, *offset in np.ndindex(*weight.shape[1:]):
            place = tuple(
                p * s - pad + o * d
                for p, s, pad, o, d in zip(position, conv.stride, conv.padding, offset, conv.dilation, strict=True)
            )
            if all(0 <= i < n for i, n in zip(place, x.shape[1:], strict=True)):
                sources.append((first_channel + channel, *place))
                weights.append(weight[(channel_out, channel, *offset)])
        weights = np.array(weights)
        products = weights * [x[source] for source in sources]
        bias = conv.bias[channel_out].item() if with_bias else 0.0
        for source, share in zip(sources, definition(products, weights, bias), strict=True):
            received[source] += share * relevance[unit]
    return received


def shared(module, x, relevance, rule="alpha1-beta0", **options):
    layer = layer_for(module, "layer", Options(composite(rule), **options))
    layer.keep(x)
    layer.finish(module(x).detach())
    return layer.share(relevance)[0]


@pytest.mark.parametrize("sparse", [True, False])
@pytest.mark.parametrize(
    ("rule", "bias"), [(rule, "ignore") for rule in DEFINITIONS] + [(rule, "absorb") for rule in list(DEFINITIONS)[:4]]
)
@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 3, "padding": 1},
        {"kernel_size": 1},
        {"kernel_size": 2, "stride": 2},
        {"kernel_size": 3, "padding": 2, "dilation": 2},
        {"kernel_size": 3, "padding": (1, 0, 1), "stride": (1, 2, 1), "groups": 2},
    ],
)
def test_a_convolution_shares_as_its_definition_says(options, rule, bias, sparse):
    torch.manual_seed(0)
    conv = nn.Conv3d(2, 4, **options).double()
    x = torch.randn(1, 2, 4, 5, 4, dtype=torch.float64)
    relevance = torch.randn_like(conv(x)).detach()
    relevance[torch.rand_like(relevance) < 0.9] = 0
    fast = shared(conv, x, relevance, rule, bias=bias, sparse=sparse)
    slow = share_by_loops(conv, x[0].numpy(), relevance[0].numpy(), DEFINITIONS[rule], bias == "absorb")
    np.testing.assert_allclose(fast[0], slow, atol=1e-12)


@pytest.mark.parametrize("rule", ["alpha1-beta0", "alpha2-beta1", "gamma=0.5"])
def test_an_image_without_negative_voxels_is_shared_the_same_way(rule):
    torch.manual_seed(0)
    conv = nn.Conv3d(2, 3, 3, padding=1).double()
    x = torch.rand(1, 2, 4, 4, 4, dtype=torch.float64)
    relevance = torch.rand(1, 3, 4, 4, 4, dtype=torch.float64)
    fast = shared(conv, x, relevance, rule)
    slow = share_by_loops(conv, x[0].numpy(), relevance[0].numpy(), DEFINITIONS[rule])
    np.testing.assert_allclose(fast[0], slow, atol=1e-12)


@pytest.mark.parametrize("padding", ["same", "valid"])
def test_padding_may_be_a_word(padding):
    torch.manual_seed(0)
    by_word, by_number = nn.Conv3d(2, 3, 3, padding=padding), nn.Conv3d(2, 3, 3, padding=int(padding == "same"))
    by_number.load_state_dict(by_word.state_dict())
    x = torch.randn(1, 2, 4, 4, 4)
    relevance = torch.rand_like(by_word(x)).detach()
    torch.testing.assert_close(shared(by_word, x, relevance), shared(by_number, x, relevance))


def test_an_average_pool_shares_by_value():
    x = torch.tensor([1.0, 3.0, 0.0, 0.0, -2.0, 0.0, 0.0, 0.0]).reshape(1, 1, 2, 2, 2)
    relevance = torch.full((1, 1, 1, 1, 1), 8.0)
    for pool in (nn.AvgPool3d(2), nn.AdaptiveAvgPool3d(1)):
        assert shared(pool, x, relevance).flatten().tolist() == [2.0, 6.0, 0, 0, 0, 0, 0, 0]
        by_value = shared(pool, x, relevance, "epsilon=0").flatten()
        torch.testing.assert_close(by_value, torch.tensor([4.0, 12.0, 0, 0, -8.0, 0, 0, 0]))
        assert shared(pool, x, relevance, "flat").flatten().tolist() == [1.0] * 8


def test_overlapping_average_pools_share_like_the_convolution_they_are():
    torch.manual_seed(0)
    pool, conv = nn.AvgPool3d(3, stride=2, padding=1), nn.Conv3d(1, 1, 3, stride=2, padding=1)
    nn.init.constant_(conv.weight, 1 / 27)
    x = torch.randn(1, 1, 6, 5, 4)
    relevance = torch.rand_like(pool(x))
    for rule in DEFINITIONS:
        torch.testing.assert_close(shared(pool, x, relevance, rule), shared(conv, x, relevance, rule))


def test_a_product_of_two_negatives_receives_and_a_mixed_one_does_not():
    linear = nn.Linear(4, 1)
    linear.weight.data = torch.tensor([[3.0, -1.0, 5.0, -7.0]])
    linear.bias.data = torch.tensor([100.0])  # no receiver, and not in z
    got = shared(linear, torch.tensor([[1.0, -5.0, -2.0, 2.0]]), torch.tensor([[8.0]]))
    torch.testing.assert_close(got, torch.tensor([[3.0, 5.0, 0.0, 0.0]]))  # products 3, 5, -10, -14


def test_a_unit_without_a_positive_product_passes_nothing():
    linear = nn.Linear(2, 1)
    linear.weight.data = torch.tensor([[-1.0, 1.0]])
    assert shared(linear, torch.tensor([[1.0, -1.0]]), torch.tensor([[2.0]])).tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize("sparse", [True, False])
def test_contributions_next_to_nothing_never_overflow(sparse):
    linear = nn.Linear(2, 1)
    linear.weight.data = torch.tensor([[1e-20, 1e-20]])
    for size in (1e-25, 1e-18, 0.1 * SMALLEST):
        assert torch.isfinite(shared(linear, torch.tensor([[size, size]]), torch.tensor([[1.0]]), sparse=sparse)).all()


def test_sums_that_rounding_made_do_not_multiply_relevance():
    # products 1e4, -1e4 and 1e-4: z+ from |x||w| and the output is right to 1e-3 only
    torch.manual_seed(0)
    conv = nn.Conv3d(8, 64, 3, padding=1)
    x = torch.randn(1, 8, 6, 6, 6)
    x[:, 1:] *= 1e-7
    relevance = torch.ones(1, 64, 6, 6, 6)
    got = shared(conv, x, relevance, sparse=False)
    assert got.sum() <= relevance.sum() * (1 + 1e-5)
    exact = shared(conv.double(), x.double(), relevance.double())
    assert (got - exact).abs().sum() / exact.abs().sum() < 1e-4


def test_gamma_lies_between_epsilon_and_alpha_beta():
    torch.manual_seed(0)
    conv, x = nn.Conv3d(2, 3, 3).double(), torch.randn(1, 2, 4, 4, 4, dtype=torch.float64)
    relevance = (conv(x) > 0).double()  # gamma's own definition turns at negative sums
    none, all_ = (shared(conv, x, relevance, rule) for rule in ("gamma=0", "gamma=1e12"))
    torch.testing.assert_close(none, shared(conv, x, relevance, "epsilon=0"))
    where = conv(x) - conv.bias[:, None, None, None] > 0
    torch.testing.assert_close(
        shared(conv, x, relevance * where, "gamma=1e12"), shared(conv, x, relevance * where), rtol=1e-6, atol=1e-9
    )
    assert all_.shape == none.shape


@pytest.mark.parametrize(
    "wrong", [lambda: AlphaBeta(2, 0), lambda: AlphaBeta(0, -1), lambda: Epsilon(-1), lambda: Gamma(-0.1)]
)
def test_numbers_that_make_no_rule_are_refused(wrong):
    with pytest.raises(SettingsError, match="expected"):
        wrong()
