"""Precedents: the labelled units of the corpus that are most like a unit, in the eyes of the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from pipeline.batches import Batch, batch_of_examples
from pipeline.corpus import corpus_files, load_labels
from pipeline.corpus_rows import read_examples
from pipeline.model import UnitClassifier
from pipeline.records import Example

#: A feature that weighs less than this part of a unit's heaviest is left out, which makes looking six times as quick.
_LEAST = 0.3
#: Units that are compared at once; bounds the memory of the comparison.
_AT_ONCE = 512


@dataclass(frozen=True, slots=True)
class Precedent:
    """A labelled unit of the corpus, with its place, and its likeness to the unit asked about, 0 to 1."""

    likeness: float
    label: str
    text: str
    file: str
    line: int

    @property
    def where(self) -> str:
        """``file:line``."""
        return f"{self.file}:{self.line}"

    def as_dict(self) -> dict[str, Any]:
        """Plain types only, ready for JSON."""
        return asdict(self)


class Precedents:
    """Finds the nearest labelled units.

    Likeness is the cosine between the features of two units (context left out), each feature weighted by the length of
    its column of the classifier's weights: what moves no label counts for nothing.

    Parameters
    ----------
    classifier : UnitClassifier
        Fitted.
    examples : sequence of Example
        The labelled units to look among.
    """

    def __init__(self, classifier: UnitClassifier, examples: Sequence[Example]) -> None:
        self.examples = examples
        self._transform = classifier.pipeline_[:-1]
        weights, _ = classifier.linear()
        own = [not name.startswith("context=") for name in self._transform.get_feature_names_out()]
        self._scale = sparse.diags(np.sqrt((weights**2).sum(axis=0)) * np.array(own))
        self._known = self._vectors(batch_of_examples(examples)).T.tocsr() if examples else None

    def nearest(self, batch: Batch, most: int = 3) -> list[list[Precedent]]:
        """The nearest units of each unit of a batch, most alike first; none that has nothing in common with it."""
        if self._known is None or not most or not len(batch):
            return [[] for _ in range(len(batch))]
        vectors = self._vectors(batch)
        found: list[list[Precedent]] = []
        for start in range(0, len(batch), _AT_ONCE):
            likeness = (vectors[start : start + _AT_ONCE] @ self._known).tocsr()
            for row in range(likeness.shape[0]):
                own = slice(likeness.indptr[row], likeness.indptr[row + 1])
                values, columns = likeness.data[own], likeness.indices[own]
                few = np.argpartition(-values, most)[:most] if len(values) > most else np.arange(len(values))
                order = few[np.lexsort((columns[few], -values[few].round(9)))]
                found.append([self._precedent(columns[at], values[at]) for at in order.tolist() if values[at] > 0])
        return found

    def _precedent(self, number: int, likeness: float) -> Precedent:
        example = self.examples[number]
        return Precedent(round(min(float(likeness), 1.0), 4), example.label, example.text, example.file, example.line)

    def _vectors(self, batch: Batch) -> sparse.csr_matrix:
        """Weighted features of length 1, the light ones left out: shape (n_units, n_features)."""
        vectors = sparse.csr_matrix(self._transform.transform(batch) @ self._scale)
        heaviest = np.asarray(abs(vectors).max(axis=1).todense()).ravel()
        sizes = np.diff(vectors.indptr)
        vectors.data[np.abs(vectors.data) < _LEAST * np.repeat(heaviest, sizes)] = 0.0
        vectors.eliminate_zeros()
        length = np.sqrt(np.asarray(vectors.multiply(vectors).sum(axis=1)).ravel())
        vectors.data /= np.repeat(np.where(length > 0, length, 1.0), np.diff(vectors.indptr))
        return vectors


def labelled_units(folder: Path) -> list[Example]:
    """The well-formed labelled units of a corpus folder without its ``heldout/``; the others are passed over.

    Raises
    ------
    PipelineError
        There is no such folder, or its ``labels.toml`` is missing or wrong.
    """
    labels = load_labels(folder)
    known = set(labels.names)
    read = (read_examples(path, labels)[0] for path in corpus_files(folder))
    return [example for examples in read for example in examples if example.label in known]
