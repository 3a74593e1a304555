"""Mean attention maps of the four prediction groups, and their regions (paper Fig. 4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from relevox.records import GROUPS
from relevox.report.drawing import (
    GROUP_COLOURS,
    GROUP_TITLES,
    INK,
    WIDTH_IN,
    above_percentile,
    axial_indices,
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
    """
    slices = axial_indices(brain_mask, N_SLICES)
    figure = Figure(figsize=(WIDTH_IN, 4 * strip_height(6.8, slices, brain_mask)), layout="constrained")
    shown = None
    for axes, group in zip(figure.subplots(4, 1), GROUPS, strict=True):
        count = n_scans.get(group, 0)
        axes.set_title(f"{GROUP_TITLES[group]} (n = {count})", loc="left", color=INK)
        if group not in means:
            say_empty(axes, "no scan in this group" if count == 0 else "no map was made", slices, brain_mask)
            continue
        kept = above_percentile(means[group], brain_mask, percentile)
        top = np.nanmax(kept) if np.isfinite(kept).any() else 1.0
        shown = show_strip(axes, background, slices, brain_mask, overlay=kept / top, sides=group == "TP")
    if shown is not None:
        bar = figure.colorbar(shown, ax=figure.axes, shrink=0.4, aspect=24, pad=0.01)
        bar.set_label("mean relevance / its maximum in the group")
        bar.outline.set_visible(False)
    return figure


@house_style
def region_heat(
    regions: Sequence[str],
    display: Mapping[str, Sequence[float]],
    voxel_share: Mapping[str, Sequence[float]],
    volume_share: Sequence[float],
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
    heat.set_xticks(range(len(groups)), groups)
    heat.set_yticks(rows, [readable(regions[i]) for i in order])
    heat.tick_params(length=0)
    heat.spines[:].set_visible(False)
    heat.set_title("mean relevance (1 = highest of all)", loc="left")
    offsets = np.linspace(-0.27, 0.27, max(len(groups), 2))
    for offset, group in zip(offsets, groups, strict=False):
        share = 100 * np.asarray(voxel_share[group], dtype=float)[order]
        dots.barh(rows + offset, share, height=0.17, color=GROUP_COLOURS[group], label=group)
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
    figure.legend(*dots.get_legend_handles_labels(), loc="outside upper right", ncols=5)
    dots.tick_params(axis="y", length=0)
    return figure
