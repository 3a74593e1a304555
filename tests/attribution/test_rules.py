"""One layer at a time: the fast rule against its definition, written as loops."""

import numpy as np
import pytest
import torch
from torch import nn

from relevox.attribution.rules import SMALLEST, Addition, Contributions, Rule, WinnerTakesAll, rule_for
from relevox.errors import ModelError


def share_by_loops(conv: nn.Conv3d, x: np.ndarray, relevance: np.ndarray) -> np.ndarray:
    """Alpha-1 beta-0 of one image (c, x, y, z): every product of every unit, one by one."""
    weight = conv.weight.detach().double().numpy()
    received = np.zeros_like(x)
    per_group = weight.shape[0] // conv.groups
    for unit in np.ndindex(*relevance.shape):
        channel_out, position = unit[0], unit[1:]
        first_channel = (channel_out // per_group) * weight.shape[1]
        products = {}
        for channel, *offset in np.ndindex(*weight.shape[1:]):
            place = tuple(
                p * s - pad + o * d
                for p, s, pad, o, d in zip(position, conv.stride, conv.padding, offset, conv.dilation, strict=True)
            )
            if all(0 <= i < n for i, n in zip(place, x.shape[1:], strict=True)):
                source = (first_channel + channel, *place)
                products[source] = max(0.0, x[source] * weight[(channel_out, channel, *offset)])
        z = sum(products.values())
        if z > 0:
            for source, product in products.items():
                received[source] += product / z * relevance[unit]
    return received


def shared_by(rule: Rule, *inputs: torch.Tensor, relevance: torch.Tensor) -> tuple[torch.Tensor, ...]:
    rule.keep(*inputs)
    return rule.share(relevance)


@pytest.mark.parametrize("seed", range(3))
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
def test_a_convolution_shares_as_its_definition_says(options, seed):
    torch.manual_seed(seed)
    conv = nn.Conv3d(2, 4, **options).double()
    x = torch.randn(1, 2, 4, 5, 4, dtype=torch.float64)
    relevance = torch.randn_like(conv(x))
    (fast,) = shared_by(rule_for(conv, "conv"), x, relevance=relevance)
    np.testing.assert_allclose(fast[0], share_by_loops(conv, x[0].numpy(), relevance[0].detach().numpy()), atol=1e-12)


def test_an_image_without_negative_voxels_is_shared_the_same_way():
    torch.manual_seed(0)
    conv = nn.Conv3d(2, 3, 3, padding=1).double()
    x = torch.rand(1, 2, 4, 4, 4, dtype=torch.float64)
    relevance = torch.rand(1, 3, 4, 4, 4, dtype=torch.float64)
    (fast,) = shared_by(rule_for(conv, "conv"), x, relevance=relevance)
    np.testing.assert_allclose(fast[0], share_by_loops(conv, x[0].numpy(), relevance[0].numpy()), atol=1e-12)


def test_a_product_of_two_negatives_receives_and_a_mixed_one_does_not():
    linear = nn.Linear(4, 1)
    linear.weight.data = torch.tensor([[3.0, -1.0, 5.0, -7.0]])
    linear.bias.data = torch.tensor([100.0])  # no receiver, and not in z
    (shared,) = shared_by(
        rule_for(linear, "linear"), torch.tensor([[1.0, -5.0, -2.0, 2.0]]), relevance=torch.tensor([[8.0]])
    )
    torch.testing.assert_close(shared, torch.tensor([[3.0, 5.0, 0.0, 0.0]]))  # products 3, 5, -10, -14


def test_a_unit_without_a_positive_product_passes_nothing():
    linear = nn.Linear(2, 1)
    linear.weight.data = torch.tensor([[-1.0, 1.0]])
    (shared,) = shared_by(rule_for(linear, "linear"), torch.tensor([[1.0, -1.0]]), relevance=torch.tensor([[2.0]]))
    assert shared.tolist() == [[0.0, 0.0]]


def test_contributions_next_to_nothing_never_overflow():
    linear = nn.Linear(2, 1)
    linear.weight.data = torch.tensor([[1e-20, 1e-20]])
    for size in (1e-25, 1e-18, 0.1 * SMALLEST):
        (shared,) = shared_by(rule_for(linear, "l"), torch.tensor([[size, size]]), relevance=torch.tensor([[1.0]]))
        assert torch.isfinite(shared).all()


def test_a_batchnorm_behind_a_convolution_turns_its_weights():
    torch.manual_seed(0)
    conv, x = nn.Conv3d(2, 3, 3).double(), torch.randn(1, 2, 4, 4, 4, dtype=torch.float64)
    norm = nn.BatchNorm3d(3).double()
    norm.weight.data = torch.tensor([1.5, -2.0, 0.3], dtype=torch.float64)  # a negative gamma swaps the signs
    norm.running_var = torch.tensor([0.5, 4.0, 1.0], dtype=torch.float64)
    relevance = torch.rand(1, 3, 2, 2, 2, dtype=torch.float64)
    rule = rule_for(conv, "conv")
    rule.scale = rule_for(norm, "norm").scale
    (folded,) = shared_by(rule, x, relevance=relevance)
    by_hand = nn.Conv3d(2, 3, 3).double()
    factor = norm.weight.detach() / torch.sqrt(norm.running_var + norm.eps)
    by_hand.weight.data = conv.weight.detach() * factor[:, None, None, None, None]
    np.testing.assert_allclose(folded[0], share_by_loops(by_hand, x[0].numpy(), relevance[0].numpy()), atol=1e-12)


def test_an_addition_splits_by_positive_parts():
    first, second = torch.tensor([[3.0, -1.0, 2.0, -1.0]]), torch.tensor([[1.0, 4.0, -9.0, -1.0]])
    a, b = shared_by(Addition(None, "+"), first, second, relevance=torch.full((1, 4), 8.0))
    assert a.tolist() == [[6.0, 0.0, 8.0, 0.0]]
    assert b.tolist() == [[2.0, 8.0, 0.0, 0.0]]


def test_the_winner_of_a_pool_takes_all_of_every_window_it_wins():
    x = torch.zeros(1, 1, 3, 3, 3)
    x[0, 0, 1, 1, 1] = 1.0  # the centre wins all eight overlapping windows
    relevance = torch.arange(1.0, 9.0).reshape(1, 1, 2, 2, 2)
    (shared,) = shared_by(rule_for(nn.MaxPool3d(2, stride=1), "pool"), x, relevance=relevance)
    assert shared[0, 0, 1, 1, 1] == 36.0
    assert shared.sum() == 36.0


@pytest.mark.parametrize("pool", [nn.MaxPool3d(2), nn.MaxPool3d(3, 2, 1, ceil_mode=True), nn.AdaptiveMaxPool3d(2)])
def test_a_pool_shares_like_its_own_gradient(pool):
    torch.manual_seed(0)
    x = torch.randn(2, 3, 6, 5, 7, requires_grad=True)
    y = pool(x)
    relevance = torch.rand_like(y)
    (gradient,) = torch.autograd.grad(y, x, relevance)
    (shared,) = shared_by(rule_for(pool, "pool"), x.detach(), relevance=relevance)
    torch.testing.assert_close(shared, gradient)
    assert isinstance(rule_for(pool, "pool"), WinnerTakesAll)


@pytest.mark.parametrize(
    "layer", [nn.Sigmoid(), nn.Conv2d(1, 1, 1), nn.AvgPool3d(2), nn.Conv3d(1, 1, 3, padding=1, padding_mode="circular")]
)
def test_a_layer_without_a_rule_is_refused_by_its_dotted_name(layer):
    with pytest.raises(ModelError, match=r"'blocks\.2\.layer'") as caught:
        rule_for(layer, "blocks.2.layer").keep(torch.zeros(1, 1, 4, 4, 4))
    assert caught.value.code == "layer-unsupported"


def test_a_subclass_that_may_compute_something_else_is_refused():
    class Sharper(nn.Conv3d):
        def forward(self, x):
            return super().forward(x) ** 2

    with pytest.raises(ModelError, match="Sharper"):
        rule_for(Sharper(1, 1, 1), "sharper")


def test_every_layer_call_has_a_rule_of_its_own():
    conv = nn.Conv3d(1, 1, 1)
    assert isinstance(rule_for(conv, "a"), Contributions)
    assert rule_for(conv, "a") is not rule_for(conv, "a")  # nothing is left over between calls
