"""From the data set to the cohort, as a diagram (the form of STARD and CONSORT)."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from matplotlib.figure import Figure

from relevox.report.drawing import CLASS_COLOURS, INK, WIDTH_IN, house_style
from relevox.report.results import Row

_STEP_IN = 0.62
"""Height of one step."""


@house_style
def flow_diagram(flow: Sequence[Row], classes: tuple[str, str], class_counts: Sequence[tuple[int, int]]) -> Figure:
    """Draw what every rule left and removed, and the two classes at the end.

    Parameters
    ----------
    flow : sequence of Row
        ``rule, scans_removed, scans_left, patients_left``; the first row is what was found.
    classes : pair of str
        Names of class 0 and class 1.
    class_counts : two pairs of int
        Patients and scans of each class.
    """
    start, *rules = flow
    rules = [row for row in rules if row["scans_removed"]] or [dict(flow[-1], scans_removed=0.0)]
    steps = len(rules) + 2
    figure = Figure(figsize=(WIDTH_IN, _STEP_IN * steps), layout="constrained")
    axes = figure.add_subplot()
    axes.set(xlim=(0, 10), ylim=(-0.5, steps - 0.5))
    axes.axis("off")

    def box(x: float, y: float, text: str, colour: str = INK, face: str = "white") -> None:
        style = {"boxstyle": "round,pad=0.45", "facecolor": face, "edgecolor": colour, "linewidth": 0.9}
        axes.text(x, y, text, ha="center", va="center", fontsize=8, color=INK, bbox=style)

    def arrow(start: tuple[float, float], end: tuple[float, float]) -> None:
        axes.annotate(
            "", xy=end, xytext=start, arrowprops={"arrowstyle": "-|>", "color": INK, "linewidth": 0.9, "shrinkB": 0}
        )

    y = steps - 1
    box(3, y, f"{start['rule']}\n{_counted(start)}")
    for row in rules:
        arrow((3, y - 0.3), (3, y - 0.68))
        arrow((3, y - 0.5), (5.45, y - 0.5))
        removed = f"{textwrap.fill(row['rule'], 46)}\n{row['scans_removed']:.0f} scans left out"
        removed = removed if row["scans_removed"] else "nothing was left out"
        axes.text(5.55, y - 0.5, removed, va="center", fontsize=8, color=INK)
        y -= 1
        box(3, y, f"left\n{_counted(row)}" if row is not rules[-1] else f"in the study\n{_counted(row)}")
    for group, (x, name) in enumerate(zip((1.5, 4.5), classes, strict=True)):
        arrow((3, y - 0.3), (x, y - 0.68))
        patients, scans = class_counts[group]
        box(x, y - 1, f"{name}\n{scans} scans of {patients} patients", CLASS_COLOURS[group])
    return figure


def _counted(row: Row) -> str:
    return f"{row['scans_left']:.0f} scans of {row['patients_left']:.0f} patients"
