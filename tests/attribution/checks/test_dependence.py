"""What maps do when the class or the weights change: linear models by hand, a trained network, and alpha 1, beta 0."""

import copy
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from relevox.attribution import attribute
from relevox.attribution.checks import cascade, class_swap, randomisation, similarity
from relevox.attribution.checks.randomisation import layers_from_output
from relevox.errors import InputError, ModelError


def mean_of(found, measure="pearson"):
    values = np.array([getattr(one, measure) for one in found])
    assert np.isfinite(values).mean() > 0.7  # a map of alpha 1, beta 0 can be empty: all of it lost to biases
    return np.nanmean(values)


def test_the_network_has_learned(trained, lesions):
    x, *_ = lesions
    with torch.no_grad():
        assert (trained(x).argmax(1) == 1).float().mean() > 0.9


def test_swapped_classes_of_a_linear_model_are_correlated_as_its_weights():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 2, bias=False))
    x, brain = torch.ones(1, 1, 4, 4, 4), np.ones((1, 4, 4, 4), dtype=bool)
    weight = model[1].weight.detach().numpy()
    (found,) = class_swap(model, x, brain, "gradient_input", explained="margin")
    assert found.pearson == pytest.approx(np.corrcoef(weight)[0, 1], abs=1e-6)


def test_alpha_1_beta_0_is_the_same_map_for_both_classes_and_gradients_are_not(trained, lesions):
    x, _, brain, mean = lesions
    assert mean_of(class_swap(trained, x, brain, "lrp", start="logit")) > 0.9  # 0.99 here
    options = {"baseline": mean, "steps": 8, "explained": "margin"}
    assert mean_of(class_swap(trained, x, brain, "integrated_gradients", **options)) < 0


def test_layers_are_drawn_from_the_output_to_the_input(trained, lesions):
    groups = layers_from_output(trained, lesions[0])
    assert list(groups) == ["head", "blocks.block2", "blocks.block1"]
    assert groups["head"] == ["head.5", "head.3", "head.1"]
    assert set(groups["blocks.block2"]) == {
        *(f"blocks.block2.main.{n}" for n in (0, 1, 3, 4)),
        *(f"blocks.block2.shortcut.{n}" for n in (0, 1)),
    }
    singly = layers_from_output(trained, lesions[0], group=str)
    assert all(members == [name] for name, members in singly.items())
    assert list(singly)[:3] == groups["head"]
    assert sum(map(len, singly.values())) == sum(map(len, groups.values()))


def test_a_cascade_draws_every_layer_once_and_leaves_the_model_alone(trained, lesions):
    before = copy.deepcopy(trained.state_dict())
    changed = []
    for _, other in cascade(trained, lesions[0], seed=3):
        state = other.state_dict()
        changed.append({k for k in before if k.endswith("weight") and not torch.equal(state[k], before[k])})
    assert all(earlier < later for earlier, later in pairwise(changed))
    assert changed[0] == {f"head.{n}.weight" for n in (1, 3, 5)}
    assert changed[-1] == {k for k in before if k.endswith("weight")}
    assert all(torch.equal(v, before[k]) for k, v in trained.state_dict().items())


def test_the_seed_decides_the_weights_and_the_callers_draws_go_on(trained, lesions):
    def last(seed):
        return [other.head[5].weight.detach().clone() for _, other in cascade(trained, lesions[0], seed)][-1]

    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    assert torch.equal(last(1), last(1))
    assert not torch.equal(last(1), last(2))
    assert torch.equal(torch.rand(3), expected)


def test_a_linear_model_drawn_again_has_the_map_of_its_new_weights():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 2, bias=False))
    x, brain = torch.rand(2, 1, 4, 4, 4), np.ones((2, 4, 4, 4), dtype=bool)
    ((_, drawn),) = cascade(model, x, seed=4)
    expected = [
        similarity(
            (scan.flatten() * model[1].weight[1]).detach().numpy(),
            (scan.flatten() * drawn[1].weight[1]).detach().numpy(),
        )
        for scan in x
    ]
    ((name, found),) = randomisation(model, x, 1, brain, "gradient_input", seed=4)
    assert name == "1"
    assert [one.pearson for one in found] == pytest.approx([one.pearson for one in expected], abs=1e-6)


def test_alpha_1_beta_0_does_not_notice_another_head_and_gradients_do(trained, lesions):
    x, _, brain, mean = lesions
    of_lrp = randomisation(trained, x, 1, brain, "lrp", start="one")
    of_gradients = randomisation(trained, x, 1, brain, "integrated_gradients", baseline=mean, steps=8)
    assert [name for name, _ in of_lrp] == [name for name, _ in of_gradients]
    assert of_lrp[0][0] == "head"
    assert mean_of(of_lrp[0][1]) > 0.8
    assert mean_of(of_gradients[0][1]) < 0.6
    assert mean_of(of_lrp[-1][1]) < mean_of(of_lrp[0][1])  # with all blocks drawn again


def test_an_empty_map_of_a_randomised_network_is_compared_with_nothing(lesions):
    class Dead(nn.Linear):
        def reset_parameters(self):
            nn.init.zeros_(self.weight)

    x, _, brain, _ = lesions
    model = nn.Sequential(nn.Flatten(), Dead(2 * 16**3, 2, bias=False))
    nn.init.normal_(model[1].weight)
    ((_, found),) = randomisation(model, x, 1, brain, "gradient_input")
    assert np.isnan(found[0].pearson)


def test_a_layer_that_cannot_be_drawn_again_is_named():
    class Scale(nn.Module):
        def __init__(self):
            super().__init__()
            self.factor = nn.Parameter(torch.ones(1))

        def forward(self, x):
            return x * self.factor

    model = nn.Sequential(nn.Flatten(), nn.Linear(8, 2), Scale())
    with pytest.raises(ModelError, match=r"'2' \(Scale\)"):
        list(cascade(model, torch.rand(1, 1, 2, 2, 2)))


def test_brains_of_another_shape_are_refused(trained, lesions):
    with pytest.raises(InputError, match="brains of shape"):
        class_swap(trained, lesions[0], np.ones((1, 4, 4, 4), dtype=bool))


def test_the_map_that_is_compared_is_that_of_the_method(trained, lesions):
    x, _, brain, _ = lesions
    maps = [attribute(trained, x[:1], c, "gradcam", explained="logit").relevance[0].sum(0).numpy() for c in (0, 1)]
    expected = similarity(*(one[brain[0]] for one in maps))
    assert class_swap(trained, x[:1], brain[:1], "gradcam", explained="margin") == [expected]
