"""What all figures share: style, colours, slices and the way into a page.

Figures are made without pyplot, so nothing needs closing, and under fixed
settings, so the same input gives the same bytes on the same installation.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from functools import wraps

import matplotlib as mpl
import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.figure import Figure

WIDTH_IN = 7.6
"""Width of a full-width figure."""

DPI = 170

CLASS_COLOURS = ("#0072B2", "#D55E00")
"""Class 0, class 1 (Okabe and Ito's colour-blind safe palette)."""

GROUP_COLOURS = {"TP": "#D55E00", "FP": "#E69F00", "TN": "#0072B2", "FN": "#56B4E9"}
"""Warm where class 1 was predicted, cold where class 0 was; strong where that was right."""

GROUP_TITLES = {"TP": "true positives", "FP": "false positives", "TN": "true negatives", "FN": "false negatives"}

MODEL_COLOURS = {
    "cnn": "#12507B",
    "volumes": "#CC79A7",
    "volumes_best": "#E3A9C8",
    "volumes_chosen": "#E3A9C8",
    "volumes_clinical": "#C9956B",
    "volumes_scanner": "#8E5B86",
    "scanner": "#7A7A7A",
    "age_sex": "#B8A13B",
    "clinical": "#9C7A3C",
    "score_at_scan": "#D55E00",
}
BAYES_COLOUR = "#009E73"
INK = "#26323A"
QUIET = "#8A949B"

CONVENTION = "Axial slices in radiological convention (the patient's right is on the left)."
"""Part of every caption with slices."""

_STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 7.5,
    "axes.titlesize": 8,
    "axes.titleweight": "normal",
    "axes.labelsize": 7.5,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "lines.linewidth": 1.2,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}


def relevance_colours() -> Colormap:
    """Return the colours of relevance: dark red to pale yellow, visible on grey."""
    inferno = mpl.colormaps["inferno"](np.linspace(0.42, 1.0, 256))
    return LinearSegmentedColormap.from_list("relevance", inferno)


def house_style(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Draw under the report's style, whatever the user's own settings are."""

    @wraps(draw)
    def styled(*args, **kwargs) -> Figure:
        with mpl.style.context(["default", _STYLE]):
            return draw(*args, **kwargs)

    return styled


def to_png(figure: Figure) -> bytes:
    """Render a figure without date, software or path in its header."""
    buffer = io.BytesIO()
    with mpl.style.context(["default", _STYLE]):
        figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()


def to_uri(figure: Figure) -> str:
    """Render a figure as a ``data:`` address, so that a page needs no second file."""
    return "data:image/png;base64," + base64.b64encode(to_png(figure)).decode("ascii")


def axial_indices(mask: np.ndarray, n: int, lowest: float = 0.12, highest: float = 0.88) -> np.ndarray:
    """Choose n axial slices, evenly spaced through a mask.

    Parameters
    ----------
    mask : ndarray of bool, ``(x, y, z)``
        The brain. Where it is empty, the whole image counts.
    n : int
        How many.
    lowest, highest : float
        Where the first and the last lie, as shares of the mask's height.
    """
    filled = np.flatnonzero(mask.any(axis=(0, 1)))
    bottom, top = (filled[0], filled[-1]) if filled.size else (0, mask.shape[2] - 1)
    shares = np.linspace(lowest, highest, n) if n > 1 else np.array([(lowest + highest) / 2])
    return np.rint(bottom + shares * (top - bottom)).astype(int)


def strip(image: np.ndarray, slices: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Lay axial slices side by side.

    Parameters
    ----------
    image : ndarray, ``(x, y, z)``
        On a RAS+ grid.
    slices : ndarray of int
        Positions along z.
    mask : ndarray of bool, ``(x, y, z)``
        Its bounding box, one voxel wider, is what is shown.

    Returns
    -------
    ndarray, ``(rows, columns)``
        To be shown with the first row at the top: the front of the head is up,
        the patient's right is on the left.
    """
    box = []
    for axis in (0, 1):
        filled = np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis})))
        start, stop = (filled[0] - 1, filled[-1] + 2) if filled.size else (0, mask.shape[axis])
        box.append(slice(max(start, 0), min(stop, mask.shape[axis])))
    shown = np.asarray(image)[box[0], box[1]][..., slices]  # (x, y, n)
    gap = np.full((shown.shape[1], 1), np.nan)
    parts = [part for i in range(shown.shape[2]) for part in (gap, shown[::-1, ::-1, i].T.astype(float))]
    return np.concatenate([*parts, gap], axis=1)


def strip_height(width_in: float, slices: np.ndarray, mask: np.ndarray) -> float:
    """Return the height in inches of a strip of that width, with room for a title."""
    rows, columns = strip(mask, slices, mask).shape
    return width_in * rows / columns + 0.24


def grey_limits(image: np.ndarray, mask: np.ndarray) -> tuple[float, float]:
    """Return intensities to be shown as black and white."""
    inside = image[mask & np.isfinite(image)]
    if inside.size == 0:
        return 0.0, 1.0
    low, high = np.percentile(inside, (0.5, 99.7))
    return float(min(low, 0.0)), float(high if high > low else low + 1)


def show_strip(
    axes: Axes,
    image: np.ndarray,
    slices: np.ndarray,
    mask: np.ndarray,
    overlay: np.ndarray | None = None,
    colours: str | Colormap = "grey",
    limits: tuple[float, float] | None = None,
    overlay_limits: tuple[float, float] = (0, 1),
    sides: bool = False,
    heights_mm: Sequence[float] = (),
):
    """Show slices, black outside the brain, with an overlay where it is finite.

    Parameters
    ----------
    axes : Axes
        Ticks and frame are removed.
    image : ndarray, ``(x, y, z)``
        Shown in ``colours``; grey unless told otherwise.
    slices, mask
        As in :func:`strip`.
    overlay : ndarray, ``(x, y, z)``, optional
        NaN = transparent; shown voxel by voxel, not smoothed.
    limits, overlay_limits : pair of float
        Values at the ends of the colours.
    sides : bool
        Write R and L into the corners.
    heights_mm : sequence of float
        Written below the slices, one each; empty = none.

    Returns
    -------
    AxesImage
        The overlay's, or the image's where there is none: for a colour bar.
    """
    limits = grey_limits(image, mask) if limits is None else limits
    axes.set_facecolor("black")
    plain = colours == "grey"
    laid = strip(np.where(mask, image, np.nan), slices, mask)
    shown = axes.imshow(
        np.nan_to_num(laid, nan=limits[0]) if plain else laid,  # smoothing would spread NaN
        cmap=colours,
        vmin=limits[0],
        vmax=limits[1],
        interpolation="bilinear" if plain else "nearest",
        aspect="equal",
    )
    if overlay is not None:
        shown = axes.imshow(
            strip(np.where(mask, overlay, np.nan), slices, mask),
            cmap=relevance_colours(),
            vmin=overlay_limits[0],
            vmax=overlay_limits[1],
            interpolation="nearest",
            aspect="equal",
        )
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    if sides:
        for x, text, align in ((0.004, "R", "left"), (0.996, "L", "right")):
            axes.text(x, 0.97, text, transform=axes.transAxes, ha=align, va="top", color="white", fontsize=6.5)
    for i, height in enumerate(heights_mm):
        middle = (i + 0.5) / len(heights_mm)
        text = f"z = {height:.0f}" if i == 0 else f"{height:.0f}"
        axes.text(middle, -0.015, text, transform=axes.transAxes, ha="center", va="top", color=INK, fontsize=5.8)
    return shown


def heights_mm(slices: np.ndarray, affine: np.ndarray | None) -> list[float]:
    """Return where axial slices lie, in MNI millimetres; nothing where the grid is not known."""
    return [] if affine is None else (affine[2, 2] * np.asarray(slices) + affine[2, 3]).tolist()


def outline(axes: Axes, where: np.ndarray, slices: np.ndarray, mask: np.ndarray, colour: str = "black") -> None:
    """Draw the edges of some voxels over slices that are shown."""
    laid = strip(np.where(mask, where, 0.0), slices, mask)
    inside = np.pad(np.nan_to_num(laid) > 0.5, 1)
    lines = []
    for row, column in np.argwhere(inside[1:, 1:-1] != inside[:-1, 1:-1]):  # between a row and the one above it
        lines.append([(column - 0.5, row - 0.5), (column + 0.5, row - 0.5)])
    for row, column in np.argwhere(inside[1:-1, 1:] != inside[1:-1, :-1]):
        lines.append([(column - 0.5, row - 0.5), (column - 0.5, row + 0.5)])
    axes.add_collection(LineCollection(lines, colors=colour, linewidths=0.9), autolim=False)


def evenly(relevance: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Write relevance as a multiple of what it would be, were it spread evenly over the brain."""
    total = np.abs(relevance[mask]).sum(dtype=np.float64)
    return relevance * (np.count_nonzero(mask) / total) if total > 0 else relevance


EVEN = "relevance (1 = spread evenly)"
"""Unit of :func:`evenly`."""


def say_empty(axes: Axes, text: str, slices: np.ndarray, mask: np.ndarray) -> None:
    """Fill a panel that has no slices to show with the reason, at the size they would have."""
    axes.imshow(np.zeros((*strip(mask, slices, mask).shape, 4)), aspect="equal")  # transparent
    axes.set(xticks=[], yticks=[], facecolor="#F2F4F5")
    axes.spines[:].set_visible(False)
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=QUIET, fontsize=7)


def above_percentile(relevance: np.ndarray, mask: np.ndarray, percentile: float) -> np.ndarray:
    """Keep relevance that reaches a percentile of its positive values in the brain; NaN elsewhere (SPEC 6.1)."""
    positive = relevance[mask & (relevance > 0)]
    if positive.size == 0:
        return np.full(relevance.shape, np.nan)
    return np.where(mask & (relevance >= np.percentile(positive, percentile)), relevance, np.nan)


def readable(name: str) -> str:
    """Write a region or measure as words.

    Examples
    --------
    >>> readable("periventricular_white_matter")
    'periventricular white matter'
    """
    return name.replace("_", " ").replace("csf", "CSF")


def method_title(method: str, first: bool = False) -> str:
    """Write an attribution method as words, with a capital where it comes first."""
    title = {
        "lrp": "LRP (alpha 1, beta 0)",
        "gradient_input": "input x gradient",
        "smoothgrad": "SmoothGrad",
        "gradcam": "Grad-CAM",
        "absolute_input": "the image itself, no network",
        "absolute_difference": "difference from the mean image, no network",
    }.get(method, readable(method))
    return title[0].upper() + title[1:] if first else title
