"""A linear model in every voxel, over scans that come in pieces (SPEC 6.3).

Kept per voxel: means and co-moments in float64, shifted by the first scan and
merged as in Chan, Golub and LeVeque (1983). Memory does not grow with the
number of scans, and offsets a million times the spread cost no digits.
"""

from __future__ import annotations

import numpy as np

from relevox.errors import InputError
from relevox.records import VoxelwiseFit

TILE = 4096
"""Voxels whose scans, means and co-moments fit a processor's cache together."""

SCANS_AT_ONCE = 16
"""Longer updates are taken in blocks."""

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
        self.mean: np.ndarray | None = None
        """``(k + 1, v)`` less the shift."""
        self.comoments: np.ndarray | None = None
        """``(pairs, v)`` sums of products of deviations, upper triangle row by row."""

    def update(self, y: np.ndarray, X: np.ndarray) -> VoxelwiseRegression:
        """Add scans.

        Parameters
        ----------
        y : array-like, (n, v)
            Outcome.
        X : array-like, (n, k, v)
            Regressors.

        Raises
        ------
        InputError
            When the shapes do not fit.
        """
        y, X = np.asarray(y), np.asarray(X)
        expected = (len(y), self.n_regressors, *y.shape[1:])
        n_voxels = None if self.shift is None else self.shift.shape[1]
        if y.ndim != 2 or X.shape != expected or n_voxels not in (None, y.shape[1]):
            raise InputError(
                f"expected y (n, {n_voxels or 'v'}) and X (n, {self.n_regressors}, {n_voxels or 'v'}), "
                f"but got {y.shape} and {X.shape}",
                code="regression-shape",
            )
        if len(y) == 0:
            return self
        if self.shift is None:
            self.shift = np.concatenate([X[0], y[:1]]).astype(np.float64)
            self.mean = np.zeros_like(self.shift)
            self.comoments = np.zeros((len(self._pairs), y.shape[1]))
        for start in range(0, len(y), SCANS_AT_ONCE):
            self._add(y[start : start + SCANS_AT_ONCE], X[start : start + SCANS_AT_ONCE])
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
        if other.n == 0:
            return self
        if self.n == 0:
            self.n, self.shift = other.n, other.shift.copy()
            self.mean, self.comoments = other.mean.copy(), other.comoments.copy()
            return self
        if other.shift.shape != self.shift.shape:
            raise InputError(
                f"expected {self.shift.shape[1]} voxels, but got {other.shift.shape[1]}", code="regression-shape"
            )
        mean = other.mean + (other.shift - self.shift)
        _merge(self.mean, self.comoments, self.n, mean, other.comoments, other.n, self._pairs)
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
            When no scan was given.

        Notes
        -----
        partial R2 of j = (SSE without j - SSE) / SSE without j;
        standardised beta = b sd(x) / sd(y).
        """
        if self.shift is None:
            raise InputError("expected scans before the fit, but got none", code="regression-empty")
        k, n_voxels = self.n_regressors, self.shift.shape[1]
        fit = VoxelwiseFit(
            r2=np.full(n_voxels, np.nan),
            adjusted_r2=np.full(n_voxels, np.nan),
            partial_r2=np.full((k, n_voxels), np.nan),
            standardised_beta=np.full((k, n_voxels), np.nan),
            n=self.n,
            fitted=np.zeros((k, n_voxels), dtype=bool),
        )
        if self.n > k + 1:
            for start in range(0, n_voxels, TILE):
                _solve(self.comoments[:, start : start + TILE], self._pairs, fit, slice(start, start + TILE))
        return fit

    @property
    def _pairs(self) -> list[tuple[int, int]]:
        size = self.n_regressors + 1
        return [(i, j) for i in range(size) for j in range(i, size)]

    def _add(self, y: np.ndarray, X: np.ndarray) -> None:
        n, k, pairs = len(y), self.n_regressors, self._pairs
        block = np.empty((k + 1, n, min(TILE, y.shape[1])))
        for start in range(0, y.shape[1], TILE):
            tile = slice(start, start + TILE)
            shift = self.shift[:, tile]
            values = block[..., : shift.shape[1]]  # (k + 1, n, tile)
            for i in range(k):
                np.subtract(X[:, i, tile], shift[i], out=values[i], dtype=np.float64)
            np.subtract(y[:, tile], shift[k], out=values[k], dtype=np.float64)
            mean = values.mean(axis=1)
            values -= mean[:, None]
            comoments = [np.einsum("nv,nv->v", values[i], values[j]) for i, j in pairs]
            _merge(self.mean[:, tile], self.comoments[:, tile], self.n, mean, comoments, n, pairs)
        self.n += n


def _merge(mean, comoments, n, other_mean, other_comoments, other_n, pairs) -> None:
    """Add the second set of moments to the first, in place."""
    total = n + other_n
    difference = other_mean - mean
    for row, (i, j) in enumerate(pairs):
        comoments[row] += other_comoments[row] + difference[i] * difference[j] * (n * other_n / total)
    mean += difference * (other_n / total)


def _solve(comoments: np.ndarray, pairs: list[tuple[int, int]], fit: VoxelwiseFit, tile: slice) -> None:
    """Fill one tile of the fit by sweeping the correlation matrix (Goodnight 1979)."""
    k = len(fit.fitted)
    n_voxels = comoments.shape[1]
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
