"""Structure of a unit, read from its tokens: where each token stands, and what the unit is made of.

Everything here is arithmetic on whole batches of tokens; there is no tagger and no parser. What is
called a subordinate stretch begins at a word such as "which", "because" or "despite" and lasts until
the next comma, dash, semicolon or quotation mark.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.keys import lookup
from pipeline.sentences import ATTRIBUTES, Tokens, hash_of

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

NORM, SHAPE, SUFFIX, ORTH = (ATTRIBUTES.index(name) for name in ("NORM", "SHAPE", "SUFFIX", "ORTH"))

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_DAYS = "monday tuesday wednesday thursday friday saturday sunday yesterday today tomorrow overnight"
_MONTHS = "january february march april june july august september october november december"

#: Word classes counted in every unit: name, spaCy attribute, and the strings that belong to it.
WORD_CLASSES: dict[str, tuple[int, list[str]]] = {
    "will": (NORM, "will shall".split()),
    "would": (NORM, "would 'd".split()),
    "could": (NORM, "could may might can".split()),
    "should": (NORM, "should must ought".split()),
    "be_present": (NORM, "is are am".split()),
    "be_past": (NORM, "was were".split()),
    "have_present": (NORM, "has have".split()),
    "had": (NORM, "had did".split()),
    "negation": (NORM, "not no never neither nor none without nothing hardly barely".split()),
    "i": (NORM, "i me my".split()),
    "we": (NORM, "we us our ours".split()),
    "you": (NORM, "you your".split()),
    "person": (NORM, "he she him her his".split()),
    "thing": (NORM, "it its this that these those".split()),
    "they": (NORM, "they them their".split()),
    "said": (NORM, "said says told added asked noted according".split()),
    "if": (NORM, "if unless should whether".split()),
    "to": (NORM, ["to"]),
    "because": (NORM, "because since due thus therefore hence thereby so".split()),
    "contrast": (NORM, "but however yet still although though despite while whereas".split()),
    "more": (NORM, "more most further greater less fewer increasingly growing".split()),
    "day": (NORM, _DAYS.split()),
    # spaCy's norm of "Jan." is "January"
    "month": (NORM, [*_MONTHS.split(), *_MONTHS.title().split()]),
    "ago": (NORM, "ago last previous previously earlier former formerly since already".split()),
    "next": (NORM, "next coming upcoming soon later future".split()),
    "question": (NORM, ["?"]),
    "exclamation": (NORM, ["!"]),
    "colon": (NORM, [":"]),
    "comma": (NORM, [","]),
    "semicolon": (NORM, [";"]),
    "bracket": (NORM, ["(", "["]),
    "dash": (NORM, ["-"]),
    "money": (NORM, "$ % percent per cent million billion trillion".split()),
    "year": (SHAPE, ["dddd"]),
    "number": (SHAPE, ["d", "dd", "ddd", "d,ddd", "dd,ddd", "ddd,ddd", "d.d", "dd.d"]),
    "capitalised": (SHAPE, ["Xx", "Xxx", "Xxxx", "Xxxxx"]),
    "acronym": (SHAPE, ["XX", "XXX", "XXXX", "X.X."]),
    "ed": (SUFFIX, [letter + "ed" for letter in _LETTERS]),
    "ing": (SUFFIX, ["ing"]),
    "ly": (SUFFIX, [letter + "ly" for letter in _LETTERS]),
    "abstract": (SUFFIX, ["ion", "ity", "ess", "ent", "nce", "ism"]),
}
_SUBORDINATORS = (
    "which who whom whose where because despite although though while whereas after before since when if unless "
    "amid following as during until given once notwithstanding"
)
# norms: every dash is "-", every double quotation mark is a straight one
_BREAKS = [",", ";", ":", "-", '"', "(", ")"]
_QUOTES = ['"']


class WordTable(NamedTuple):
    """Sorted attribute hashes with a bit for each class that the word belongs to."""

    keys: NDArray[np.uint64]
    bits: NDArray[np.uint64]

    @classmethod
    def of(cls, classes: list[list[str]]) -> WordTable:
        """Bit ``i`` of a word is set where ``classes[i]`` holds it."""
        table: dict[int, int] = {}
        for bit, words in enumerate(classes):
            for word in words:
                key = hash_of(word)
                table[key] = table.get(key, 0) | (1 << bit)
        keys = sorted(table)
        return cls(np.array(keys, dtype=np.uint64), np.array([table[key] for key in keys], dtype=np.uint64))

    def bits_of(self, values: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """The class bits of each value; 0 for a word of no class."""
        index = lookup(self.keys, values)
        return np.where(index >= 0, self.bits[index], np.uint64(0))


_ZONE_TABLE = WordTable.of([_SUBORDINATORS.split(), _BREAKS, _QUOTES, WORD_CLASSES["negation"][1]])
_BY_ATTRIBUTE = {
    attribute: [name for name, (of, _) in WORD_CLASSES.items() if of == attribute]
    for attribute in (NORM, SHAPE, SUFFIX)
}
_CLASS_TABLES = {
    attribute: WordTable.of([WORD_CLASSES[name][1] for name in names]) for attribute, names in _BY_ATTRIBUTE.items()
}
CLASS_NAMES: tuple[str, ...] = tuple(name for names in _BY_ATTRIBUTE.values() for name in names)


class Zones(NamedTuple):
    """Where each token stands; arrays of shape (n_tokens,)."""

    unit: Ints
    subordinate: Flags
    quoted: Flags
    negated: Flags


def zones(tokens: Tokens) -> Zones:
    """Unit number, subordinate stretch, quotation, and negation among the three tokens before."""
    n = len(tokens.attributes)
    sizes = np.diff(tokens.starts)
    unit = np.repeat(np.arange(len(sizes)), sizes)
    first = tokens.starts[unit] if n else np.zeros(0, dtype=np.int64)
    bits = _ZONE_TABLE.bits_of(tokens.attributes[:, NORM])
    opens, breaks, quotes, negations = ((bits >> np.uint64(bit)) & np.uint64(1) != 0 for bit in range(4))
    place = np.arange(n)
    marks = np.where(opens | breaks | (place == first), place, 0)
    subordinate = opens[np.maximum.accumulate(marks)] if n else opens
    seen = np.cumsum(quotes)
    quoted = ((seen - seen[first] + quotes[first]) % 2 == 1) & ~quotes if n else quotes
    negated = np.zeros(n, dtype=bool)
    for back in (1, 2, 3):
        negated[back:] |= negations[:-back] & (place[back:] - back >= first[back:])
    return Zones(unit, subordinate, quoted, negated)


def class_counts(tokens: Tokens, unit: Ints) -> NDArray[np.float64]:
    """How often each word class occurs in each unit: an array of shape (n_units, len(CLASS_NAMES))."""
    n_units = len(tokens.starts) - 1
    columns = []
    for attribute, names in _BY_ATTRIBUTE.items():
        bits = _CLASS_TABLES[attribute].bits_of(tokens.attributes[:, attribute])
        some = np.flatnonzero(bits)
        bits, owner = bits[some], unit[some]
        for bit in range(len(names)):
            has = (bits >> np.uint64(bit)) & np.uint64(1) != 0
            columns.append(np.bincount(owner[has], minlength=n_units))
    return np.stack(columns, axis=1).astype(np.float64)


def first_classes(tokens: Tokens) -> NDArray[np.float64]:
    """Which word classes the first token of each unit belongs to: shape (n_units, len(CLASS_NAMES))."""
    starts = tokens.starts
    filled = np.flatnonzero(np.diff(starts))
    rows = tokens.attributes[starts[:-1][filled]]
    ones = Tokens(rows, np.arange(len(rows) + 1, dtype=np.int64))
    result = np.zeros((len(starts) - 1, len(CLASS_NAMES)))
    result[filled] = class_counts(ones, np.arange(len(rows)))
    return result
