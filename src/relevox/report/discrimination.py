"""How far the models tell the classes apart, and whether their probabilities can be believed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import roc_curve

from relevox.records import Prediction
from relevox.report.drawing import BAYES_COLOUR, CLASS_COLOURS, INK, MODEL_COLOURS, QUIET, WIDTH_IN, house_style
from relevox.report.scores import MODEL_TITLES
from relevox.statistics.baselines import model_order

Z95 = 1.959963984540054


SHOWN = ("cnn", "volumes", "scanner", "age_sex", "score_at_scan")
"""Models with a curve of their own: more lines could not be told apart."""


@house_style
def roc_and_calibration(
    predictions: Sequence[Prediction],
    classes: tuple[str, str],
    n_bins: int = 6,
    reliability: Sequence[Mapping[str, object]] = (),
    decision: Sequence[Mapping[str, object]] = (),
) -> Figure:
    """Draw ROC curves, the CNN's calibration, its probabilities, and what acting on it would bring.

    Parameters
    ----------
    predictions : sequence of Prediction
        Out-of-fold, all models.
    classes : pair of str
        Names of class 0 and class 1.
    n_bins : int
        Calibration bins of equal counts, at most; only where ``reliability`` is empty.
    reliability : sequence of mapping
        Rows with ``model, probability, predicted, observed, ci_low, ci_high``.
    decision : sequence of mapping
        Rows with ``model, probability, threshold, net_benefit, ci_low, ci_high, treat_all``; without them there
        is no panel for it.
    """
    by_model = _by_model(predictions)
    first = "cnn" if "cnn" in by_model else next(iter(by_model))
    figure = Figure(figsize=(WIDTH_IN, 6.2 if decision else 2.7), layout="constrained")
    panels = figure.subplots(2, 2).ravel() if decision else figure.subplots(1, 3)
    _roc(panels[0], by_model)
    if reliability:
        _reliability(panels[1], [row for row in reliability if row["model"] == first], classes)
    else:
        keys = ("predicted", "observed", "ci_low", "ci_high")
        bins = [dict(zip(keys, values, strict=True)) for values in calibration_bins(*by_model[first], n_bins)]
        _reliability(panels[1], [{"probability": "raw"} | row for row in bins], classes)
    if decision:
        _decision(panels[2], decision)
    _answers(panels[-1], *by_model[first], classes)
    for letter, axes in zip("abcd", panels, strict=False):
        axes.set_title(letter, loc="left", fontweight="bold")
    return figure


def _roc(axes: Axes, by_model: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> None:
    for name in (name for name in model_order(list(by_model)) if name in SHOWN):
        label, probability = by_model[name]
        if np.unique(label).size < 2:
            continue
        false, true, _ = roc_curve(label, probability)
        width = 1.8 if name == "cnn" else 1.1
        title = MODEL_TITLES.get(name, name).split(" (")[0]
        axes.plot(false, true, color=MODEL_COLOURS.get(name, INK), label=title, linewidth=width)
    axes.plot([0, 1], [0, 1], color=QUIET, linewidth=0.7, linestyle=(0, (4, 3)))
    axes.set(xlabel="1 - specificity", ylabel="sensitivity", title="ROC", xlim=(0, 1), ylim=(0, 1), box_aspect=1)
    axes.legend(loc="lower right", fontsize=6.5, handlelength=1.2)


_KINDS = {"raw": ("as they are", 0.0, "o"), "temperature": ("with temperature", 0.008, "s")}


def _reliability(axes: Axes, rows: Sequence[Mapping[str, object]], classes: tuple[str, str]) -> None:
    colours = {"raw": MODEL_COLOURS["cnn"], "temperature": BAYES_COLOUR}
    kinds = [kind for kind in _KINDS if any(row["probability"] == kind for row in rows)]
    for kind in kinds:
        title, shift, marker = _KINDS[kind]
        mine = [row for row in rows if row["probability"] == kind]
        x = np.array([row["predicted"] for row in mine]) + shift
        for at, row in zip(x, mine, strict=True):
            axes.plot([at, at], [row["ci_low"], row["ci_high"]], color=colours[kind], linewidth=1)
        observed = [row["observed"] for row in mine]
        axes.plot(x, observed, marker=marker, markersize=4, color=colours[kind], linewidth=0.6, label=title)
    axes.plot([0, 1], [0, 1], color=QUIET, linewidth=0.7, linestyle=(0, (4, 3)))
    axes.set(
        xlabel="predicted probability",
        ylabel=f"observed share of {classes[1]}",
        title="calibration of the CNN",
        box_aspect=1,
        xlim=(-0.02, 1.02),
        ylim=(-0.02, 1.02),
    )
    if len(kinds) > 1:
        axes.legend(loc="upper left", fontsize=6.5, handlelength=1.4)


def _decision(axes: Axes, rows: Sequence[Mapping[str, object]]) -> None:
    raw = [row for row in rows if row["probability"] == "raw"]
    models = [m for m in model_order([str(row["model"]) for row in raw]) if m in SHOWN[:3]]
    for model in models:
        mine = [row for row in raw if row["model"] == model]
        t = np.array([row["threshold"] for row in mine])
        colour, width = MODEL_COLOURS.get(model, INK), 1.8 if model == "cnn" else 1.1
        if model == "cnn":
            axes.fill_between(
                t, [r["ci_low"] for r in mine], [r["ci_high"] for r in mine], color=colour, alpha=0.15, linewidth=0
            )
        title = MODEL_TITLES.get(model, model).split(" (")[0]
        axes.plot(t, [row["net_benefit"] for row in mine], color=colour, linewidth=width, label=title)
    everybody = [row["treat_all"] for row in raw if row["model"] == models[0]]
    axes.plot(t, everybody, color=INK, linewidth=1, linestyle=(0, (1, 1.2)), label="act on all")
    axes.axhline(0, color=INK, linewidth=0.8, label="act on nobody")
    top = max(row["ci_high"] for row in raw if row["model"] == models[0])
    axes.set(
        xlabel="probability above which one would act",
        ylabel="net benefit (true positives per scan)",
        title="decision curve",
        xlim=(0, 1),
        ylim=(-0.12 * top, 1.08 * top),
        box_aspect=1,
    )
    axes.legend(loc="upper right", fontsize=6.5, handlelength=1.4)


def _answers(axes: Axes, label: np.ndarray, probability: np.ndarray, classes: tuple[str, str]) -> None:
    edges = np.linspace(0, 1, 11)
    for value, offset in ((0, -0.021), (1, 0.021)):
        counts, _ = np.histogram(probability[label == value], edges)
        centres = (edges[:-1] + edges[1:]) / 2 + offset
        axes.bar(centres, counts, width=0.04, color=CLASS_COLOURS[value], label=classes[value])
    axes.axvline(0.5, color=QUIET, linewidth=0.7, linestyle=(0, (4, 3)))
    axes.set(xlabel="predicted probability", ylabel="scans", title="the CNN's answers", xlim=(0, 1), box_aspect=1)
    axes.set_ylim(top=1.25 * max(1, axes.get_ylim()[1]))
    axes.legend(loc="upper center", fontsize=6.5, handlelength=1, ncols=2)


def calibration_bins(
    label: np.ndarray, probability: np.ndarray, n_bins: int
) -> list[tuple[float, float, float, float]]:
    """Return mean probability, observed share and its 95 % Wilson interval per bin of equal count.

    Examples
    --------
    >>> bins = calibration_bins(np.array([0, 0, 1, 1]), np.array([0.1, 0.3, 0.7, 0.9]), 2)
    >>> [(round(mean, 2), share) for mean, share, _, _ in bins]
    [(0.2, 0.0), (0.8, 1.0)]
    """
    order = np.argsort(probability, kind="stable")
    bins = []
    for rows in np.array_split(order, min(n_bins, max(1, label.size // 2))):
        n, share = rows.size, float(label[rows].mean())
        centre = (share + Z95**2 / (2 * n)) / (1 + Z95**2 / n)
        half = Z95 * np.sqrt(share * (1 - share) / n + Z95**2 / (4 * n**2)) / (1 + Z95**2 / n)
        bins.append((float(probability[rows].mean()), share, max(0.0, centre - half), min(1.0, centre + half)))
    return bins


def _by_model(predictions: Sequence[Prediction]) -> Mapping[str, tuple[np.ndarray, np.ndarray]]:
    parts: dict[str, list[tuple[int, float]]] = {}
    for prediction in predictions:
        parts.setdefault(prediction.model, []).append((prediction.label, prediction.probability))
    return {
        model: (np.array([label for label, _ in pairs]), np.array([probability for _, probability in pairs]))
        for model, pairs in parts.items()
    }
