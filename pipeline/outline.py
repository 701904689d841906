"""The outline of a text: every unit with its kind and the section it stands in. No tokens, no spaCy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from pipeline.blocks import Block, find_blocks, is_byline
from pipeline.boundaries import sentence_spans
from pipeline.records import Kind


class Span(NamedTuple):
    """A unit before it gets its text."""

    start: int
    end: int
    kind: Kind
    section: str | None


def find_spans(text: str, title: str | None = None) -> tuple[list[Span], str | None]:
    """Units of a text with their sections, and the title that its first heading gives.

    ``title`` is the title known from elsewhere: an opening line without markup is then taken for a title
    only if it says the same.
    """
    spans: list[Span] = []
    section: str | None = None
    heading: str | None = None
    leads = _LeadIns()
    speech = False  # the first paragraph may open with a dateline in capitals
    for index, block in enumerate(find_blocks(text)):
        content = text[block.start : block.end]
        if block.kind == "heading":
            spans.append(Span(block.start, block.end, "heading", section))
            name = _name(content)
            leads.close()
            if index == 0 and _is_title(block, name, title):
                heading = name
            elif not is_byline(content):
                section = name
        elif block.kind == "bullet" or leads.takes(content):
            spans.append(Span(block.start, block.end, "bullet", leads.section_of(block, content) or section))
        else:
            cuts = sentence_spans(text, block.start, block.end, speaker=speech)
            spans.extend(Span(start, end, "sentence", section) for start, end in cuts)
            leads.open(text[slice(*cuts[-1])])
            speech = True
    return spans, heading


class _LeadIns:
    """The lines ending in ":" that the list at hand stands under, outermost first."""

    def __init__(self) -> None:
        self.open_lines: list[_LeadIn] = []
        self.clauses = False  # in a list without marks, whose items end in ";"

    def close(self) -> None:
        """A heading ends every list."""
        self.open_lines.clear()
        self.clauses = False

    def open(self, sentence: str) -> None:
        """A paragraph ends every list, and opens one if its last sentence ends in ":"."""
        self.close()
        if name := _lead_in(sentence):
            self.open_lines.append(_LeadIn(-1, name))

    def takes(self, content: str) -> bool:
        """Whether an unmarked line is an item of a list of clauses: under a lead-in, and ending in ";"."""
        before = self.clauses
        self.clauses = bool(self.open_lines) and content.endswith((";", "; and", "; or"))
        return before or self.clauses

    def section_of(self, block: Block, content: str) -> str | None:
        """The lead-in of this item; an item that ends in ":" is the lead-in of those after it."""
        name = _lead_in(content)
        lines = self.open_lines
        while lines and (
            block.indent < lines[-1].indent
            or (block.indent == lines[-1].indent and (name is not None or lines[-1].nested))
        ):
            lines.pop()
        above = lines[-1].name if lines else None
        if lines and block.indent > lines[-1].indent:
            lines[-1].nested = True
        if name:
            lines.append(_LeadIn(block.indent, name))
        return above


@dataclass(slots=True)
class _LeadIn:
    indent: int
    name: str
    nested: bool = False  # its items are further in, so the next item at its own indent is not one of them


def _name(content: str) -> str:
    """A heading or lead-in as the name of a section: on one line, without emphasis marks."""
    return " ".join(content.strip("*_# ").replace("**", "").split()) or content


def _lead_in(content: str) -> str | None:
    return _name(content) if content.rstrip("*_ ").endswith(":") else None


def _is_title(block: Block, name: str, title: str | None) -> bool:
    if block.level:
        return block.level == 1
    if name.endswith(":"):
        return False
    return title is None or " ".join(title.split()).casefold() == name.casefold()
