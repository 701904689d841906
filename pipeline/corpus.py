"""The corpus: labelled units from JSON Lines and CSV files, checked before anything is learnt from them.

``heldout/`` below the corpus folder is scored and never fitted. Every other ``.jsonl`` or ``.csv`` file
below the folder is training material from the moment that it lies there.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.corpus_check import HELDOUT, check, problems
from pipeline.corpus_format import CorpusFormatWarning
from pipeline.corpus_labels import LABELS_FILE, LabelSet, load_labels
from pipeline.corpus_rows import SUFFIXES, Problem
from pipeline.corpus_similar import near_duplicate_groups
from pipeline.records import Example, PipelineError

__all__ = [
    "Corpus",
    "LabelSet",
    "Problem",
    "check",
    "corpus_files",
    "counts",
    "files_to_check",
    "load",
    "load_corpus",
    "load_labels",
    "near_duplicate_groups",
    "problems",
]

#: How many problems an error shows; `communique check` shows all of them.
_SHOWN = 5
#: Tables that somebody may drop into the folder and expect to be read
_LOOKALIKES = (".json", ".ndjson", ".ods", ".parquet", ".tsv", ".xls", ".xlsx")


@dataclass(frozen=True, slots=True)
class Corpus:
    """A corpus folder without errors. ``counts`` has ``train`` and ``heldout``, each as :func:`counts`.

    ``sha256`` changes with a byte, a name or a place of any data file, or of ``labels.toml``.
    """

    labels: LabelSet
    train: tuple[Example, ...]
    heldout: tuple[Example, ...]
    sha256: str
    counts: Mapping[str, Mapping[str, Any]]


def corpus_files(folder: Path) -> list[Path]:
    """The ``.jsonl`` and ``.csv`` files below a folder, sorted, without its ``heldout/`` and hidden files.

    Raises
    ------
    PipelineError
        There is no such folder.
    """
    return [path for path in _files(folder, SUFFIXES) if HELDOUT not in path.relative_to(folder).parts[:-1]]


def files_to_check(paths: Iterable[Path]) -> list[Path]:
    """What `communique check` reads: files as named, and all below a folder, ``heldout/`` too, each once.

    Tables of another format are kept, for the check to say that they are not read.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        for file in _files(path, SUFFIXES + _LOOKALIKES) if path.is_dir() else [path]:
            found.setdefault(file.resolve(), file)
    return list(found.values())


def load(paths: Sequence[Path], labels: LabelSet, *, leaks: bool = False) -> list[Example]:
    """The rows of corpus files, in the order of the files and their lines.

    With ``leaks``, units that stand on both sides of train and heldout are let through: the caller sorts them out.

    Raises
    ------
    PipelineError
        A file has errors: how many in all, and the first few. Warnings don't count.

    Warns
    -----
    CorpusFormatWarning
        A file is of an older format.
    """
    examples, found = check(paths, labels)
    for problem in found:
        if problem.outdated:
            warnings.warn(str(problem).replace(": warning: ", ": "), CorpusFormatWarning, stacklevel=2)
    errors = [problem for problem in found if problem.severity == "error" and not (leaks and problem.leak)]
    if errors:
        raise _error(errors, paths)
    return examples


def load_corpus(folder: Path, *, leaks: bool = False) -> Corpus:
    """Everything in a corpus folder, checked as a whole; ``leaks`` as in :func:`load`.

    Raises
    ------
    PipelineError
        The folder, its ``labels.toml`` or any training row is missing, or a file has errors.
    """
    files = _files(folder, SUFFIXES)
    labels = load_labels(folder)
    fitted = {str(path) for path in corpus_files(folder)}
    examples = load(files, labels, leaks=leaks)
    train = tuple(example for example in examples if example.file in fitted)
    heldout = tuple(example for example in examples if example.file not in fitted)
    if not train:
        raise PipelineError(
            f"no labelled rows to learn from outside {HELDOUT}/",
            where=str(folder),
            remedy="put a .jsonl or .csv file with labelled rows there, as corpus/README.md describes",
        )
    totals = {"train": counts(train), HELDOUT: counts(heldout)}
    return Corpus(labels, train, heldout, _sha256(folder, [*files, folder / LABELS_FILE]), totals)


def counts(examples: Iterable[Example]) -> dict[str, Any]:
    """Units by label, genre and kind, most first, and the totals; plain types, ready for JSON.

    Returns
    -------
    ``{"units": int, "articles": int, "label": {name: int}, "genre": {...}, "kind": {...}}``
    """
    rows = list(examples)

    def by(field: str) -> dict[str, int]:
        found = Counter(getattr(row, field) for row in rows)
        return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))

    articles = len({row.article for row in rows})
    tables = {field: by(field) for field in ("label", "genre", "kind")}
    return {"units": len(rows), "articles": articles, **tables}


def _files(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    if not folder.is_dir():
        found = "is not a folder" if folder.exists() else "there is no such folder"
        raise PipelineError(found, where=str(folder), remedy="name a folder that holds corpus files")
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in suffixes
        and not any(part.startswith((".", "~$")) for part in path.relative_to(folder).parts)
        and path.is_file()
    )


def _error(errors: Sequence[Problem], paths: Sequence[Path]) -> PipelineError:
    files = {problem.file for problem in errors}
    shown = "".join(f"\n  {problem}" for problem in errors[:_SHOWN])
    rest = f"\n  and {len(errors) - _SHOWN} more" if len(errors) > _SHOWN else ""
    many = "1 error" if len(errors) == 1 else f"{len(errors)} errors"
    where = "1 corpus file" if len(files) == 1 else f"{len(files)} corpus files"
    try:  # all of what was read, because an error may lie between two files
        named = os.path.commonpath(paths) or "."
    except ValueError:
        named = " ".join(str(path) for path in paths)
    remedy = f"run `communique check {named}` to see every one, and mend the rows that it names"
    return PipelineError(f"{many} in {where}:{shown}{rest}", remedy=remedy)


def _sha256(folder: Path, files: Iterable[Path]) -> str:
    total = hashlib.sha256()
    for name, path in sorted((path.relative_to(folder).as_posix(), path) for path in files):
        total.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return total.hexdigest()
