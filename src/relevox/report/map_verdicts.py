"""What the checks of the maps mean, in sentences that follow from their numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence

from relevox.report.drawing import method_title
from relevox.report.map_checks import methods_of, select
from relevox.report.results import Row
from relevox.report.tables import interval, number

SAME = 0.9
"""Correlation from which two maps are called the same; -0.5 and below: turned round."""

FADED = 0.3
"""Correlation below which nothing of a map is called left."""

ALIKE = 0.7
"""Correlation from which networks are said to agree."""


def sentences(rows: Sequence[Row]) -> list[str]:
    """Return one sentence or more a method: the class, the weights, the answer, other networks."""
    return [
        f"{method_title(method, first=True)}. "
        + " ".join(filter(None, (said(rows, method) for said in (of_class, of_weights, of_answer, of_networks))))
        for method in methods_of(rows)
    ]


UNCHECKED = "What such maps are worth with these models has not been checked; relevox explain on the study does it."


def of_maps_like_this(rows: Sequence[Row]) -> list[str]:
    """Say what a study's checks found, to a reader who sees one new map of its models."""
    if not rows:
        return [UNCHECKED]
    n = max(row["n_patients"] for row in rows)
    return [f"What the checks found of such maps ({n:.0f} patients of the study). {text}" for text in sentences(rows)]


def of_class(rows: Sequence[Row], method: str) -> str:
    """Say whether the map depends on the class it explains."""
    row = _one(rows, check="class_swap", method=method, measure="pearson")
    if row is None:
        return ""
    r = f"r = {number(row['value'], 3 if abs(row['value']) > 0.99 else 2)}"
    if row["value"] > SAME:
        return f"Its maps do not depend on the class ({r}): they show where the network looks, not why."
    if row["value"] < -0.5:
        return f"What speaks for one class speaks against the other ({r}): the map belongs to the class."
    return f"Its maps of the two classes differ ({r})."


def of_weights(rows: Sequence[Row], method: str) -> str:
    """Say whether the map depends on what the network has learned."""
    steps = select(rows, check="randomisation", method=method, measure="pearson")
    if not steps or not (math.isfinite(steps[0]["value"]) and math.isfinite(steps[-1]["value"])):
        return ""
    first, last = steps[0]["value"], steps[-1]["value"]
    head = f"With a random head it is the same (r = {number(first)})" if first > SAME else ""
    head = head or f"With a random head r falls to {number(first)}"
    rest = _whatever_the_sign(rows, method)
    if last > FADED:
        found = f"{head}, and with all weights random r is still {interval(steps[-1])}"
        shown = steps[-1]["ci_low"] > 0
        return f"{found}: {'much of it is the image, not the learning' if shown else 'too few scans to say more'}."
    if first > SAME:
        return f"{head}: it does not show what the head decides; with all weights random r is {number(last)}.{rest}"
    gone = steps[-1]["ci_high"] < 0.5
    return f"{head}, with all weights random to {interval(steps[-1])}: " + (
        f"it depends on what was learned.{rest}" if gone else "too few scans to say more."
    )


def _whatever_the_sign(rows: Sequence[Row], method: str) -> str:
    """Say how much of where a map looks needs no learning, where it is shown to be much."""
    ranks = select(rows, check="randomisation", method=method, measure="spearman_absolute")
    if not ranks or not ranks[-1]["ci_low"] > 0.2:
        return ""
    return (
        f" Whatever the sign, though, the ranks of its values keep r = {number(ranks[-1]['value'])} without any "
        "learning: that much is the image."
    )


def of_answer(rows: Sequence[Row], method: str) -> str:
    """Say whether what the map calls relevant matters to the answer."""
    found = {}
    for measure in ("gain", "beyond_image"):
        found[measure] = [
            row
            for kind in ("regions", "supervoxels")
            if (row := _one(rows, check=f"perturbation_{kind}", method=method, step="descending", measure=measure))
        ]
    if not found["gain"]:
        return ""
    above = [row["ci_low"] > 0 for row in found["gain"]]
    if not any(above):
        return "Taking what it marks is not shown to change the answer more than taking anything."
    where = "" if all(above) else " in one of the two cuts of the brain"
    text = f"Taking what it marks changes the answer more than chance{where}"
    beyond = found["beyond_image"]
    if beyond and all(row["ci_low"] > 0 for row in beyond):
        return f"{text}, and more than taking what is unlike the mean scan."
    if beyond and all(row["ci_high"] < 0 for row in beyond):
        return f"{text}, but less than taking what is unlike the mean scan, which needs no network."
    return f"{text}, but not clearly more than taking what is unlike the mean scan, which needs no network."


def of_networks(rows: Sequence[Row], method: str) -> str:
    """Say whether several networks give one map."""
    row = _one(rows, check="stability", method=method, step="tested with trained", measure="pearson")
    if row is None:
        return ""
    top = _one(rows, check="stability", method=method, step="tested with trained", measure="dice_top")
    shared = "" if top is None else f"; {number(100 * top['value'], 0)} % of the 5 % most relevant voxels are shared"
    if row["value"] >= ALIKE:
        return f"Networks of other folds give nearly the same map (r = {interval(row)}{shared})."
    return f"Networks of other folds give another map of the same scan (r = {interval(row)}{shared})."


def lrp_in_short(rows: Sequence[Row]) -> str:
    """Say in one sentence how similar LRP's maps of the two classes are; empty where it was not measured."""
    row = _one(rows, check="class_swap", method="lrp", measure="pearson")
    if row is None:
        return ""
    return f"Here maps of the two classes correlate {number(row['value'], 3)} (n = {number(row['n_scans'], 0)})."


def _one(rows: Sequence[Row], **wanted: object) -> Row | None:
    """Return the row with these values, unless its value is not known."""
    return next((row for row in select(rows, **wanted) if math.isfinite(row["value"])), None)
