"""Completeness, exact cases, and that the batching does not show."""

import pytest
import torch
from torch import nn

from relevox.attribution import attribute
from relevox.errors import InputError, SettingsError


def smooth_model(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv3d(2, 4, 3, padding=1), nn.Softplus(), nn.AdaptiveAvgPool3d(2), nn.Flatten(), nn.Linear(32, 2)
    )


def two_scans():
    return torch.rand(2, 2, 5, 6, 4, generator=torch.Generator().manual_seed(0))


class Square(nn.Module):
    def forward(self, x):
        return (x**2).flatten(1).sum(1, keepdim=True) * torch.tensor([[1.0, -1.0]])


def test_a_linear_model_is_explained_exactly_in_one_step():
    model = nn.Linear(3, 2)
    x, baseline = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([0.5, 0.0, 4.0])
    result = attribute(model, x, 1, method="integrated_gradients", baseline=baseline, steps=1)
    torch.testing.assert_close(result.relevance, model.weight.detach()[1] * (x - baseline))
    assert abs(result.losses["path"]) < 1e-6


def test_midpoint_steps_are_exact_for_a_parabola():
    x = torch.tensor([[3.0, -1.0]])
    result = attribute(Square(), x, 0, method="integrated_gradients", steps=1, baseline=torch.tensor([1.0, 0.0]))
    torch.testing.assert_close(result.relevance, torch.tensor([[8.0, 1.0]]))  # 9 - 1 and 1 - 0


@pytest.mark.parametrize("explained", ["logit", "margin"])
def test_the_map_sums_to_the_difference_from_the_baseline(explained):
    model, x = smooth_model(), two_scans()
    result = attribute(model, x, method="integrated_gradients", baseline=x.mean(0), steps=32, explained=explained)
    torch.testing.assert_close(result.total, result.start, rtol=1e-3, atol=1e-6)
    with torch.no_grad():
        ends = model(x) - model(x.mean(0, keepdim=True))
    sign = ends.gather(1, result.target[:, None])[:, 0]
    if explained == "margin":
        sign = sign - ends.gather(1, 1 - result.target[:, None])[:, 0]
    torch.testing.assert_close(result.start.float(), sign, rtol=1e-4, atol=1e-6)


def test_more_steps_leave_less_of_the_path():
    model = nn.Sequential(smooth_model(1), nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 2))
    x = 10 * two_scans()
    losses = [
        attribute(model, x, method="integrated_gradients", steps=n).losses["path"].abs().max() for n in (1, 4, 16)
    ]
    assert losses[0] > losses[1] > losses[2]


@pytest.mark.parametrize("batch_size", [1, 3, 7, 100])
def test_the_batching_does_not_show(batch_size):
    model, x = smooth_model(2), two_scans()
    whole = attribute(model, x, method="integrated_gradients", steps=5, batch_size=10)
    parts = attribute(model, x, method="integrated_gradients", steps=5, batch_size=batch_size)
    torch.testing.assert_close(parts.relevance, whole.relevance, rtol=1e-4, atol=1e-8)


def test_a_scan_equal_to_the_baseline_has_no_relevance():
    x = two_scans()
    result = attribute(smooth_model(), x, method="integrated_gradients", baseline=x)
    assert result.relevance.abs().max() == 0
    assert result.start.tolist() == [0.0, 0.0]


def test_the_other_class_turns_the_margin_map():
    model, x = smooth_model(3), two_scans()
    maps = [attribute(model, x, t, method="integrated_gradients", explained="margin").relevance for t in (0, 1)]
    torch.testing.assert_close(maps[0], -maps[1])


def test_bfloat16_agrees_within_its_rounding():
    model, x = smooth_model(4), two_scans()
    full, half = (attribute(model, x, method="integrated_gradients", precision=p) for p in ("float32", "bfloat16"))
    agreement = torch.corrcoef(torch.stack([full.relevance.flatten(), half.relevance.flatten()]))[0, 1]
    assert agreement > 0.999
    assert half.relevance.dtype == torch.float32


def test_mode_weights_and_gradients_are_left_as_found():
    model = nn.Sequential(nn.BatchNorm3d(2), smooth_model()).train()
    state = {k: v.clone() for k, v in model.state_dict().items()}
    attribute(model, two_scans(), method="integrated_gradients", steps=2)
    assert model.training and model[0].training
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("options", [{"steps": 0}, {"batch_size": 0}, {"explained": "odds"}])
def test_impossible_options_are_refused(options):
    with pytest.raises(SettingsError):
        attribute(smooth_model(), two_scans(), method="integrated_gradients", **options)


def test_a_baseline_of_another_shape_is_refused():
    with pytest.raises(InputError, match="baseline of shape"):
        attribute(smooth_model(), two_scans(), method="integrated_gradients", baseline=torch.zeros(2, 5, 6, 5))
