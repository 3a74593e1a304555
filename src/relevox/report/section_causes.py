"""Report: what the maps find of causes that are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from relevox.report import group_tables, tables
from relevox.report.causes import found_causes
from relevox.report.causes_words import Found, equal_brightness, what_the_network_uses, which_maps_find_it
from relevox.report.drawing import readable
from relevox.report.page import Block, Bullets, Note, Text, picture
from relevox.report.results import StudyResults


def causes(results: StudyResults) -> list[Block]:
    """What the maps find of the planted causes."""
    blocks: list[Block] = []
    if results.bayes is not None:
        b = results.bayes
        planted = b.get("causes")
        named = ", ".join(readable(str(name)) for name in planted) if planted else "not recorded"
        blocks.append(
            Text(
                [
                    f"These patients were simulated (label: {b.get('label', 'not recorded')}), so the causes of their "
                    f"score are known: {named}. The best possible classifier reaches an accuracy of "
                    f"{tables.number(b.get('bayes_accuracy'))} and an AUC of {tables.number(b.get('bayes_auc'))}."
                ]
            )
        )
    elif results.simulated:
        blocks.append(Note("The patients were simulated, but the maps were not held against their known causes."))
    if results.benchmark:
        card = results.bayes or {}
        found = Found(results.benchmark)
        blocks.append(Bullets([*what_the_network_uses(found, card), *which_maps_find_it(found, card)]))
        caption = (
            "What the maps find of lesions and of causes that drive the score, mean over scans with interval; dashed "
            "line: a map that knows nothing. A map may be faithful and miss a cause that the network does not use."
        )
        shown = chosen(results.benchmark, card)
        drawn = [row for row in shown if row["method"] != "chance"]
        blocks += [picture(found_causes(drawn), caption), tables.benchmark_table(shown)]
        blocks.append(Bullets([*equal_brightness(found), *tables.benchmark_sentences(results)]))
    if results.explained:
        blocks += [group_tables.explained_table(results), Bullets(group_tables.explained_sentences(results))]
    return blocks


def chosen(rows: Sequence[Mapping[str, Any]], card: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Choose what the report shows: lesions of both kinds, and where the image changes with a cause of the score."""
    causal = {t["cause"] for t in card.get("targets") or [] if t["role"] == "causal"}
    shown = {"periventricular_lesions", "other_lesions"} | {f"changed_{c}" for c in causal if "lesions" not in c}
    return [row for row in rows if row["target"] in shown]
