"""The loops of the voxel-wise regression: means and co-moments of blocks of scans, merged."""

from __future__ import annotations

import numpy as np

from relevox.statistics.compiled import compiled


@compiled
def add_scans(values, shift, n_seen, mean, comoments, start):
    """Add a block of scans to the moments of some voxels, unless a value is not finite.

    Deviations are taken from the mean so far, m: with d = x - m, the mean moves by D = sum d / N, and
    the co-moments grow by sum d d' - N D D', over all N scans seen.

    Parameters
    ----------
    values : ndarray, (c, n, w)
        Columns of the model; overwritten.
    shift : ndarray, (c, v)
        What is taken from every scan first.
    n_seen : int
        Scans in the moments.
    mean : ndarray, (c, v)
        Of the shifted scans; changed in place.
    comoments : ndarray, (c (c + 1) / 2, v)
        Sums of products of deviations, upper triangle row by row; changed in place.
    start : int
        The voxel of shift, mean and comoments that is first in values.

    Returns
    -------
    bool
        False where a value is not finite; nothing is changed then.
    """
    c, n, w = values.shape
    total = n_seen + n
    delta = np.zeros((c, w))  # by how much the scans move the mean
    for i in range(c):
        moved = delta[i]
        origin, before = shift[i, start : start + w], mean[i, start : start + w]
        for s in range(n):
            row = values[i, s]
            for v in range(w):
                row[v] = (row[v] - origin[v]) - before[v]
                moved[v] += row[v]
        finite = True
        for v in range(w):
            moved[v] /= total
            finite &= np.isfinite(moved[v])
        if not finite:
            return False
    pair = 0
    for i in range(c):
        for j in range(i, c):
            products = comoments[pair, start : start + w]
            _add_products(values[i], values[j], products)
            for v in range(w):
                products[v] -= total * delta[i, v] * delta[j, v]
            pair += 1
    for i in range(c):
        for v in range(w):
            mean[i, start + v] += delta[i, v]
    return True


@compiled
def _add_products(a, b, products):
    """Four scans at a time, so that the running sum is loaded and stored less often."""
    n, w = a.shape
    whole = n - n % 4
    for s in range(0, whole, 4):
        a0, a1, a2, a3 = a[s], a[s + 1], a[s + 2], a[s + 3]
        b0, b1, b2, b3 = b[s], b[s + 1], b[s + 2], b[s + 3]
        for v in range(w):
            products[v] += a0[v] * b0[v] + a1[v] * b1[v] + a2[v] * b2[v] + a3[v] * b3[v]
    for s in range(whole, n):
        for v in range(w):
            products[v] += a[s, v] * b[s, v]
