"""How good the network is in parts of the cohort, one line a part."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from relevox.report.drawing import INK, MODEL_COLOURS, QUIET, WIDTH_IN, house_style, readable
from relevox.report.scores import MEASURE_TITLES

FACTOR_TITLES = {"scanner": "scanner", "field_strength": "field strength", "age": "age (years)", "ms_type": "MS type"}
"""Factors in words; others are written as they are."""

SIGNS = {">=": "\N{GREATER-THAN OR EQUAL TO}", "<=": "\N{LESS-THAN OR EQUAL TO}"}


@house_style
def subgroup_forest(
    subgroups: Sequence[Mapping[str, object]],
    interactions: Sequence[Mapping[str, object]],
    scores: Sequence[Mapping[str, object]],
    measures: Sequence[str] = ("balanced_accuracy", "auc"),
) -> Figure:
    """Draw the network's score in every level of every factor, with its interval.

    Parameters
    ----------
    subgroups : sequence of mapping
        Rows with ``factor, level, scans_used, measure, value, ci_low, ci_high, n, n_patients, suppressed``.
    interactions : sequence of mapping
        Rows with ``factor, measure, p``.
    scores : sequence of mapping
        Rows of the whole cohort: ``model, level, measure, value, ci_low, ci_high``.
    measures : sequence of str
        One panel each.
    """
    only = [row for row in subgroups if row["scans_used"] == "only"]
    lines: list[tuple[str, str]] = []  # factor and level from top to bottom; an empty level is a heading
    for row in only:
        if (str(row["factor"]), "") not in lines:
            lines.append((str(row["factor"]), ""))
        if (str(row["factor"]), str(row["level"])) not in lines:
            lines.append((str(row["factor"]), str(row["level"])))
    y_of = {line: n + 1 for n, line in enumerate(lines)}
    figure = Figure(figsize=(WIDTH_IN, 0.75 + 0.19 * (len(lines) + 1)), layout="constrained")
    panels = figure.subplots(1, len(measures), sharey=True, squeeze=False)[0]
    for axes, measure in zip(panels, measures, strict=True):
        whole = next(r for r in scores if (r["model"], r["level"], r["measure"]) == ("cnn", "scan", measure))
        axes.axvline(0.5, color=QUIET, linewidth=0.8, linestyle=(0, (4, 3)))
        axes.axvspan(whole["ci_low"], whole["ci_high"], color=MODEL_COLOURS["cnn"], alpha=0.1, linewidth=0)
        _line(axes, whole, 0, 5.5)
        for row in only:
            if row["measure"] != measure:
                continue
            y = y_of[str(row["factor"]), str(row["level"])]
            if row["suppressed"] or not math.isfinite(row["value"]):
                axes.text(
                    0.5, y, "too few patients", color=QUIET, fontsize=6, va="center", ha="center",
                    transform=axes.get_yaxis_transform(), bbox={"facecolor": "white", "linewidth": 0, "pad": 0.5},
                )  # fmt: skip
            else:
                _line(axes, row, y, 4.2)
        for row in interactions:
            heading = y_of.get((str(row["factor"]), ""))
            if row["measure"] == measure and heading is not None and math.isfinite(row["p"]):
                axes.text(
                    0.99, heading, f"interaction p = {row['p']:.2f}" if row["p"] >= 0.01 else "interaction p < 0.01",
                    fontsize=6.2, va="center", ha="right", color=INK, transform=axes.get_yaxis_transform(),
                )  # fmt: skip
        axes.set_xlabel(MEASURE_TITLES.get(measure, measure))
        axes.set_xlim(right=1.0)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x", color="#E6EAEC", linewidth=0.6)
        axes.set_axisbelow(True)
    counts = {(str(r["factor"]), str(r["level"])): f"{r['n_patients']:.0f} patients, {r['n']:.0f} scans" for r in only}
    labels = ["all"] + [
        f"{_words(level)}  ({counts[factor, level]})" if level else FACTOR_TITLES.get(factor, readable(factor))
        for factor, level in lines
    ]
    panels[0].set_yticks(range(len(lines) + 1), labels)
    for tick, (_, level) in zip(panels[0].get_yticklabels()[1:], lines, strict=True):
        tick.set_fontweight("normal" if level else "bold")
    panels[0].set_ylim(len(lines) + 0.6, -0.7)
    return figure


def _line(axes, row: Mapping[str, object], y: float, size: float) -> None:
    colour = MODEL_COLOURS["cnn"]
    axes.plot([row["ci_low"], row["ci_high"]], [y, y], color=colour, linewidth=1.8, solid_capstyle="butt")
    axes.plot(row["value"], y, marker="o", markersize=size, color=colour, markeredgecolor="white")


def _words(level: str) -> str:
    for plain, sign in SIGNS.items():
        level = level.replace(plain, sign)
    return level
