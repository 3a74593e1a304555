"""Maps of several networks."""

import numpy as np
import pytest

from relevox.attribution.checks import agreement, similarity


def maps(m=4, v=100):
    return np.random.default_rng(0).standard_normal((m, v))


def test_every_pair_is_compared_once():
    found = agreement(maps())
    assert len(found.pairs) == len(set(found.pairs)) == 6
    for (a, b), one in zip(found.pairs, found.similarities, strict=True):
        assert one == similarity(maps()[a], maps()[b])


def test_means_over_some_pairs():
    found = agreement(maps())
    by_pair = {pair: one.spearman for pair, one in zip(found.pairs, found.similarities, strict=True)}
    assert found.mean("spearman") == pytest.approx(np.mean(list(by_pair.values())))
    assert found.mean("spearman", with_=2) == pytest.approx(np.mean([by_pair[0, 2], by_pair[1, 2], by_pair[2, 3]]))
    assert found.mean("spearman", among=[1, 3]) == by_pair[1, 3]


def test_one_network_alone_agrees_with_nobody():
    assert np.isnan(agreement(maps(1)).mean("pearson"))


def test_an_empty_map_does_not_spoil_the_mean():
    given = maps(3)
    given[2] = 0
    assert agreement(given).mean("pearson") == similarity(given[0], given[1]).pearson
