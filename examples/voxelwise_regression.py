"""Voxel-wise regression and permutation inference on any co-registered maps.

Sixty patients, scanned twice. In every voxel the outcome is regressed on a lesion map, which differs from
voxel to voxel, and on age, which does not. Lesions have an effect in one corner of the volume only.

Run it: ``python examples/voxelwise_regression.py``.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from relevox.statistics.permutation import freedman_lane, null_r2
from relevox.statistics.voxelwise import VoxelwiseRegression


def simulate(seed: int = 0) -> tuple[np.ndarray, ...]:
    """Return outcome and lesions (n, v), age and patients (n,), the mask (x, y, z), and where the effect is (v,)."""
    rng = np.random.default_rng(seed)
    shape, patients = (16, 18, 14), np.repeat(np.arange(60), 2)
    mask = np.ones(shape, dtype=bool)
    mask[:, :, 0] = False

    def smooth(n: int) -> np.ndarray:
        noise = gaussian_filter(rng.standard_normal((n, *shape)), (0, 1.5, 1.5, 1.5))[:, mask]
        return noise / noise.std()

    own = smooth(60)[patients]  # what the two scans of a patient share
    lesions = own + smooth(120) > 1
    age = rng.normal(45, 10, 60)[patients]
    corner = np.zeros(shape, dtype=bool)
    corner[:6, :6, :6] = True
    effect = corner[mask]
    outcome = 1.5 * effect * lesions + 0.02 * (age[:, None] - 45) + smooth(60)[patients] + smooth(120)
    return outcome, lesions, age, patients, mask, effect


def main() -> dict[str, float]:
    """Fit, test, and compare with what chance explains."""
    y, lesions, age, patients, mask, effect = simulate()
    X = [lesions, age]  # one array per regressor: (n, v), or (n,) where all voxels share it

    fit = VoxelwiseRegression(n_regressors=2).update(y, X).fit()
    null = null_r2(y, X, patients, n_permutations=50, seed=0)
    test = freedman_lane(y, X, patients, n_permutations=500, seed=0, mask=mask)

    found = test.p_fwe[0] < 0.05
    numbers = {
        "scans": fit.n,
        "mean R2": float(np.nanmean(fit.r2)),
        "mean R2 expected without an effect": null.mean,
        "2 / (n - 1)": null.formula_mean,
        "effect found, largest |t|": float(found[effect].mean()),
        "effect found, cluster enhancement": float((test.p_tfce[0] < 0.05)[effect].mean()),
        "found elsewhere": float(found[~effect].mean()),
        "arrangements of the patients, digits": len(str(test.n_arrangements)),
    }
    for name, number in numbers.items():
        print(f"{name:<40}{number:.4g}")
    return numbers


if __name__ == "__main__":
    main()
