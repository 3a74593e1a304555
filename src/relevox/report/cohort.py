"""Who is in the study: scores, and the measured volumes by class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from relevox.report.drawing import CLASS_COLOURS, INK, WIDTH_IN, house_style, readable


@house_style
def score_and_volumes(
    score: np.ndarray,
    label: np.ndarray,
    score_name: str,
    classes: tuple[str, str],
    volume_names: Sequence[str],
    volumes_ml: np.ndarray,
) -> Figure:
    """Draw the distribution of the clinical score and of each volume by class.

    Parameters
    ----------
    score, label : ndarray, ``(n,)``
        Per scan.
    score_name : str
        For the axis.
    classes : pair of str
        Names of class 0 and class 1.
    volume_names : sequence of str
        k names.
    volumes_ml : ndarray, ``(n, k)``
        Native millilitres; NaN where unknown.
    """
    figure = Figure(figsize=(WIDTH_IN, 2.7), layout="constrained")
    grid = figure.add_gridspec(2, 3 + (len(volume_names) + 1) // 2)
    histogram = figure.add_subplot(grid[:, :3])
    values, counts_at = np.unique(score, return_inverse=True)
    for group in (0, 1):
        counts = np.bincount(counts_at[label == group], minlength=values.size)
        shown = counts > 0
        histogram.bar(values[shown], counts[shown], width=0.4, color=CLASS_COLOURS[group], label=classes[group])
    histogram.set(xlabel=score_name, ylabel="scans")
    histogram.yaxis.set_major_locator(MaxNLocator(integer=True))
    histogram.legend()
    for k, name in enumerate(volume_names):
        axes = figure.add_subplot(grid[k % 2, 3 + k // 2])
        _strip_and_box(axes, [volumes_ml[label == group, k] for group in (0, 1)])
        axes.set_title(readable(name).replace("brainstem ", "brainstem, "), fontsize=6)
        if k < 2:
            axes.set_ylabel("ml", fontsize=6)
        axes.tick_params(labelsize=6)
    return figure


def _strip_and_box(axes, parts: list[np.ndarray]) -> None:
    jitter = np.random.default_rng(0)
    for group, part in enumerate(parts):
        part = part[np.isfinite(part)]
        if part.size == 0:
            continue
        x = group + jitter.uniform(-0.27, 0.27, part.size)
        axes.scatter(x, part, s=2.5, color=CLASS_COLOURS[group], alpha=0.55, linewidths=0)
        low, middle, high = np.percentile(part, (25, 50, 75))
        axes.plot([group - 0.36, group + 0.36], [middle, middle], color=INK, linewidth=1.3)
        axes.vlines([group - 0.36, group + 0.36], low, high, color=INK, linewidth=0.6)
    axes.set_xticks([])
    axes.set_xlim(-0.6, 1.6)
