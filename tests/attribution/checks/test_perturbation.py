"""Regions taken away one after the other: an additive model by hand, and the trained network."""

import numpy as np
import pytest
import torch
from torch import nn

from relevox.attribution import attribute, occlude_regions
from relevox.attribution.checks import Curve, order_by, perturb, random_order, supervoxels
from relevox.errors import InputError


class Additive(nn.Module):
    """Logits (0, sum of weights * voxels)."""

    def __init__(self, weight):
        super().__init__()
        self.register_buffer("weight", weight)

    def forward(self, x):
        value = (x * self.weight).flatten(1).sum(1, keepdim=True)
        return torch.cat([torch.zeros_like(value), value], dim=1)


def case():
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(2, 4, 3, 5, generator=generator)
    weight = torch.randn(2, 4, 3, 5, generator=generator)
    labels = torch.randint(0, 5, (4, 3, 5), generator=generator).numpy()
    return x, weight, labels, torch.full_like(x, 0.5)


def test_an_additive_answer_falls_by_what_each_region_held():
    x, weight, labels, baseline = case()
    order = [3, 1, 4, 2]
    curve = perturb(Additive(weight), x, labels, baseline, order, 1, batch_size=3)
    held = [float(((x - baseline) * weight)[:, labels == region].sum()) for region in order]
    whole = float((x * weight).sum())
    np.testing.assert_allclose(curve.margin, whole - np.concatenate([[0], np.cumsum(held)]), atol=1e-4)
    np.testing.assert_allclose(curve.probability, 1 / (1 + np.exp(-curve.margin)), atol=1e-6)
    sizes = [np.count_nonzero(labels == region) for region in order]
    np.testing.assert_allclose(curve.share, np.concatenate([[0], np.cumsum(sizes)]) / np.sum(sizes))


def test_all_orders_begin_and_end_with_the_same_images():
    x, weight, labels, baseline = case()
    curves = [perturb(Additive(weight), x, labels, baseline, order, 0) for order in ([1, 2, 3, 4], [4, 3, 2, 1])]
    for end in (0, -1):
        assert curves[0].margin[end] == pytest.approx(curves[1].margin[end], abs=1e-5)


def test_no_order_of_an_additive_model_beats_that_of_its_true_contributions():
    x, weight, labels, baseline = case()
    model = Additive(weight)
    exact = ((x - baseline) * weight).sum(0).numpy()
    best = perturb(model, x, labels, baseline, order_by(exact, labels), 1).area()
    worst = perturb(model, x, labels, baseline, order_by(-exact, labels), 1).area()
    rng = np.random.default_rng(0)
    others = [perturb(model, x, labels, baseline, random_order(labels, rng), 1).area() for _ in range(20)]
    assert best >= max(others) - 1e-6
    assert worst <= min(others) + 1e-6


def test_fewer_steps_are_points_of_the_same_curve():
    x, weight, labels, baseline = case()
    whole = perturb(Additive(weight), x, labels, baseline, [2, 4, 1, 3], 1)
    half = perturb(Additive(weight), x, labels, baseline, [2, 4, 1, 3], 1, steps=2)
    np.testing.assert_allclose(half.margin, whole.margin[::2], atol=1e-6)
    np.testing.assert_allclose(half.share, whole.share[::2])
    assert half.at(whole.share[:1])[0] == whole.margin[0]


def test_one_region_is_region_occlusion(trained, lesions):
    x, _, brain, mean = lesions
    labels = np.zeros(brain[0].shape, dtype=int)
    labels[3:8, 3:8, 3:8] = 1
    curve = perturb(trained, x[0], labels, mean, [1], 1)
    delta = occlude_regions(trained, x[:1], torch.from_numpy(labels), mean, 1).delta
    assert curve.margin[0] - curve.margin[1] == pytest.approx(float(delta), abs=1e-4)


def test_taking_what_is_relevant_hurts_more_than_taking_anything(trained, lesions):
    x, inside, brain, mean = lesions
    gains, against = [], []
    rng = np.random.default_rng(0)
    for n in range(6):
        labels = supervoxels(x[n].numpy(), brain[n], n=60)
        relevance = attribute(trained, x[n : n + 1], 1, "integrated_gradients", baseline=mean, steps=8)
        values = relevance.relevance[0].sum(0).numpy()

        def fall(order, labels=labels, n=n):
            return perturb(trained, x[n], labels, mean, order, 1, steps=10, batch_size=11).area()

        by_chance = np.mean([fall(random_order(labels, rng)) for _ in range(4)])
        gains.append(fall(order_by(values, labels)) - by_chance)
        against.append(fall(order_by(-values, labels)) - by_chance)
        first = order_by(values, labels)[0]
        assert inside[n][labels == first].any()  # the box is what goes first
    assert np.mean(gains) > 0 > np.mean(against)
    assert min(gains) > max(against)


def test_the_area_of_a_line_is_half_of_its_fall():
    assert Curve(np.array([0, 1.0]), np.array([3.0, 1.0]), np.array([0.8, 0.4])).area() == 1.0
    assert Curve(np.array([0, 1.0]), np.array([3.0, 1.0]), np.array([0.8, 0.4])).area("probability") == 0.2


def test_large_regions_are_not_first_because_they_are_large():
    values, labels = np.array([1.0, 1.0, 1.0, 2.0, 0.0]), np.array([1, 1, 1, 2, 3])
    assert order_by(values, labels).tolist() == [2, 1, 3]


@pytest.mark.parametrize("order", [[1, 2, 3], [1, 2, 3, 3], [0, 1, 2, 3, 4], []])
def test_an_order_that_is_none_is_refused(order):
    x, weight, labels, baseline = case()
    with pytest.raises(InputError, match="order of all 4 regions"):
        perturb(Additive(weight), x, labels, baseline, order, 1)


def test_labels_of_another_shape_are_refused():
    x, weight, labels, baseline = case()
    with pytest.raises(InputError, match="labels of shape"):
        perturb(Additive(weight), x, labels[:3], baseline, [1], 1)
    with pytest.raises(InputError, match="labels of shape"):
        order_by(np.zeros((2, 2)), np.zeros((2, 3), dtype=int))
