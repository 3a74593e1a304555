"""Regions replaced by the cohort's mean."""

import pytest
import torch
from torch import nn

from relevox.attribution import occlude_regions
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
