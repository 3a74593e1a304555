"""Voxel-wise maps of the four prediction groups side by side (paper Fig. 5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from matplotlib.colors import Colormap
from matplotlib.figure import Figure

from relevox.records import GROUPS
from relevox.report.drawing import (
    GROUP_TITLES,
    WIDTH_IN,
    axial_indices,
    heights_mm,
    house_style,
    outline,
    say_empty,
    show_strip,
)


@dataclass(frozen=True)
class MapRow:
    """One row of the figure: one quantity in the four groups."""

    title: str
    """With its unit."""
    maps: Mapping[str, np.ndarray]
    """Group to ``(x, y, z)``; NaN where nothing was fitted."""
    colours: str | Colormap
    """Colour map."""
    limits: tuple[float, float]
    """Values at its ends, the same in all groups."""
    tick_format: str = "{:.2g}"
    """Of the numbers beside the colour bar."""
    extend: str = "neither"
    """Which end of the colours also stands for values beyond it: ``neither``, ``max`` or ``both``."""
    outlined: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Group to ``(x, y, z)`` bool: voxels whose edges are drawn."""
    said: Mapping[str, str] = field(default_factory=dict)
    """Group to a few words in its panel."""


@house_style
def voxelwise_maps(
    rows: list[MapRow], n_scans: Mapping[str, int], brain_mask: np.ndarray, affine: np.ndarray | None = None
) -> Figure:
    """Draw one row a quantity and one column a group.

    Parameters
    ----------
    rows : list of MapRow
        At least one.
    n_scans : mapping of group to int
        For the titles; a group without scans is said to be empty.
    brain_mask : ndarray of bool, ``(x, y, z)``
        What is shown.
    affine : ndarray, ``(4, 4)``, optional
        Voxel to MNI millimetres, for the heights of the slices.
    """
    slices = axial_indices(brain_mask, 2, lowest=0.5, highest=0.64)
    figure = Figure(figsize=(WIDTH_IN, 0.35 + 1.04 * len(rows)), layout="constrained")
    figure.get_layout_engine().set(hspace=0.0, h_pad=0.012, w_pad=0.015)
    panels = figure.subplots(len(rows), 4, squeeze=False)
    for r, (row, line) in enumerate(zip(rows, panels, strict=True)):
        shown = None
        for axes, group in zip(line, GROUPS, strict=True):
            found = _panel(axes, row, group, n_scans, slices, brain_mask, r == 0, affine)
            shown = found or shown
        line[0].set_ylabel(row.title, fontsize=6.8)
        if shown is not None:
            bar = figure.colorbar(shown, ax=list(line), shrink=0.8, aspect=14, pad=0.008, extend=row.extend)
            low, high = row.limits
            ticks = (low, (low + high) / 2, high)
            bar.set_ticks(ticks, labels=[row.tick_format.format(value) for value in ticks])
            bar.ax.tick_params(labelsize=6.2)
            bar.outline.set_visible(False)
    for axes, group in zip(panels[0], GROUPS, strict=True):
        axes.set_title(f"{GROUP_TITLES[group]} (n = {n_scans.get(group, 0)})")
    return figure


def _panel(axes, row: MapRow, group: str, n_scans, slices, brain_mask, first: bool, affine):
    """Draw one quantity of one group; return what the colour bar belongs to, or None."""
    image = row.maps.get(group)
    if n_scans.get(group, 0) == 0:
        return say_empty(axes, "no scans", slices, brain_mask)
    if image is None:
        return say_empty(axes, "not made", slices, brain_mask)
    if not np.isfinite(image[brain_mask]).any():
        return say_empty(axes, "nothing could\nbe fitted", slices, brain_mask)
    shown = show_strip(
        axes,
        image,
        slices,
        brain_mask,
        colours=row.colours,
        limits=row.limits,
        sides=first,
        heights_mm=heights_mm(slices, affine) if first else (),
    )
    if group in row.outlined:
        outline(axes, row.outlined[group], slices, brain_mask, "#00E5FF")
    if group in row.said:
        axes.set_xlabel(row.said[group], fontsize=6, labelpad=2)
    return shown


def shared_limits(maps: Mapping[str, np.ndarray], mask: np.ndarray, percentile: float = 99.5) -> tuple[float, float]:
    """Return 0 and a round number that few values of any group exceed.

    Examples
    --------
    >>> shared_limits({"TP": np.array([0.1, 0.36])}, np.array([True, True]), 100)
    (0.0, 0.4)
    """
    values = [image[mask & np.isfinite(image)] for image in maps.values()]
    values = np.concatenate(values) if values else np.empty(0)
    values = values[values > 0]
    if not values.size:
        return 0.0, 1.0
    high = float(np.percentile(values, percentile))
    unit = 10.0 ** np.floor(np.log10(high))
    return 0.0, next(
        float(round(step * unit, 12)) for step in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if step * unit >= high * 0.999
    )
