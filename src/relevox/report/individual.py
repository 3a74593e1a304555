"""One scan's attention map: slices and the regions it points to (paper Fig. 3)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from relevox.report.drawing import (
    INK,
    QUIET,
    WIDTH_IN,
    above_percentile,
    axial_indices,
    evenly,
    heights_mm,
    house_style,
    readable,
    show_strip,
    strip_height,
)

N_SLICES = 7
SUPPORT, AGAINST = "#12507B", "#B9C4CC"


@house_style
def individual_map(
    flair: np.ndarray,
    relevance: np.ndarray,
    brain_mask: np.ndarray,
    percentile: float = 95.0,
    t1w: np.ndarray | None = None,
    affine: np.ndarray | None = None,
) -> Figure:
    """Draw the FLAIR and, below it, the same slices with the attention map (Fig. 3a).

    Parameters
    ----------
    flair, relevance : ndarray, ``(x, y, z)``
        On one RAS+ grid; relevance summed over the channels.
    brain_mask : ndarray of bool, ``(x, y, z)``
        What is shown.
    percentile : float
        Relevance is coloured above this percentile of its positive values.
    t1w : ndarray, ``(x, y, z)``, optional
        Shown in a row of its own, above the others.
    affine : ndarray, ``(4, 4)``, optional
        Voxel to MNI millimetres, for the heights of the slices.
    """
    brain_mask = np.asarray(brain_mask) > 0
    slices = axial_indices(brain_mask, N_SLICES, lowest=0.16, highest=0.86)
    rows = 2 if t1w is None else 3
    figure = Figure(figsize=(WIDTH_IN, rows * strip_height(6.9, slices, brain_mask)), layout="constrained")
    panels = figure.subplots(rows, 1)
    if t1w is not None:
        show_strip(panels[0], t1w, slices, brain_mask, sides=True)
        panels[0].set_title("T1w", loc="left")
    upper, lower = panels[-2:]
    show_strip(upper, flair, slices, brain_mask, sides=True)
    kept = above_percentile(evenly(relevance, brain_mask), brain_mask, percentile)
    low, high = _limits(kept)
    at = heights_mm(slices, affine)
    shown = show_strip(lower, flair, slices, brain_mask, overlay=kept, overlay_limits=(low, high), heights_mm=at)
    upper.set_title("FLAIR", loc="left")
    lower.set_title(f"FLAIR with relevance above its {percentile:g}th percentile", loc="left")
    place = {"ax": list(panels), "shrink": 0.7 / rows, "anchor": (0, 0.1 / rows)}
    bar = figure.colorbar(shown, **place, aspect=12, pad=0.01, extend="max")
    bar.set_ticks([low, high], labels=[f"{low:.1f}", f"{high:.1f}"])
    bar.set_label("relevance\n(1 = even)", labelpad=-4)
    bar.outline.set_visible(False)
    return figure


def _limits(kept: np.ndarray) -> tuple[float, float]:
    values = kept[np.isfinite(kept)]
    if values.size == 0:
        return 0.0, 1.0
    low, high = float(values.min()), float(np.percentile(values, 80))  # the upper fifth of the upper 5 %
    return (low, high) if high > low else (low, low + 1)


@house_style
def region_bars(
    names: Sequence[str],
    voxel_share: Sequence[float],
    volume_share: Sequence[float],
    occlusion: Sequence[float] | None = None,
    target_title: str = "the decision",
) -> Figure:
    """Draw where the relevant voxels lie, and what each region's removal changes (Fig. 3b).

    Parameters
    ----------
    names : sequence of str
        Regions.
    voxel_share : sequence of float
        Share of the voxels above the threshold that lie in each region.
    volume_share : sequence of float
        Share of the brain that each region is: what chance would give.
    occlusion : sequence of float, optional
        Fall of the explained class's margin when the region is replaced by the
        cohort's mean; NaN where unknown.
    target_title : str
        What was explained, for the axis.
    """
    order = np.argsort(np.nan_to_num(np.asarray(voxel_share, dtype=float)))
    rows = np.arange(order.size)
    panels = 1 if occlusion is None else 2
    figure = Figure(figsize=(WIDTH_IN, 0.8 + 0.16 * order.size), layout="constrained")
    axes = figure.subplots(1, panels, squeeze=False, sharey=True)[0]
    axes[0].barh(rows, 100 * np.asarray(voxel_share, dtype=float)[order], color=SUPPORT, height=0.62)
    axes[0].plot(
        100 * np.asarray(volume_share, dtype=float)[order],
        rows,
        linestyle="",
        marker="|",
        color=INK,
        markersize=8,
        markeredgewidth=1.4,
        label="share of the brain's volume: what chance would give",
    )
    axes[0].set_yticks(rows, [readable(names[i]) for i in order])
    axes[0].set_xlabel("voxels above the threshold (%)")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper left")
    axes[0].tick_params(axis="y", length=0)
    if occlusion is not None:
        delta = np.asarray(occlusion, dtype=float)[order]
        axes[1].barh(rows, delta, color=[SUPPORT if d > 0 else AGAINST for d in delta], height=0.62)
        axes[1].axvline(0, color=QUIET, linewidth=0.6)
        axes[1].set_xlabel(f"occlusion: support for {target_title} (logits)")
        axes[1].tick_params(axis="y", length=0)
        axes[1].spines["left"].set_visible(False)
    for panel in axes:
        panel.grid(axis="x", color="#E6EAEC", linewidth=0.6)
        panel.set_axisbelow(True)
    return figure
