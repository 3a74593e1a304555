"""What the forward pass is made of, and what is refused."""

import pytest
import torch
from torch import nn

from relevox.attribution import attribute
from relevox.attribution.composites import composite
from relevox.attribution.options import Options
from relevox.attribution.trace import trace as trace_with
from relevox.errors import ModelError


def trace(model, x):
    return trace_with(model, x, Options(composite("alpha1-beta0")))


class Inside(nn.Module):
    """A model whose forward does something between its layers."""

    def __init__(self, between, inplace=False):
        super().__init__()
        self.conv = nn.Conv3d(1, 2, 1)
        self.body = nn.Sequential(nn.LeakyReLU(inplace=inplace), nn.AdaptiveMaxPool3d(1))
        self.linear = nn.Linear(2, 2)
        self.between = between

    def forward(self, x):
        return self.linear(self.between(self.body(self.conv(x))))


def image():
    return torch.rand(2, 1, 3, 3, 3, generator=torch.Generator().manual_seed(0))


def test_values_are_followed_by_identity_and_layers_listed_in_order():
    model = Inside(lambda v: v.flatten(1))
    steps = trace(model, image()).steps
    assert [step.layer.name for step in steps] == ["conv", "body.0", "body.1", "Inside.reshape", "linear"]
    assert [step.inputs for step in steps] == [(0,), (1,), (2,), (3,), (4,)]


@pytest.mark.parametrize("reshape", [lambda v: v[:, :, 0, 0, 0].clone(), lambda v: v.amax(dim=(2, 3, 4)), torch.tanh])
def test_an_operation_that_is_not_a_layer_is_refused_where_it_is_used(reshape):
    with pytest.raises(ModelError, match="layer 'linear'"):
        trace(Inside(lambda v: reshape(v).flatten(1)[:, :2]), image())


def test_reshapes_without_a_module_are_followed():
    by_module = attribute(Inside(nn.Flatten()), image())
    assert by_module.relevance.shape == (2, 1, 3, 3, 3)
    for reshape in (lambda v: v.view(len(v), -1), lambda v: v.reshape(2, 2), lambda v: torch.flatten(v, 1)):
        torch.manual_seed(0)
        with_function = Inside(reshape)
        torch.manual_seed(0)
        with_module = Inside(nn.Flatten())
        torch.testing.assert_close(
            attribute(with_function, image()).relevance, attribute(with_module, image()).relevance
        )


def test_an_in_place_activation_is_followed():
    torch.manual_seed(0)
    in_place = Inside(nn.Flatten(), inplace=True)
    torch.manual_seed(0)
    plain = Inside(nn.Flatten())
    torch.testing.assert_close(attribute(in_place, image()).relevance, attribute(plain, image()).relevance)


def test_an_in_place_layer_that_destroys_what_is_needed_is_refused():
    class Destroys(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 2)
            self.activation = nn.ReLU(inplace=True)

        def forward(self, x):
            hidden = self.first(x)
            logits = self.second(hidden)
            self.activation(hidden)
            return logits

    with pytest.raises(ModelError, match=r"'second'.*in-place"):
        attribute(Destroys(), torch.randn(1, 3))


def test_a_layer_called_twice_is_two_steps():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear, self.relu = nn.Linear(2, 2), nn.ReLU()

        def forward(self, x):
            return self.linear(self.relu(self.linear(self.relu(x))))

    assert list(attribute(Twice(), torch.rand(1, 2)).losses) == ["linear#2", "relu#2", "linear", "relu"]


def test_a_scan_that_feeds_two_layers_gets_both_shares():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)

        def forward(self, x):
            return self.a(x) + self.b(x)

    model = Two()
    model.a.weight.data = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    model.b.weight.data = torch.tensor([[0.0, 3.0], [0.0, 3.0]])
    assert attribute(model, torch.ones(1, 2), 0, start="logit").relevance.tolist() == [[1.0, 3.0]]


def test_a_batchnorm_without_a_convolution_before_it_is_refused_by_name():
    model = nn.Sequential(nn.Conv3d(1, 2, 1), nn.ReLU(), nn.BatchNorm3d(2), nn.AdaptiveMaxPool3d(1), nn.Flatten())
    with pytest.raises(ModelError, match=r"'2' \(BatchNorm3d\).*follow a convolution"):
        trace(model, image())


def test_a_batchnorm_without_statistics_is_refused_by_name():
    model = nn.Sequential(nn.Conv3d(1, 2, 1), nn.BatchNorm3d(2, track_running_stats=False), nn.Flatten())
    with pytest.raises(ModelError, match=r"'1' \(BatchNorm3d\).*statistics"):
        trace(model, image())


def test_a_softmax_in_the_middle_is_refused():
    model = nn.Sequential(nn.Flatten(), nn.Softmax(dim=1), nn.Linear(27, 2))
    with pytest.raises(ModelError, match=r"'1' \(Softmax\)"):
        attribute(model, image())


@pytest.mark.parametrize("model", [nn.Conv3d(1, 2, 1), nn.Sequential(nn.Flatten(0), nn.Linear(54, 2))])
def test_a_model_that_does_not_return_class_scores_is_refused(model):
    with pytest.raises(ModelError, match=r"\(batch, classes\)"):
        trace(model, image())


def test_memory_holds_only_what_the_rules_keep():
    model = Inside(nn.Flatten())
    steps = trace(model, image()).steps
    kept = [tensor for step in steps for tensor, _ in step.layer.versions]
    assert len(kept) == 2  # the inputs of conv and linear
