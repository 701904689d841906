"""What is wrong with a corpus: every problem as file:line, over all of its files together."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from pipeline.corpus_labels import LabelSet
from pipeline.corpus_rows import Problem, Severity, read_examples
from pipeline.corpus_similar import similar_pairs
from pipeline.records import Example

HELDOUT = "heldout"
MOST_WORDS = 120
MOST_CHARACTERS = 2000
#: Shorter texts ("Challenges:", "He agreed.") come again in any newspaper.
_FEWEST_WORDS = 4
#: From here on the same text in train and heldout would be learnt by heart and then scored.
_LEAK_WORDS = 8
#: How many earlier rows with one text a later one is compared with.
_REMEMBERED = 20

_FIELDS = ("article", "title", "genre", "section", "text", "source", "annotator", "note")
_LINE_BREAK = re.compile("[\n\r\u2028\u2029]")
_CONTROL = re.compile("[\x00-\x08\x09\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufeff\ufffe\uffff]")
#: Windows-1252 for the bytes 80-BF, one of which follows the first byte of each longer UTF-8 character
_HIGH = bytes(range(0x80, 0xC0)).decode("cp1252", "ignore") + "".join(map(chr, range(0x80, 0xA0)))
#: In good text a capital letter may stand before these, so they are no sign after A-diaeresis or A-ring.
_QUOTES_AND_DASHES = "\u2018\u2019\u201c\u201d\u2013\u2014\u2026\u2039\u203a\u00ab\u00bb"
_HIGH_LETTERS = "".join(sorted(set(_HIGH) - set(_QUOTES_AND_DASHES)))
_MOJIBAKE = re.compile(
    f"\u00e2(?:\u20ac[{re.escape(_HIGH)}]?|\u201e\u00a2|\u2020[{re.escape(_HIGH)}])|\u00c3[{re.escape(_HIGH)}]"
    f"|\u00c2[\u00a0-\u00bf]|[\u00c4\u00c5][{re.escape(_HIGH_LETTERS)}]|\u00f0\u0178"
)


def problems(paths: Sequence[Path], labels: LabelSet) -> list[Problem]:
    """Every problem of the corpus files, in the order of the files and their lines; see :func:`check`."""
    return check(paths, labels)[1]


def check(paths: Sequence[Path], labels: LabelSet) -> tuple[list[Example], list[Problem]]:
    """Read corpus files, and look at them row by row and all together.

    Files under a ``heldout`` folder are the scored part, all others the fitted part. The folder counts
    where it lies below what all the paths have in common.

    Returns
    -------
    The rows that have all their columns, in order, and every Problem. Only without a problem of
    severity ``error`` are the rows fit for training.
    """
    examples: list[Example] = []
    found: list[Problem] = []
    for path in paths:
        rows, wrong = read_examples(path, labels)
        examples += rows
        found += wrong
    heldout = _heldout_files(paths)
    found += [problem for example in examples for problem in _row_problems(example)]
    found += _article_problems(examples, heldout)
    found += _repeated_inside(examples)
    found += _repeated_across(examples, heldout)
    found += _near_duplicates(examples, heldout)
    order = {str(path): number for number, path in enumerate(paths)}
    return examples, sorted(found, key=lambda problem: (order[problem.file], problem.line))


def _heldout_files(paths: Sequence[Path]) -> frozenset[str]:
    folders = {str(path): path.absolute().parent for path in paths}
    try:
        common = len(Path(os.path.commonpath(folders.values())).parts) if folders else 0
    except ValueError:  # on different drives of Windows
        common = 0
    return frozenset(file for file, folder in folders.items() if HELDOUT in folder.parts[common:])


def _at(example: Example, message: str, severity: Severity = "error", *, leak: bool = False) -> Problem:
    return Problem(example.file, example.line, message, severity, leak)


def _place(example: Example) -> str:
    return f"{example.file}:{example.line}"


def _row_problems(example: Example) -> Iterator[Problem]:
    """Problems of one row alone: emptiness, white space, odd characters, length."""
    for field in _FIELDS:
        value: str | None = getattr(example, field)
        if value is not None:
            yield from (_at(example, message) for message in _value_messages(field, value))
    words, characters = len(example.text.split()), len(example.text)
    if characters > MOST_CHARACTERS:
        message = f"over-long unit of {characters} characters, at most {MOST_CHARACTERS}; split it"
        yield _at(example, message)
    elif words > MOST_WORDS:
        message = f"long unit of {words} words, seldom over {MOST_WORDS}; is it one sentence?"
        yield _at(example, message, "warning")


def _value_messages(field: str, value: str) -> Iterator[str]:
    core = value.strip()
    if not core:
        none = "" if field in ("article", "title", "genre", "text") else "; write null where there is none"
        yield f"{field} is empty{none}"
        return
    if core != value:
        ends = " and ".join(end for end, cut in (("start", value.lstrip()), ("end", value.rstrip())) if cut != value)
        yield f"white space or a line break at the {ends} of {field}"
    if field != "note" and (found := _LINE_BREAK.search(core)):
        yield f"line break at character {found.start() + 1} of {field}; it must stand on one line"
    if garbled := _MOJIBAKE.search(core):
        meant = _meant(garbled[0])
        yield f"'{garbled[0]}' in {field}{meant}: wrong encoding, UTF-8 was read as Windows-1252"
    elif found := _CONTROL.search(core):
        code, place = f"U+{ord(found[0]):04X}", found.start() + 1
        yield f"control character {code} at character {place} of {field}; delete it"
    if "\ufffd" in core:
        place = core.index("\ufffd") + 1
        yield f"U+FFFD at character {place} of {field}: wrong encoding, a character was lost on the way"


def _meant(garbled: str) -> str:
    try:
        return f" where '{garbled.encode('cp1252').decode('utf-8')}' was meant"
    except UnicodeError:
        return ""


def _article_problems(examples: Sequence[Example], heldout: frozenset[str]) -> Iterator[Problem]:
    """One article has one file, one title and one genre, and is either fitted or held out."""
    first: dict[str, Example] = {}
    told: set[tuple[str, str, str]] = set()
    for example in examples:
        known = first.setdefault(example.article, example)
        if known.file != example.file:
            if (example.article, example.file, "file") in told:
                continue
            told.add((example.article, example.file, "file"))
            yield _at(example, _second_file(example, known, heldout))
            continue
        for field in ("title", "genre"):
            value, other = getattr(example, field), getattr(known, field)
            if value != other and (example.article, example.file, field) not in told:
                told.add((example.article, example.file, field))
                both = f"the {field} '{value}' here and '{other}' in line {known.line}"
                yield _at(example, f"article '{example.article}' has {both}; an article has one")


def _second_file(example: Example, known: Example, heldout: frozenset[str]) -> str:
    if (example.file in heldout) == (known.file in heldout):
        return (
            f"article '{example.article}' also stands in {_place(known)}; an article has one file: "
            "give one of them another id, or put their rows together"
        )
    return (
        f"article '{example.article}' is split over train and {HELDOUT}: it also stands in {_place(known)}; "
        "put all of its rows on one side"
    )


def _key(text: str) -> str:
    return " ".join(text.casefold().split())


def _repeated_inside(examples: Sequence[Example]) -> Iterator[Problem]:
    """A sentence twice in one article is a slip of the copyist; headings and list items do come again."""
    first: dict[tuple[str, str], Example] = {}
    for example in examples:
        if example.kind != "sentence" or len(example.text.split()) < _FEWEST_WORDS:
            continue
        known = first.setdefault((example.article, _key(example.text)), example)
        if known is not example:
            yield _at(example, f"the same text stands in {_place(known)} of this article; delete one of them")


def _repeated_across(examples: Sequence[Example], heldout: frozenset[str]) -> Iterator[Problem]:
    """The same text in two articles: told once a row, the worst finding first."""
    seen: dict[str, list[Example]] = defaultdict(list)
    for example in examples:
        words = len(example.text.split())
        if words < _FEWEST_WORDS:
            continue
        same = seen[_key(example.text)]
        others = [other for other in same if other.article != example.article]
        side = example.file in heldout
        if labelled := next((other for other in others if other.label != example.label), None):
            both = f"'{labelled.label}' in {_place(labelled)}, '{example.label}' here"
            yield _at(example, f"the same text has two labels: {both}; decide for one")
        elif leak := next((other for other in others if (other.file in heldout) != side), None):
            message = f"the same text stands in {_place(leak)}, on the other side of train and {HELDOUT}"
            if words >= _LEAK_WORDS:
                yield _at(example, f"{message}; put both articles on one side, or delete one row", leak=True)
            else:
                yield _at(example, message, "warning")
        elif others:
            message = f"the same text stands in {_place(others[0])}, article '{others[0].article}'"
            yield _at(example, message, "warning")
        if len(same) < _REMEMBERED:
            same.append(example)


def _near_duplicates(examples: Sequence[Example], heldout: frozenset[str]) -> Iterator[Problem]:
    """Nearly the same text in two articles; what is quite the same is told by `_repeated_across`."""
    pairs = (
        pair for pair in similar_pairs(examples) if _key(examples[pair.first].text) != _key(examples[pair.second].text)
    )
    for second, found in groupby(pairs, key=lambda pair: pair.second):
        example, close = examples[second], list(found)
        side = example.file in heldout
        leaks = [pair for pair in close if (examples[pair.first].file in heldout) != side]
        pair = (leaks or close)[0]
        other = examples[pair.first]
        message = (
            f"nearly the text of {_place(other)}, article '{other.article}': "
            f"{pair.shared} of {pair.shorter} runs of five words are the same"
        )
        if leaks:
            yield _at(example, f"{message}, across train and {HELDOUT}; put both articles on one side", leak=True)
        else:
            yield _at(example, message, "warning")
