"""Voxel-wise regression and region tables against what one would write without them.

python benchmarks/voxelwise.py --scans 100 --voxels 200000
"""

from __future__ import annotations

import argparse

import numpy as np
import statsmodels.api as sm
from timing import median_seconds, peak_gb, show

from relevox.statistics.regions import RegionTable
from relevox.statistics.voxelwise import VoxelwiseRegression


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scans", type=int, default=100)
    parser.add_argument("--voxels", type=int, default=200_000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    n, v = options.scans, options.voxels
    rng = np.random.default_rng(0)
    y = rng.standard_normal((n, v), dtype=np.float32)
    X = rng.standard_normal((n, 2, v), dtype=np.float32)
    some = max(1, v // 200)

    def ours():
        regression = VoxelwiseRegression(2)
        for start in range(0, n, 16):
            regression.update(y[start : start + 16], X[start : start + 16])
        return regression.fit()

    def lstsq():
        for voxel in range(some):
            np.linalg.lstsq(np.c_[np.ones(n), X[:, :, voxel]], y[:, voxel], rcond=None)

    def statsmodels():
        for voxel in range(some):
            sm.OLS(y[:, voxel].astype(float), sm.add_constant(X[:, :, voxel].astype(float))).fit().rsquared  # noqa: B018

    read = median_seconds(lambda: (y.sum(), X.sum()), options.repeats)
    fit = median_seconds(ours, options.repeats)
    per_voxel = {name: median_seconds(f, 1) * v / some for name, f in (("lstsq", lstsq), ("statsmodels", statsmodels))}
    show(
        f"voxel-wise regression, {n} scans x {v} voxels, two regressors",
        [
            ("relevox", fit, "s"),
            ("relevox / a read of the arrays (target <= 5)", fit / read, ""),
            ("numpy lstsq per voxel / relevox", per_voxel["lstsq"] / fit, ""),
            ("statsmodels per voxel / relevox (target >= 200)", per_voxel["statsmodels"] / fit, ""),
            ("peak memory above the arrays", peak_gb(ours), "GB"),
        ],
    )

    shape = (144, 184, 152)
    labels = rng.integers(0, 18, shape, dtype=np.int32)
    relevance = rng.random(shape, dtype=np.float32)
    table = RegionTable(labels, labels > 0, range(1, 18))
    show(
        f"region table of one map, {shape}",
        [
            (
                "thresholds and shares of 17 regions",
                median_seconds(lambda: table.shares(relevance), options.repeats),
                "s",
            )
        ],
    )


if __name__ == "__main__":
    main()
