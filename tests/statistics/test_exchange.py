"""Whole patients change places, and nothing else."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import gammaln

from relevox.errors import InputError
from relevox.statistics.exchange import exchange_patients


@given(st.lists(st.integers(0, 5), min_size=2, max_size=15), st.integers(0, 1000))
def test_a_patients_scans_move_together_in_order_to_a_patient_with_as_many(groups, seed):
    groups = np.array(groups)
    try:
        orders, _ = exchange_patients(groups, 8, np.random.default_rng(seed))
    except InputError:
        sizes = np.unique(groups, return_counts=True)[1]
        assert len(set(sizes)) == len(sizes)
        return
    own = {g: np.flatnonzero(groups == g).tolist() for g in np.unique(groups)}
    for order in orders:
        assert sorted(order) == list(range(len(groups)))
        for scans in own.values():
            assert order[scans].tolist() in own.values()


def test_few_arrangements_are_done_once_each_and_without_the_given_one():
    groups = [0, 0, 1, 2, 1, 3, 4]  # two patients with two scans, three with one
    orders, n_arrangements = exchange_patients(groups, 11, np.random.default_rng(0))
    assert n_arrangements == 12
    assert len({tuple(order) for order in orders}) == len(orders) == 11
    assert tuple(range(7)) not in {tuple(order) for order in orders}
    orders, _ = exchange_patients(groups, 10, np.random.default_rng(0))
    assert len(orders) == 10


def test_single_scans_are_permuted_freely_and_alike():
    orders, n_arrangements = exchange_patients(np.arange(4), 24_000, np.random.default_rng(0))
    assert n_arrangements == 24 and len(orders) == 23
    drawn = np.array([exchange_patients(np.arange(5), 100, np.random.default_rng(s))[0] for s in range(60)])
    counts = [np.sum((drawn == order).all(axis=-1)) for order in itertools.permutations(range(5))]
    assert sum(counts) == 6000 and min(counts) > 20 and max(counts) < 90  # 50 each


def test_the_number_of_arrangements_is_exact_however_large():
    _, n_arrangements = exchange_patients(np.arange(215), 5, np.random.default_rng(0))
    # Stirling and Legendre: 215! has 43 + 8 + 1 factors 5
    assert len(str(n_arrangements)) == 1 + int(gammaln(216) / np.log(10))
    assert n_arrangements % 10**52 == 0 and n_arrangements % 10**53 != 0


@pytest.mark.parametrize("groups", [["a"], ["a", "a", "a"], ["a", "a", "b"]])
def test_without_two_alike_patients_nothing_can_be_exchanged(groups):
    with pytest.raises(InputError, match="only one arrangement"):
        exchange_patients(groups, 10, np.random.default_rng(0))
