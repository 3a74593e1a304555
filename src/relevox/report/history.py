"""The course of training in every fold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from relevox.report.drawing import CLASS_COLOURS, MODEL_COLOURS, QUIET, WIDTH_IN, house_style


@house_style
def training_history(histories: Mapping[int, Sequence[Mapping[str, float]]]) -> Figure:
    """Draw losses and validation accuracy by epoch, one thin line a fold, the folds' median thick.

    Parameters
    ----------
    histories : mapping of fold to rows
        Rows with ``epoch, train_loss, validation_loss, validation_balanced_accuracy``.
    """
    figure = Figure(figsize=(WIDTH_IN, 2.3), layout="constrained")
    losses, accuracy = figure.subplots(1, 2)
    for column, axes, colour, title in (
        ("train_loss", losses, CLASS_COLOURS[0], "training"),
        ("validation_loss", losses, CLASS_COLOURS[1], "validation"),
        ("validation_balanced_accuracy", accuracy, MODEL_COLOURS["cnn"], "validation"),
    ):
        curves = {}
        for rows in histories.values():
            epochs = [row["epoch"] for row in rows]
            axes.plot(epochs, [row[column] for row in rows], color=colour, linewidth=0.6, alpha=0.45)
            for row in rows:
                curves.setdefault(row["epoch"], []).append(row[column])
        epochs = sorted(curves)
        axes.plot(epochs, [np.median(curves[e]) for e in epochs], color=colour, linewidth=1.9, label=title)
    losses.set(xlabel="epoch", ylabel="cross-entropy")
    losses.set_ylim(bottom=0)
    losses.legend(loc="upper right")
    accuracy.axhline(0.5, color=QUIET, linewidth=0.7, linestyle=(0, (4, 3)))
    accuracy.set(xlabel="epoch", ylabel="validation balanced accuracy", ylim=(0, 1))
    for axes in (losses, accuracy):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure
