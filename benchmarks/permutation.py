"""Permutation tests and cluster enhancement at 1 mm, and their false positives.

python benchmarks/permutation.py                what 1000 permutations cost, scaled up from a part
python benchmarks/permutation.py --whole 1000   so many, of a whole brain in files, with cluster enhancement
python benchmarks/permutation.py --studies 2000 a longer simulation
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.stats import binom
from timing import allocated_gb, median_seconds, show

from relevox.statistics.cluster_enhancement import ClusterEnhancement
from relevox.statistics.permutation import freedman_lane, null_r2

SHAPE = (144, 184, 152)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scans", type=int, default=382)
    parser.add_argument("--studies", type=int, default=400)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--whole", type=int, default=0, metavar="PERMUTATIONS")
    parser.add_argument("--folder", type=Path, help="where the maps of --whole lie meanwhile")
    options = parser.parse_args()
    false_positives(options.studies)
    rate(options.scans, options.repeats)
    enhancement(options.repeats)
    if options.whole:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            whole(Path(folder), options.scans, options.threads, options.whole)


def false_positives(n_studies: int, n_patients: int = 20, shape: tuple[int, ...] = (12, 12, 12)) -> None:
    """Simulate studies without an effect: three scans a patient, who have much in common in y and in x."""
    rng = np.random.default_rng(0)
    patients, level, rejected = np.repeat(np.arange(n_patients), 3), 0.05, {"patients": 0, "scans": 0}
    enhanced = dict(rejected)

    def smooth_maps() -> np.ndarray:
        own = np.sqrt(2) * np.repeat(rng.standard_normal((n_patients, *shape)), 3, axis=0)
        return gaussian_filter(own + rng.standard_normal(own.shape), (0, 2, 2, 2)).reshape(len(own), -1)

    observed, expected = [], []
    for study in range(n_studies):
        y, x = smooth_maps(), smooth_maps()
        for name, groups in (("patients", patients), ("scans", np.arange(len(patients)))):
            test = freedman_lane(y, [x], groups, 99, seed=study, mask=np.ones(shape, dtype=bool))
            rejected[name] += np.min(test.p_fwe) <= level
            enhanced[name] += np.min(test.p_tfce) <= level
        df = len(y) - 2
        observed.append(np.mean(test.t**2 / (test.t**2 + df)))
        expected.append(null_r2(y, [x], patients, 20, seed=study).mean)
    low, high = binom.interval(0.95, n_studies, level)
    show(
        f"{n_studies} studies without an effect, {n_patients} patients with 3 scans, voxels {shape}, 99 permutations",
        [
            *(
                (f"{statistic}, exchanging {units}", counts[units] / n_studies, "of studies")
                for statistic, counts in (("largest |t|", rejected), ("cluster enhancement", enhanced))
                for units in counts
            ),
            ("  0.05 and chance: at least", low / n_studies, ""),
            ("  0.05 and chance: at most", high / n_studies, ""),
            ("mean R2", float(np.mean(observed)), ""),
            ("mean R2 expected from exchanged patients", float(np.mean(expected)), ""),
            ("1 / (n - 1)", 1 / (3 * n_patients - 1), ""),
        ],
    )


def rate(n: int, repeats: int, v: int = 8192, n_permutations: int = 1000) -> None:
    """Measure one thread on two regressors, beside what the same thread does in a matrix product."""
    rng = np.random.default_rng(0)
    y, *X = (rng.standard_normal((n, v), dtype=np.float32) for _ in range(3))
    seconds = median_seconds(
        partial(freedman_lane, y, X, np.arange(n), n_permutations), repeats, clock=time.process_time
    )
    a = rng.standard_normal((256, 256))
    product = median_seconds(lambda: a @ a, 20 * repeats)
    per_step = seconds / (v * n_permutations * 2)
    show(
        f"permutation, {n} scans, 2 regressors, {n_permutations} permutations, one thread",
        [
            ("a voxel, permutation and regressor (target <= 150)", per_step * 1e9, "ns"),
            ("its floating-point rate", 2 * 2 * n / per_step / 1e9, "GFLOP/s"),
            ("that of a float64 matrix product", 2 * len(a) ** 3 / product / 1e9, "GFLOP/s"),
            ("1000 permutations x 1.13 M voxels x 2, scaled up", per_step * 1000 * 1.131e6 * 2 / 60, "min"),
        ],
    )


def enhancement(repeats: int) -> None:
    mask = brain()
    t = gaussian_filter(np.random.default_rng(0).standard_normal(SHAPE), 3)[mask]
    enhance = ClusterEnhancement(mask)
    seconds = median_seconds(lambda: enhance(t / t.std()), repeats, clock=time.process_time)
    show(f"cluster enhancement of one map, {len(t)} voxels", [("both signs, one thread", seconds, "s")])


def whole(folder: Path, n: int, threads: int, n_permutations: int) -> None:
    """Permute a whole brain at 1 mm, from files."""
    rng, mask = np.random.default_rng(0), brain()
    v = int(np.count_nonzero(mask))
    kinds = {"y": np.float32, "lesion": np.uint8, "jacobian": np.float16}
    maps = {name: np.lib.format.open_memmap(folder / f"{name}.npy", "w+", t, (n, v)) for name, t in kinds.items()}
    for scan in range(n):
        for name, one in maps.items():
            values = rng.standard_normal(v, dtype=np.float32)
            one[scan] = values > 1.3 if name == "lesion" else values
    y, *X = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in maps)
    patients = np.sort(rng.integers(0, n * 2 // 3, n))
    rows = []
    for title, arguments in (("largest |t|", {}), ("with cluster enhancement", {"mask": mask})):
        start = time.perf_counter(), time.process_time()
        memory = allocated_gb(lambda a=arguments: freedman_lane(y, X, patients, n_permutations, threads=threads, **a))
        minutes = (time.perf_counter() - start[0]) / 60, (time.process_time() - start[1]) / 60
        rows += [(title, minutes[0], "min"), ("  of processors", minutes[1], "min"), ("  memory", memory, "GB")]
    show(f"{n_permutations} permutations, {n} scans x {v} voxels, 2 regressors, {threads} threads, run whole", rows)


def brain() -> np.ndarray:
    """An ellipsoid of 1.13 million voxels."""
    radii = np.array([60, 75, 60]).reshape(3, 1, 1, 1)
    centre = (np.array(SHAPE).reshape(3, 1, 1, 1) - 1) / 2
    return (((np.indices(SHAPE) - centre) / radii) ** 2).sum(axis=0) < 1


if __name__ == "__main__":
    main()
