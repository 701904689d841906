"""Cue lexicons: data files of phrase patterns, read and expanded to plain token sequences.

A lexicon is a TOML file under ``pipeline/lexicon/``::

    [classes]
    poss = "its his her their our my your the a an this that"

    [group.commitment]
    about = "somebody binds itself to do something"
    patterns = ["pledge.v", "be.v? committed to", "give.v @poss? word.n"]

A pattern is a sequence of slots parted by spaces. Each slot matches one token's lower-cased norm:

=============  ====================================================================
``talks``      that word (``people-to-people`` and ``country's`` become their tokens)
``pledge.v``   any form of the verb: pledge, pledges, pledged, pledging
``fear.n``     the noun and its plural
``a|b.v|c``    one of several, each with its own suffix
``@poss``      one of a class
``*``          any one token
``slot?``      the slot may be missing
=============  ====================================================================
"""

from __future__ import annotations

import itertools
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from pipeline.records import PipelineError

#: Matches any one token in an expanded phrase.
ANY = "*"
#: An expanded phrase holds at most this many tokens.
LONGEST = 8
#: A pattern that expands to more phrases than this is refused: it is a mistake more often than a wish.
MOST_PHRASES = 50_000

# as spaCy cuts: "covid-19", "o'clock" and "us$" in one piece, "long-standing" in three, "cannot" in two
_PIECES = re.compile(r"o'clock|us\$|can(?=not\b)|\w+(?:(?:\.|(?<=[a-z])-(?=\d))\w+)*\.?|'[sd]\b|\S")
_VOWELS = "aeiou"

Phrase = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """One named group of cues, with its phrases expanded."""

    name: str
    about: str
    phrases: frozenset[Phrase]


def _read_toml(path: Traversable) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise PipelineError(f"not UTF-8: {error}", where=str(path)) from error
    except tomllib.TOMLDecodeError as error:
        raise PipelineError(f"not valid TOML: {error}", where=str(path)) from error


def _tables(file: str, table: Mapping[str, object], name: str) -> Mapping[str, Any]:
    """One of the tables that a lexicon file may have; empty where it is left out."""
    found = table.get(name, {})
    if not isinstance(found, dict):
        raise PipelineError(f"`{name}` must be a table", where=file)
    return found


def _class(words: object, where: str) -> list[Phrase]:
    """The token sequences of one class."""
    if not isinstance(words, str):
        raise PipelineError("expected its words as one string, parted by spaces", where=where)
    return [phrase for text in words.lower().split() for phrase in _alternative(text, {}, where)]


def _group(name: str, group: object, classes: Mapping[str, list[Phrase]], where: str) -> Group:
    """One group with its patterns expanded."""
    about, patterns = (group.get("about"), group.get("patterns")) if isinstance(group, dict) else (None, None)
    if not isinstance(about, str) or not isinstance(patterns, list) or not patterns:
        raise PipelineError("needs `about` (a line of text) and `patterns` (a list of at least one)", where=where)
    return Group(name, about, frozenset(itertools.chain.from_iterable(expand(p, classes, where) for p in patterns)))


@cache
def _irregular() -> tuple[Mapping[str, tuple[str, ...]], Mapping[str, str]]:
    """Irregular verbs (base to all forms) and nouns (singular to plural)."""
    table = tomllib.loads(files("pipeline").joinpath("lexicon/irregular.toml").read_text(encoding="utf-8"))
    return {word: tuple(forms.split()) for word, forms in table["verbs"].items()}, table["nouns"]


def plural(noun: str) -> str:
    """The plural of an English noun: the table of irregular ones, then the spelling rules."""
    irregular = _irregular()[1].get(noun)
    if irregular:
        return irregular
    if re.search(r"(s|x|z|ch|sh)$", noun):
        return noun + "es"
    if re.search(rf"[^{_VOWELS}]y$", noun):
        return noun[:-1] + "ies"
    return noun + "s"


def verb_forms(verb: str) -> tuple[str, ...]:
    """Base, third person, past, participle and -ing form of an English verb."""
    listed = _irregular()[0].get(verb)
    if listed:
        return (verb, *listed)
    if verb.endswith("e") and not verb.endswith(("ee", "oe", "ye")):
        stem, past = verb[:-1], verb + "d"
    elif re.search(rf"[^{_VOWELS}]y$", verb):
        return verb, verb[:-1] + "ies", verb[:-1] + "ied", verb + "ing"
    elif re.fullmatch(rf"[^{_VOWELS}]*[{_VOWELS}][^{_VOWELS}wxy]", verb):
        stem, past = verb + verb[-1], verb + verb[-1] + "ed"
    else:
        stem, past = verb, verb + ("d" if verb.endswith("e") else "ed")
    return verb, plural(verb), past, stem + "ing"


def _spellings(word: str) -> Iterator[str]:
    """British and American spellings of one word."""
    yield word
    for ending, other in (("ize", "ise"), ("izes", "ises"), ("ized", "ised"), ("izing", "ising"),
                          ("ization", "isation"), ("izations", "isations")):  # fmt: skip
        if word.endswith(ending) and len(word) > len(ending) + 2:
            yield word.removesuffix(ending) + other


def _alternative(text: str, classes: Mapping[str, list[Phrase]], where: str) -> list[Phrase]:
    """The token sequences that one alternative of a slot stands for."""
    if text == ANY:
        return [(ANY,)]
    if text.startswith("@"):
        if text[1:] not in classes:
            known = ", ".join(sorted(classes)) or "none"
            raise PipelineError(f"unknown class {text!r}; the classes are {known}", where=where)
        return classes[text[1:]]
    word, dot, kind = text.rpartition(".")
    if not text or (dot and not word and kind in ("v", "n")):
        raise PipelineError("empty alternative; for a slot that may be missing write `word?`", where=where)
    if len(text) > 1 and text.endswith("?"):
        raise PipelineError(f"`?` inside a slot, after {text[:-1]!r}; it stands at the end: `a|b?`", where=where)
    if dot and kind == "v":
        forms: tuple[str, ...] = verb_forms(word)
    elif dot and kind == "n":
        forms = (word, plural(word))
    else:
        forms = (text,)
    return [tuple(_PIECES.findall(spelling)) for form in forms for spelling in _spellings(form)]


def expand(pattern: str, classes: Mapping[str, list[Phrase]], where: str = "") -> set[Phrase]:
    """All token sequences that a pattern matches.

    Raises
    ------
    PipelineError
        For an unknown class, an empty alternative, a pattern that can match nothing or begins or ends
        with ``*``, a phrase of more than ``LONGEST`` tokens, or more than ``MOST_PHRASES`` phrases.
    """
    where = f"{where} pattern {pattern!r}".strip()
    slots: list[list[Phrase]] = []
    for slot in pattern.lower().split():
        optional = len(slot) > 1 and slot.endswith("?")
        choices = [
            phrase
            for text in slot.removesuffix("?" if optional else "").split("|")
            for phrase in _alternative(text, classes, where)
        ]
        slots.append([*choices, ()] if optional else choices)
    size = 1
    for choices in slots:
        size *= len(choices)
    if size > MOST_PHRASES:
        raise PipelineError(f"expands to {size} phrases; at most {MOST_PHRASES} are allowed", where=where)
    phrases = {tuple(itertools.chain.from_iterable(parts)) for parts in itertools.product(*slots)}
    for phrase in phrases:
        if not phrase or phrase[0] == ANY or phrase[-1] == ANY:
            raise PipelineError("a phrase must begin and end with a word", where=where)
        if len(phrase) > LONGEST:
            raise PipelineError(f"{' '.join(phrase)!r} is longer than {LONGEST} tokens", where=where)
    return phrases


@cache
def load_lexicon() -> tuple[Group, ...]:
    """Every group of the lexicon files that the package ships, sorted by name; read once per process.

    Raises
    ------
    PipelineError
        For a file that is not as the module's docstring says; it names file, group and pattern.
    """
    groups: dict[str, Group] = {}
    folder = files("pipeline").joinpath("lexicon")
    tables = {
        path.name: _read_toml(path)
        for path in sorted(folder.iterdir(), key=lambda path: path.name)
        if path.name.endswith(".toml") and path.name != "irregular.toml"
    }
    classes: dict[str, list[Phrase]] = {}
    for file, table in tables.items():
        for name, words in _tables(file, table, "classes").items():
            if name.lower() in classes:
                raise PipelineError(f"class {name!r} stands in another lexicon file too", where=file)
            classes[name.lower()] = _class(words, f"{file} class {name!r}")
    for file, table in tables.items():
        for name, group in _tables(file, table, "group").items():
            if name in groups:
                raise PipelineError(f"group {name!r} stands in another lexicon file too", where=file)
            groups[name] = _group(name, group, classes, f"{file} group {name!r}")
    return tuple(groups[name] for name in sorted(groups))
