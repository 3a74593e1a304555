"""Scores of every model with their intervals, one beneath the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from relevox.report.drawing import BAYES_COLOUR, INK, MODEL_COLOURS, QUIET, WIDTH_IN, house_style
from relevox.statistics.baselines import model_order

MODEL_TITLES = {
    "cnn": "CNN on the images",
    "volumes": "six volumes (logistic regression)",
    "volumes_best": "best subset, picked by the test scans",
    "volumes_chosen": "subset picked by the validation scans",
    "volumes_clinical": "six volumes and the network's covariates",
    "volumes_scanner": "six volumes and scanner",
    "scanner": "scanner alone",
    "age_sex": "age and sex alone",
    "clinical": "the network's covariates alone",
    "score_at_scan": "score at the scan alone",
}
"""Models in words; others appear under their own names."""

MEASURE_TITLES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "auc": "AUC",
    "brier": "Brier score",
}


@house_style
def score_intervals(
    scores: Sequence[Mapping[str, object]],
    measures: Sequence[str] = ("balanced_accuracy", "auc"),
    best_possible: Mapping[str, float] | None = None,
) -> Figure:
    """Draw the scan-level scores as points with intervals.

    Parameters
    ----------
    scores : sequence of mapping
        Rows with ``model, level, measure, value, ci_low, ci_high``.
    measures : sequence of str
        One panel each.
    best_possible : mapping of measure to float, optional
        What a classifier that knew the truth would reach (simulated cohorts).
    """
    models = model_order([str(row["model"]) for row in scores])
    figure = Figure(figsize=(WIDTH_IN, 0.85 + 0.3 * len(models)), layout="constrained")
    panels = figure.subplots(1, len(measures), sharey=True, squeeze=False)[0]
    for axes, measure in zip(panels, measures, strict=True):
        axes.axvline(0.5, color=QUIET, linewidth=0.8, linestyle=(0, (4, 3)), label="chance")
        best = (best_possible or {}).get(measure, np.nan)
        if np.isfinite(best):
            axes.axvline(
                best, color=BAYES_COLOUR, linewidth=1.2, linestyle=(0, (1, 1.2)), label="best possible (Bayes)"
            )
        for row in scores:
            if row["measure"] != measure or row["level"] != "scan":
                continue
            y = models.index(row["model"])
            colour = MODEL_COLOURS.get(row["model"], INK)
            axes.plot([row["ci_low"], row["ci_high"]], [y, y], color=colour, linewidth=2.2, solid_capstyle="butt")
            axes.plot(row["value"], y, marker="o", markersize=5.5, color=colour, markeredgecolor="white")
        axes.set_xlabel(MEASURE_TITLES.get(measure, measure))
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x", color="#E6EAEC", linewidth=0.6)
        axes.set_axisbelow(True)
    panels[0].set_yticks(range(len(models)), [MODEL_TITLES.get(model, model) for model in models])
    panels[0].set_ylim(len(models) - 0.5, -0.5)
    handles, labels = panels[-1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=2)
    return figure
