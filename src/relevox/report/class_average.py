"""Mean attention maps of the four prediction groups, and their regions (paper Fig. 4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from relevox.records import GROUPS
from relevox.report.drawing import (
    EVEN,
    GROUP_COLOURS,
    GROUP_TITLES,
    INK,
    WIDTH_IN,
    above_percentile,
    axial_indices,
    evenly,
    heights_mm,
    house_style,
    readable,
    say_empty,
    show_strip,
    strip_height,
)

N_SLICES = 6


@house_style
def group_mean_maps(
    means: Mapping[str, np.ndarray],
    n_scans: Mapping[str, int],
    background: np.ndarray,
    brain_mask: np.ndarray,
    percentile: float = 95.0,
    affine: np.ndarray | None = None,
) -> Figure:
    """Draw each group's mean map above its percentile on the template (Fig. 4a).

    Parameters
    ----------
    means : mapping of group to ndarray, ``(x, y, z)``
        Groups that are absent are said to be empty.
    n_scans : mapping of group to int
        For the titles.
    background, brain_mask : ndarray, ``(x, y, z)``
        What the maps are laid on.
    percentile : float
        Of the mean map's positive values in the brain.
    affine : ndarray, ``(4, 4)``, optional
        Voxel to MNI millimetres, for the heights of the slices.
    """
    slices = axial_indices(brain_mask, N_SLICES, lowest=0.2, highest=0.82)
    kept = {g: above_percentile(evenly(means[g], brain_mask), brain_mask, percentile) for g in GROUPS if g in means}
    limits = _shared_limits(list(kept.values()))
    figure = Figure(figsize=(WIDTH_IN, 4 * strip_height(6.8, slices, brain_mask)), layout="constrained")
    shown = None
    for axes, group in zip(figure.subplots(4, 1), GROUPS, strict=True):
        count = n_scans.get(group, 0)
        axes.set_title(f"{GROUP_TITLES[group]} (n = {count})", loc="left", color=INK)
        if group not in means:
            say_empty(axes, "no scan in this group" if count == 0 else "no map was made", slices, brain_mask)
            continue
        shown = show_strip(
            axes,
            background,
            slices,
            brain_mask,
            overlay=kept[group],
            overlay_limits=limits,
            sides=group == "TP",
            heights_mm=heights_mm(slices, affine),
        )
    if shown is not None:
        bar = figure.colorbar(shown, ax=figure.axes, shrink=0.4, aspect=24, pad=0.01, extend="max")
        bar.set_label(f"mean {EVEN}")
        bar.outline.set_visible(False)
    return figure


def _shared_limits(kept: Sequence[np.ndarray]) -> tuple[float, float]:
    """Return one scale for all groups, so that their colours can be compared."""
    values = np.concatenate([image[np.isfinite(image)] for image in kept]) if kept else np.empty(0)
    if values.size == 0:
        return 0.0, 1.0
    low, high = float(values.min()), float(np.percentile(values, 99))
    return (low, high) if high > low else (low, low + 1)


@house_style
def region_heat(
    regions: Sequence[str],
    display: Mapping[str, Sequence[float]],
    voxel_share: Mapping[str, Sequence[float]],
    volume_share: Sequence[float],
    intervals: Mapping[str, tuple[Sequence[float], Sequence[float]]] | None = None,
    n_scans: Mapping[str, int] | None = None,
) -> Figure:
    """Draw mean relevance per region and group, and where the relevant voxels lie (Fig. 4b, c).

    Parameters
    ----------
    regions : sequence of str
        Names.
    display : mapping of group to sequence of float
        Mean relevance divided by the maximum over groups and regions.
    voxel_share : mapping of group to sequence of float
        Share of the voxels above the threshold in each region, mean over scans.
    volume_share : sequence of float
        Share of the brain that each region is.
    intervals : mapping of group to (low, high), optional
        Of the voxel shares.
    n_scans : mapping of group to int, optional
        Below the groups' names.
    """
    groups = [group for group in GROUPS if group in display]
    table = np.array([display[group] for group in groups], dtype=float).T  # (regions, groups)
    order = np.argsort(-np.nan_to_num(table).mean(axis=1), kind="stable")
    rows = np.arange(len(regions))
    figure = Figure(figsize=(WIDTH_IN, 1.0 + 0.235 * len(regions)), layout="constrained")
    heat, dots = figure.subplots(1, 2, sharey=True, width_ratios=(0.9, 1.5))
    heat.imshow(table[order], cmap="cividis", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    for row, values in enumerate(table[order]):
        for column, value in enumerate(values):
            text = "n/a" if np.isnan(value) else f"{round(float(value), 2) + 0.0:.2f}"
            colour = "black" if value > 0.55 else "white"
            heat.text(column, row, text, ha="center", va="center", color=colour, fontsize=6.5)
    heat.set_xticks(range(len(groups)), [f"{g}\nn = {n_scans[g]}" if n_scans else g for g in groups])
    heat.set_yticks(rows, [readable(regions[i]) for i in order])
    heat.tick_params(length=0)
    heat.spines[:].set_visible(False)
    heat.set_title("mean relevance (1 = highest of all)", loc="left")
    offsets = np.linspace(-0.27, 0.27, max(len(groups), 2))
    for offset, group in zip(offsets, groups, strict=False):
        share = 100 * np.asarray(voxel_share[group], dtype=float)[order]
        dots.barh(rows + offset, share, height=0.17, color=GROUP_COLOURS[group], label=group)
        if intervals:
            low, high = (100 * np.asarray(end, dtype=float)[order] for end in intervals[group])
            dots.hlines(rows + offset, low, high, color=INK, linewidth=0.6)
    dots.plot(
        100 * np.asarray(volume_share, dtype=float)[order],
        rows,
        linestyle="",
        marker="|",
        color=INK,
        markersize=11,
        markeredgewidth=1.4,
        label="share of the volume (chance)",
    )
    dots.set_xlabel("voxels above the threshold (%)")
    dots.set_title("where the relevant voxels lie", loc="left")
    dots.grid(axis="x", color="#E6EAEC", linewidth=0.6)
    dots.set_axisbelow(True)
    figure.legend(*dots.get_legend_handles_labels(), loc="outside upper right", ncols=5)
    dots.tick_params(axis="y", length=0)
    return figure
