"""Figures of an external cohort: scores beside those of the study, ROC, confusion and votes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import roc_curve

from relevox.records import Ballot
from relevox.report.drawing import CLASS_COLOURS, INK, MODEL_COLOURS, QUIET, WIDTH_IN, house_style
from relevox.report.scores import MEASURE_TITLES, MODEL_TITLES
from relevox.statistics.baselines import model_order

OFFSET = 0.17
"""Half the distance between a model's two points."""


@house_style
def inside_and_outside(
    inside: Sequence[Mapping[str, object]],
    outside: Sequence[Mapping[str, object]],
    name: str,
    measures: Sequence[str] = ("balanced_accuracy", "auc"),
) -> Figure:
    """Draw every model's scores out of fold and on the external cohort, per scan.

    Parameters
    ----------
    inside, outside : sequence of mapping
        Rows with ``model, level, measure, value, ci_low, ci_high``.
    name : str
        Of the external cohort.
    measures : sequence of str
        One panel each.
    """
    models = model_order([str(row["model"]) for row in outside])
    figure = Figure(figsize=(WIDTH_IN, 0.95 + 0.36 * len(models)), layout="constrained")
    panels = figure.subplots(1, len(measures), sharey=True, squeeze=False)[0]
    for axes, measure in zip(panels, measures, strict=True):
        axes.axvline(0.5, color=QUIET, linewidth=0.8, linestyle=(0, (4, 3)))
        for rows, offset, filled in ((inside, -OFFSET, False), (outside, OFFSET, True)):
            for row in rows:
                if (row["measure"], row["level"]) != (measure, "scan") or row["model"] not in models:
                    continue
                y, colour = models.index(row["model"]) + offset, MODEL_COLOURS.get(row["model"], INK)
                axes.plot([row["ci_low"], row["ci_high"]], [y, y], color=colour, linewidth=2.2 if filled else 1.0)
                face = colour if filled else "white"
                axes.plot(row["value"], y, "o", markersize=5, color=colour, markerfacecolor=face)
        axes.set_xlabel(MEASURE_TITLES.get(measure, measure))
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x", color="#E6EAEC", linewidth=0.6)
        axes.set_axisbelow(True)
    panels[0].set_yticks(range(len(models)), [MODEL_TITLES.get(model, model) for model in models])
    panels[0].set_ylim(len(models) - 0.5, -0.5)
    for filled, label in ((False, "this study, out of fold"), (True, name)):
        panels[0].plot([], [], "o-", color=INK, markerfacecolor=INK if filled else "white", markersize=5, label=label)
    panels[0].plot([], [], color=QUIET, linewidth=0.8, linestyle=(0, (4, 3)), label="chance")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper right", ncols=3)
    return figure


@house_style
def votes(ballots: Sequence[Ballot], classes: tuple[str, str]) -> Figure:
    """Draw ROC curves of all models by mean probability, the networks' confusion and how they voted.

    Parameters
    ----------
    ballots : sequence of Ballot
        All models.
    classes : pair of str
        Names of class 0 and class 1.
    """
    figure = Figure(figsize=(WIDTH_IN, 2.95), layout="constrained")
    roc, confusion, spread = figure.subplots(1, 3)
    for model in model_order([ballot.model for ballot in ballots]):
        mine = [ballot for ballot in ballots if ballot.model == model]
        false, true, _ = roc_curve([b.label for b in mine], [b.probability for b in mine])
        title = MODEL_TITLES.get(model, model).split(" (")[0]
        width = 1.8 if model == "cnn" else 1.1
        roc.plot(false, true, color=MODEL_COLOURS.get(model, INK), label=title, linewidth=width)
    roc.plot([0, 1], [0, 1], color=QUIET, linewidth=0.7, linestyle=(0, (4, 3)))
    roc.set(xlabel="1 - specificity", ylabel="sensitivity", title="ROC", xlim=(0, 1), ylim=(0, 1), box_aspect=1)
    figure.legend(*roc.get_legend_handles_labels(), loc="outside lower center", fontsize=6, handlelength=1.2, ncols=5)
    cnn = [ballot for ballot in ballots if ballot.model == "cnn"]
    _confusion(confusion, cnn, classes)
    n_models = len(cnn[0].fold_probabilities)
    for value, offset in ((0, -0.2), (1, 0.2)):
        said = [round(b.share * n_models) for b in cnn if b.label == value]
        counts = np.bincount(said, minlength=n_models + 1)
        spread.bar(np.arange(n_models + 1) + offset, counts, 0.4, color=CLASS_COLOURS[value], label=classes[value])
    spread.axvline(n_models / 2, color=QUIET, linewidth=0.7, linestyle=(0, (4, 3)))
    spread.set(xlabel=f"of {n_models} networks for {classes[1]}", ylabel="scans", title="votes", box_aspect=1)
    spread.set_xticks(range(n_models + 1))
    spread.set_ylim(top=1.25 * max(1, spread.get_ylim()[1]))
    spread.legend(loc="upper center", fontsize=6, handlelength=1, ncols=2)
    return figure


def _confusion(axes, cnn: Sequence[Ballot], classes: tuple[str, str]) -> None:
    counts = np.zeros((2, 2), dtype=int)
    np.add.at(counts, ([b.label for b in cnn], [b.predicted for b in cnn]), 1)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1.2)
    for (true, said), count in np.ndenumerate(counts):
        colour = "white" if shares[true, said] > 0.65 else INK
        axes.text(said, true, f"{count}\n{100 * shares[true, said]:.0f} %", ha="center", va="center", color=colour)
    axes.set_xticks((0, 1), classes)
    axes.set_yticks((0, 1), classes, rotation=90, va="center")
    axes.tick_params(length=0)
    axes.set(xlabel="vote", ylabel="truth", title="confusion of the networks' vote")
