"""What the attention maps find of causes that are known because they were simulated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from relevox.report.drawing import CLASS_COLOURS, INK, QUIET, WIDTH_IN, house_style, method_title, readable

CHANCE = {"enrichment": 1.0, "auc": 0.5}
"""What a map that knows nothing would get."""

_TITLES = {"enrichment": "relevance in the target / its share of the brain", "auc": "AUC of the voxels"}
_COLOURS = (CLASS_COLOURS[1], CLASS_COLOURS[0], "#009E73", "#CC79A7", "#E69F00")


@house_style
def found_causes(rows: Sequence[Mapping[str, object]]) -> Figure:
    """Draw each method's localisation of each target, beside chance.

    Parameters
    ----------
    rows : sequence of mapping
        With ``method, target, measure, value, ci_low, ci_high``; measures
        without a known chance level are left to the table.
    """
    measures = [m for m in CHANCE if any(row["measure"] == m for row in rows)]
    kept = [row for row in rows if row["measure"] in measures]
    methods = list(dict.fromkeys(str(row["method"]) for row in kept))
    targets = sorted({str(row["target"]) for row in kept}, key=lambda name: (name.startswith("other"), name))
    height = 0.95 + len(methods) * (0.12 + 0.13 * len(targets))
    figure = Figure(figsize=(WIDTH_IN, height), layout="constrained")
    panels = figure.subplots(1, max(1, len(measures)), sharey=True, squeeze=False)[0]
    for axes, measure in zip(panels, measures, strict=False):
        axes.axvline(CHANCE[measure], color=QUIET, linewidth=0.8, linestyle=(0, (4, 3)), label="chance")
        for row in kept:
            if row["measure"] != measure:
                continue
            t = targets.index(row["target"])
            y = methods.index(row["method"]) + (t - (len(targets) - 1) / 2) * 0.6 / max(1, len(targets))
            colour = _COLOURS[t % len(_COLOURS)]
            axes.plot([row["ci_low"], row["ci_high"]], [y, y], color=colour, linewidth=1.8, solid_capstyle="butt")
            axes.plot(row["value"], y, "o", markersize=4.5, color=colour, markeredgecolor="white")
        axes.set_xlabel(_TITLES[measure])
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x", color="#E6EAEC", linewidth=0.6)
    panels[0].set_yticks(range(len(methods)), [method_title(method) for method in methods])
    panels[0].set_ylim(len(methods) - 0.5, -0.5)
    for t, target in enumerate(targets):
        panels[0].plot([], [], "o", color=_COLOURS[t % len(_COLOURS)], label=readable(target))
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=4, labelcolor=INK)
    return figure
