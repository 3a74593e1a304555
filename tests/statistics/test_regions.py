"""Region tables against counting voxel by voxel."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relevox.errors import InputError
from relevox.statistics.regions import RegionTable

REGIONS = (1, 2, 3)


def small_head(seed=0, shape=(6, 7, 5)):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, shape)
    brain = rng.random(shape) < 0.8
    relevance = rng.standard_normal(shape) * 1e-5
    return labels, brain, relevance


@pytest.mark.parametrize("percentile", [0, 50, 95])
def test_shares_are_what_counting_gives(percentile):
    labels, brain, relevance = small_head()
    shares = RegionTable(labels, brain, REGIONS).shares(relevance, [percentile])
    positive = [r for r, b in zip(relevance.ravel(), brain.ravel(), strict=True) if b and r > 0]
    threshold = np.percentile(positive, percentile)
    assert shares.thresholds[0] == threshold
    above = brain & (relevance >= threshold)
    for column, region in enumerate(REGIONS):
        inside = brain & (labels == region)
        assert shares.voxel_share[0, column] == (above & inside).sum() / above.sum()
        assert np.isclose(shares.relevance_share[column], relevance[inside].clip(min=0).sum() / sum(positive))
        assert shares.volume_share[column] == inside.sum() / brain.sum()
        assert np.isclose(shares.mean_relevance[column], relevance[inside].mean())
        assert np.isclose(shares.enrichment[0, column], shares.voxel_share[0, column] / shares.volume_share[column])


def test_a_uniform_map_has_exactly_the_share_of_the_volume():
    labels, brain, _ = small_head(1)
    shares = RegionTable(labels, brain, REGIONS).shares(np.full(labels.shape, 0.3), [90, 95])
    np.testing.assert_allclose(shares.relevance_share, shares.volume_share, rtol=1e-12)
    np.testing.assert_array_equal(shares.enrichment, np.ones((2, 3)))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.floats(1e-12, 1e12))
def test_the_unit_of_relevance_does_not_matter(seed, scale):
    labels, brain, relevance = small_head(seed)
    table = RegionTable(labels, brain, REGIONS)
    one, other = table.shares(relevance), table.shares(relevance * scale)
    np.testing.assert_allclose(one.relevance_share, other.relevance_share, rtol=1e-9)
    np.testing.assert_array_equal(one.volume_share, other.volume_share)


def test_shares_of_all_regions_and_of_none_make_one():
    labels, brain, relevance = small_head(2)
    shares = RegionTable(labels, brain, (0, *REGIONS)).shares(relevance)
    for values in (shares.voxel_share[0], shares.relevance_share, shares.volume_share):
        assert np.isclose(values.sum(), 1.0)


def test_what_lies_outside_the_brain_does_not_count():
    labels, brain, relevance = small_head(3)
    table = RegionTable(labels, brain, REGIONS)
    loud = np.where(brain, relevance, 1e9)
    np.testing.assert_array_equal(table.shares(loud).voxel_share, table.shares(relevance).voxel_share)


def test_a_map_without_positive_relevance_has_no_shares():
    labels, brain, relevance = small_head()
    shares = RegionTable(labels, brain, REGIONS).shares(-np.abs(relevance))
    assert np.isnan(shares.thresholds).all()
    assert np.isnan(shares.voxel_share).all() and np.isnan(shares.relevance_share).all()
    assert np.isfinite(shares.volume_share).all()


def test_a_region_without_a_voxel_has_no_enrichment():
    labels, brain, relevance = small_head()
    shares = RegionTable(labels, brain, (1, 9)).shares(relevance)
    assert shares.volume_share[1] == 0
    assert np.isnan(shares.enrichment[0, 1]) and np.isnan(shares.mean_relevance[1])
    assert np.isfinite(shares.enrichment[0, 0])


def test_bad_input_is_refused():
    labels, brain, relevance = small_head()
    with pytest.raises(InputError, match="grid"):
        RegionTable(labels[1:], brain, REGIONS)
    with pytest.raises(InputError, match="whole numbers"):
        RegionTable(labels.astype(float), brain, REGIONS)
    with pytest.raises(InputError, match="empty"):
        RegionTable(labels, np.zeros_like(brain), REGIONS)
    table = RegionTable(labels, brain, REGIONS)
    with pytest.raises(InputError, match="shape"):
        table.shares(relevance[1:])
    with pytest.raises(InputError, match="finite"):
        table.shares(np.where(brain, np.nan, relevance))
