"""Permutation inference for voxel-wise regression, exchanging whole patients (SPEC 6.3)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np

from relevox.errors import InputError
from relevox.statistics.exchange import exchange_patients
from relevox.statistics.voxel_columns import as_columns, read_tile

READ = 4096
"""Voxels read at once: long enough strips of a file, small enough for memory."""

TILE = 64
"""Voxels computed at once: their scans stay in a processor's second cache."""

ORDERS = 64
"""Orders of the scans computed between two looks at the results."""

SLACK = 1e-9
"""Two statistics that differ by less, as a share and outright, are tied: rounding breaks no tie."""


@dataclass(frozen=True)
class PermutationTest:
    """Each regressor of a voxel-wise model, tested given the others; NaN where it could not be fitted."""

    t: np.ndarray
    """``(k, v)`` statistic of each regressor in the full model."""
    p_fwe: np.ndarray
    """``(k, v)`` two-sided, corrected over the voxels (not over the regressors) by the maximum of abs(t)."""
    p_uncorrected: np.ndarray
    """``(k, v)`` two-sided, of this voxel alone."""
    null_max: np.ndarray
    """``(n_permutations, k)`` the largest abs(t) over the voxels, per permutation."""
    tfce: np.ndarray | None
    """``(k, v)`` t after cluster enhancement, with its sign; None where no mask was given."""
    p_tfce: np.ndarray | None
    """``(k, v)`` two-sided, corrected over the voxels by the maximum of abs(tfce)."""
    null_max_tfce: np.ndarray | None
    """``(n_permutations, k)`` the largest abs(tfce) over the voxels, per permutation."""
    n_permutations: int
    """Permutations done; fewer than asked for where no more exist. The smallest p is 1 / (n_permutations + 1)."""
    n_arrangements: int
    """Arrangements of the patients that exist, the observed one among them."""


@dataclass(frozen=True)
class NullR2:
    """The R2 to be expected of a voxel-wise model when nothing is there to be explained."""

    r2: np.ndarray
    """``(v,)`` mean over permutations of whole patients; NaN where the model cannot be fitted."""
    mean: float
    """Over the voxels."""
    formula: np.ndarray
    """``(v,)`` fitted regressors / (n - 1): the expectation for independent scans."""
    formula_mean: float
    """Over the voxels."""
    n_permutations: int
    """Permutations done."""
    n_arrangements: int
    """Arrangements of the patients that exist, the observed one among them."""


def freedman_lane(
    y: np.ndarray,
    X: np.ndarray | Sequence[np.ndarray],
    groups: np.ndarray,
    n_permutations: int = 1000,
    seed: int = 0,
    *,
    mask: np.ndarray | None = None,
    threads: int = 1,
    progress: Callable[[int, int], object] | None = None,
    memory_gb: float = 1.0,
) -> PermutationTest:
    """Test every regressor in every voxel, given the other regressors (Freedman and Lane 1983).

    For each regressor: fit the others, exchange the residuals of whole patients, add what the others
    fitted, and take t of the regressor in the full model. p = (1 + permutations that reach the
    observed value) / (1 + permutations).

    Parameters
    ----------
    y : array-like, (n, v)
        Outcome, one row a scan; may be memory-mapped and larger than memory.
    X : array-like, (n, k, v), or a list or tuple of k arrays (n, v), (n, 1) or (n,)
        Regressors, with values of their own in every voxel; an intercept is always in the model.
    groups : array-like, (n,)
        Patient of each scan. A patient's scans move together, in the order given; patients with
        the same number of scans are exchanged. ``np.arange(n)`` treats the scans as independent,
        which they are not where patients have several.
    n_permutations : int
        When no more arrangements exist than this, each is done once.
    seed : int
        Of the permutations. The same seed gives the same bits with any number of threads.
    mask : array-like of bool, (x, y, z), optional
        Where the v voxels lie, in C order; with it, t is also enhanced by clusters (TFCE).
    threads : int
        Tiles of voxels, and maps, computed side by side.
    progress : callable, optional
        Called with (steps done, steps in all) from the calling thread.
    memory_gb : float
        For the t maps that TFCE needs whole; more means fewer passes over the data.

    Returns
    -------
    PermutationTest

    Raises
    ------
    InputError
        When shapes do not fit, values are not finite, or no two patients can be exchanged.

    Notes
    -----
    A regressor is dropped where :class:`~relevox.statistics.voxelwise.VoxelwiseRegression` drops it, and
    counts in no maximum there; nor do voxels in which the others explain y but for 1e-10.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((40, 1, 3))
    >>> y = rng.standard_normal((40, 3)) + [0, 0, 2] * x[:, 0]
    >>> test = freedman_lane(y, x, groups=np.repeat(np.arange(20), 2), n_permutations=99)
    >>> (test.p_fwe < 0.05).tolist()
    [[False, False, True]]
    """
    columns = as_columns(y, X)
    k, n_voxels = len(columns) - 1, columns[-1].shape[1]
    orders, n_arrangements = _orders(groups, len(columns[-1]), n_permutations, seed)
    enhance = _enhancement(mask, n_voxels)
    t = np.full((k, n_voxels), np.nan)
    reached = np.zeros((k, n_voxels))
    largest = np.full((len(orders), k), -np.inf)
    tfce = None if enhance is None else np.empty((k, n_voxels))
    largest_tfce = np.full((len(orders), k), -np.inf)

    at_once = len(orders)
    if enhance is not None:
        at_once = min(at_once, max(1, int(memory_gb * 1e9 / (8 * k * max(1, n_voxels)))))
        room = np.empty((at_once, k, n_voxels))
    chunks = _slices(len(orders), at_once)
    tiles = _slices(n_voxels, READ)
    steps = _Steps(progress, len(chunks) * len(tiles) + (0 if enhance is None else k * len(orders)))
    with ThreadPoolExecutor(threads) as pool:
        for chunk in chunks:
            maps = None if enhance is None else room[: chunk.stop - chunk.start]
            for found in steps.follow(pool.map(partial(_test_tile, columns, orders[chunk], t, reached, maps), tiles)):
                np.maximum(largest[chunk], found, out=largest[chunk])
            if maps is None:
                continue
            if chunk.start == 0:
                tfce[:] = [enhance(observed) for observed in maps[0]]
            found = steps.follow(pool.map(partial(_highest, enhance), maps.reshape(-1, n_voxels)))
            largest_tfce[chunk] = np.reshape(list(found), (-1, k))
    return PermutationTest(
        t=t,
        p_fwe=_p_corrected(t, largest),
        p_uncorrected=np.where(np.isnan(t), np.nan, reached / len(orders)),
        null_max=_null(largest),
        tfce=tfce,
        p_tfce=None if tfce is None else _p_corrected(tfce, largest_tfce),
        null_max_tfce=None if tfce is None else _null(largest_tfce),
        n_permutations=len(orders) - 1,
        n_arrangements=n_arrangements,
    )


def null_r2(
    y: np.ndarray,
    X: np.ndarray | Sequence[np.ndarray],
    groups: np.ndarray,
    n_permutations: int = 50,
    seed: int = 0,
    *,
    threads: int = 1,
    progress: Callable[[int, int], object] | None = None,
) -> NullR2:
    """Tell which R2 a voxel-wise model reaches when whole patients of y are exchanged against X.

    For independent scans that is k / (n - 1); scans of a patient resemble each other in y and in X,
    so that with repeated scans chance explains more.

    Parameters
    ----------
    y, X, groups, seed, threads, progress
        As for :func:`freedman_lane`.
    n_permutations : int
        Their mean is taken; 20 to 100 are enough for a mean over the brain.

    Returns
    -------
    NullR2

    Raises
    ------
    InputError
        As for :func:`freedman_lane`.

    Examples
    --------
    Each patient scanned twice, with the same values: as many scans, half the information.

    >>> rng = np.random.default_rng(0)
    >>> y, x = (np.repeat(rng.standard_normal((10, 5000)), 2, axis=0) for _ in range(2))
    >>> null = null_r2(y, [x], groups=np.repeat(np.arange(10), 2))
    >>> round(null.formula_mean, 3), round(null.mean, 2)
    (0.053, 0.11)
    """
    columns = as_columns(y, X)
    n, n_voxels = columns[-1].shape
    orders, n_arrangements = _orders(groups, n, n_permutations, seed)
    r2, formula = np.full(n_voxels, np.nan), np.full(n_voxels, np.nan)
    tiles = _slices(n_voxels, READ)
    with ThreadPoolExecutor(threads) as pool:
        done = pool.map(partial(_null_tile, columns, orders[1:], r2, formula), tiles)
        for _ in _Steps(progress, len(tiles)).follow(done):
            pass
    known = np.isfinite(r2)
    return NullR2(
        r2=r2,
        mean=float(r2[known].mean()) if known.any() else np.nan,
        formula=formula,
        formula_mean=float(formula[known].mean()) if known.any() else np.nan,
        n_permutations=len(orders) - 1,
        n_arrangements=n_arrangements,
    )


class _Steps:
    """Tells how far a computation has come."""

    def __init__(self, progress: Callable[[int, int], object] | None, total: int) -> None:
        self.progress, self.total, self.done = progress, total, 0

    def follow(self, results: Iterable) -> Iterator:
        """Pass results on, one step each."""
        for result in results:
            self.done += 1
            if self.progress is not None:
                self.progress(self.done, self.total)
            yield result


def _orders(groups: np.ndarray, n: int, n_permutations: int, seed: int) -> tuple[np.ndarray, int]:
    """Return the order given, followed by permuted ones, and how many exist."""
    if np.shape(groups) != (n,):
        raise InputError(f"expected groups ({n},), but got {np.shape(groups)}", code="permutation-groups")
    orders, n_arrangements = exchange_patients(groups, n_permutations, np.random.default_rng(seed))
    return np.concatenate([np.arange(n)[None], orders]), n_arrangements


def _enhancement(mask: np.ndarray | None, n_voxels: int) -> Callable[[np.ndarray], np.ndarray] | None:
    if mask is None:
        return None
    from relevox.statistics.cluster_enhancement import ClusterEnhancement  # compiled loops

    if np.count_nonzero(mask) != n_voxels:
        raise InputError(
            f"expected a mask of {n_voxels} voxels, but got {np.count_nonzero(mask)}", code="permutation-mask"
        )
    return ClusterEnhancement(mask)


def _highest(enhance: Callable[[np.ndarray], np.ndarray], t: np.ndarray) -> float:
    """Return the largest abs(tfce) of a map; minus infinity where nothing is known."""
    enhanced = np.abs(enhance(t))
    return float(np.max(enhanced, initial=-np.inf, where=~np.isnan(enhanced)))


def _test_tile(columns, orders, t, reached, maps, voxels: slice) -> np.ndarray:
    """Fill t, counts and maps of some voxels, and return the largest abs(t) of each order, ``(orders, k)``."""
    from relevox.statistics import permuted_fits as fits  # compiled loops

    tile = read_tile(columns, voxels)
    k, n, _ = tile[:-1].shape
    given = np.arange(n)[None]
    largest = np.full((k, len(orders)), -np.inf)
    for part in _slices(tile.shape[2], TILE):
        at = slice(voxels.start + part.start, voxels.start + part.stop)
        values = np.ascontiguousarray(tile[:, :, part])
        kept = fits.prepare(values)
        for j in range(k):
            model = fits.reduced_model(values, kept, j)
            observed = fits.permuted_t(*model, given)[0]
            t[j, at] = observed
            for some in _slices(len(orders), ORDERS):
                permuted = fits.permuted_t(*model, orders[some])
                fits.count_reached(permuted, observed, SLACK, reached[j, at], largest[j, some])
                if maps is not None:
                    maps[some, j, at] = permuted
    return largest.T


def _null_tile(columns, orders, r2, formula, voxels: slice) -> None:
    """Fill the expected R2 of some voxels."""
    from relevox.statistics import permuted_fits as fits  # compiled loops

    tile = read_tile(columns, voxels)
    for part in _slices(tile.shape[2], TILE):
        at = slice(voxels.start + part.start, voxels.start + part.stop)
        values = np.ascontiguousarray(tile[:, :, part])
        kept = fits.prepare(values)
        r2[at] = fits.mean_permuted_r2(values, kept, orders)
        formula[at] = np.where(np.isnan(r2[at]), np.nan, kept.sum(axis=0) / (values.shape[1] - 1))


def _p_corrected(observed: np.ndarray, largest: np.ndarray) -> np.ndarray:
    """Return (k, v) shares of the orders, the given one among them, whose maximum reaches each value."""
    p = np.full(observed.shape, np.nan)
    for j, size in enumerate(np.abs(observed)):
        below = np.searchsorted(np.sort(largest[1:, j]), size * (1 - SLACK) - SLACK)
        p[j] = np.where(np.isnan(size), np.nan, (len(largest) - below) / len(largest))
    return p


def _null(largest: np.ndarray) -> np.ndarray:
    """Leave out the given order; NaN where no voxel could be tested."""
    return np.where(np.isneginf(largest[1:]), np.nan, largest[1:])


def _slices(size: int, step: int) -> list[slice]:
    return [slice(start, min(start + step, size)) for start in range(0, size, step)]
