"""A new scan against the training scans: which measures lie where, in words, numbers and one figure."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from relevox.report.drawing import CLASS_COLOURS, QUIET, WIDTH_IN, house_style, readable
from relevox.report.page import Block, Bullets, Table, Text, picture
from relevox.report.tables import DASH, number
from relevox.statistics.novelty import FALSE_ALARMS, MeasureNovelty, MeasureRange, Novelty, TrainingRange

_FURTHEST = 8.0
"""Spreads at which the figure ends; what lies further out is an arrow."""

_UNITS = {"ml": "ml", "mm": "mm"}


def measure_title(name: str) -> str:
    """Write a measure as words with its unit.

    Examples
    --------
    >>> measure_title("lateral_ventricles_ml"), measure_title("t1w_flair_nmi")
    ('lateral ventricles (ml)', 'T1w FLAIR NMI')
    """
    stem, _, unit = name.rpartition("_")
    title = f"{readable(stem)} ({_UNITS[unit]})" if unit in _UNITS else readable(name)
    for word, right in (("t1w", "T1w"), ("flair", "FLAIR"), ("nmi", "NMI"), ("dice", "Dice")):
        title = title.replace(word, right)
    return title


def figures(value: float) -> str:
    """Write a measure with four figures; NaN is a dash.

    Examples
    --------
    >>> figures(1523.26), figures(0.95713), figures(0.0)
    ('1523', '0.9571', '0')
    """
    return f"{value:.0f}" if math.isfinite(value) and abs(value) >= 1000 else _short(value)


def _short(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else DASH


def range_words(measure: MeasureRange, usual: Sequence[float] = ()) -> str:
    """Say where the training scans lie: between the outer kept percentiles, or by mean and SD.

    Parameters
    ----------
    measure : MeasureRange
        Over the training scans.
    usual : sequence of float
        Levels that a header names already; they are not repeated.

    Examples
    --------
    >>> range_words(MeasureRange("m", False, 40, 40, 5, 2, (0.25, 0.5, 0.75), (4, 5, 6), 5, 1.5, 1.5))
    '4 to 6 (25th to 75th percentile)'
    """
    if measure.is_constant:
        return f"{figures(measure.mean)} in every scan"
    if len(measure.levels) < 2:
        return f"mean {figures(measure.mean)}, SD {figures(measure.sd)}"
    between = f"{figures(measure.quantiles[0])} to {figures(measure.quantiles[-1])}"
    if measure.levels == tuple(usual):
        return between
    low, high = (_ordinal(100 * level) for level in (measure.levels[0], measure.levels[-1]))
    return f"{between} ({low} to {high} percentile)"


def percentile_words(found: MeasureNovelty) -> str:
    """Say at which percentile of the training scans a value lies.

    Examples
    --------
    >>> measure = MeasureRange("m", False, 40, 40, 5, 2, (0.25, 0.75), (4, 6), 5, 1.5, 1.5)
    >>> [percentile_words(MeasureNovelty(measure, v, 0, 3, 0)) for v in (3, 5, 9)]
    ['below the 25th', '50th', 'above the 75th']
    """
    low, high = found.range.percentile(found.value)
    if not math.isfinite(found.value) or (low, high) == (0, 100):
        return DASH
    if low == high:
        return _ordinal(low)
    return f"below the {_ordinal(high)}" if low == 0 else f"above the {_ordinal(low)}"


def _ordinal(percentile: float) -> str:
    n = round(percentile)
    last = {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n}{'th' if n % 100 in (11, 12, 13) else last}"


def warnings(novelty: Novelty, n_patients: int) -> list[str]:
    """Say what of a scan lies outside the training scans; empty where nothing does.

    Parameters
    ----------
    novelty : Novelty
        The scan against the training scans.
    n_patients : int
        Of the training cohort.
    """
    sentences = [
        f"{measure_title(m.range.name)} is {figures(m.value)}; training scans: {range_words(m.range)}{_away(m)}."
        for m in sorted(novelty.outside, key=lambda m: -abs(np.nan_to_num(m.distance, nan=np.inf)))
    ]
    if novelty.is_outside_jointly:
        odd = min((m for m in novelty.measures if math.isfinite(m.squared_without)), key=lambda m: m.squared_without)
        sentences.append(
            f"All measures together lie at a squared distance of {novelty.squared_distance:.1f} from the scans of the "
            f"{n_patients} training patients, limit {novelty.squared_limit:.1f}; it would be "
            f"{odd.squared_without:.1f} without {measure_title(odd.range.name)}."
        )
    return sentences


def _away(measure: MeasureNovelty) -> str:
    if not _has_distance(measure):
        return ""
    side = "above" if measure.distance > 0 else "below"
    return f"; {abs(measure.distance):.1f} spreads {side} their median, limit {measure.limit:.1f}"


def _has_distance(measure: MeasureNovelty) -> bool:
    return math.isfinite(measure.distance)


def novelty_blocks(novelty: Novelty, training: TrainingRange) -> list[Block]:
    """Return what a page says of a scan against the training scans."""
    compared = [m for m in novelty.measures if math.isfinite(m.value)]
    if not compared:
        return [Text(["Nothing is known of the training scans to compare this scan with."])]
    found = warnings(novelty, training.n_patients)
    inside = (
        f"All {len(compared)} measures lie inside the range of the training scans. That does not show that "
        "the model works on this scan: disease, treatment and much of an image are not measured here."
    )
    blocks: list[Block] = [Bullets(found) if found else Text([inside])]
    blocks.append(picture(novelty_figure(novelty), _caption(compared[0].limit, len(compared), training)))
    usual = max((m.range.levels for m in novelty.measures), key=len)
    rows = [
        (
            measure_title(m.range.name),
            figures(m.value),
            range_words(m.range, usual),
            percentile_words(m),
            number(m.distance, 1),
            "outside" if m.is_outside else "" if math.isfinite(m.value) else "not measured",
        )
        for m in novelty.measures
    ]
    between = f", {_ordinal(100 * usual[0])} to {_ordinal(100 * usual[-1])} percentile" if len(usual) > 1 else ""
    training_title = f"training scans (n = {training.n_scans}){between}"
    header = ("", "this scan", training_title, "percentile", "spreads from the median", "")
    blocks.append(Table("Measures of this scan beside those of the training scans.", header, rows))
    if math.isfinite(novelty.squared_distance):
        blocks.append(
            Text(
                [
                    f"All measures together: squared distance {novelty.squared_distance:.1f}, "
                    f"limit {novelty.squared_limit:.1f} (Mahalanobis)."
                ]
            )
        )
    return blocks


def _caption(limit: float, n_measures: int, training: TrainingRange) -> str:
    text = (
        f"Each measure of this scan (dot) in spreads from the median of {training.n_scans} training scans of "
        f"{training.n_patients} patients; volumes on a log scale. A spread is a standard deviation taken from the "
        f"outer percentiles. Beyond {limit:.1f} spreads (dashed) a measure is outside; of scans like the training "
        f"scans, {100 * FALSE_ALARMS:g} % would have one of the {n_measures} there if measures were normal."
    )
    if math.isfinite(training.false_alarms):
        text += (
            f" Of the training patients themselves, each left out once, {100 * training.false_alarms:.1f} % would have "
            "been warned of, by one measure or by all together."
        )
    return text


@house_style
def novelty_figure(novelty: Novelty) -> Figure:
    """Draw each measure's distance from the training scans' median.

    Parameters
    ----------
    novelty : Novelty
        What has no distance (not measured, or all training scans equal) has an empty row with the reason.
    """
    measures = novelty.measures
    figure = Figure(figsize=(WIDTH_IN, 0.75 + 0.2 * len(measures)), layout="constrained")
    axes = figure.subplots()
    limit = next((m.limit for m in measures if math.isfinite(m.value)), np.nan)
    axes.axvspan(-limit, limit, color="#EEF1F2", zorder=0)
    for x in (-limit, limit):
        axes.axvline(x, color=QUIET, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
    axes.axvline(0, color=QUIET, linewidth=0.6, zorder=1)
    for y, m in enumerate(measures):
        if not _has_distance(m):
            reason = "not measured" if not math.isfinite(m.value) else f"all training scans: {figures(m.range.mean)}"
            axes.text(0, y, f"{reason}; here {figures(m.value)}", va="center", ha="center", color=QUIET, fontsize=6.5)
            continue
        colour = CLASS_COLOURS[int(m.is_outside)]
        beyond = abs(m.distance) > _FURTHEST
        marker = ("o" if not m.is_outside else "D") if not beyond else ">" if m.distance > 0 else "<"
        axes.plot(np.clip(m.distance, -_FURTHEST, _FURTHEST), y, marker, color=colour, markersize=5.5, zorder=3)
    axes.set_yticks(range(len(measures)), [measure_title(m.range.name) for m in measures])
    axes.set_ylim(len(measures) - 0.5, -0.5)
    axes.set_xlim(-_FURTHEST - 0.4, _FURTHEST + 0.4)
    axes.set_xlabel("spreads from the median of the training scans (arrow: further out)")
    axes.tick_params(axis="y", length=0)
    return figure
