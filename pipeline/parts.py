"""What features are made of, unit by unit: words and pairs of neighbours, cues, structure; nothing learnt from others.

Everything here is arithmetic on whole batches, without a Python loop over tokens.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from pipeline.batches import Batch, Parts
from pipeline.cues import CueMatcher, Matches
from pipeline.records import KINDS
from pipeline.sentences import Tokens, hash_of, string_of
from pipeline.structure import CLASS_NAMES, NORM, Zones, class_counts, first_classes, zones

Ints = NDArray[np.int64]
_PAIR = np.uint64(0x9E3779B97F4A7C15)
_COLON = np.uint64(hash_of(":"))
#: A colon this many tokens from the start at most ends a run-in head.
_RUN_IN = 8
_LENGTHS = (5, 10, 18, 28, 40)
#: How a cue may stand in its unit; the columns of each follow those of all cues anywhere.
STANCES = ("main", "subordinate", "quoted", "negated", "early", "head")
STRUCTURE_NAMES: tuple[str, ...] = (
    *(f"has={name}" for name in CLASS_NAMES),
    *(f"first={name}" for name in CLASS_NAMES),
    *(f"longer={limit}" for limit in _LENGTHS),
    *(f"kind={kind}" for kind in KINDS),
    "quoted=share",
    "quoted=most",
)


def binary(rows: Ints, columns: Ints, shape: tuple[int, int]) -> sparse.csr_matrix:
    """1 where (row, column) occurs at least once."""
    matrix = sparse.csr_matrix((np.ones(len(rows)), (rows, columns)), shape=shape)
    matrix.sum_duplicates()
    matrix.data[:] = 1.0
    return matrix


def ngram_keys(norms: NDArray[np.uint64], unit: Ints) -> tuple[NDArray[np.uint64], Ints, Ints]:
    """Keys of all words and all pairs of neighbours inside a unit, the unit of each, and its first token."""
    with np.errstate(over="ignore"):
        pairs = norms[:-1] * _PAIR + norms[1:]
    place = np.arange(len(norms))
    inside = np.flatnonzero(unit[:-1] == unit[1:])
    at = np.concatenate((place, inside))
    return np.concatenate((norms, pairs[inside])), unit[at], at


def _text_of(key: int) -> str:
    """The string of a norm, or its number in a process that never met the strings of its batch."""
    try:
        return string_of(key)
    except KeyError:
        return f"{key:016x}"


def parts_of(batch: Batch, matcher: CueMatcher) -> Parts:
    """The parts of a batch's features."""
    where = zones(batch.tokens)
    norms = batch.tokens.attributes[:, NORM]
    all_keys, rows, at = ngram_keys(norms, where.unit)
    keys, first, column = np.unique(all_keys, return_index=True, return_inverse=True)
    known, word = np.unique(norms, return_inverse=True)
    start, second = at[first], np.full(len(keys), -1, dtype=np.int64)
    paired = first >= len(norms)
    second[paired] = word[start[paired] + 1]
    return Parts(
        ngrams=binary(rows, column, (len(batch), len(keys))),
        keys=keys,
        pairs=np.stack([word[start], second], axis=1),
        words=tuple(map(_text_of, known.tolist())),
        cues=cue_matrix(batch.tokens, where, matcher),
        structure=structure_matrix(batch, where),
        heading_cues=heading_cues(batch.headings, matcher),
        matcher=matcher,
    )


def _heads(tokens: Tokens, where: Zones) -> NDArray[np.bool_]:
    """Which tokens open their unit, or follow a colon among its first tokens."""
    n = len(tokens.attributes)
    first = tokens.starts[where.unit] if n else np.zeros(0, dtype=np.int64)
    place = np.arange(n) - first
    heads: NDArray[np.bool_] = place == 0
    colon = tokens.attributes[:, NORM] == _COLON
    heads[1:] |= colon[:-1] & (place[1:] > 0) & (place[1:] <= _RUN_IN)
    return heads


def cue_matrix(tokens: Tokens, where: Zones, matcher: CueMatcher) -> sparse.csr_matrix:
    """Each group, and each group with where it stands: main, subordinate, quoted, negated, early, at the head.

    The head is the unit's first word, or the first behind a run-in head ("Energy Security: Exploring ...").
    """
    matches: Matches = matcher.match(tokens.attributes[:, NORM], tokens.starts)
    n_units, n = len(tokens.starts) - 1, len(matcher.names)
    row, at = where.unit[matches.token], matches.token
    early = at - tokens.starts[row] < 0.4 * np.diff(tokens.starts)[row]
    main = ~where.subordinate[at] & ~where.quoted[at]
    variants = [
        np.ones(len(at), dtype=bool),
        main & ~where.negated[at],
        where.subordinate[at],
        where.quoted[at],
        where.negated[at],
        early & ~where.subordinate[at],
        _heads(tokens, where)[at],
    ]
    rows = np.concatenate([row[chosen] for chosen in variants])
    columns = np.concatenate([matches.group[chosen] + n * i for i, chosen in enumerate(variants)])
    return binary(rows, columns, (n_units, n * (1 + len(STANCES))))


def heading_cues(headings: Tokens, matcher: CueMatcher) -> sparse.csr_matrix:
    """The groups that stand in each heading."""
    matches = matcher.match(headings.attributes[:, NORM], headings.starts)
    row = zones(headings).unit[matches.token]
    return binary(row, matches.group, (len(headings.starts) - 1, len(matcher.names)))


def structure_matrix(batch: Batch, where: Zones) -> sparse.csr_matrix:
    """Word classes, length, kind and quotation of each unit; the columns are ``STRUCTURE_NAMES``."""
    tokens = batch.tokens
    counts = np.minimum(class_counts(tokens, where.unit), 3.0) / 2.0
    first = first_classes(tokens)
    size = np.diff(tokens.starts)
    lengths = np.stack([size > limit for limit in _LENGTHS], axis=1)
    kinds = np.eye(len(KINDS))[batch.kinds]
    quoted = np.bincount(where.unit[where.quoted], minlength=len(size)) / np.maximum(size, 1)
    dense = np.hstack([counts, first, lengths, kinds, quoted[:, None], quoted[:, None] > 0.5])
    return sparse.csr_matrix(dense)
