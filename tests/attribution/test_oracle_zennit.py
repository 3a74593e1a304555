"""Zennit, an independent implementation, on small networks of the paper's kind: every rule, with and without bias.

It is no dependency (see the extra ``oracle``). What it lacks is added here: a sum that is a layer of its own kind,
and the split by positive parts.
"""

import pytest
import torch
from tests.attribution import toys
from torch import nn

from relevox.attribution import attribute

zennit = pytest.importorskip("zennit", reason="zennit is not installed")
from zennit import canonizers, composites, core, layer, rules  # noqa: E402
from zennit.types import Activation, Convolution, Linear  # noqa: E402

TINY = 1e-30
"""Zennit's stabiliser: here no more than a guard against 0 / 0."""


class ZennitAddition(nn.Module):
    def __init__(self):
        super().__init__()
        self.sum = layer.Sum()

    def forward(self, first, second):
        return self.sum(torch.stack([first, second], dim=-1))


class PositiveParts(core.BasicHook):
    """The split of an addition that is ours by default."""

    def __init__(self):
        stabilise = core.Stabilizer.ensure(TINY)
        super().__init__(
            input_modifiers=[lambda value: value.clamp(min=0)],
            param_modifiers=[rules.NoMod(param_keys=[])],
            output_modifiers=[lambda value: value],
            gradient_mapper=lambda relevance, outputs: relevance / stabilise(outputs[0]),
            reducer=lambda inputs, gradients: inputs[0] * gradients[0],
        )


def by_zennit(model, x, target, rule, first=None, addition=None):
    for block in model.modules():
        if isinstance(block, toys.Block):
            block.addition = ZennitAddition()
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm3d):
            norm.eps = 0.0  # zennit 0.5.1 leaves a BatchNorm of variance 1 behind, whose eps would scale
    layers = [(Activation, rules.Pass()), (layer.Sum, addition or PositiveParts()), (Convolution, rule), (Linear, rule)]
    options = {"layer_map": layers, "canonizers": [canonizers.SequentialMergeBatchNorm()]}
    chosen = composites.LayerMapComposite(**options)
    if first is not None:
        chosen = composites.SpecialFirstLayerMapComposite(first_map=[(Convolution, first)], **options)
    leaf = x.clone().requires_grad_()
    with chosen.context(model) as hooked:
        logits = hooked(leaf)
        start = torch.zeros_like(logits)
        start[:, target] = logits.softmax(1)[:, target].detach()
        return torch.autograd.grad(logits, leaf, start)[0]


def networks():
    models = [toys.toy(3).double() for _ in range(2)]
    for model in models:
        for norm in model.modules():
            if isinstance(norm, nn.BatchNorm3d):
                norm.eps = 0.0
                norm.weight.data[0] *= -1  # a negative gamma
    return models


RULES = {
    "alpha1-beta0": lambda **o: rules.ZPlus(stabilizer=TINY, **o),
    "alpha2-beta1": lambda **o: rules.AlphaBeta(2, 1, stabilizer=TINY, **o),
    "epsilon=0.1": lambda **o: rules.Epsilon(0.1, **o),
    "gamma=0.5": lambda **o: rules.Gamma(0.5, stabilizer=TINY, **o),
    "flat": lambda **o: rules.Flat(stabilizer=TINY, **o),
    "wsquare": lambda **o: rules.WSquare(stabilizer=TINY, **o),
}


def assert_same(ours, theirs):
    scale = theirs.abs().max()
    assert scale > 0
    torch.testing.assert_close(ours / scale, theirs / scale, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("sparse", [True, False])
@pytest.mark.parametrize(
    ("rule", "bias"),
    [(rule, "ignore") for rule in RULES if rule != "gamma=0.5"]  # zennit takes the sign of z with its bias all the same
    + [(rule, "absorb") for rule in ("alpha1-beta0", "alpha2-beta1", "epsilon=0.1", "gamma=0.5")],
)
def test_maps_are_those_of_zennit(rule, bias, sparse):
    ours, theirs = networks()
    x = toys.scans(2).double() - 0.2  # of both signs
    options = {"zero_params": "bias"} if bias == "ignore" else {}
    expected = by_zennit(theirs, x, 1, RULES[rule](**options))
    assert_same(attribute(ours, x, 1, rule=rule, bias=bias, sparse=sparse).relevance, expected)


def test_the_signed_split_of_additions_is_zennits_norm():
    ours, theirs = networks()
    x = toys.scans(2).double()
    expected = by_zennit(theirs, x, 0, RULES["alpha1-beta0"](zero_params="bias"), addition=rules.Norm(TINY))
    assert_same(attribute(ours, x, 0, addition="norm").relevance, expected)


def test_a_rule_of_the_first_layers_is_that_of_zennit():
    model = nn.Sequential(
        nn.Conv3d(2, 4, 3), nn.ReLU(), nn.MaxPool3d(2), nn.Conv3d(4, 5, 3), nn.ReLU(), nn.AdaptiveMaxPool3d(1),
        nn.Flatten(), nn.Linear(5, 2),
    ).double()  # fmt: skip
    x = toys.scans(2).double()
    rule, first = RULES["alpha2-beta1"](zero_params="bias"), RULES["flat"]()
    expected = by_zennit(model, x, 1, rule, first=first)
    assert_same(attribute(model, x, 1, rule={"first": "flat", "default": "alpha2-beta1"}).relevance, expected)
