"""Which layer has which rule."""

import pytest
import torch
from tests.attribution.toys import scans, toy
from torch import nn

from relevox.attribution import attribute
from relevox.attribution.composites import COMPOSITES, composite
from relevox.attribution.rules import AlphaBeta, Epsilon, Flat, Gamma, WSquare
from relevox.errors import SettingsError

CONV, LINEAR = nn.Conv3d(1, 1, 1), nn.Linear(1, 1)


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("zplus", AlphaBeta(1, 0)),
        ("alpha1-beta0", AlphaBeta(1, 0)),
        ("alpha2-beta1", AlphaBeta(2, 1)),
        ("alpha1.5-beta0.5", AlphaBeta(1.5, 0.5)),
        ("epsilon", Epsilon(1e-6)),
        ("epsilon=1e-3", Epsilon(1e-3)),
        ("gamma=0.5", Gamma(0.5)),
        ("flat", Flat()),
        ("wsquare", WSquare()),
    ],
)
def test_rules_have_names(name, rule):
    assert composite(name).rule_for("a", CONV, ("convolution",)) == rule


def test_the_most_particular_key_wins():
    rules = composite(
        {
            "blocks.block1": "gamma=1",
            "blocks.block1.main.0": "gamma=2",
            "first": "gamma=3",
            nn.Linear: "gamma=4",
            "head": "gamma=5",
            "default": "gamma=6",
        }
    )
    expected = {
        ("blocks.block1.main.0", CONV, ("first", "convolution")): 2,
        ("blocks.block1.main.0#2", CONV, ("convolution",)): 2,
        ("blocks.block1.main.3", CONV, ("convolution",)): 1,
        ("blocks.block11.main.3", CONV, ("first", "convolution")): 3,
        ("head.0", LINEAR, ("head",)): 5,  # a container called "head" is the role too
        ("last", LINEAR, ("head",)): 4,
        ("last", CONV, ("head",)): 5,
        ("else", CONV, ("convolution",)): 6,
    }
    assert {call: rules.rule_for(*call).gamma for call in expected} == expected


def test_the_head_is_what_makes_single_voxels_and_first_what_reads_the_scan():
    model, x = toy(), scans(1)
    parts = {"first": "flat", "convolution": "gamma", "head": "epsilon"}
    first = ("0.main.0", "0.shortcut.0")
    by_name = dict.fromkeys(first, "flat") | dict.fromkeys(("5", "7"), "epsilon") | {"default": "gamma"}
    torch.testing.assert_close(
        attribute(model, x, rule=parts).relevance, attribute(model, x, rule=by_name).relevance, rtol=0, atol=0
    )


@pytest.mark.parametrize("name", COMPOSITES)
def test_every_composite_explains_the_network_and_says_its_rules(name):
    result = attribute(toy(), scans(2), rule=name, start="one")
    assert torch.isfinite(result.relevance).all()
    assert result.relevance.abs().max() > 0
    assert "head: epsilon 1e-06" in result.rule


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("epsilonn", "did you mean 'epsilon'"),
        ("alpha2-beta0", "alpha - beta = 1"),
        ({"blocks.block9": "gamma", "default": "zplus"}, "block9"),
        ({nn.Linear: "gamma", "default": "zplus"}, "Linear"),
        ({"first": "gamma"}, "no rule was given for layer"),
    ],
)
def test_rules_that_fit_nothing_are_refused(rule, message):
    with pytest.raises(SettingsError) as caught:
        attribute(toy(), scans(1), rule=rule)
    assert message in str(caught.value)
