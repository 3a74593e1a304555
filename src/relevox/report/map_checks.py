"""Figures of the checks of the maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from relevox.report.drawing import INK, QUIET, WIDTH_IN, house_style, method_title

METHOD_COLOURS = {
    "lrp": "#D55E00",
    "integrated_gradients": "#0072B2",
    "gradient_input": "#56B4E9",
    "smoothgrad": "#CC79A7",
    "gradcam": "#009E73",
    "occlusion": "#E69F00",
}
MARKERS = {
    "lrp": "o",
    "integrated_gradients": "s",
    "gradient_input": "D",
    "smoothgrad": "v",
    "gradcam": "^",
    "occlusion": "P",
}
_OF_THE_IMAGE = {
    "random": ("by chance", QUIET, "-", 3.0),
    "absolute_difference": ("|x \N{MINUS SIGN} mean|, no network", INK, (0, (4, 2)), 1.2),
    "absolute_input": ("|x|, no network", INK, (0, (1, 1.5)), 1.2),
}
"""Orders that know no network: name, colour, dashes and width."""


def select(rows: Sequence[Mapping], **wanted: object) -> list[Mapping]:
    """Return the rows with these values, in the order of their positions."""
    found = [row for row in rows if all(row[name] == value for name, value in wanted.items())]
    return sorted(found, key=lambda row: row["position"])


def methods_of(rows: Sequence[Mapping]) -> list[str]:
    """Name the methods whose maps were checked, in their order."""
    return list(dict.fromkeys(str(row["method"]) for row in rows if row["check"] == "class_swap"))


def layer_title(name: str) -> str:
    """Write a group of layers as words.

    Examples
    --------
    >>> layer_title("blocks.block4"), layer_title("head")
    ('block 4', 'head')
    """
    last = name.split(".")[-1]
    letters = last.rstrip("0123456789")
    return f"{letters} {last[len(letters) :]}".strip()


@house_style
def dependence(rows: Sequence[Mapping]) -> Figure:
    """Draw what maps keep when layers are drawn again, when the class is swapped, and from network to network.

    Parameters
    ----------
    rows : sequence of mapping
        Of the summary: ``check, method, step, position, measure, value, ci_low, ci_high``.
    """
    figure = Figure(figsize=(WIDTH_IN, 2.9), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.35, 1))
    methods = methods_of(rows)
    names: list[str] = []
    for n, method in enumerate(methods):
        steps = select(rows, check="randomisation", method=method, measure="pearson")
        names = names or [layer_title(str(row["step"])) for row in steps]
        x = np.arange(len(steps) + 1) + 0.06 * (n - (len(methods) - 1) / 2)
        value, low, high = (np.array([1.0, *(row[k] for row in steps)]) for k in ("value", "ci_low", "ci_high"))
        style = {"color": METHOD_COLOURS[method], "marker": MARKERS[method], "markersize": 4}
        left.plot(x, value, label=method_title(method, first=True), **style)
        left.vlines(x, low, high, color=METHOD_COLOURS[method], linewidth=0.9)
    left.axhline(0, color=QUIET, linewidth=0.6)
    left.set_xticks(np.arange(len(names) + 1), ["trained", *names])
    left.set_ylim(top=1.06)
    left.set_ylabel("correlation with\nthe trained network's map")
    left.set_xlabel("drawn again, from the output to here  \N{RIGHTWARDS ARROW}")
    left.set_title("Weights replaced by random ones", loc="left")
    figure.legend(*left.get_legend_handles_labels(), loc="outside right center", fontsize=6.5)

    shown = {
        "two\nclasses": {"check": "class_swap"},
        "two\nnetworks": {"check": "stability", "step": "tested with trained"},
    }
    for k, wanted in enumerate(shown.values()):
        for n, method in enumerate(methods):
            for row in select(rows, method=method, measure="pearson", **wanted):
                y = k + 0.13 * (n - (len(methods) - 1) / 2)
                colour = METHOD_COLOURS[method]
                right.plot([row["ci_low"], row["ci_high"]], [y, y], color=colour, linewidth=1.6, solid_capstyle="butt")
                right.plot(row["value"], y, MARKERS[method], color=colour, markersize=4.5, markeredgecolor="white")
    right.axvline(0, color=QUIET, linewidth=0.6)
    right.set_yticks(range(len(shown)), list(shown))
    right.set(xlim=(-1.06, 1.06), ylim=(len(shown) - 0.45, -0.55), xlabel="correlation")
    right.set_title("One scan, two maps", loc="left")
    return figure


@house_style
def perturbation(rows: Sequence[Mapping]) -> Figure:
    """Draw how the answer falls while regions are replaced, most relevant first.

    Parameters
    ----------
    rows : sequence of mapping
        As for :func:`dependence`.
    """
    figure = Figure(figsize=(WIDTH_IN, 2.9), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    titles = {"regions": "Regions of the template", "supervoxels": "Supervoxels"}
    drawn = {}
    for axes, (kind, title) in zip(panels, titles.items(), strict=True):
        for method in (*_OF_THE_IMAGE, *METHOD_COLOURS):
            step = "random" if method == "random" else "descending"
            curve = select(rows, check=f"perturbation_{kind}", method=method, step=step, measure="fall")
            if not curve:
                continue
            style = {"color": METHOD_COLOURS.get(method), "label": method_title(method, first=True)}
            if method in _OF_THE_IMAGE:
                name, colour, dashes, width = _OF_THE_IMAGE[method]
                style = {"color": colour, "linestyle": dashes, "linewidth": width, "label": name}
            else:
                style |= {"marker": MARKERS[method], "markersize": 3.2}
            (line,) = axes.plot([100 * row["position"] for row in curve], [row["value"] for row in curve], **style)
            drawn.setdefault(style["label"], line)
        axes.axhline(0, color=QUIET, linewidth=0.6)
        axes.set(xlabel="share of the brain replaced by the mean scan (%)", xlim=(0, 100))
        axes.set_title(title, loc="left")
    panels[0].set_ylabel("fall of the log odds of\nthe explained class")
    figure.legend(list(drawn.values()), list(drawn), loc="outside right center", fontsize=6.5)
    return figure
