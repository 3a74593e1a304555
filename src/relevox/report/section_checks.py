"""Report: can the maps be believed?"""

from __future__ import annotations

import math

from relevox.report import map_checks, map_verdicts
from relevox.report.drawing import method_title
from relevox.report.map_checks import layer_title, methods_of, select
from relevox.report.page import Block, Bullets, Note, Table, Text, picture
from relevox.report.results import StudyResults
from relevox.report.tables import DASH, interval, number

FEW = 10
"""Scans below which the section says that its intervals are wide."""


def checks(results: StudyResults) -> list[Block]:
    """What was measured of the maps themselves; nothing where they were not checked."""
    rows = results.checks
    if not methods_of(rows):
        return []
    scans, patients = (int(max(row[name] for row in rows)) for name in ("n_scans", "n_patients"))
    counted = f"{scans} scan{'s' * (scans > 1)} of {patients} patient{'s' * (patients > 1)}"
    confidence = f"{100 * results.settings.evaluation.confidence:g} %"
    blocks: list[Block] = [
        Text(
            [
                "A map always shows something, also when the network has learned nothing. Four questions were put to "
                f"the maps of {counted}, each scan explained by the network that had not seen its patient. Does the "
                "map change with the class it explains? Is it gone when the learned weights are? Does the answer fall "
                "when what it marks is taken away? Do other networks give the same map?"
            ]
        )
    ]
    if scans < FEW:
        blocks.append(Note(f"These are {counted}: read directions, not digits."))
    blocks.append(Bullets(map_verdicts.sentences(rows)))
    blocks.append(
        picture(
            map_checks.dependence(rows),
            f"Pearson correlation of maps over the voxels of the brain, mean over {counted} with {confidence} "
            "intervals (bootstrap over patients). Left: the map of the trained network against that of the same "
            "network with its weights drawn again, the head first, then the blocks down to the image; a map that "
            "shows what was learned falls to 0. Right: maps of the two classes by one network (1: the class does not "
            "matter; \N{MINUS SIGN}1: turned round), and maps of one class by the network that was tested with the "
            "scan and by those that were trained with it.",
        )
    )
    blocks.append(
        picture(
            map_checks.perturbation(rows),
            f"Parts of the brain are replaced by the mean of the training scans, the most relevant first, and stay "
            f"replaced: how far the log odds of the explained class fall, mean over {counted}. A better map falls "
            "sooner. Thick grey: in an order by chance. Dashed and dotted: the brightest parts, and the parts most "
            "unlike the mean scan, which need no network. All orders end with the same images. "
            + ("Occlusion: in the order of what each region alone supports. " if _has(rows, "occlusion") else "")
            + "A scan that is half replaced is an image no patient has: compare the lines with each other.",
        )
    )
    blocks += [_dependence_table(results, counted, confidence), _answer_table(results, counted, confidence)]
    lost = _lost(rows)
    if lost:
        blocks.append(Text([lost]))
    return blocks


def _dependence_table(results: StudyResults, counted: str, confidence: str) -> Table:
    rows = results.checks
    body = []
    for method in methods_of(rows):
        drawn = select(rows, check="randomisation", method=method, measure="pearson")
        swapped = select(rows, check="class_swap", method=method, measure="pearson")
        other = {"check": "stability", "method": method, "step": "tested with trained"}
        agreed = select(rows, measure="pearson", **other)
        cells = (_cell(drawn[:1]), _cell(drawn[-1:]), _cell(swapped), _cell(agreed))
        body.append((method_title(method, first=True), *cells))
    caption = (
        f"What the maps depend on: mean over {counted} with {confidence} intervals. r: Pearson correlation over the "
        "brain."
    )
    return Table(caption, ("", "random head, r", "all random, r", "two classes, r", "two networks, r"), body)


def _answer_table(results: StudyResults, counted: str, confidence: str) -> Table:
    rows = results.checks
    names = [*methods_of(rows), *(n for n in ("occlusion", "absolute_difference", "absolute_input") if _has(rows, n))]
    body = []
    for method in names:
        cells = [
            _cell(select(rows, check=f"perturbation_{kind}", method=method, step=step, measure="gain"), 1)
            for kind in ("regions", "supervoxels")
            for step in ("descending", "ascending")
        ]
        body.append((method_title(method, first=True), *cells))
    caption = (
        f"Does the answer follow the map? Mean fall of the log odds over the whole curve beyond that of orders by "
        f"chance; 0 is no better than chance. Mean over {counted} with {confidence} intervals. Most relevant first: "
        "the larger the better. Least relevant first: a map that knows what speaks against the class falls below 0."
    )
    header = (
        "",
        "regions, most first",
        "regions, least first",
        "supervoxels, most first",
        "supervoxels, least first",
    )
    return Table(caption, header, body)


def _cell(found, digits: int = 2) -> str:
    return interval(found[0], digits) if found else DASH


def _lost(rows) -> str:
    """Say where LRP's relevance is lost."""
    found = [row for row in select(rows, check="lost", method="lrp") if math.isfinite(row["value"])]
    if not found:
        return ""
    total, most = sum(row["value"] for row in found), max(found, key=lambda row: row["value"])
    return (
        f"On its way from the answer to the image LRP loses {number(100 * total, 0)} % of the relevance it starts "
        f"with, {number(100 * most['value'], 0)} % in {layer_title(str(most['step']))}, where units are won by their "
        "bias alone: the maps hold the rest."
    )


def _has(rows, method: str) -> bool:
    return any(row["method"] == method for row in rows)
