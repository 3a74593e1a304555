"""Report: what the maps find of causes that are known."""

from __future__ import annotations

from relevox.report import group_tables, tables
from relevox.report.causes import found_causes
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
        caption = (
            "What the maps find of the planted causes, with intervals; dashed line: a map that knows nothing. A map "
            "may be faithful and still miss a cause that the network does not use."
        )
        blocks += [picture(found_causes(results.benchmark), caption), tables.benchmark_table(results)]
        blocks.append(Bullets(tables.benchmark_sentences(results)))
    if results.explained:
        blocks += [group_tables.explained_table(results), Bullets(group_tables.explained_sentences(results))]
    return blocks
