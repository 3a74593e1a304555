"""How far the models tell the classes apart, and whether their probabilities can be believed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import roc_curve

from relevox.records import Prediction
from relevox.report.drawing import CLASS_COLOURS, INK, MODEL_COLOURS, QUIET, WIDTH_IN, house_style
from relevox.report.scores import MODEL_TITLES
from relevox.statistics.baselines import model_order

Z95 = 1.959963984540054


@house_style
def roc_and_calibration(predictions: Sequence[Prediction], classes: tuple[str, str], n_bins: int = 6) -> Figure:
    """Draw ROC curves of all models, the CNN's calibration and its probabilities.

    Parameters
    ----------
    predictions : sequence of Prediction
        Out-of-fold, all models.
    classes : pair of str
        Names of class 0 and class 1.
    n_bins : int
        Calibration bins of equal counts, at most.
    """
    by_model = _by_model(predictions)
    figure = Figure(figsize=(WIDTH_IN, 2.7), layout="constrained")
    roc, calibration, spread = figure.subplots(1, 3)
    for name in model_order(list(by_model)):
        label, probability = by_model[name]
        if np.unique(label).size < 2:
            continue
        false, true, _ = roc_curve(label, probability)
        title = MODEL_TITLES.get(name, name).split(" (")[0]
        width = 1.8 if name == "cnn" else 1.1
        roc.plot(false, true, color=MODEL_COLOURS.get(name, INK), label=title, linewidth=width)
    roc.plot([0, 1], [0, 1], color=QUIET, linewidth=0.7, linestyle=(0, (4, 3)))
    roc.set(xlabel="1 - specificity", ylabel="sensitivity", title="ROC", xlim=(0, 1), ylim=(0, 1), box_aspect=1)
    roc.legend(loc="lower right", fontsize=6, handlelength=1.2)
    first = "cnn" if "cnn" in by_model else next(iter(by_model))
    label, probability = by_model[first]
    for mean, share, low, high in calibration_bins(label, probability, n_bins):
        calibration.plot([mean, mean], [low, high], color=MODEL_COLOURS["cnn"], linewidth=1)
        calibration.plot(mean, share, marker="o", markersize=4.5, color=MODEL_COLOURS["cnn"], clip_on=False)
    calibration.plot([0, 1], [0, 1], color=QUIET, linewidth=0.7, linestyle=(0, (4, 3)))
    calibration.set(
        xlabel="predicted probability",
        ylabel=f"observed share of {classes[1]}",
        title="calibration of the CNN",
        box_aspect=1,
        xlim=(0, 1),
        ylim=(0, 1),
    )
    edges = np.linspace(0, 1, 11)
    for value, offset in ((0, -0.021), (1, 0.021)):
        counts, _ = np.histogram(probability[label == value], edges)
        centres = (edges[:-1] + edges[1:]) / 2 + offset
        spread.bar(centres, counts, width=0.04, color=CLASS_COLOURS[value], label=classes[value])
    spread.axvline(0.5, color=QUIET, linewidth=0.7, linestyle=(0, (4, 3)))
    spread.set(xlabel="predicted probability", ylabel="scans", title="the CNN's answers", xlim=(0, 1), box_aspect=1)
    spread.set_ylim(top=1.25 * max(1, spread.get_ylim()[1]))
    spread.legend(loc="upper center", fontsize=6, handlelength=1, ncols=2)
    return figure


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
