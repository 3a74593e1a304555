"""Which patients may change places when scans are permuted (SPEC 6.3)."""

from __future__ import annotations

import itertools
import math

import numpy as np

from relevox.errors import InputError


def exchange_patients(groups: np.ndarray, n_permutations: int, rng: np.random.Generator) -> tuple[np.ndarray, int]:
    """Draw orders of the scans in which whole patients have changed places.

    A patient's scans move together and stay in order; patients with the same number of scans change
    places with each other. Under the null the patients, not their scans, are alike.

    Parameters
    ----------
    groups : array-like, (n,)
        Patient of each scan.
    n_permutations : int
        Orders drawn; all that exist when there are no more.
    rng : numpy.random.Generator
        Draws them.

    Returns
    -------
    orders : ndarray of intp, (n_drawn, n)
        Scan whose data scan i takes. The order given is not among the orders that were enumerated;
        it may be among those drawn.
    n_arrangements : int
        All orders that exist, the given one among them; exact, so it can have hundreds of digits.

    Raises
    ------
    InputError
        When no two patients have the same number of scans, or fewer than one order is asked for.

    Examples
    --------
    >>> orders, n_arrangements = exchange_patients(["a", "a", "b", "b", "c"], 10, np.random.default_rng(0))
    >>> orders.tolist(), n_arrangements
    ([[2, 3, 0, 1, 4]], 2)
    """
    if n_permutations < 1:
        raise InputError(f"expected at least one permutation, but got {n_permutations}", code="permutation-count")
    classes = _scans_by_size(np.asarray(groups))
    n_arrangements = math.prod(math.factorial(len(scans)) for scans in classes)
    if n_arrangements < 2:
        raise InputError(
            f"expected two patients with the same number of scans, but got "
            f"{[scans.shape[1] for scans in classes]} scans a patient: only one arrangement exists",
            code="permutation-arrangements",
            remedy="permutations need more patients",
        )
    n = sum(scans.size for scans in classes)
    if n_arrangements - 1 <= n_permutations:
        # the first of all is the order given
        choices = list(itertools.product(*(itertools.permutations(range(len(scans))) for scans in classes)))[1:]
    else:
        choices = [[rng.permutation(len(scans)) for scans in classes] for _ in range(n_permutations)]
    orders = np.empty((len(choices), n), dtype=np.intp)
    for order, choice in zip(orders, choices, strict=True):
        for scans, places in zip(classes, choice, strict=True):
            order[scans] = scans[list(places)]
    return orders, n_arrangements


def _scans_by_size(groups: np.ndarray) -> list[np.ndarray]:
    """Return one array (patients, scans a patient) of scan numbers for each number of scans."""
    _, patient = np.unique(groups, return_inverse=True)
    scans = np.split(np.argsort(patient, kind="stable"), np.cumsum(np.bincount(patient))[:-1])
    sizes = sorted({len(own) for own in scans})
    return [np.stack([own for own in scans if len(own) == size]) for size in sizes]
