"""What the maps find of a signal that was planted in the study's own scans: figures and words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from relevox.report.drawing import (
    CLASS_COLOURS,
    INK,
    QUIET,
    WIDTH_IN,
    above_percentile,
    house_style,
    method_title,
    outline,
    show_strip,
)
from relevox.report.planted_results import IGNORANT, PlantedResults, Row
from relevox.report.tables import interval, number


def found_sentence(results: PlantedResults, method: str) -> str:
    """Say whether a map finds the signal, beside the maps that know no network, and whether it tells the decoy."""
    accuracy, gain = results.row(method, "rank_accuracy"), results.row(method, "rank_accuracy_gain")
    told = results.row(method, "auc_against_decoy")
    if accuracy is None or gain is None or not math.isfinite(gain["ci_low"]):
        return f"{method_title(method, first=True)}: too few scans to say."
    if gain["ci_low"] > 0:
        verdict = "finds it"
    elif gain["ci_high"] < 0:
        verdict = "finds less than the image alone shows"
    else:
        verdict = "finds no more than the image alone shows"
    telling = (
        "tells it from the decoy" if told is not None and told["ci_low"] > 0.5 else "does not tell it from the decoy"
    )
    against = "" if told is None else f" (AUC {interval(told)})"
    return (
        f"{method_title(method, first=True)} {verdict}: of its hottest voxels {100 * accuracy['value']:.0f} % lie in "
        f"the signal, {signed(100 * gain['value'])} points against the better map without a network; it "
        f"{telling}{against}."
    )


def signed(value: float) -> str:
    """Write a number with its sign.

    Examples
    --------
    >>> signed(3.2), signed(-0.4)
    ('+3', '-0')
    """
    return f"{value:+.0f}"


def network_sentence(results: PlantedResults) -> str:
    """Say whether the network learned the signal, and what that means for the maps."""
    card, auc = results.card, results.row("network", "auc", "classes")
    effect, decoy = results.row("network", "effect"), results.row("network", "effect", "decoy")
    if auc is None or effect is None or decoy is None:
        return ""
    said = (
        f"The network tells the {card['n_with_signal']} test scans with the signal from the other "
        f"{card['n_test_scans'] - card['n_with_signal']} with an AUC of {interval(auc)}. Taken out of a scan, the "
        f"signal lowers the log odds by {interval(effect)}, the decoy by {interval(decoy)}."
    )
    if not card["learned"]:
        return f"{said} It did not learn the signal: that its maps do not show it is no fault of theirs."
    return f"{said} So it uses the signal: a map that does not show it in these scans is wrong, not the network."


@house_style
def distributions(values: Mapping[str, Sequence[float]], label: str, chance: float | None = None) -> Figure:
    """Draw one measure of every method, a dot a scan, with quartiles.

    Parameters
    ----------
    values : mapping of str to sequence of float
        By method, a value a scan.
    label : str
        Of the axis.
    chance : float, optional
        What a map that knows nothing gets.
    """
    figure = Figure(figsize=(WIDTH_IN, 0.6 + 0.27 * max(1, len(values))), layout="constrained")
    axes = figure.subplots()
    if chance is not None:
        axes.axvline(chance, color=QUIET, linewidth=0.8, linestyle=(0, (4, 3)))
    spread = np.random.default_rng(0)  # where a dot lies within its row means nothing
    for y, (method, found) in enumerate(values.items()):
        found = np.asarray(found, dtype=float)
        found = found[np.isfinite(found)]
        colour = QUIET if method in IGNORANT else CLASS_COLOURS[0]
        axes.plot(found, y + spread.uniform(-0.22, 0.22, len(found)), "o", markersize=2.2, color=colour, alpha=0.45)
        if len(found):
            low, middle, high = np.quantile(found, (0.25, 0.5, 0.75))
            axes.plot([low, high], [y, y], color=INK, linewidth=1.6, solid_capstyle="butt")
            axes.plot(middle, y, "|", color=INK, markersize=10, markeredgewidth=1.8)
    axes.set_yticks(range(len(values)), [f"{method_title(m)} (n = {len(v)})" for m, v in values.items()])
    axes.set_ylim(len(values) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color="#E6EAEC", linewidth=0.6)
    axes.set_xlabel(label)
    return figure


@house_style
def example_maps(results: PlantedResults, percentile: float = 99.0) -> Figure:
    """Draw one scan through its signal and its decoy, and every map at the same two heights."""
    images = results.example
    flair = images["flair"]
    brain = (flair != 0) | (images["t1w"] != 0)
    slices = np.array([int(images[name].sum(axis=(0, 1)).argmax()) for name in ("signal", "decoy")])
    edges = {name: images[name] > 0.3 * images[name].max() for name in ("signal", "decoy")}
    shown = [None, *(method for method in results.methods if method in images)]
    columns = 4
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(WIDTH_IN, 1.25 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in panels:
        axes.set_axis_off()
    for axes, method in zip(panels, shown, strict=False):
        overlay = None
        if method is not None:
            overlay = above_percentile(images[method], brain, percentile)
        top = 1.0 if overlay is None or not np.isfinite(overlay).any() else float(np.nanmax(overlay))
        show_strip(axes, flair, slices, brain, overlay, overlay_limits=(0, top or 1.0))
        for name, colour in (("signal", "#56B4E9"), ("decoy", "white")):
            outline(axes, edges[name], slices, brain, colour)
        axes.set_title("FLAIR" if method is None else method_title(method), fontsize=6.5, loc="left")
    return figure


def planted_numbers(results: PlantedResults, method: str) -> list[str]:
    """Return the cells of one method's row."""
    cells = []
    for measure in ("enrichment", "auc", "rank_accuracy", "pointing", "auc_against_decoy", "region_first"):
        row = results.row(method, measure)
        digits = 1 if measure == "enrichment" else 2
        cells.append("\N{EN DASH}" if row is None or not math.isfinite(row["value"]) else _cell(row, digits))
    return cells


def _cell(row: Row, digits: int) -> str:
    if row["method"] == "chance":
        return number(row["value"], 3 if 0 < row["value"] < 0.05 else digits)
    return interval(row, digits)
