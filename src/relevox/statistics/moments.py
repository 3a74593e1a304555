"""The loops of the voxel-wise regression: sums and sums of products over blocks of scans."""

from __future__ import annotations

import numpy as np

from relevox.compiled import compiled


@compiled
def add_scans(values, shift, sums, products, start):
    """Add a block of scans to the sums of some voxels, unless a value is not finite.

    Parameters
    ----------
    values : ndarray, (c, n, w)
        Columns of the model; overwritten.
    shift : ndarray, (c, v)
        What is taken from every scan first.
    sums : ndarray, (c, v)
        Of the shifted scans; changed in place.
    products : ndarray, (c (c + 1) / 2, v)
        Sums of products of shifted columns, upper triangle row by row; changed in place.
    start : int
        The voxel of shift, sums and products that is first in values.

    Returns
    -------
    bool
        False where a value is not finite; nothing is changed then.
    """
    c, n, w = values.shape
    added = np.zeros((c, w))
    for i in range(c):
        origin = shift[i, start : start + w]
        for s in range(n):
            row = values[i, s]
            for v in range(w):
                row[v] -= origin[v]
        _add_rows(values[i], added[i])
    finite = True
    for i in range(c):
        for v in range(w):
            finite &= np.isfinite(added[i, v])
    if not finite:
        return False
    pair = 0
    for i in range(c):
        for v in range(w):
            sums[i, start + v] += added[i, v]
        for j in range(i, c):
            _add_products(values[i], values[j], products[pair, start : start + w])
            pair += 1
    return True


# Four scans at a time, so that the running sum is loaded and stored less often.


@compiled
def _add_rows(a, total):
    n, w = a.shape
    whole = n - n % 4
    for s in range(0, whole, 4):
        a0, a1, a2, a3 = a[s], a[s + 1], a[s + 2], a[s + 3]
        for v in range(w):
            total[v] += a0[v] + a1[v] + a2[v] + a3[v]
    for s in range(whole, n):
        for v in range(w):
            total[v] += a[s, v]


@compiled
def _add_products(a, b, total):
    n, w = a.shape
    whole = n - n % 4
    for s in range(0, whole, 4):
        a0, a1, a2, a3 = a[s], a[s + 1], a[s + 2], a[s + 3]
        b0, b1, b2, b3 = b[s], b[s + 1], b[s + 2], b[s + 3]
        for v in range(w):
            total[v] += a0[v] * b0[v] + a1[v] * b1[v] + a2[v] * b2[v] + a3[v] * b3[v]
    for s in range(whole, n):
        for v in range(w):
            total[v] += a[s, v] * b[s, v]
