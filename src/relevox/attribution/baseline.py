"""The mean scan: what a scan is compared with, and what regions are replaced by."""

from __future__ import annotations

import numpy as np


def mean_scan(inputs: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Average some scans, one in memory at a time.

    Parameters
    ----------
    inputs : array-like, (n, c, x, y, z)
        Scans of any float type; a memory map is read row by row.
    rows : array-like, (m,) int
        Which; at least one.

    Returns
    -------
    ndarray, (c, x, y, z) float32

    Examples
    --------
    >>> mean_scan(np.array([[1.0], [5.0], [2.0]], dtype=np.float16), [0, 2])
    array([1.5], dtype=float32)
    """
    rows = np.asarray(rows)
    assert len(rows) > 0
    total = np.zeros(inputs.shape[1:], dtype=np.float64)
    for row in rows:
        total += inputs[row]
    return (total / len(rows)).astype(np.float32)
