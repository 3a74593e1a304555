"""The loops of the permutation tests: a linear model in every voxel, refitted for every order of the scans.

Arrays are laid out scan by scan, so that neighbouring voxels are computed together; every sum runs
over the scans in one order, so results do not depend on how voxels were cut into tiles.
"""

from __future__ import annotations

import numpy as np

from relevox.compiled import compiled
from relevox.statistics.voxel_columns import aligned
from relevox.statistics.voxelwise import COLLINEAR

TOGETHER = 4
"""Orders computed side by side, so that the basis is read from memory once for all of them."""


def prepare(values: np.ndarray) -> np.ndarray:
    """Centre regressors and outcome, and find the regressors to be fitted.

    Parameters
    ----------
    values : ndarray, (k + 1, n, w)
        Regressors, then the outcome; centred in place.

    Returns
    -------
    ndarray of bool, (k, w)
        False where a regressor is constant or depends on earlier ones, and everywhere in voxels that
        have a constant outcome, or no more scans than coefficients.
    """
    centre(values)
    k, n, w = values[:-1].shape
    kept = np.full((k, w), n > k + 1)
    kept &= values[-1].any(axis=0)
    orthonormalise(values, np.arange(k), COLLINEAR, kept, aligned(k, n, w))
    return kept


def reduced_model(values: np.ndarray, kept: np.ndarray, tested: int) -> tuple[np.ndarray, ...]:
    """Fit all regressors but one.

    Parameters
    ----------
    values, kept
        See :func:`prepare`.
    tested : int
        The regressor that is left out.

    Returns
    -------
    basis : ndarray, (k, n, w)
        Orthonormal: the other regressors, and last what they leave of the tested one.
    residual : ndarray, (n, w)
        What the others leave of the outcome.
    energy : ndarray, (w,)
        Its sum of squares.
    df : ndarray, (w,)
        Degrees of freedom of the full model; NaN where the tested regressor is not fitted, or the
        others leave nothing of the outcome.
    """
    k, n, w = values[:-1].shape
    basis, residual, energy, total = aligned(k, n, w), aligned(n, w), np.empty(w), np.empty(w)
    order = np.array([*(j for j in range(k) if j != tested), tested])
    orthonormalise(values, order, 0.0, kept.copy(), basis)
    residuals(values[-1], basis[:0], residual, total)
    residuals(values[-1], basis[:-1], residual, energy)
    df = np.where(kept[tested] & (energy > COLLINEAR * total), n - 1.0 - kept.sum(axis=0), np.nan)
    return basis, residual, energy, df


def permuted_t(
    basis: np.ndarray, residual: np.ndarray, energy: np.ndarray, df: np.ndarray, orders: np.ndarray
) -> np.ndarray:
    """Fit permuted residuals on the full model, and test its last regressor.

    The fitted part of the reduced model, which Freedman and Lane add, lies in the span of the full
    model: it changes neither t nor the residual sum of squares, so it is left out. That sum is the
    energy, which no permutation changes, less the squares of k dot products.

    Parameters
    ----------
    basis, residual, energy, df
        See :func:`reduced_model`.
    orders : ndarray of intp, (b, n)
        Scan whose residual scan i takes.

    Returns
    -------
    ndarray, (b, w)
        t; NaN where df is.
    """
    t = np.empty((len(orders), len(df)))
    _permuted_t(basis, residual, energy, df, orders, t)
    return t


def mean_permuted_r2(values: np.ndarray, kept: np.ndarray, orders: np.ndarray) -> np.ndarray:
    """Average over orders the R2 of the full model on the outcome in that order.

    Parameters
    ----------
    values, kept
        See :func:`prepare`.
    orders : ndarray of intp, (b, n)
        Scan whose outcome scan i takes.

    Returns
    -------
    ndarray, (w,)
        NaN where nothing is fitted.
    """
    k, n, w = values[:-1].shape
    basis, outcome, energy, explained = aligned(k, n, w), aligned(n, w), np.empty(w), np.empty(w)
    orthonormalise(values, np.arange(k), 0.0, kept.copy(), basis)
    residuals(values[-1], basis[:0], outcome, energy)
    _permuted_squares(basis, outcome, orders, explained)
    return np.divide(explained, energy * len(orders), out=np.full(w, np.nan), where=kept.any(axis=0))


@compiled
def centre(columns: np.ndarray) -> None:
    """Take the mean over scans from ``(c, n, w)`` columns, in place; constant ones become exactly 0."""
    c, n, w = columns.shape
    for j in range(c):
        first, total = columns[j, 0].copy(), np.zeros(w)
        for i in range(n):
            row = columns[j, i]
            for v in range(w):
                row[v] -= first[v]
                total[v] += row[v]
        for i in range(n):
            row = columns[j, i]
            for v in range(w):
                row[v] -= total[v] / n


@compiled
def orthonormalise(columns: np.ndarray, order: np.ndarray, limit: float, kept: np.ndarray, basis: np.ndarray) -> None:
    """Turn centred columns into orthonormal ones, one after another (Gram-Schmidt, twice).

    Parameters
    ----------
    columns : ndarray, (>= k, n, w)
        Centred.
    order : ndarray of int, (m,)
        Columns to take, in this order.
    limit : float
        A column is dropped where the earlier ones leave no more than this share of its sum of squares.
    kept : ndarray of bool, (k, w)
        Columns to use; set to False where one is dropped.
    basis : ndarray, (m, n, w)
        Filled; 0 where a column is dropped.
    """
    n, w = columns.shape[1:]
    dot, before, after = np.empty(w), np.empty(w), np.empty(w)
    for place in range(len(order)):
        j, target = order[place], basis[place]
        target[:] = columns[j]
        _dot(target, target, before)
        for _ in range(2):  # once more takes away what rounding left
            for earlier in range(place):
                _dot(basis[earlier], target, dot)
                _subtract(target, dot, basis[earlier])
        _dot(target, target, after)
        for v in range(w):
            keeps = kept[j, v] and before[v] > 0 and after[v] > limit * before[v]
            kept[j, v] = keeps
            dot[v] = 1 / np.sqrt(after[v]) if keeps else 0.0
        for i in range(n):
            for v in range(w):
                target[i, v] *= dot[v]


@compiled
def residuals(outcome: np.ndarray, basis: np.ndarray, residual: np.ndarray, energy: np.ndarray) -> None:
    """Leave of a centred outcome ``(n, w)`` what an orthonormal basis does not explain, and its sum of squares."""
    dot = np.empty(outcome.shape[1])
    residual[:] = outcome
    for _ in range(2):
        for row in range(len(basis)):
            _dot(basis[row], residual, dot)
            _subtract(residual, dot, basis[row])
    _dot(residual, residual, energy)


@compiled
def _permuted_t(basis, residual, energy, df, orders, t):
    k, _, w = basis.shape
    dots, explained = np.empty((TOGETHER, k, w)), np.empty(w)
    for b in range(0, len(orders), TOGETHER):
        some = orders[b : b + TOGETHER]
        _permuted_dots(basis, residual, some, dots)
        for c in range(len(some)):
            explained[:] = 0.0
            for row in range(k):
                dot = dots[c, row]
                for v in range(w):
                    explained[v] += dot[v] * dot[v]
            dot, found = dots[c, k - 1], t[b + c]
            for v in range(w):
                # rounding must not make a perfect fit infinite
                error = max(energy[v] - explained[v], 1e-15 * energy[v])
                found[v] = dot[v] / np.sqrt(error / df[v])


@compiled
def _permuted_squares(basis, outcome, orders, explained):
    k, _, w = basis.shape
    dots = np.empty((TOGETHER, k, w))
    explained[:] = 0.0
    for b in range(0, len(orders), TOGETHER):
        some = orders[b : b + TOGETHER]
        _permuted_dots(basis, outcome, some, dots)
        for c in range(len(some)):
            for row in range(k):
                for v in range(w):
                    explained[v] += dots[c, row, v] * dots[c, row, v]


@compiled
def count_reached(t: np.ndarray, observed: np.ndarray, slack: float, reached: np.ndarray, largest: np.ndarray) -> None:
    """Add to ``reached`` (w,) the orders in which |t| ``(b, w)`` is as large, and to ``largest`` (b,) its maximum."""
    enough = np.abs(observed) * (1 - slack) - slack
    for b in range(t.shape[0]):
        row, highest = t[b], largest[b]
        for v in range(t.shape[1]):
            reached[v] += abs(row[v]) >= enough[v]  # False where NaN
        for v in range(t.shape[1]):
            size = abs(row[v])
            if size > highest:
                highest = size
        largest[b] = highest


@compiled
def _dot(a, b, out):
    out[:] = 0.0
    for i in range(a.shape[0]):
        for v in range(a.shape[1]):
            out[v] += a[i, v] * b[i, v]


@compiled
def _subtract(target, factor, direction):
    for i in range(target.shape[0]):
        for v in range(target.shape[1]):
            target[i, v] -= factor[v] * direction[i, v]


@compiled
def _permuted_dots(basis, values, orders, out):
    """Dot products of a basis ``(k, n, w)`` with values ``(n, w)`` in each order ``(c, n)``, ``(>= c, k, w)``.

    Memory sets the pace: four scans at a time, for all orders and rows of the basis while these scans are near.
    """
    k, n, w = basis.shape
    out[:] = 0.0
    whole = n - n % 4
    for i in range(0, whole, 4):
        for c in range(len(orders)):
            order = orders[c]
            b0, b1, b2, b3 = values[order[i]], values[order[i + 1]], values[order[i + 2]], values[order[i + 3]]
            for row in range(k):
                a0, a1, a2, a3 = basis[row, i], basis[row, i + 1], basis[row, i + 2], basis[row, i + 3]
                total = out[c, row]
                for v in range(w):
                    total[v] += a0[v] * b0[v] + a1[v] * b1[v] + a2[v] * b2[v] + a3[v] * b3[v]
    for i in range(whole, n):
        for c in range(len(orders)):
            for row in range(k):
                for v in range(w):
                    out[c, row, v] += basis[row, i, v] * values[orders[c, i], v]
