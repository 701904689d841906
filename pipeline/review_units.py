"""What there is to review: articles as units, with what the model says of each and what the corpus knows of it."""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.batches import batch_of_examples
from pipeline.classify import Model, rounded
from pipeline.corpus import corpus_files, files_to_check, load_labels
from pipeline.corpus_check import HELDOUT, row_problems
from pipeline.corpus_labels import LABELS_FILE, LabelSet
from pipeline.corpus_rows import read_examples
from pipeline.decisions import KnownRow, ReviewUnit
from pipeline.evaluate import article_groups
from pipeline.model import UnitClassifier, grouped_folds
from pipeline.readers import read
from pipeline.records import BACKGROUND, Document, Example, Failure, PipelineError, Prediction, Result
from pipeline.review_corpus import LOG_FILE, ROWS_FILE, example_of, text_key
from pipeline.train import LEAST_GROUPS

#: Shorter texts ("Challenges:") come again in other articles and mean something else there; as in `communique check`.
_FEWEST_WORDS = 4
#: From here on the same text in the held-out articles means that the article is one of them.
_LEAK_WORDS = 8
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufeff\ufffe\uffff]")


@dataclass(slots=True)
class Material:
    """Everything there is to review.

    Attributes
    ----------
    labels : LabelSet
    results : list of Result
        The articles, classified.
    units : dict
        Id to unit, in reading order; each text once.
    place : dict
        Id to (number of the article, index of the unit in it).
    counts : dict
        Units by label in the corpus.
    passed_over : Counter
        Why units or articles are not offered, and how many.
    failures : list of Failure
        What could not be read.
    """

    labels: LabelSet
    results: list[Result] = field(default_factory=list)
    units: dict[str, ReviewUnit] = field(default_factory=dict)
    place: dict[str, tuple[int, int]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    passed_over: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)

    def prediction(self, key: str) -> Prediction:
        """What the model says of a unit."""
        number, index = self.place[key]
        return self.results[number].predictions[index]

    def probabilities(self, keys: Sequence[str], labels: Sequence[str]) -> NDArray[np.float64]:
        """Of shape (n_keys, n_labels)."""
        rows = [[self.prediction(key).probabilities[label] for label in labels] for key in keys]
        return np.array(rows, dtype=np.float64).reshape(len(rows), len(labels))


def is_corpus(folder: Path) -> bool:
    """Whether a folder is one of labelled rows."""
    return (folder / LABELS_FILE).is_file()


def gather(model: Model, folder: Path, corpus: Path, *, genre: str = "wire", text_field: str = "text") -> Material:
    """Read and classify what lies in a folder: articles of any format, or a corpus folder to look through again.

    Parameters
    ----------
    model : Model
    folder : Path
        A folder or a file.
    corpus : Path
        The corpus that decisions go to. Its ``heldout/`` is left alone, and so are articles that stand there.
    genre : str
        Of articles that are new.
    text_field : str
        The column of the text in JSON Lines and CSV.

    Raises
    ------
    PipelineError
        There is nothing to review, the model knows other labels than the corpus, or the folder is another corpus.
    """
    if is_corpus(folder) and folder.resolve() != corpus.resolve():
        raise PipelineError(
            f"is a corpus folder, and decisions on its rows can't go to another, {corpus}",
            where=str(folder),
            remedy="leave --corpus out",
        )
    labels = load_labels(corpus)
    if set(labels.names) != set(model.info.labels):
        raise PipelineError(
            f"the corpus has the labels {', '.join(labels.names)}, the model {', '.join(model.info.labels)}",
            where=str(corpus / LABELS_FILE),
            remedy="run `communique train` first, or name another --model or --corpus",
        )
    shelf = _Shelf(corpus, labels)
    found = Material(labels, counts=dict(Counter(row.label for row in shelf.rows)))
    if is_corpus(folder):
        _add_rows(found, model, shelf)
    else:
        _add_articles(found, model, shelf, folder, genre, text_field)
    if not found.units:
        why = "; ".join(
            [f"{many} {what}" for what, many in found.passed_over.items()] + [*map(str, found.failures[:3])]
        )
        raise PipelineError(f"nothing to review{': ' if why else ''}{why}", where=str(folder))
    return found


class _Shelf:
    """The rows of a corpus as far as a review must know them."""

    def __init__(self, corpus: Path, labels: LabelSet) -> None:
        fitted = [path for path in corpus_files(corpus) if path.relative_to(corpus).as_posix() != ROWS_FILE]
        self.corpus = corpus
        self.rows: list[Example] = []
        for path in fitted:
            self.rows += [row for row in read_examples(path, labels)[0] if row.label in labels.names]
        self.articles = {row.article for row in self.rows}
        self.known: dict[str, list[Example]] = defaultdict(list)
        for row in self.rows:
            if len(row.text.split()) >= _FEWEST_WORDS:
                self.known[text_key(row.text)].append(row)
        held_back = [row for path in self._heldout() for row in read_examples(path, labels)[0]]
        self.heldout = {text_key(row.text) for row in held_back if len(row.text.split()) >= _FEWEST_WORDS}

    def _heldout(self) -> list[Path]:
        folder = self.corpus / HELDOUT
        return files_to_check([folder]) if folder.is_dir() else []

    def known_rows(self, rows: Iterable[Example]) -> tuple[KnownRow, ...]:
        return tuple(
            KnownRow(Path(row.file).relative_to(self.corpus).as_posix(), row.line, row.label, row.annotator, row.note)
            for row in rows
        )


def _add_articles(found: Material, model: Model, shelf: _Shelf, folder: Path, genre: str, text_field: str) -> None:
    documents = _named_below(folder, read([folder], text_field=text_field))
    for result in model.classify_documents(documents):
        if isinstance(result, Failure):
            found.failures.append(result)
            continue
        keys = [text_key(prediction.unit.text) for prediction in result.predictions]
        if any(key in shelf.heldout and len(key.split()) >= _LEAK_WORDS for key in keys):
            found.passed_over[f"articles that stand in {HELDOUT}/"] += 1
            continue
        document = result.document
        article = one_line(document.id)
        if article in shelf.articles:
            article += " (review)"
        first = result.predictions[0].unit if result.predictions else None
        title = document.title or (first.text if first is not None and first.kind == "heading" else document.id)
        number = len(found.results)
        found.results.append(result)
        for prediction, key in zip(result.predictions, keys, strict=True):
            unit = prediction.unit
            section = one_line(unit.section) if unit.section else None
            rows = shelf.known.get(key, [])
            made = ReviewUnit(
                id=_id(key, article, section),
                article=article,
                title=one_line(title) or article,
                genre=one_line(genre),
                section=section or None,
                kind=unit.kind,
                text=one_line(unit.text),
                index=unit.index,
                known=shelf.known_rows(rows),
            )
            if key in shelf.heldout:
                found.passed_over[f"units whose text stands in {HELDOUT}/"] += 1
            else:
                _offer(found, made, (number, unit.index))


def _add_rows(found: Material, model: Model, shelf: _Shelf) -> None:
    """The rows of the corpus itself, article by article, as documents of one unit a paragraph."""
    if not shelf.rows:
        return
    probabilities = rounded(_unseen_probabilities(model, shelf.rows))
    at = 0
    for article, group in groupby(shelf.rows, key=lambda row: (row.file, row.article)):
        rows = list(group)
        number = len(found.results)
        found.results.append(_as_result(model, rows, probabilities[at : at + len(rows)]))
        at += len(rows)
        for index, row in enumerate(rows):
            key = text_key(row.text)
            same = shelf.known.get(key) or [row]
            made = ReviewUnit(
                id=_id(key, article[1], row.section),
                article=row.article,
                title=row.title,
                genre=row.genre,
                section=row.section,
                kind=row.kind,
                text=row.text,
                index=index,
                known=shelf.known_rows(same),
            )
            _offer(found, made, (number, index))


def _unseen_probabilities(model: Model, rows: Sequence[Example]) -> NDArray[np.float64]:
    """Of shape (n_rows, n_labels), each row by a model that was fitted without its article.

    The model itself has learnt these labels, wrong ones too, and would hardly contradict one.
    """
    batch, groups = batch_of_examples(rows), article_groups(rows)
    if len(np.unique(groups)) < LEAST_GROUPS:
        return np.asarray(model.classifier.predict_proba(batch))
    y = np.array([row.label for row in rows])
    names = list(model.info.labels)
    probabilities = np.zeros((len(rows), len(names)))
    folds = grouped_folds(np.array([names.index(label) for label in y]), groups, LEAST_GROUPS, model.info.seed)
    for train, test in folds:
        fresh = UnitClassifier(model.classifier.labels, random_state=model.info.seed, n_splits=2)
        fresh.fit(batch.take(train), list(y[train]), groups[train])
        probabilities[test] = fresh.predict_proba(batch.take(test))
    return probabilities


def _offer(found: Material, unit: ReviewUnit, place: tuple[int, int]) -> None:
    """Take a unit in, unless its text came before or can't be a row of the corpus."""
    if any(row.file.endswith(".csv") for row in unit.known):
        found.passed_over["units whose row is in a CSV file: correct these there"] += 1
    elif not unit.known and any(one.severity == "error" for one in row_problems(example_of(unit, BACKGROUND))):
        found.passed_over["units that `communique check` would refuse"] += 1
    elif unit.id not in found.units:
        found.units[unit.id] = unit
        found.place[unit.id] = place


def _as_result(model: Model, rows: Sequence[Example], probabilities: NDArray[np.float64]) -> Result:
    document = Document(rows[0].article, "\n\n".join(row.text for row in rows), rows[0].title)
    starts = np.cumsum([0, *(len(row.text) + 2 for row in rows)]).tolist()
    spans = tuple(
        (start, start + len(row.text), row.kind, row.section) for start, row in zip(starts, rows, strict=False)
    )
    best = probabilities.argmax(axis=1)
    uncertain = model.classifier.uncertain(batch_of_examples(rows), probabilities)
    labels = tuple(model.classifier.labels)
    return Result(document, spans, labels, best, probabilities.max(axis=1), uncertain, probabilities)


def _named_below(folder: Path, documents: Iterable[Document | Failure]) -> Iterable[Document | Failure]:
    """Documents by their path below the folder, so that an article goes by one name from wherever it is reviewed."""
    prefix = folder.as_posix().rstrip("/") + "/"
    for one in documents:
        if isinstance(one, Failure) or not folder.is_dir():
            yield one
        else:
            yield Document(one.id.removeprefix(prefix), one.text, one.title, one.date, one.source, one.warnings)


def one_line(text: str) -> str:
    """A text as a corpus row holds it: on one line, without control characters."""
    return " ".join(_UNFIT.sub(" ", text).split())


def _id(key: str, article: str, section: str | None) -> str:
    """The id of a unit: of its text, and of its place too where the text says little."""
    content = key if len(key.split()) >= _FEWEST_WORDS else f"{article}\0{section or ''}\0{key}"
    return hashlib.sha256(content.encode("utf-8", "replace")).hexdigest()[:16]


def log_path(corpus: Path) -> Path:
    """Where the decisions of a corpus are."""
    return corpus / LOG_FILE
