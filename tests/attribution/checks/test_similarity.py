"""Two maps: the measures against scipy, and what is degenerate."""

import numpy as np
import pytest
from scipy import stats

from relevox.attribution.checks import similarity
from relevox.attribution.checks.similarity import top_voxels
from relevox.errors import InputError


def test_the_correlations_are_scipys():
    rng = np.random.default_rng(0)
    a = rng.standard_normal(300)
    b = a + rng.standard_normal(300)
    found = similarity(a, b)
    assert found.pearson == pytest.approx(stats.pearsonr(a, b).statistic)
    assert found.spearman == pytest.approx(stats.spearmanr(a, b).statistic)
    assert found.spearman_absolute == pytest.approx(stats.spearmanr(abs(a), abs(b)).statistic)


def test_a_map_equals_itself_at_any_scale():
    a = np.random.default_rng(1).standard_normal(200)
    for scale in (1.0, 1e-30, 1e30):
        found = similarity(a, scale * a)
        assert [found.pearson, found.spearman, found.spearman_absolute, found.dice_top] == pytest.approx([1] * 4)


def test_a_map_turned_round_looks_at_the_same_places():
    a = np.random.default_rng(2).standard_normal(200)
    found = similarity(a, -a)
    assert [found.pearson, found.spearman] == pytest.approx([-1, -1])
    assert [found.spearman_absolute, found.dice_top] == pytest.approx([1, 1])


def test_maps_that_know_nothing_of_each_other_overlap_by_the_share_of_the_voxels():
    rng = np.random.default_rng(3)
    found = np.mean([similarity(*rng.standard_normal((2, 2000))).dice_top for _ in range(200)])
    assert found == pytest.approx(0.05, abs=0.005)  # SE 0.0007


def test_an_empty_map_is_compared_with_nothing():
    found = similarity(np.zeros(10), np.arange(10.0))
    assert np.isnan([found.pearson, found.spearman, found.spearman_absolute, found.dice_top]).all()


def test_the_top_is_the_asked_share():
    assert top_voxels(np.arange(200.0)).sum() == 10
    assert top_voxels(np.arange(200.0))[190:].all()
    assert not top_voxels(np.ones(200)).any()


@pytest.mark.parametrize("b", [np.zeros(3), np.array([np.nan, 1, 2, 3])])
def test_maps_that_do_not_fit_are_refused(b):
    with pytest.raises(InputError):
        similarity(np.arange(4.0), b)
