"""Voxel-wise regression against a plain read and what one would write without it, and region tables.

python benchmarks/voxelwise.py --scans 100 --voxels 200000 --out .

Maps lie in files, as a study's do: relevance and Jacobian in float32, lesions in uint8. With --out the
growth in scans and in voxels is drawn as growth.png. Seconds are those of the processor.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from functools import partial
from pathlib import Path

import matplotlib
import nibabel as nib
import numpy as np
import statsmodels.api as sm
import timing
from nilearn.maskers import NiftiLabelsMasker
from timing import allocated_gb, show

from relevox.statistics.regions import RegionTable
from relevox.statistics.voxelwise import VoxelwiseRegression
from relevox.store import template

BRAIN = 1_131_000
"""Voxels of a brain at 1 mm."""

GRID = 144 * 184 * 152
"""Voxels of the whole grid at 1 mm."""

AT_ONCE = 32

median_seconds = partial(timing.median_seconds, clock=time.process_time)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scans", type=int, default=382)
    parser.add_argument("--voxels", type=int, default=BRAIN)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where the maps lie meanwhile (default: a temporary folder)")
    parser.add_argument("--out", type=Path, help="folder of growth.png")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        maps = synthetic_maps(Path(folder), options.scans, options.voxels)
        regression(maps, options.repeats)
        if options.out is not None:
            growth(maps, options.repeats, options.out / "growth.png")
    memory()
    region_table(options.repeats)


def synthetic_maps(folder: Path, n: int, v: int) -> list[np.ndarray]:
    """Write and map relevance, lesion and Jacobian, ``(n, v)`` each."""
    rng = np.random.default_rng(0)
    kinds = {"relevance": np.float32, "lesion": np.uint8, "jacobian": np.float32}
    maps = {name: np.lib.format.open_memmap(folder / f"{name}.npy", "w+", t, (n, v)) for name, t in kinds.items()}
    for scan in range(n):
        maps["jacobian"][scan] = 1 + 0.1 * rng.standard_normal(v, dtype=np.float32)
        maps["lesion"][scan] = rng.random(v, dtype=np.float32) < 0.1
        maps["relevance"][scan] = rng.standard_normal(v, dtype=np.float32) + 0.3 * maps["lesion"][scan]
    return [np.load(folder / f"{name}.npy", mmap_mode="r") for name in kinds]


def read(maps: list[np.ndarray]) -> None:
    """Bring every value from the file into memory once."""
    for start in range(0, len(maps[0]), AT_ONCE):
        for one in maps:
            np.array(one[start : start + AT_ONCE])


def fit(maps: list[np.ndarray]):
    """Regress in blocks of scans, as a stage does."""
    y, *X = maps
    sums = VoxelwiseRegression(len(X))
    for start in range(0, len(y), AT_ONCE):
        some = slice(start, start + AT_ONCE)
        sums.update(y[some], [x[some] for x in X])
    return sums.fit()


def regression(maps: list[np.ndarray], repeats: int) -> None:
    n, v = maps[0].shape
    some = max(1, min(1000, v // 200))
    y, *X = (np.array(one[:, :some]) for one in maps)

    def model(voxel):
        return y[:, voxel].astype(float), sm.add_constant(np.column_stack([x[:, voxel] for x in X]).astype(float))

    def lstsq():
        for voxel in range(some):
            outcome, design = model(voxel)
            np.linalg.lstsq(design, outcome, rcond=None)

    def statsmodels():
        for voxel in range(some):
            found = sm.OLS(*model(voxel)).fit()
            # what ours gives too: partial R2 follows from t
            found.rsquared, found.rsquared_adj, found.params, found.tvalues  # noqa: B018

    seconds_read = median_seconds(lambda: read(maps), repeats)
    seconds = median_seconds(lambda: fit(maps), repeats)
    per_voxel = {f.__name__: median_seconds(f, repeats) * v / some for f in (lstsq, statsmodels)}
    show(
        f"voxel-wise regression, {n} scans x {v} voxels, two regressors, files of {n * v * 9 / 1e9:.3g} GB",
        [
            ("relevox", seconds, "s"),
            ("a warm read of the maps", seconds_read, "s"),
            ("relevox / a warm read (target <= 5)", seconds / seconds_read, ""),
            (f"numpy lstsq ({some} voxels, scaled up) / relevox", per_voxel["lstsq"] / seconds, ""),
            (
                f"statsmodels ({some} voxels, scaled up) / relevox (target >= 200)",
                per_voxel["statsmodels"] / seconds,
                "",
            ),
        ],
    )


def growth(maps: list[np.ndarray], repeats: int, file: Path) -> None:
    """Draw seconds against scans, and against voxels."""
    matplotlib.use("Agg")
    from matplotlib import pyplot, ticker

    n, v = maps[0].shape
    figure, axes = pyplot.subplots(1, 2, figsize=(7, 3.2), sharey=True, layout="constrained")
    rows = []
    for ax, what, largest, fixed in zip(
        axes, ("scans", "voxels"), (n, v), (f"{v:,} voxels", f"{n} scans"), strict=True
    ):
        sizes = sorted({largest // 2**i for i in range(5) if largest // 2**i > 3})
        part = {"scans": lambda one, size: one[:size], "voxels": lambda one, size: one[:, :size]}[what]
        seconds = [median_seconds(lambda s=s, part=part: fit([part(one, s) for one in maps]), repeats) for s in sizes]
        slope = np.polyfit(np.log(sizes), np.log(seconds), 1)[0]
        rows.append((f"growth in {what}: slope of log seconds on log {what} (1 = linear)", slope, ""))
        ax.loglog(sizes, seconds, "o-", color="#0072B2", label=f"measured, slope {slope:.2f}")
        ax.loglog(sizes, seconds[-1] * np.array(sizes) / largest, ":", color="#666666", label="slope 1")
        ax.set_xlabel(f"{what} ({fixed})")
        ax.set_xticks(sizes, [f"{size:,}" for size in sizes], rotation=30)
        ax.xaxis.set_minor_locator(ticker.NullLocator())
        ax.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_major_formatter(ticker.StrMethodFormatter("{x:g}"))
        ax.yaxis.set_minor_locator(ticker.NullLocator())
        ax.grid(alpha=0.3)
        ax.legend(frameon=False)
    axes[0].set_ylabel("seconds of one processor")
    figure.suptitle(
        "Voxel-wise regression, two regressors (the solution takes as long for any number of scans)", fontsize="small"
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=150)
    show(f"growth, drawn in {file}", rows)


def memory() -> None:
    """Measure what the sums and the fit need at 1 mm, over the whole grid."""
    rng = np.random.default_rng(0)
    y, *X = (rng.standard_normal((6, GRID), dtype=np.float32) for _ in range(5))
    rows = []
    for k, n_updates in ((2, 1), (2, 4), (4, 1)):

        def run(k=k, n_updates=n_updates):
            sums = VoxelwiseRegression(k)
            for _ in range(n_updates):
                sums.update(y, X[:k])
            sums.fit()

        rows.append((f"{k} regressors, {6 * n_updates} scans (target <= 1.5)", allocated_gb(run), "GB"))
    show(f"peak memory of the regression, {GRID} voxels", rows)


def region_table(repeats: int) -> None:
    """Against the labels masker of nilearn, which gives the means only."""
    head = template.load(1)
    rng = np.random.default_rng(0)
    relevance = rng.standard_normal(head.regions.shape, dtype=np.float32) * head.brain_mask
    regions = range(1, int(head.regions.max()) + 1)
    table = RegionTable(head.regions, head.brain_mask, regions)
    labels, image = (nib.Nifti1Image(data, np.eye(4)) for data in (head.regions.astype(np.int32), relevance))
    masker = NiftiLabelsMasker(labels, standardize=None).fit()
    seconds = median_seconds(lambda: table.shares(relevance), repeats)
    nilearn_seconds = median_seconds(lambda: masker.transform(image), repeats)
    show(
        f"region table of one map, {relevance.shape}, {len(regions)} regions",
        [
            ("relevox: threshold, shares, mass, means", seconds, "s"),
            ("nilearn NiftiLabelsMasker: means", nilearn_seconds, "s"),
            ("nilearn / relevox (target >= 20)", nilearn_seconds / seconds, ""),
        ],
    )


if __name__ == "__main__":
    main()
