"""Whole networks: slow definition, conservation, what LRP shows and what it does not."""

import numpy as np
import pytest
import torch
from tests.attribution.test_rules import DEFINITIONS
from tests.attribution.toys import Block, scans, toy
from torch import nn

from relevox.attribution import attribute
from relevox.errors import InputError, ModelError, SettingsError
from relevox.learning.network import ResNet3d


def share_by_matrix(layer, x, relevance, rule):
    """Share by the definition: the weights (outputs, inputs) are found by one unit input at a time."""
    flat = x.flatten()
    units = torch.eye(len(flat), dtype=x.dtype)
    weights = torch.stack([layer(unit.reshape(x.shape)).flatten() for unit in units], dim=1)
    received = torch.zeros_like(flat)
    for row, given in zip(weights, relevance.flatten(), strict=True):
        received += given * torch.from_numpy(DEFINITIONS[rule]((row * flat).numpy(), row.numpy(), 0.0))
    return received.reshape(x.shape)


def pool_backwards(pool, x, relevance):
    leaf = x.clone().requires_grad_()
    return torch.autograd.grad(pool(leaf), leaf, relevance)[0]


def slow_lrp(model, x, target, rule):
    """The definition of LRP.md for `toy`: dense matrices, layer by layer, one scan, float64."""

    def folded(conv, norm):
        factor = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        shift = norm.bias - norm.running_mean * factor
        weight = conv.weight * factor[:, None, None, None, None]
        product = lambda v: nn.functional.conv3d(v, weight, padding=conv.padding)  # noqa: E731
        return product, (lambda v: product(v) + shift[:, None, None, None])

    def unbiased(conv):
        return lambda v: nn.functional.conv3d(v, conv.weight)

    backwards, value = [], x
    for layer in model:
        if isinstance(layer, Block):
            first, first_all = folded(layer.main[0], layer.main[1])
            second, second_all = folded(layer.main[3], layer.main[4])
            short, short_all = folded(layer.shortcut[0], layer.shortcut[1])
            hidden = layer.activation(first_all(value))
            a, b = second_all(hidden).clamp(min=0), short_all(value).clamp(min=0)
            assert torch.allclose(layer.activation(second_all(hidden) + short_all(value)), layer(value))

            def back(r, value=value, hidden=hidden, a=a, b=b, first=first, second=second, short=short):
                share = torch.where(a + b > 0, r / (a + b), torch.zeros_like(r))
                main = share_by_matrix(first, value, share_by_matrix(second, hidden, share * a, rule), rule)
                return main + share_by_matrix(short, value, share * b, rule)

        elif isinstance(layer, (nn.MaxPool3d, nn.AdaptiveMaxPool3d)):

            def back(r, layer=layer, value=value):
                return pool_backwards(layer, value, r)

        elif isinstance(layer, nn.Conv3d):

            def back(r, layer=layer, value=value):
                return share_by_matrix(unbiased(layer), value, r, rule)

        else:

            def back(r, value=value):
                return r.reshape(value.shape)

        backwards.append(back)
        value = layer(value)
    relevance = torch.zeros_like(value)
    relevance[0, target] = value.softmax(1)[0, target]
    for back in reversed(backwards):
        relevance = back(relevance)
    return relevance


@pytest.mark.parametrize("sparse", [True, False])
@pytest.mark.parametrize("rule", ["alpha1-beta0", "alpha2-beta1", "epsilon=0.1", "gamma=0.5", "wsquare"])
def test_the_map_is_the_one_the_definition_gives(rule, sparse):
    model, x = toy(3, widths=(3, 4)).double(), scans(1, edge=4, seed=1).double()
    slow = slow_lrp(model.requires_grad_(False), x, 1, rule)
    assert slow.abs().max() > 0
    fast = attribute(model, x, 1, rule=rule, sparse=sparse).relevance
    torch.testing.assert_close(fast, slow, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("start", ["probability", "logit", "one"])
def test_what_starts_is_in_the_map_or_its_loss_is_named(seed, start):
    result = attribute(toy(seed), scans(3, seed=seed), start=start)
    losses = sum(result.losses.values())
    scale = result.start.abs().max()
    torch.testing.assert_close(result.total + losses, result.start, rtol=0, atol=2e-6 * float(scale))


@pytest.mark.parametrize("seed", range(5))
def test_inside_the_head_nothing_is_lost_when_every_unit_has_a_positive_product(seed):
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Flatten(), nn.Linear(2 * 27, 20), nn.ReLU(), nn.Linear(20, 2))
    x = torch.rand(4, 2, 3, 3, 3) + 0.1
    for layer in (model[1], model[3]):
        nn.init.uniform_(layer.weight, 0.1, 1.0)
    result = attribute(model, x, start="one")
    torch.testing.assert_close(result.total, torch.ones(4, dtype=torch.float64), rtol=0, atol=1e-6)
    assert all(loss.abs().max() < 1e-6 for loss in result.losses.values())


def test_a_toy_that_can_be_done_by_hand():
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2))
    model[0].weight.data = torch.tensor([[1.0, 2.0], [-1.0, 1.0]])
    model[0].bias.data = torch.tensor([0.0, 1.0])
    model[2].weight.data = torch.tensor([[1.0, 1.0], [2.0, -1.0]])
    model[2].bias.data = torch.zeros(2)
    # x = (2, 1): hidden (4, 0); class 1: logit 8, all from unit 0, which got 2 of 4 from each input
    result = attribute(model, torch.tensor([[2.0, 1.0]]), target=1, start="logit")
    assert result.start.tolist() == [8.0]
    assert result.relevance.tolist() == [[4.0, 4.0]]
    assert result.target.tolist() == [1]


def test_epsilon_zero_is_gradient_times_input_where_nothing_has_a_bias():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv3d(2, 8, 3, padding=1, bias=False), nn.ReLU(), nn.MaxPool3d(2), nn.Conv3d(8, 8, 3, bias=False),
        nn.ReLU(), nn.AvgPool3d(2), nn.Flatten(), nn.Linear(8, 2, bias=False),
    ).double()  # fmt: skip
    x = scans(2).double().requires_grad_()
    (gradient,) = torch.autograd.grad(model(x)[:, 1].sum(), x)
    result = attribute(model, x, 1, rule="epsilon=0", start="logit")
    torch.testing.assert_close(result.relevance, (x * gradient).detach())
    torch.testing.assert_close(result.total, result.start)


def test_maps_of_the_two_classes_are_almost_the_same():
    # what alpha-1 beta-0 does not show: the class (Sixt et al. 2020)
    torch.manual_seed(0)
    model, x = ResNet3d(), scans(2, edge=24)
    maps = [attribute(model, x, target).relevance.flatten(1) for target in (0, 1)]
    cosine = nn.functional.cosine_similarity(*maps)
    assert cosine.min() > 0.999


def test_a_negative_logit_turns_the_whole_map():
    model, x = toy(1), scans(1)
    model[-2].bias.data = torch.tensor([-50.0, 50.0])
    assert attribute(model, x, 0, start="logit").relevance.max() <= 0
    assert attribute(model, x, 1, start="logit").relevance.min() >= 0


def test_starts_differ_by_a_factor_only():
    model, x = toy(2), scans(2)
    one, probability = (attribute(model, x, 1, start=start) for start in ("one", "probability"))
    expected = one.relevance * probability.start.float()[:, None, None, None, None]
    torch.testing.assert_close(probability.relevance, expected, rtol=1e-4, atol=1e-9)


def test_a_scan_is_explained_the_same_way_alone_and_in_a_batch():
    model, x = toy(4), scans(3)
    together = attribute(model, x, [0, 1, 1]).relevance
    alone = [attribute(model, x[i : i + 1], t).relevance for i, t in enumerate((0, 1, 1))]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-4, atol=1e-8)


def test_a_plus_sign_is_explained_like_an_addition_module():
    x = scans(2)
    module, operator = toy(5), toy(5, by_operator=True)
    torch.testing.assert_close(attribute(operator, x).relevance, attribute(module, x).relevance)


def test_a_softmax_at_the_end_changes_nothing():
    x = scans(2)
    plain, with_softmax = toy(6), toy(6, tail=[nn.Softmax(dim=1)])
    torch.testing.assert_close(attribute(with_softmax, x).relevance, attribute(plain, x).relevance)


def test_the_model_is_left_as_found():
    model, x = toy(7), scans(2)
    model.train()
    model[1].eval()
    seen = []
    own_hook = model[0].register_forward_hook(lambda *args: seen.append(1))
    modes = [m.training for m in model.modules()]
    state = {k: v.clone() for k, v in model.state_dict().items()}
    hooks = [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in model.modules()]
    first = attribute(model, x).relevance
    assert [m.training for m in model.modules()] == modes
    assert [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in model.modules()] == hooks
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    assert seen == [1]
    assert torch.equal(attribute(model, x).relevance, first)
    own_hook.remove()


def test_the_model_is_left_as_found_after_a_refusal():
    model = nn.Sequential(nn.Conv3d(2, 2, 1), nn.Tanh(), nn.Flatten(), nn.LazyLinear(2))
    model(scans(1))
    model.train()
    with pytest.raises(ModelError, match=r"'1' \(Tanh\)"):
        attribute(model, scans(1))
    assert model.training
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert torch.is_tensor(model(scans(1)))


def test_a_tie_is_explained_as_class_0():
    model = nn.Sequential(nn.Flatten(), nn.Linear(2, 2, bias=False))
    nn.init.ones_(model[1].weight)
    assert attribute(model, torch.ones(1, 2)).target.tolist() == [0]


def test_an_array_is_taken_too():
    x = scans(1)
    np.testing.assert_array_equal(attribute(toy(), x.numpy()).relevance, attribute(toy(), x).relevance)


@pytest.mark.parametrize("target", [2, -1, [0, 1], 0.5, [True]])
def test_an_impossible_target_is_refused(target):
    with pytest.raises(InputError, match="expected"):
        attribute(toy(), scans(1), target)


def test_voxels_that_are_not_finite_are_refused():
    x = scans(1)
    x[0, 0, 3, 3, 3] = torch.nan
    with pytest.raises(InputError, match="finite"):
        attribute(toy(), x)


def test_half_precision_is_refused():
    with pytest.raises(InputError, match="bfloat16"):
        attribute(toy().bfloat16(), scans(1).bfloat16())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("rule", ["alpha1-beta0", "epsilon-gamma"])
def test_a_gpu_gives_the_same_map(rule):
    model, x = toy(), scans(2)
    here = attribute(model, x, 1, rule=rule).relevance
    there = attribute(model.cuda(), x.cuda(), 1, rule=rule).relevance
    assert there.is_cuda
    assert (there.cpu() - here).abs().sum() / here.abs().sum() < 1e-3


def test_the_model_is_as_found_while_its_own_hooks_run_and_after_they_fail():
    model, x = toy(7), scans(1)
    model.train()
    during = []

    def spy(module, args, output):
        during.append((module.training, [p.requires_grad for p in module.parameters()], torch.is_grad_enabled()))
        if len(during) > 1:
            raise RuntimeError("the user's own hook")

    handle = model[1].register_forward_hook(spy)
    attribute(model, x)
    with pytest.raises(RuntimeError, match="own hook"):
        attribute(model, x)
    assert during[0] == (False, [], False)
    handle.remove()
    assert all(module.training for module in model.modules())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert torch.is_grad_enabled()


def test_an_unknown_start_is_refused():
    with pytest.raises(SettingsError, match="probability, logit, one"):
        attribute(toy(), scans(1), start="log")
