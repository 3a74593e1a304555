"""Functions compiled by numba; only the files that hold loops over voxels import this one."""

from __future__ import annotations

from collections.abc import Callable

from numba import njit


def compiled(function: Callable, **options: object) -> Callable:
    """Compile on the first call, keep the machine code on disk and let threads run side by side.

    Where no folder can be written (a read-only container) it is compiled anew in every process.

    Parameters
    ----------
    function : callable
        Loops over arrays.
    **options
        Of :func:`numba.njit`, such as ``fastmath``; without them sums are taken in the order they are written.
    """
    try:
        return njit(cache=True, nogil=True, **options)(function)
    except RuntimeError:
        return njit(nogil=True, **options)(function)
