"""A map against a known target."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from relevox.errors import InputError
from relevox.statistics.localisation import auc, chance, changed_voxels, localise, matched_auc


def test_a_uniform_map_is_at_chance_exactly():
    target = np.arange(50) < 10
    found = localise(np.full(50, 0.2), target)
    assert (found.enrichment, found.relevance_mass, found.auc) == (pytest.approx(1), pytest.approx(0.2), 0.5)


def test_the_auc_is_that_of_scikit_learn_ties_included():
    rng = np.random.default_rng(0)
    values, target = rng.integers(0, 5, 200).astype(float), rng.random(200) < 0.3
    assert auc(values, target) == pytest.approx(roc_auc_score(target, values))


def test_negative_relevance_counts_as_none():
    relevance = np.array([1.0, 1.0, 1.0, 1.0, -5.0, -5.0, 0.0, 0.0, 0.0])
    found = localise(relevance, np.arange(9) < 4)
    assert found.relevance_mass == 1.0
    assert found.enrichment == pytest.approx(9 / 4)
    assert localise(relevance, np.arange(9) >= 5).auc == pytest.approx(
        localise(relevance.clip(0), np.arange(9) >= 5).auc
    )


@pytest.mark.parametrize("size", [0, 3, 28, 30])
def test_a_target_of_a_few_voxels_or_of_all_is_not_scored(size):
    found = localise(np.arange(30.0), np.arange(30) < size)
    assert np.isnan([found.enrichment, found.relevance_mass, found.auc]).all()


def test_a_map_without_positive_relevance_has_no_mass():
    found = localise(-np.arange(1.0, 31.0), np.arange(30) < 10)
    assert np.isnan(found.enrichment) and np.isnan(found.relevance_mass)
    assert found.auc == 0.5


def test_shapes_that_differ_are_refused():
    with pytest.raises(InputError, match="one length"):
        localise(np.zeros(3), np.zeros(4, dtype=bool))


def test_a_perfect_map_is_perfect_in_every_measure():
    target = np.arange(50) < 10
    found = localise(target.astype(float), target)
    assert (found.auc, found.rank_accuracy, found.average_precision, found.pointing) == (1, 1, 1, 1)
    assert found.enrichment == pytest.approx(5)


def test_a_uniform_map_gets_what_chance_gets():
    target = np.arange(50) < 10
    assert vars(localise(np.ones(50), target)) == pytest.approx(vars(chance(target)))


def test_rank_accuracy_counts_the_most_relevant_voxels_and_pointing_the_first():
    relevance = np.array([5.0, 4.0, 3.0, 2.0, 1.0, 0.5, 0.4, 0.3, 0.2, 0.1])
    target = np.isin(np.arange(10), (1, 2, 8, 9))
    found = localise(relevance, target)
    assert found.rank_accuracy == 0.5  # two of the first four
    assert found.pointing == 0
    assert localise(relevance, np.arange(10) < 4).pointing == 1


def test_ties_at_the_edge_count_as_chance_would_take_them():
    relevance = np.array([2.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0])
    target = np.isin(np.arange(8), (0, 1, 2, 7))
    assert localise(relevance, target).rank_accuracy == pytest.approx((1 + 3 * 2 / 5) / 4)


def test_the_changed_voxels_are_the_fewest_that_hold_the_share():
    change = np.array([[0.0, 4.0], [-3.0, 3.0]])
    assert changed_voxels(change, 0.4).tolist() == [[False, True], [False, False]]
    assert changed_voxels(change, 0.5).sum() == 2
    assert changed_voxels(change, 1.0).sum() == 3
    assert not changed_voxels(np.zeros((2, 2)), 0.5).any()


def test_the_average_precision_is_that_of_scikit_learn_ties_included():
    rng = np.random.default_rng(1)
    values, target = rng.integers(0, 9, 300).astype(float), rng.random(300) < 0.2
    assert localise(values, target).average_precision == pytest.approx(average_precision_score(target, values))


def test_matched_by_brightness_a_map_of_brightness_tells_nothing():
    rng = np.random.default_rng(2)
    positive = rng.random(4000) < 0.5
    brightness = rng.normal(size=4000) + positive
    place = rng.normal(size=4000) + positive
    assert auc(brightness, positive) > 0.7
    assert matched_auc(brightness, positive, brightness, n_bins=50) == pytest.approx(0.5, abs=0.03)
    assert matched_auc(place, positive, brightness) > 0.7
    assert np.isnan(matched_auc(place, np.ones(4000, dtype=bool), brightness))
