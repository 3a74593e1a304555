"""A linear model in every voxel, over scans that come in pieces (SPEC 6.3).

Kept per voxel, in float64: sums and sums of products of the scans less the first scan (Chan, Golub and
LeVeque 1983). Memory does not grow with the number of scans n, and offsets a million times the spread
cost no digits: no scan lies further than sqrt(n) standard deviations from the mean, the first neither,
so that taking the mean out at the end loses at most a factor n of 1e16.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from relevox.errors import InputError
from relevox.records import VoxelwiseFit
from relevox.statistics.voxel_columns import aligned, as_columns, not_finite

TILE = 512
"""Voxels whose block of scans fits a processor's cache with their sums."""

SCANS_AT_ONCE = 32
"""Longer updates are taken in blocks."""

SOLVED_AT_ONCE = 4096
"""Voxels fitted at once."""

COLLINEAR = 1e-10
"""A regressor whose variance the earlier ones explain but for this share counts as dependent on them."""


class VoxelwiseRegression:
    """``y = b0 + b1 x1 + ... + bk xk + e`` in every voxel, each with regressors of its own.

    Parameters
    ----------
    n_regressors : int
        k >= 1.

    Examples
    --------
    >>> y = np.array([[1.0], [3.0], [5.0], [7.0], [9.5]])
    >>> X = np.array([[[0.0]], [[1.0]], [[2.0]], [[3.0]], [[4.0]]])
    >>> fit = VoxelwiseRegression(1).update(y[:2], X[:2]).update(y[2:], X[2:]).fit()
    >>> fit.n, round(float(fit.r2[0]), 4)
    (5, 0.9977)
    """

    def __init__(self, n_regressors: int) -> None:
        if n_regressors < 1:
            raise InputError(f"expected at least one regressor, but got {n_regressors}", code="regression-shape")
        self.n_regressors = n_regressors
        self.n = 0
        self.shift: np.ndarray | None = None
        """``(k + 1, v)`` the first scan; rows are the regressors, then y."""
        self.sums: np.ndarray | None = None
        """``(k + 1, v)`` over scans, less the shift."""
        self.products: np.ndarray | None = None
        """``(pairs, v)`` sums of products of columns less their shift, upper triangle row by row."""
        self._spoiled = False

    def update(self, y: np.ndarray, X: np.ndarray | Sequence[np.ndarray]) -> VoxelwiseRegression:
        """Add scans.

        Parameters
        ----------
        y : array-like, (n, v)
            Outcome; may be memory-mapped.
        X : array-like, (n, k, v), or a list or tuple of k arrays (n, v), (n, 1) or (n,)
            Regressors; one column stands for all voxels (age).

        Raises
        ------
        InputError
            When the shapes do not fit, or a value is not finite: every scan counts in every voxel, so
            that n is one number. After the second the sums hold part of a scan and cannot be used.
        """
        columns = as_columns(y, X, self.n_regressors)
        n, n_voxels = columns[-1].shape
        self._refuse_if_spoiled()
        if self.shift is not None and self.shift.shape[1] != n_voxels:
            raise InputError(
                f"expected y (n, {self.shift.shape[1]}), but got {columns[-1].shape}", code="regression-shape"
            )
        if n == 0:
            return self
        if self.shift is None:
            self.shift = np.stack([column[0] for column in columns]).astype(np.float64)
            self.sums = np.zeros_like(self.shift)
            self.products = np.zeros((len(self._pairs), n_voxels))
        for start in range(0, n, SCANS_AT_ONCE):
            self._add(columns, start, min(start + SCANS_AT_ONCE, n))
        return self

    def merge(self, other: VoxelwiseRegression) -> VoxelwiseRegression:
        """Add the scans another regression has seen; it stays as it is.

        Raises
        ------
        InputError
            When it has other regressors or voxels.
        """
        if other.n_regressors != self.n_regressors:
            raise InputError(
                f"expected {self.n_regressors} regressors, but got {other.n_regressors}", code="regression-shape"
            )
        self._refuse_if_spoiled()
        other._refuse_if_spoiled()
        if other.n == 0:
            return self
        if self.n == 0:
            self.n, self.shift = other.n, other.shift.copy()
            self.sums, self.products = other.sums.copy(), other.products.copy()
            return self
        if other.shift.shape != self.shift.shape:
            raise InputError(
                f"expected {self.shift.shape[1]} voxels, but got {other.shift.shape[1]}", code="regression-shape"
            )
        moved = other.shift - self.shift
        for row, (i, j) in enumerate(self._pairs):
            self.products[row] += (
                other.products[row]
                + moved[i] * other.sums[j]
                + other.sums[i] * moved[j]
                + other.n * moved[i] * moved[j]
            )
        self.sums += other.sums + other.n * moved
        self.n += other.n
        return self

    def fit(self) -> VoxelwiseFit:
        """Solve the model in every voxel.

        Returns
        -------
        VoxelwiseFit
            A constant regressor, or one that depends on earlier ones, is
            dropped: its beta and partial R2 are NaN, the rest is fitted. All is
            NaN where y is constant, nothing is left to fit, or there are no
            more scans than coefficients.

        Raises
        ------
        InputError
            When no scan was given, or one that is not finite.

        Notes
        -----
        partial R2 of j = (SSE without j - SSE) / SSE without j;
        standardised beta = b sd(x) / sd(y).
        """
        self._refuse_if_spoiled()
        if self.shift is None:
            raise InputError("expected scans before the fit, but got none", code="regression-empty")
        k, n_voxels, pairs = self.n_regressors, self.shift.shape[1], self._pairs
        fit = VoxelwiseFit(
            r2=np.full(n_voxels, np.nan),
            adjusted_r2=np.full(n_voxels, np.nan),
            partial_r2=np.full((k, n_voxels), np.nan),
            standardised_beta=np.full((k, n_voxels), np.nan),
            n=self.n,
            fitted=np.zeros((k, n_voxels), dtype=bool),
        )
        if self.n > k + 1:
            for start in range(0, n_voxels, SOLVED_AT_ONCE):
                tile = slice(start, start + SOLVED_AT_ONCE)
                sums, products = self.sums[:, tile], self.products[:, tile]
                comoments = [row - sums[i] * sums[j] / self.n for row, (i, j) in zip(products, pairs, strict=True)]
                _solve(comoments, pairs, fit, tile)
        return fit

    @property
    def _pairs(self) -> list[tuple[int, int]]:
        size = self.n_regressors + 1
        return [(i, j) for i in range(size) for j in range(i, size)]

    def _add(self, columns: list[np.ndarray], start: int, stop: int) -> None:
        from relevox.statistics.moments import add_scans  # compiled loops

        n_voxels = self.shift.shape[1]
        block = aligned(len(columns), stop - start, min(TILE, n_voxels))
        for first in range(0, n_voxels, TILE):
            width = min(TILE, n_voxels - first)
            if width < block.shape[2]:
                block = aligned(len(columns), stop - start, width)
            for values, column in zip(block, columns, strict=True):
                values[:] = column[start:stop, first : first + width]
            if not add_scans(block, self.shift, self.sums, self.products, first):
                self._spoiled = True
                raise not_finite(columns, slice(first, first + width))
        self.n += stop - start

    def _refuse_if_spoiled(self) -> None:
        if self._spoiled:
            raise InputError(
                "expected finite values in every scan, but one given before had others",
                code="regression-spoiled",
                remedy="start again without that scan",
            )


def _solve(comoments: list[np.ndarray], pairs: list[tuple[int, int]], fit: VoxelwiseFit, tile: slice) -> None:
    """Fill one tile of the fit by sweeping the correlation matrix (Goodnight 1979)."""
    k = len(fit.fitted)
    n_voxels = comoments[0].size
    table = np.empty((k + 1, k + 1, n_voxels))
    for row, (i, j) in zip(comoments, pairs, strict=True):
        table[i, j] = table[j, i] = row
    scale = np.sqrt(np.einsum("iiv->iv", table))  # (k + 1, v)
    varies = scale > 0
    inverse = np.where(varies, 1 / np.where(varies, scale, 1.0), 0.0)
    table *= inverse[:, None] * inverse[None, :]  # correlations; zero rows where constant

    fitted = np.zeros((k, n_voxels), dtype=bool)
    for j in range(k):
        fitted[j] = _sweep(table, j)
    usable = varies[k] & fitted.any(axis=0)
    n_fitted = fitted.sum(axis=0)
    error = np.maximum(table[k, k], 0.0)  # SSE as a share of the total sum of squares
    beta = table[:k, k]
    # what SSE grows by without regressor j; the sweep leaves minus the inverse on the diagonal
    gain = beta**2 / np.where(fitted, -np.einsum("iiv->iv", table)[:k], 1.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        partial = gain / (error + gain)
        adjusted = 1 - error * (fit.n - 1) / (fit.n - n_fitted - 1)
    fit.r2[tile] = np.where(usable, 1 - error, np.nan)
    fit.adjusted_r2[tile] = np.where(usable, adjusted, np.nan)
    fit.partial_r2[:, tile] = np.where(usable & fitted, partial, np.nan)
    fit.standardised_beta[:, tile] = np.where(usable & fitted, beta, np.nan)
    fit.fitted[:, tile] = usable & fitted


def _sweep(table: np.ndarray, j: int) -> np.ndarray:
    """Take regressor j into the model, in place, where it adds anything; return where it does."""
    pivot = table[j, j].copy()
    adds = pivot > COLLINEAR
    safe = np.where(adds, pivot, 1.0)
    row = table[j].copy()
    swept = table - row[:, None] * row[None, :] / safe
    swept[j] = swept[:, j] = row / safe
    swept[j, j] = -1 / safe
    np.copyto(table, swept, where=adds)
    return adds
