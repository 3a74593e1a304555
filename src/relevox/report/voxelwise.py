"""Voxel-wise maps of the four prediction groups side by side (paper Fig. 5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.colors import Colormap
from matplotlib.figure import Figure

from relevox.records import GROUPS
from relevox.report.drawing import (
    GROUP_TITLES,
    WIDTH_IN,
    axial_indices,
    house_style,
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
    limits: tuple[float, float] | None = None
    """Values at its ends; None = 0 to the 99th percentile over the groups."""
    tick_format: str = "{:.2g}"
    """Of the numbers beside the colour bar."""


@house_style
def voxelwise_maps(rows: list[MapRow], n_scans: Mapping[str, int], brain_mask: np.ndarray) -> Figure:
    """Draw one row a quantity and one column a group.

    Parameters
    ----------
    rows : list of MapRow
        At least one.
    n_scans : mapping of group to int
        For the titles; a group without scans is said to be empty.
    brain_mask : ndarray of bool, ``(x, y, z)``
        What is shown.
    """
    slices = axial_indices(brain_mask, 2, lowest=0.44, highest=0.68)
    figure = Figure(figsize=(WIDTH_IN, 0.35 + 1.09 * len(rows)), layout="constrained")
    panels = figure.subplots(len(rows), 4, squeeze=False)
    for row, line in zip(rows, panels, strict=True):
        limits = row.limits or _limits(row.maps, brain_mask)
        shown = None
        for axes, group in zip(line, GROUPS, strict=True):
            image = row.maps.get(group)
            if n_scans.get(group, 0) == 0:
                say_empty(axes, "no scans", slices, brain_mask)
            elif image is None:
                say_empty(axes, "not made", slices, brain_mask)
            elif not np.isfinite(image[brain_mask]).any():
                say_empty(axes, "nothing could\nbe fitted", slices, brain_mask)
            else:
                shown = show_strip(axes, image, slices, brain_mask, colours=row.colours, limits=limits)
            if axes is line[0]:
                axes.set_ylabel(row.title, fontsize=7)
        if shown is not None:
            bar = figure.colorbar(shown, ax=list(line), shrink=0.8, aspect=14, pad=0.008)
            bar.set_ticks(limits, labels=[row.tick_format.format(value) for value in limits])
            bar.outline.set_visible(False)
    for axes, group in zip(panels[0], GROUPS, strict=True):
        axes.set_title(f"{GROUP_TITLES[group]} (n = {n_scans.get(group, 0)})")
    return figure


def _limits(maps: Mapping[str, np.ndarray], mask: np.ndarray) -> tuple[float, float]:
    values = [image[mask & np.isfinite(image)] for image in maps.values()]
    values = np.concatenate(values) if values else np.empty(0)
    high = float(np.percentile(values, 99)) if values.size else 1.0
    return 0.0, high if high > 0 else 1.0
