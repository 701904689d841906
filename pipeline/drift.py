"""The verb `drift`: are new articles still like those that the model learnt from, and which should be labelled first?

The reference is the training corpus itself, looked at as if it were new: each article's labels come from a model that
did not see it or its source, and its words are looked up in the other articles. What was composed for its label is
left out of it, where enough articles were not. A measure is unusual where it lies above what 99 in 100 random draws of
as many reference articles show beside a random draw of the reference (a bootstrap of two samples, of articles).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import clone

from pipeline.batches import Batch, batch_of_examples, batch_of_parsed
from pipeline.classify import BATCH_UNITS, Model
from pipeline.combined import CombinedClassifier
from pipeline.corpus import Corpus
from pipeline.drift_measures import (
    Articles,
    Measure,
    NewDocument,
    documents_of,
    first_to_label,
    measures_of,
    shares_of,
)
from pipeline.evaluate import article_groups, natural, source_groups
from pipeline.keys import lookup
from pipeline.model import grouped_folds, lengths
from pipeline.novelty import Vocabulary, novelty, unseen_by_document, vectors, vocabulary_of
from pipeline.records import Document, Example, Failure, PipelineError
from pipeline.sentences import Parsed, parse, string_of
from pipeline.structure import NORM

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
#: Fewer articles that were not composed say too little of how articles differ.
LEAST_NATURAL = 30
LEAST_REFERENCE = 10
#: Fewer new articles are measured, but not judged.
LEAST_DOCUMENTS = 10
#: From this many unusual measures on it is time to label more. Of draws from the corpus itself some 5 in 100 have one
#: and about 1 in 100 has two (tests/benchmarks/drift.py).
ALARM = 2


@dataclass(frozen=True, slots=True)
class Drift:
    """New articles beside the training corpus.

    Attributes
    ----------
    documents, units, reference_articles : int
    measures : mapping of ``MEASURES`` to Measure
        ``labels`` is half the sum of the differences between the shares of labels (total variation, 0 to 1); the others
        are a share of units, a share of words, and a mean over documents.
    label_shares : mapping of label to the share among the new articles and the reference, both as the model sees them
    unseen_words : tuple of (word, number of new documents that have it), most first
    first : tuple of NewDocument
        What to label first, the most useful first; each unlike those before it.
    notes : tuple of str
        What to bear in mind.
    """

    documents: int
    units: int
    reference_articles: int
    measures: dict[str, Measure]
    label_shares: dict[str, tuple[float, float]]
    unseen_words: tuple[tuple[str, int], ...]
    first: tuple[NewDocument, ...]
    notes: tuple[str, ...]

    @property
    def unusual(self) -> tuple[str, ...]:
        """The names of the unusual measures."""
        return tuple(name for name, measure in self.measures.items() if measure.unusual)

    @property
    def label_more(self) -> bool:
        """Whether it is time to label more; never on the word of fewer than ``LEAST_DOCUMENTS``."""
        return self.documents >= LEAST_DOCUMENTS and len(self.unusual) >= ALARM

    def as_dict(self) -> dict[str, Any]:
        """Plain types only, ready for JSON."""
        return {"label_more": self.label_more, "unusual": self.unusual, **asdict(self)}


def drift(
    model: Model,
    corpus: Corpus,
    documents: Iterable[Document | Failure],
    *,
    top: int = 10,
    seed: int = 0,
    n_jobs: int = 1,
    on_failure: Callable[[Failure], None] = lambda _: None,
) -> Drift:
    """Compare new articles with the training corpus.

    Parameters
    ----------
    model : Model
        Without an encoder: the reference is labelled by models of its kind, fitted on the parts of a fold.
    corpus : Corpus
    documents : iterable of Document, or Failure, which ``on_failure`` is given
    top : int
        How many documents to name for labelling.

    Raises
    ------
    PipelineError
        There is no article with a unit in it, the model has an encoder or other labels than the corpus, or the corpus
        is too small.
    """
    _require_fit(model, corpus)
    examples, groups = corpus.train, article_groups(corpus.train)
    batch = batch_of_examples(examples)
    known = vocabulary_of(batch, groups)
    starts = np.flatnonzero(np.diff(batch.documents, prepend=-1))
    known_vectors = vectors(batch, known, len(starts))
    names: list[str] = []
    parts: list[Articles] = []
    rows: list[sparse.csr_matrix] = []
    words: Counter[int] = Counter()
    for parsed in _chunks(documents, on_failure):
        new = batch_of_parsed(parsed)
        rows.append(vectors(new, known, len(parsed)))
        names += [one.document.id for one in parsed]
        probabilities = model.classifier.predict_proba(new)
        parts.append(_articles(model, new, probabilities, known, novelty(rows[-1], known_vectors)))
        words.update(_unseen_words(new, known))
    if not names:
        raise PipelineError("no article with a sentence in it", remedy="name a folder of articles")
    chosen = _reference_rows(examples, starts)
    new_ones = Articles(*(np.concatenate([getattr(part, name) for part in parts]) for name in Articles.__slots__))
    own = novelty(known_vectors, known_vectors, groups[starts], groups[starts])
    probabilities = _out_of_fold(model, examples, batch, n_jobs)
    reference = _articles(model, batch, probabilities, known, own, within=True).take(chosen)
    ranked = documents_of(names, new_ones, reference)
    labels = tuple(model.classifier.labels)
    shares = zip(shares_of(new_ones.labels), shares_of(reference.labels), strict=True)
    return Drift(
        documents=len(names),
        units=int(new_ones.units.sum()),
        reference_articles=len(chosen),
        measures=measures_of(new_ones, reference, seed),
        label_shares=dict(zip(labels, shares, strict=True)),
        unseen_words=_named(words),
        first=tuple(first_to_label(ranked, sparse.vstack(rows, format="csr"), top)),
        notes=_notes(model, corpus),
    )


def _require_fit(model: Model, corpus: Corpus) -> None:
    if isinstance(model.classifier, CombinedClassifier):
        raise PipelineError(
            "drift needs a model without an encoder, for it fits others of its kind to compare with",
            where=model.info.id,
            remedy="leave out --model, or name another that `communique train` made",
        )
    if set(model.info.labels) != set(corpus.labels.names):
        raise PipelineError(
            f"the model's labels are {', '.join(model.info.labels)}, the corpus has {', '.join(corpus.labels.names)}",
            where=model.info.id,
            remedy="run `communique train`",
        )


def _chunks(documents: Iterable[Document | Failure], on_failure: Callable[[Failure], None]) -> Iterator[list[Parsed]]:
    """Documents with units, together until they hold some thousand units."""
    waiting: list[Parsed] = []
    for document in documents:
        if isinstance(document, Failure):
            on_failure(document)
            continue
        parsed = parse(document)
        if parsed.units:
            waiting.append(parsed)
        if sum(len(one.units) for one in waiting) >= BATCH_UNITS:
            yield waiting
            waiting = []
    if waiting:
        yield waiting


def _articles(
    model: Model, batch: Batch, probabilities: Floats, known: Vocabulary, new: Floats, *, within: bool = False
) -> Articles:
    n, n_labels = len(new), len(model.classifier.labels)
    best, documents = probabilities.argmax(axis=1), batch.documents
    labels = np.zeros((n, n_labels), dtype=np.int64)
    np.add.at(labels, (documents, best), 1)
    uncertain = np.bincount(documents, model.classifier.uncertain(batch, probabilities), n).astype(np.int64)
    unseen, words = unseen_by_document(batch, known, within=within)
    return Articles(labels.sum(axis=1), labels, uncertain, words, unseen, new)


def _out_of_fold(model: Model, examples: Sequence[Example], batch: Batch, n_jobs: int) -> Floats:
    """Probabilities of the corpus's units by models like this one that did not see its article, nor its source."""
    labels = [example.label for example in examples]
    number = {label: place for place, label in enumerate(model.classifier.labels)}
    seed, n_splits = model.classifier.random_state, model.classifier.n_splits
    folds = grouped_folds([number[label] for label in labels], source_groups(examples), n_splits, seed)
    scores = np.zeros((len(labels), len(number)))
    fresh = clone(model.classifier).set_params(n_jobs=n_jobs)
    for (_, test), part in zip(folds, fresh.fold_scores(batch, labels, folds), strict=True):
        scores[test] = part
    return model.classifier.scaling_(scores, lengths(batch))


def _reference_rows(examples: Sequence[Example], starts: Ints) -> Ints:
    """The articles, by their place among all, that the reference is made of."""
    chosen = np.flatnonzero(natural(examples)[starts])
    if len(chosen) < LEAST_NATURAL:
        chosen = np.arange(len(starts))
    if len(chosen) < LEAST_REFERENCE:
        found = f"the corpus has {len(chosen)} articles to compare with; {LEAST_REFERENCE} or more are needed"
        raise PipelineError(found, remedy="add corpus files")
    return chosen


def _unseen_words(batch: Batch, known: Vocabulary) -> Counter[int]:
    """The words that the corpus does not have, with the number of documents that have each."""
    norms = batch.tokens.attributes[:, NORM]
    documents = np.repeat(batch.documents, np.diff(batch.tokens.starts))
    new = lookup(known.words, norms) < 0
    pairs = set(zip(norms[new].tolist(), documents[new].tolist(), strict=True))
    return Counter(norm for norm, _ in pairs)


def _named(words: Counter[int], most: int = 10) -> tuple[tuple[str, int], ...]:
    named = ((string_of(norm), count) for norm, count in words.items())
    return tuple(sorted((one for one in named if one[0].isalpha()), key=lambda one: (-one[1], one[0]))[:most])


def _notes(model: Model, corpus: Corpus) -> tuple[str, ...]:
    if model.info.corpus.get("sha256") == corpus.sha256:
        return ()
    return (f"the corpus has changed since model {model.info.id} was trained on it; `communique train` makes another",)


def drift_of_files(
    model: Model,
    corpus: Path,
    paths: Sequence[str],
    *,
    top: int = 10,
    n_jobs: int = -1,
    text_field: str = "text",
    on_failure: Callable[[Failure], None] = lambda _: None,
) -> Drift:
    """:func:`drift` of files and folders of articles beside a corpus folder."""
    from pipeline.corpus import load_corpus
    from pipeline.readers import read

    found = read(paths, text_field=text_field)
    return drift(model, load_corpus(corpus), found, top=top, n_jobs=n_jobs, on_failure=on_failure)
