"""Input x gradient and SmoothGrad: closed forms, Captum, and that the batching does not show."""

import pytest
import torch
from torch import nn

from relevox.attribution import attribute
from relevox.errors import SettingsError


def linear_model(bias=False):
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 2, bias=bias))


def curved_model(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv3d(2, 4, 3, padding=1), nn.Softplus(), nn.AdaptiveAvgPool3d(2), nn.Flatten(), nn.Linear(32, 2)
    )


def scans(n=2, shape=(2, 5, 6, 4)):
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(0))


class Square(nn.Module):
    """f = sum of squares: its gradient is 2 x."""

    def forward(self, x):
        return (x**2).flatten(1).sum(1, keepdim=True) * torch.tensor([[1.0, -1.0]])


def test_a_linear_model_is_explained_exactly_by_input_times_gradient():
    model, x = linear_model(), scans(shape=(2, 2, 2, 2))
    result = attribute(model, x, 1, "gradient_input")
    torch.testing.assert_close(result.relevance.flatten(1), model[1].weight.detach()[1] * x.flatten(1))
    torch.testing.assert_close(result.total, result.start, rtol=1e-6, atol=1e-6)
    assert result.losses["beyond first order"].abs().max() < 1e-6


def test_the_bias_of_a_linear_model_is_what_the_tangent_leaves():
    model, x = linear_model(bias=True), scans(shape=(2, 2, 2, 2))
    left = attribute(model, x, 0, "gradient_input").losses["beyond first order"]
    torch.testing.assert_close(left, model[1].bias.detach()[0].double().expand(2), rtol=1e-5, atol=1e-6)


def test_relu_layers_without_bias_conserve_the_logit():
    torch.manual_seed(1)
    model = nn.Sequential(nn.Conv3d(2, 4, 3, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(96, 2, bias=False))
    result = attribute(model, scans(), 1, "gradient_input")
    torch.testing.assert_close(result.total, result.start, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("method", ["gradient_input", "smoothgrad"])
def test_the_other_class_turns_the_map_of_the_margin(method):
    maps = [attribute(curved_model(), scans(), t, method, explained="margin").relevance for t in (0, 1)]
    torch.testing.assert_close(maps[0], -maps[1])


def test_without_noise_smoothgrad_is_the_gradient():
    x = scans()
    result = attribute(Square(), x, 0, "smoothgrad", noise=0.0, samples=3)
    torch.testing.assert_close(result.relevance, 2 * x)
    times = attribute(Square(), x, 0, "smoothgrad", noise=0.0, samples=3, times_input=True)
    torch.testing.assert_close(times.relevance, 2 * x**2)


def test_smoothgrad_of_a_parabola_tends_to_its_gradient():
    """The mean of 2 (x + e) is 2 x + twice the mean noise, whose variance falls with the samples."""
    x = scans()
    errors = [(attribute(Square(), x, 0, "smoothgrad", samples=n).relevance - 2 * x).std() for n in (4, 64)]
    assert errors[1] < errors[0] / 2.5  # expected: 1 / 4


@pytest.mark.parametrize(
    ("noise_of", "expected"), [("sd", lambda v: v.std(unbiased=False)), ("range", lambda v: v.max() - v.min())]
)
def test_the_noise_is_a_share_of_each_channel_inside_the_brain(noise_of, expected):
    x = torch.zeros(1, 2, 12, 12, 12)
    brain = (slice(2, 10),) * 3
    x[(0, 0, *brain)] = 1 + torch.rand(8, 8, 8, generator=torch.Generator().manual_seed(1))
    x[(0, 1, *brain)] = 10 * x[(0, 0, *brain)]
    seen = []

    class Watch(nn.Module):
        def forward(self, given):
            seen.append(given.detach())
            return given.flatten(1).sum(1, keepdim=True) * torch.tensor([[1.0, 0.0]])

    attribute(Watch(), x, 0, "smoothgrad", noise=0.2, noise_of=noise_of, samples=8, batch_size=8)
    added = seen[-1] - x
    assert added[:, :, 0].abs().max() == 0  # outside the brain
    for channel in (0, 1):
        sigma = 0.2 * expected(x[(0, channel, *brain)].flatten())
        torch.testing.assert_close(added[(slice(None), channel, *brain)].std(), sigma, rtol=0.05, atol=0)


def test_the_batch_does_not_show_in_smoothgrad():
    model, x = curved_model(), scans(3)
    together = attribute(model, x, 0, "smoothgrad", samples=5, batch_size=15).relevance
    for n in range(3):
        alone = attribute(model, x[n : n + 1], 0, "smoothgrad", samples=5, batch_size=2).relevance[0]
        torch.testing.assert_close(alone, together[n], rtol=1e-4, atol=1e-7)


def test_the_seed_decides_the_noise():
    model, x = curved_model(), scans()
    one, again, other = (attribute(model, x, 0, "smoothgrad", samples=2, seed=s).relevance for s in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


@pytest.mark.parametrize("options", [{"samples": 0}, {"noise": -1.0}, {"noise_of": "mean"}, {"batch_size": 0}])
def test_impossible_options_are_refused(options):
    with pytest.raises(SettingsError):
        attribute(curved_model(), scans(), method="smoothgrad", **options)


def test_captum_gives_the_same_input_times_gradient():
    captum = pytest.importorskip("captum.attr")
    model, x = curved_model().eval(), scans()
    expected = captum.InputXGradient(model).attribute(x.clone().requires_grad_(), target=1).detach()
    torch.testing.assert_close(attribute(model, x, 1, "gradient_input").relevance, expected)


def test_captum_gives_the_same_integrated_gradients():
    captum = pytest.importorskip("captum.attr")
    model, x = curved_model().eval(), scans()
    baseline = x.mean(dim=0, keepdim=True)
    expected = captum.IntegratedGradients(model).attribute(
        x, baselines=baseline.expand_as(x), target=1, n_steps=12, method="riemann_middle"
    )
    ours = attribute(model, x, 1, "integrated_gradients", baseline=baseline[0], steps=12).relevance
    torch.testing.assert_close(ours, expected.float(), rtol=1e-4, atol=1e-7)
