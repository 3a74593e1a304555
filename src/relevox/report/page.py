"""One self-contained HTML page out of sections; nothing in it is loaded from elsewhere.

Text is escaped by the templates (``autoescape=True``), whatever it holds.
There is no date and no path, so the same results give the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from relevox.report.drawing import to_uri


@dataclass(frozen=True)
class Text:
    """Paragraphs."""

    paragraphs: Sequence[str]
    kind: str = "text"


@dataclass(frozen=True)
class Headed:
    """Paragraphs that begin with a heading of their own."""

    pairs: Sequence[tuple[str, str]]
    """Heading, paragraph."""
    kind: str = "headed"


@dataclass(frozen=True)
class Bullets:
    """A list of sentences."""

    sentences: Sequence[str]
    kind: str = "bullets"


@dataclass(frozen=True)
class Note:
    """A sentence in a box, for what must not be overlooked."""

    text: str
    kind: str = "note"


@dataclass(frozen=True)
class Cards:
    """The few numbers a reader looks for first."""

    cards: Sequence[tuple[str, str, str]]
    """Label, value, detail."""
    kind: str = "cards"


@dataclass(frozen=True)
class Table:
    """A table with a caption that says what its numbers are."""

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    kind: str = "table"


@dataclass(frozen=True)
class Picture:
    """A figure with a caption that says what it shows and how many scans."""

    uri: str
    """A ``data:`` address."""
    caption: str
    kind: str = "picture"


@dataclass(frozen=True)
class Details:
    """A table that is folded until a reader asks for it."""

    summary: str
    """The line that unfolds it."""
    table: Table
    numbers: bool = False
    """Its cells are numbers rather than words: set in columns, never wrapped."""
    kind: str = "details"


Block = Text | Headed | Bullets | Note | Cards | Table | Picture | Details


@dataclass(frozen=True)
class Section:
    """A heading with its blocks; ``anchor`` is its place in the table of contents."""

    anchor: str
    title: str
    blocks: Sequence[Block]


def picture(figure: Figure, caption: str) -> Picture:
    """Embed a figure."""
    return Picture(to_uri(figure), caption)


def render(
    template: str, title: str, subtitle: str, sections: Sequence[Section], version: str, banner: str = ""
) -> str:
    """Return the page's HTML.

    Parameters
    ----------
    template : {"report", "patient"}
        Which page.
    title, subtitle : str
        Above everything.
    sections : sequence of Section
        In order.
    version : str
        Of relevox, for the foot.
    banner : str
        A warning across the top; empty = none.
    """
    kept = [section for section in sections if section.blocks]
    return (
        environment()
        .get_template(f"{template}.html.jinja")
        .render(title=title, subtitle=subtitle, sections=kept, version=version, banner=banner, style=_style())
    )


@lru_cache(maxsize=1)
def environment() -> Environment:
    """Return the templates; text is escaped, an unknown name is an error."""
    return Environment(
        loader=PackageLoader("relevox.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


@lru_cache(maxsize=1)
def _style() -> Markup:
    return Markup(resources.files("relevox.report").joinpath("style.css").read_text(encoding="utf-8"))
