"""Functions compiled by numba; only the files that hold voxel-wise loops import this one."""

from __future__ import annotations

from collections.abc import Callable

from numba import njit


def compiled(function: Callable) -> Callable:
    """Compile on the first call, keep the machine code on disk and let threads run side by side.

    Where no folder can be written (a read-only container) it is compiled anew in every process.
    """
    try:
        return njit(cache=True, nogil=True)(function)
    except RuntimeError:
        return njit(nogil=True)(function)
