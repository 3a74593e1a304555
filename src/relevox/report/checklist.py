"""Reporting checklists, filled in as far as the study knows.

The items are those of TRIPOD+AI (Collins et al., BMJ 2024;385:e078378) and of
CLAIM 2024 (Tejani et al., Radiol Artif Intell 2024;6:e240300), asked in our
own words. What only an author can say is marked, never invented.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

from relevox.report.checklist_answers import ANSWERS
from relevox.report.page import Details, Table
from relevox.report.results import StudyResults

CHECKLISTS = {
    "tripod_ai": "TRIPOD+AI (Collins et al., BMJ 2024;385:e078378)",
    "claim_2024": "CLAIM 2024 (Tejani et al., Radiol Artif Intell 2024;6:e240300)",
}
"""Names of the files in ``checklists/`` and their titles with the source."""

MUST_STATE = "Author must state"


@dataclass(frozen=True)
class Item:
    """One item of a checklist."""

    number: str
    """As in the guideline."""
    section: str
    """Of a paper."""
    topic: str
    """In a word or two."""
    question: str
    """What is asked, in our words."""
    answer: str
    """Key of the function that answers from the results; empty where only an author can."""
    author: str
    """What the author has to state; empty where nothing is left."""


@dataclass(frozen=True)
class FilledItem:
    """An item with what the study says to it."""

    item: Item
    """The item."""
    found: str
    """From settings and results; empty where they say nothing."""

    @property
    def left(self) -> str:
        """What the author has to state; empty where nothing is left."""
        return self.item.author or ("" if self.found else "this item; the study folder says nothing of it")

    @property
    def status(self) -> str:
        """``filled``, ``in part`` or ``author``."""
        return "author" if not self.found else "in part" if self.left else "filled"

    @property
    def text(self) -> str:
        """The answer, with what the author has to state."""
        left = f"{MUST_STATE}: {self.left}." if self.left else ""
        return " ".join(part for part in (self.found, left) if part)


@cache
def items(name: str) -> tuple[Item, ...]:
    """Read the items of a checklist."""
    text = resources.files("relevox.report").joinpath(f"checklists/{name}.tsv").read_text(encoding="utf-8")
    _, *rows = csv.reader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
    return tuple(Item(*("" if cell == "n/a" else cell for cell in row)) for row in rows)


def filled(name: str, results: StudyResults) -> list[FilledItem]:
    """Answer a checklist as far as the study can."""
    return [FilledItem(item, ANSWERS[item.answer](results) if item.answer else "") for item in items(name)]


def _sentence(answers: Sequence[FilledItem]) -> str:
    counts = {status: sum(answer.status == status for answer in answers) for status in ("filled", "in part", "author")}
    return (
        f"{len(answers)} items: {counts['filled']} filled in from this study, {counts['in part']} in part, "
        f"{counts['author']} left to the author."
    )


def details(name: str, results: StudyResults) -> Details:
    """Return the checklist as a table to be unfolded."""
    answers = filled(name, results)
    rows = [(a.item.number, a.item.section, a.item.question, a.text, a.status) for a in answers]
    caption = f"{CHECKLISTS[name]}, items in our own words. {_sentence(answers)}"
    return Details(CHECKLISTS[name], Table(caption, ("item", "section", "question", "answer", "status"), rows))


def markdown(name: str, results: StudyResults) -> str:
    """Return the checklist as a Markdown table, to be pasted."""
    answers = filled(name, results)
    lines = [f"# {CHECKLISTS[name]}", "", f"Items in our own words. {_sentence(answers)}", ""]
    lines += ["| item | section | question | answer | page |", "|---|---|---|---|---|"]
    for a in answers:
        cells = (a.item.number, a.item.section, a.item.question, a.text, "")
        lines.append(f"| {' | '.join(_plain(cell) for cell in cells)} |")
    return "\n".join(lines) + "\n"


def _plain(cell: str) -> str:
    """Keep a cell in its column, and markup out of it."""
    return cell.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def rows(name: str, results: StudyResults) -> list[dict[str, object]]:
    """Return the checklist as rows of a file."""
    return [
        {
            "item": a.item.number,
            "section": a.item.section,
            "topic": a.item.topic,
            "question": a.item.question,
            "status": a.status,
            "answer": a.found,
            "author_must_state": a.left,
        }
        for a in filled(name, results)
    ]
