"""Tokens and features of corpus files, kept from one training to the next: only what is new is read again.

The cache holds pickles of joblib's Memory. It may be deleted at any time; what it gives is what would be computed, to
the bit. Nobody else should be able to write to its folder, and its own default place is readable by its owner only.
"""

from __future__ import annotations

import hashlib
import os
import sys
import warnings
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from itertools import groupby
from pathlib import Path

import joblib

from pipeline.batches import Batch, batch_of_examples, joined
from pipeline.cues import CueMatcher
from pipeline.features import lexicon_matcher
from pipeline.parts import parts_of
from pipeline.records import Example

#: Modules whose code decides what a file's tokens and features are.
_MODULES = "batches blocks boundaries cues decoding lexicon outline parts sentences structure".split()
_LIBRARIES = ("spacy", "numpy", "scipy", "joblib")
#: The cache is kept under this size; what was not used for longest goes first.
_LARGEST = "1G"


def default_cache_folder() -> Path:
    """``communique`` in the user's cache folder: ``$XDG_CACHE_HOME``, else ``~/.cache``."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(named) if Path(named).is_absolute() else Path.home() / ".cache") / "communique"


def prepared_batch(examples: Sequence[Example], folder: Path | None = None) -> tuple[Batch, int, int]:
    """The batch of labelled units with the parts of their features.

    Parameters
    ----------
    folder : Path, optional
        The cache. Without one, or where it can't be written, everything is computed.

    Returns
    -------
    The batch, how many corpus files it is made of, and how many of these came from the cache.
    """
    matcher = lexicon_matcher()
    memory = _memory(folder)
    prepare = memory.cache(_prepared, ignore=["examples", "matcher"])
    code = _code(matcher)
    batches, known = [], 0
    with warnings.catch_warnings():  # of what is damaged or was deleted meanwhile, which is then computed
        warnings.simplefilter("ignore")
        for _, rows in groupby(examples, key=lambda example: example.file):
            part = list(rows)
            key = f"{code} {_content(part)}"
            known += prepare.check_call_in_cache(key, part, matcher)
            batches.append(prepare(key, part, matcher))
        memory.reduce_size(_LARGEST)
    return joined(batches, matcher), len(batches), known


def _memory(folder: Path | None) -> joblib.Memory:
    if folder is None:
        return joblib.Memory(None, verbose=0)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return joblib.Memory(folder, verbose=0)
    except OSError:  # a cache is no reason to fail
        return joblib.Memory(None, verbose=0)


def _prepared(key: str, examples: Sequence[Example], matcher: CueMatcher) -> Batch:
    """The batch of one corpus file with its parts; ``key`` is all that it hangs on."""
    batch = batch_of_examples(examples)
    # the matcher is the same for all files, and not stored with each
    return replace(batch, parts=replace(parts_of(batch, matcher), matcher=CueMatcher(())))


def _content(examples: Sequence[Example]) -> str:
    """What features see of corpus rows: neither labels nor titles."""
    rows = "\0".join(f"{row.article}\0{row.kind}\0{row.section}\0{row.text}" for row in examples)
    return hashlib.sha256(rows.encode("utf-8", "surrogatepass")).hexdigest()


def _code(matcher: CueMatcher) -> str:
    """What features hang on beside the rows: our code, the lexicon, and the libraries."""
    versions = " ".join([sys.version, *(version(name) for name in _LIBRARIES)])
    total = hashlib.sha256(f"{versions} {joblib.hash(matcher)}".encode())
    for name in _MODULES:
        total.update(Path(__file__).with_name(f"{name}.py").read_bytes())
    return total.hexdigest()
