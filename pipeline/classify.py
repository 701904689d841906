"""The verb `classify`: sources and a model to predictions, document by document."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from pipeline import registry
from pipeline.batches import batch_of_parsed
from pipeline.combined import CombinedClassifier
from pipeline.model import UnitClassifier
from pipeline.places import models_folder
from pipeline.probe import check_probe
from pipeline.readers import read
from pipeline.records import Document, Failure, ModelInfo, PipelineError, Prediction
from pipeline.sentences import Parsed, parse

#: Documents are classified together until they hold this many units: numpy is quick on many at once.
BATCH_UNITS = 4096
#: Decimals of a probability in the output: more would only look exact.
DECIMALS = 6


@dataclass(frozen=True, slots=True)
class Result:
    """One document with the predictions of all its units, in reading order."""

    document: Document
    predictions: tuple[Prediction, ...]


@dataclass(frozen=True, slots=True)
class Model:
    """A loaded model: the fitted classifier and what its manifest says of it."""

    classifier: UnitClassifier
    info: ModelInfo

    def classify(self, text: str, *, title: str | None = None) -> list[Prediction]:
        """Predictions for every sentence, heading and bullet of one text, in reading order."""
        return list(self._predict([parse(Document(id="text", text=text, title=title))])[0])

    def classify_documents(self, documents: Iterable[Document | Failure]) -> Iterator[Result | Failure]:
        """Results in the order of the documents; a failure passes through in its place."""
        waiting: list[Parsed | Failure] = []
        units = 0
        for document in documents:
            item = document if isinstance(document, Failure) else parse(document)
            waiting.append(item)
            units += 0 if isinstance(item, Failure) else len(item.units)
            if units >= BATCH_UNITS:
                yield from self._results(waiting)
                waiting, units = [], 0
        yield from self._results(waiting)

    def classify_many(
        self,
        paths: Iterable[str | os.PathLike[str]],
        *,
        text_field: str = "text",
        on_failure: Callable[[Failure], None] | None = None,
        stdin: BinaryIO | None = None,
    ) -> Iterator[Result]:
        """Results for files, folders, patterns and ``-``, one a document, in order.

        Parameters
        ----------
        paths : paths of files or folders
        text_field : str
            The column of the text in JSON Lines and CSV files.
        on_failure : callable, optional
            Is given each source that could not be read, as it comes up.

        Raises
        ------
        PipelineError
            At the end, where something could not be read and ``on_failure`` is not given; every other
            document has been classified by then.
        """
        failures: list[Failure] = []
        report = on_failure or failures.append
        for item in self.classify_documents(read(paths, text_field=text_field, stdin=stdin)):
            if isinstance(item, Failure):
                report(item)
            else:
                yield item
        if failures:
            shown = "\n  ".join(str(failure) for failure in failures[:10])
            more = f"\n  and {len(failures) - 10} more" if len(failures) > 10 else ""
            raise PipelineError(
                f"{len(failures)} could not be read, all the others were classified:\n  {shown}{more}",
                remedy="give on_failure= to handle them one by one",
            )

    def _results(self, items: Sequence[Parsed | Failure]) -> Iterator[Result | Failure]:
        parsed = [item for item in items if not isinstance(item, Failure)]
        predictions = iter(self._predict(parsed))
        for item in items:
            yield item if isinstance(item, Failure) else Result(item.document, tuple(next(predictions)))

    def _predict(self, parsed: Sequence[Parsed]) -> list[list[Prediction]]:
        if not any(one.units for one in parsed):
            return [[] for _ in parsed]
        labels = list(self.classifier.labels)
        probabilities = rounded(self.classifier.predict_proba(batch_of_parsed(parsed)))
        best = probabilities.argmax(axis=1)
        confidence = probabilities[np.arange(len(best)), best]
        thresholds = np.array([self.classifier.thresholds_[label] for label in labels])
        uncertain = (confidence < thresholds[best]).tolist()
        rows = zip(best.tolist(), confidence.tolist(), uncertain, probabilities.tolist(), strict=True)
        return [
            [
                Prediction(unit, labels[label], sure, doubtful, dict(zip(labels, values, strict=True)))
                for unit, (label, sure, doubtful, values) in zip(one.units, rows, strict=False)
            ]
            for one in parsed
        ]


def rounded(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities of shape (n, n_labels) to ``DECIMALS`` decimals; every row still sums to 1.

    What rounding leaves over goes to the largest of the row.
    """
    whole = 10**DECIMALS
    parts = np.rint(probabilities * whole)
    parts[np.arange(len(parts)), parts.argmax(axis=1)] += whole - parts.sum(axis=1)
    return np.asarray(parts / whole)


def load(model_id: str | None = None, *, models: Path | str | None = None) -> Model:
    """Open a saved model, the promoted one by default.

    Parameters
    ----------
    model_id : str, optional
        The name of its folder in the models folder.
    models : path, optional
        The models folder; default ``./models`` where there is one, else the models that communique ships.

    Raises
    ------
    PipelineError
        There is no such model, or it is not what its manifest says; nothing is unpickled then. Or it was made by
        other code than is installed, or needs a sentence encoder that is not on this machine.
    """
    folder = models_folder(Path(models) if models is not None else None)
    classifier, info = registry.load_model(folder, model_id)
    check_probe(classifier, info, str(folder / info.id))
    if isinstance(classifier, CombinedClassifier):
        classifier.open_encoder()
    return Model(classifier, info)
