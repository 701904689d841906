"""Classified articles for a page: paragraphs of tinted sentences, and what the page's script knows of each.

``_article.html.j2`` renders an :class:`Article`; ``units.js`` finds its data by the numbers of article and unit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.blocks import find_blocks
from pipeline.classify import Result
from pipeline.explain import cue_meanings
from pipeline.page import Look
from pipeline.precedents import Precedent
from pipeline.reasons import Reasons
from pipeline.records import KINDS, Prediction

#: How many words and cues of an explanation a page shows; the others are summed.
MOST_TERMS = 6
#: A shorter unit says too little by itself to stand for its label.
FEWEST_WORDS = 5
#: What one is in the numbers of a page: probabilities have six decimals, contributions three.
PROBABILITY, CONTRIBUTION = 1_000_000, 1_000


@dataclass(frozen=True, slots=True)
class Sentence:
    """One unit in a page: its number, its label's number and letter, and what is said of it."""

    number: int
    label: int
    letter: str
    uncertain: bool
    said: str
    chance: str
    text: str


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Units that stand together: a heading, a paragraph, or a list."""

    kind: str
    sentences: list[Sentence]


@dataclass(frozen=True, slots=True)
class Article:
    """A classified document in a page."""

    number: int
    id: str
    title: str
    date: str
    source: str
    warnings: tuple[str, ...]
    counts: tuple[int, ...]
    uncertain: int
    paragraphs: list[Paragraph]


def article(number: int, result: Result, looks: Sequence[Look], source: str = "") -> Article:
    """The view of one classified document; ``number`` is its place in the page, from 0."""
    document, predictions = result.document, result.predictions
    index = {look.name: place for place, look in enumerate(looks)}
    counts = Counter(prediction.label for prediction in predictions)
    return Article(
        number=number,
        id=document.id,
        title=document.title or _first_heading(predictions) or document.id,
        date=document.date or "",
        source=source or document.source or document.id,
        warnings=document.warnings,
        counts=tuple(counts[look.name] for look in looks),
        uncertain=sum(prediction.uncertain for prediction in predictions),
        paragraphs=_paragraphs(result, looks, index),
    )


def _first_heading(predictions: Sequence[Prediction]) -> str:
    """The text of a heading that opens the article."""
    return predictions[0].unit.text if predictions and predictions[0].unit.kind == "heading" else ""


def _paragraphs(result: Result, looks: Sequence[Look], index: dict[str, int]) -> list[Paragraph]:
    """Units by the blocks of the text that they stand in; items that follow each other are one list."""
    ends = [block.end for block in find_blocks(result.document.text)]
    paragraphs: list[Paragraph] = []
    at = last = 0
    for number, prediction in enumerate(result.predictions):
        unit = prediction.unit
        while at < len(ends) - 1 and ends[at] <= unit.start:
            at += 1
        look = looks[index[prediction.label]]
        sentence = Sentence(
            number=number,
            label=index[prediction.label],
            letter=look.letter,
            uncertain=prediction.uncertain,
            said=f"{prediction.label}{', uncertain' if prediction.uncertain else ''}",
            chance=f"{prediction.confidence:.2f}",
            text=unit.text,
        )
        same = unit.kind == "bullet" or (unit.kind == "sentence" and at == last)
        if paragraphs and paragraphs[-1].kind == unit.kind and same:
            paragraphs[-1].sentences.append(sentence)
        else:
            paragraphs.append(Paragraph(unit.kind, [sentence]))
        last = at
    return paragraphs


@dataclass(slots=True)
class PageData:
    """What the script of a page knows, in plain lists of numbers, each text once.

    ``units`` stands in the page as it is read by filters and the download; ``why`` is only read once somebody asks.
    """

    labels: list[str]
    articles: list[dict[str, Any]] = field(default_factory=list)
    why: list[list[Any]] = field(default_factory=list)
    _terms: dict[tuple[str, str, str], int] = field(default_factory=dict)
    _precedents: dict[Precedent, int] = field(default_factory=dict)

    def add(self, one: Article, result: Result, reasons: Sequence[Reasons] = ()) -> None:
        """Take in one article, in the order of the page, with the reasons of all its units or of none."""
        sections: dict[str | None, int] = {}
        units = []
        for prediction in result.predictions:
            unit = prediction.unit
            section = sections.setdefault(unit.section, len(sections))
            chances = [round(prediction.probabilities[label] * PROBABILITY) for label in self.labels]
            label = self.labels.index(prediction.label)
            kind = KINDS.index(unit.kind)
            units.append([unit.start, unit.end, kind, section, label, int(prediction.uncertain), *chances])
        head = {"id": one.id, "title": one.title, "date": one.date, "source": one.source}
        self.articles.append({**head, "sections": list(sections), "units": units})
        self.why.append([self._why(reason) for reason in reasons])

    def _why(self, reasons: Reasons) -> list[Any]:
        """One unit: a list of terms (number, value for each label), and one of precedents (number, likeness)."""
        terms = []
        for term in reasons.explanation.terms:
            key = (term.group, term.name, ", ".join(term.found))
            number = self._terms.setdefault(key, len(self._terms))
            terms.append([number, *(round(value * CONTRIBUTION) for value in term.scores)])
        near = [
            [self._precedents.setdefault(_placed(one), len(self._precedents)), round(one.likeness * 100)]
            for one in reasons.precedents
        ]
        return [terms, near]

    def units_block(self) -> dict[str, Any]:
        """What filters, tooltips and the download need."""
        return {"labels": self.labels, "kinds": KINDS, "articles": self.articles}

    def why_block(self) -> dict[str, Any]:
        """What the details of a sentence need."""
        precedents = [[self.labels_index(one.label), one.label, one.where, one.text] for one in self._precedents]
        named = {name.rpartition(": ")[2] for group, name, _ in self._terms if group in ("cue", "context")}
        about = {name: text for name, text in cue_meanings().items() if name in named}
        return {
            "terms": [list(term) for term in self._terms],
            "about": about,
            "precedents": precedents,
            "why": self.why,
        }

    def labels_index(self, label: str) -> int:
        """The number of a label; -1 for one that the model does not know."""
        return self.labels.index(label) if label in self.labels else -1


def _placed(precedent: Precedent) -> Precedent:
    """The same labelled unit, however alike it is to something."""
    return Precedent(0.0, precedent.label, precedent.text, precedent.file, precedent.line)


def source_of(result: Result) -> str:
    """What an article is filed under: the file that holds it among others, else the folder that it lies in."""
    document = result.document
    if document.id == "-" or document.source == "-":
        return "standard input"
    if document.id != document.source and document.source:
        return document.source
    folder, slash, _ = document.id.replace("\\", "/").rpartition("/")
    return folder if slash else "(this folder)"


@dataclass(frozen=True, slots=True)
class Example:
    """A sentence that stands for its label: its probability, its text, and the numbers of its article and unit."""

    probability: float
    article: int
    unit: int
    text: str


def strongest(articles: Iterable[tuple[Article, Result]], looks: Sequence[Look], most: int = 5) -> list[list[Example]]:
    """For each label its most confident sentences and items of some length, each text once."""
    found: dict[str, dict[str, Example]] = {look.name: {} for look in looks}
    for one, result in articles:
        for number, prediction in enumerate(result.predictions):
            example = Example(prediction.confidence, one.number, number, prediction.unit.text)
            if prediction.unit.kind != "heading" and len(example.text.split()) >= FEWEST_WORDS:
                found[prediction.label].setdefault(example.text, example)
    return [sorted(found[look.name].values(), key=lambda example: -example.probability)[:most] for look in looks]
