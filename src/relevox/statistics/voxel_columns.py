"""Outcome and regressors of a voxel-wise model, each seen as one ``(n, v)`` array."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from relevox.errors import InputError


def as_columns(y: np.ndarray, X: np.ndarray | Sequence[np.ndarray], n_regressors: int | None = None):
    """Check shapes and return the regressors and, last, the outcome.

    Parameters
    ----------
    y : array-like, (n, v)
        Outcome; may be memory-mapped.
    X : array-like, (n, k, v), or a list or tuple of k arrays
        Regressors. Each array of a list is ``(n, v)``, or ``(n, 1)`` or ``(n,)`` for one that belongs
        to the scan or patient (age); it then stands for all voxels, and no copy is made.
    n_regressors : int, optional
        The k expected.

    Returns
    -------
    list of ndarray
        k + 1 views ``(n, v)``: the regressors, then y.

    Raises
    ------
    InputError
        When shapes do not fit, there is no regressor, or the values are no real numbers.
    """
    y = np.asarray(y)
    each = [np.asarray(x) for x in X] if isinstance(X, list | tuple) else _split(np.asarray(X))
    k = len(each) if n_regressors is None else n_regressors
    given = [x[:, None] if x.ndim == 1 else x for x in each]
    fits = y.ndim == 2 and len(given) == k >= 1 and all(x.shape in (y.shape, (len(y), 1)) for x in given)
    if not fits:
        came = [x.shape for x in each] if isinstance(X, list | tuple) else np.shape(X)
        raise InputError(
            f"expected y (n, v) and X (n, {k or 'k'}, v), or {k or 'k'} arrays (n, v), (n, 1) or (n,), "
            f"but got {y.shape} and {came}",
            code="regression-shape",
        )
    for values in (*given, y):
        if values.dtype.kind not in "biuf":
            raise InputError(f"expected real numbers, but got {values.dtype}", code="regression-type")
    return [*(np.broadcast_to(x, y.shape) for x in given), y]


def read_tile(columns: list[np.ndarray], voxels: slice) -> np.ndarray:
    """Return some voxels of all scans in memory.

    Parameters
    ----------
    columns : list of ndarray
        k + 1 arrays ``(n, v)``.
    voxels : slice
        Which; w of them.

    Returns
    -------
    ndarray, (k + 1, n, w)
        In float64.

    Raises
    ------
    InputError
        When a value is not finite; the scan is named.
    """
    tile = np.stack([column[:, voxels].astype(np.float64) for column in columns])
    if not np.isfinite(tile.sum()) and not np.isfinite(tile).all():
        raise not_finite(columns, voxels)
    return tile


def not_finite(columns: list[np.ndarray], voxels: slice) -> InputError:
    """Return the error for columns of which some values among these voxels are not finite."""
    known = np.all([np.isfinite(column[:, voxels]).all(axis=1) for column in columns], axis=0)
    scans = np.flatnonzero(~known)
    return InputError(
        "expected a finite value in every voxel, but this scan has NaN or infinite ones",
        code="regression-not-finite",
        row=int(scans[0]) + 1 if len(scans) else None,  # none: a sum of finite values overflowed
        remedy="leave the scan out, or leave the voxels out that not every scan has",
    )


def aligned(*shape: int) -> np.ndarray:
    """Return an empty float64 array that starts on a cache line: vector loads that straddle two are slower."""
    size = int(np.prod(shape))
    room = np.empty(size + 7)
    start = -room.ctypes.data % 64 // room.itemsize
    return room[start : start + size].reshape(shape)


def _split(X: np.ndarray) -> list[np.ndarray]:
    return [X[:, j] for j in range(X.shape[1])] if X.ndim == 3 else []
