"""Regions replaced by the cohort's mean."""

import pytest
import torch
from torch import nn

from relevox.attribution import attribute, occlude_regions
from relevox.attribution.occlusion import cubes
from relevox.errors import InputError


class Weighted(nn.Module):
    """Logits (0, sum of weights * voxels): deltas can be done by hand."""

    def __init__(self, weight):
        super().__init__()
        self.register_buffer("weight", weight)

    def forward(self, x):
        value = (x * self.weight).flatten(1).sum(1, keepdim=True)
        return torch.cat([torch.zeros_like(value), value], dim=1)


def case(n=3):
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(n, 2, 4, 3, 5, generator=generator)
    weight = torch.randn(2, 4, 3, 5, generator=generator)
    labels = torch.randint(0, 4, (4, 3, 5), generator=generator)
    return x, weight, labels, x.mean(0)


def test_a_linear_score_changes_by_what_the_region_held():
    x, weight, labels, mean = case()
    result = occlude_regions(Weighted(weight), x, labels, mean, target=1, batch_size=4)
    assert result.regions == (1, 2, 3)
    for column, region in enumerate(result.regions):
        expected = ((x - mean) * weight * (labels == region)).flatten(1).sum(1)
        torch.testing.assert_close(result.delta[:, column].float(), expected, rtol=1e-4, atol=1e-5)


def test_support_for_one_class_is_evidence_against_the_other():
    x, weight, labels, mean = case()
    one, zero = (occlude_regions(Weighted(weight), x, labels, mean, target=t).delta for t in (1, 0))
    torch.testing.assert_close(one, -zero)


def test_the_explained_class_is_the_predicted_one():
    x, weight, labels, mean = case()
    result = occlude_regions(Weighted(weight), x, labels, mean)
    assert (result.margin >= 0).all()
    assert result.target.tolist() == [int((scan * weight).sum() > 0) for scan in x]


def test_a_region_that_is_already_the_mean_or_has_no_voxel_changes_nothing():
    x, weight, labels, mean = case(1)
    x = torch.where(labels == 2, mean, x)
    result = occlude_regions(Weighted(weight), x, labels, mean, regions=[2, 9])
    assert result.delta.tolist() == [[0.0, 0.0]]


def test_no_region_gives_no_column():
    x, weight, labels, mean = case()
    assert occlude_regions(Weighted(weight), x, torch.zeros_like(labels), mean).delta.shape == (3, 0)


def test_labels_of_another_shape_are_refused():
    x, weight, labels, mean = case()
    with pytest.raises(InputError, match="labels of shape"):
        occlude_regions(Weighted(weight), x, labels[1:], mean)


def test_painted_over_its_voxels_a_region_keeps_what_it_supports():
    x, weight, labels, mean = case()
    found = occlude_regions(Weighted(weight), x, labels, mean, 1)
    result = attribute(Weighted(weight), x, 1, "occlusion", labels=labels, baseline=mean)
    for column, region in enumerate(found.regions):
        inside = result.relevance[:, :, labels == region]  # (b, c, voxels)
        torch.testing.assert_close(inside.sum((1, 2)), found.delta[:, column].float(), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(inside, inside[:, :1, :1].expand_as(inside))
    assert result.relevance[:, :, labels == 0].abs().max() == 0


def test_the_regions_of_a_linear_score_do_not_interact_and_those_of_a_product_do():
    x, weight, labels, mean = case()
    linear = attribute(Weighted(weight), x, 1, "occlusion", labels=labels, baseline=mean)
    assert linear.losses["interaction"].abs().max() < 1e-5

    class Product(nn.Module):
        def forward(self, given):
            value = given[:, 0, 0, 0, 0] * given[:, 0, 0, 0, 1]
            return torch.stack([torch.zeros_like(value), value], dim=1)

    one_each = torch.zeros(4, 3, 5, dtype=torch.int32)
    one_each[0, 0, 0], one_each[0, 0, 1] = 1, 2
    both = attribute(Product(), torch.full((1, 1, 4, 3, 5), 2.0), 1, "occlusion", labels=one_each)
    assert both.start.item() == 4  # 2 x 2 - 0
    assert both.losses["interaction"].item() == -4  # each of the two seems to hold all of it


def test_without_labels_cubes_are_occluded():
    x, weight, _, mean = case(1)
    result = attribute(Weighted(weight), x, 1, "occlusion", baseline=mean)
    expected = ((x - mean) * weight).sum(1)
    torch.testing.assert_close(result.relevance.sum(1), expected, rtol=1e-4, atol=1e-5)  # here a cube is a voxel
    labels = cubes((20, 9, 4))
    assert labels.shape == (20, 9, 4)
    assert torch.unique(labels).tolist() == list(range(1, 7 * 3 * 2 + 1))
    assert (labels[:3, :3, :3] == labels[0, 0, 0]).all()
