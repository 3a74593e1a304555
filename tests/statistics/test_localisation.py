"""A map against a known target."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from relevox.errors import InputError
from relevox.statistics.localisation import auc, localise


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
