"""What the benchmark of a simulated cohort says in words: a wrong map and a wrong model told apart."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from relevox.report.drawing import method_title, readable
from relevox.report.planted_results import IGNORANT
from relevox.report.tables import interval, number

Row = Mapping[str, Any]
BY_KIND = "periventricular_against_other"


class Found:
    """The rows of ``benchmark.tsv`` by method, target and measure."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = {(str(row["method"]), str(row["target"]), str(row["measure"])): row for row in rows}

    def get(self, method: str, target: str, measure: str) -> Row | None:
        """Return one row, or None where it is missing or not a number."""
        row = self.rows.get((method, target, measure))
        return row if row is not None and math.isfinite(row["value"]) else None

    @property
    def methods(self) -> list[str]:
        """Methods with a map that knows the network."""
        found = dict.fromkeys(m for m, _, measure in self.rows if measure == "auc")
        return [method for method in found if method not in (*IGNORANT, "chance", "network")]


def what_the_network_uses(found: Found, card: Mapping[str, Any]) -> list[str]:
    """Say which causes the network's answer follows, and what it does when one alone is changed."""
    causal = {t["cause"] for t in card.get("targets") or [] if t["role"] == "causal"}
    betas = {c: row for (m, c, measure), row in found.rows.items() if (m, measure) == ("network", "standardised_beta")}
    sentences = []
    groups = [
        (
            words,
            [f"{readable(c)} {interval(row)}" for c, row in betas.items() if (c in causal) is wanted and _known(row)],
        )
        for words, wanted in (("causes of the score", True), ("decoys, which cause nothing", False))
    ]
    said = [f"{words}: {', '.join(members)}" for words, members in groups if members]
    if said:
        r2, scanner = found.get("network", "causes", "r2"), found.get("network", "causes", "r2_added_by_scanner")
        shares = "" if r2 is None else f" R\N{SUPERSCRIPT TWO} {number(r2['value'])}"
        shares += "" if scanner is None else f", of which the scanner adds {number(scanner['value'])}"
        sentences.append(
            f"What the network itself uses, by standardised coefficients of its logit. {'; '.join(said).capitalize()}."
            f"{shares and ' Together' + shares + '.'} A map can show no more."
        )
    done = card.get("counterfactuals") or {}
    effects = {cause: found.get("network", f"changed_{cause}", "effect") for cause in done}
    changes: dict[str, list[str]] = {}  # what is done alike is said once
    for cause, row in effects.items():
        if row is not None:
            changes.setdefault(str(done[cause]), []).append(f"{readable(cause)} {interval(row)}")
    if changes:
        n = max(row["n"] for row in effects.values() if row is not None)
        sentences.append(
            "When one cause alone is changed in a scan, the log odds of class 1 change by: "
            + "; ".join(f"{', '.join(members)} ({how})" for how, members in changes.items())
            + f" ({number(n, 0)} scans)."
        )
    return sentences


def which_maps_find_it(found: Found, card: Mapping[str, Any]) -> list[str]:
    """Say of every cause whether the network uses it, and then which maps find more of it than the image shows."""
    sentences = []
    for target in card.get("targets") or []:
        cause = target["cause"]
        place = f"changed_{cause}" if found.get("chance", f"changed_{cause}", "auc") else cause
        if target["role"] != "causal" or not target.get("single", True) or found.get("chance", place, "auc") is None:
            continue
        used = _is_used(found, cause)
        name = readable(cause)
        if used is False:
            sentences.append(
                f"{name.capitalize()}: the network does not use it, so no map is wrong for not showing it."
            )
            continue
        better = [method_title(method) for method in found.methods if _beats_image(found, method, place)]
        where = "where the image changes with it" if place != cause else "in its mask"
        prefix = "the network uses it" if used else "whether the network uses it is not known"
        sentences.append(
            f"{name.capitalize()}: {prefix}; "
            + (
                f"relevance lies {where} more than brightness does by {', '.join(better)}."
                if better
                else f"in no map does relevance lie {where} more than brightness does: the maps fail, not the model."
            )
        )
    return sentences


def equal_brightness(found: Found) -> list[str]:
    """Say which maps tell lesions of one kind from equally bright ones of the other."""
    told, blind = [], []
    for method in found.methods:
        row = found.get(method, BY_KIND, "matched_auc")
        if row is not None:
            (told if row["ci_low"] > 0.5 or row["ci_high"] < 0.5 else blind).append(
                f"{method_title(method)} {interval(row)}"
            )
    sentences = []
    if told:
        sentences.append(
            "Periventricular against other lesions of the same brightness, by relevance towards class 1 (AUC, 0.5 is "
            f"chance): told apart by {'; '.join(told)}."
        )
    if blind:
        sentences.append(
            f"Not told apart by {'; '.join(blind)}: these maps show lesions, not what they mean to the network."
        )
    return sentences


def _known(row: Row) -> bool:
    return math.isfinite(row["value"])


def _is_used(found: Found, cause: str) -> bool | None:
    """Whether an interval of the cause's effect, or of its coefficient, lies on one side of 0; None where unknown."""
    rows = (found.get("network", f"changed_{cause}", "effect"), found.get("network", cause, "standardised_beta"))
    known = [row for row in rows if row is not None]
    return any(row["ci_low"] > 0 or row["ci_high"] < 0 for row in known) if known else None


def _beats_image(found: Found, method: str, place: str) -> bool:
    """Whether the whole interval of a map's enrichment lies above those of the maps that know no network."""
    row = found.get(method, place, "enrichment")
    others = [found.get(other, place, "enrichment") for other in IGNORANT]
    return row is not None and all(other is None or row["ci_low"] > other["ci_high"] for other in others)
