"""Shapley values of regions against their definition."""

import itertools
import math

import pytest
import torch
from torch import nn

from relevox.attribution.output import class_margin
from relevox.attribution.shapley import region_shapley
from relevox.errors import InputError, SettingsError


class Product(nn.Module):
    """Class 1's logit is a sum of regions' means and of a product of the first two."""

    def __init__(self, labels):
        super().__init__()
        self.register_buffer("masks", torch.stack([(labels == k).float() / (labels == k).sum() for k in (1, 2, 3)]))

    def forward(self, x):
        a, b, c = torch.einsum("nxyz,kxyz->kn", x[:, 0], self.masks)
        score = a + 2 * c + 3 * a * b
        return torch.stack([torch.zeros_like(score), score], dim=1)


@pytest.fixture
def toy():
    labels = torch.zeros(4, 3, 2, dtype=torch.int64)
    labels[0], labels[1], labels[2] = 1, 2, 3
    x = torch.rand(2, 1, 4, 3, 2, generator=torch.Generator().manual_seed(0))
    return Product(labels), x, labels, torch.full((1, 4, 3, 2), 0.1)


def by_definition(model, x, labels, baseline, regions=(1, 2, 3)):
    """Mean over all orders of what a region adds."""

    def margin(present):
        own = torch.isin(labels, torch.tensor([0, *present]))
        return float(class_margin(model(torch.where(own, x, baseline)[None]), torch.tensor([1])))

    total = dict.fromkeys(regions, 0.0)
    for order in itertools.permutations(regions):
        for k, region in enumerate(order):
            total[region] += margin(order[: k + 1]) - margin(order[:k])
    return [total[region] / math.factorial(len(regions)) for region in regions]


def test_an_order_and_its_reverse_are_exact_for_pairs_of_regions(toy):
    model, x, labels, baseline = toy
    found = region_shapley(model, x, labels, baseline, target=1, pairs=1)
    for n in range(2):
        assert found.value[n].tolist() == pytest.approx(by_definition(model, x[n], labels, baseline), abs=1e-5)
    assert torch.isnan(found.standard_error).all()


def test_the_values_add_up_to_what_all_regions_change(toy):
    model, x, labels, baseline = toy
    found = region_shapley(model, x, labels, baseline, target=1, pairs=3, batch_size=2)
    bare = model(torch.where(labels > 0, baseline, x))
    change = class_margin(model(x), found.target) - class_margin(bare, found.target)
    assert found.value.sum(dim=1).tolist() == pytest.approx(change.tolist(), abs=1e-5)
    assert (found.standard_error < 1e-5).all()


def test_a_region_that_is_as_the_baseline_is_worth_nothing(toy):
    model, x, labels, baseline = toy
    x = torch.where(labels == 2, baseline, x)
    assert found_of(region_shapley(model, x, labels, baseline, target=1), 2) == pytest.approx([0, 0], abs=1e-6)


def found_of(found, region):
    return found.value[:, found.regions.index(region)].tolist()


def test_impossible_arguments_are_refused(toy):
    model, x, labels, baseline = toy
    with pytest.raises(InputError, match="labels-shape"):
        region_shapley(model, x, labels[:2], baseline)
    with pytest.raises(SettingsError, match="pair"):
        region_shapley(model, x, labels, baseline, pairs=0)
