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
from pipeline.batches import batch_of_pieces
from pipeline.combined import CombinedClassifier
from pipeline.model import UnitClassifier
from pipeline.places import models_folder
from pipeline.probe import check_probe
from pipeline.readers import read
from pipeline.records import Document, Failure, ModelInfo, PipelineError, Prediction, Result
from pipeline.sentences import Piece, cut

#: Documents are classified together until they hold this many units: numpy is quick on many at once.
BATCH_UNITS = 4096
#: Decimals of a probability in the output: more would only look exact.
DECIMALS = 6


@dataclass(frozen=True, slots=True)
class Model:
    """A loaded model: the fitted classifier and what its manifest says of it.

    ``folder`` is the models folder that it was read from, for other processes to read it too.
    """

    classifier: UnitClassifier
    info: ModelInfo
    folder: Path | None = None

    def classify(self, text: str, *, title: str | None = None) -> list[Prediction]:
        """Predictions for every sentence, heading and bullet of one text, in reading order."""
        (result,) = self.classify_documents([Document(id="text", text=text, title=title)])
        return [] if isinstance(result, Failure) else list(result.predictions)

    def classify_documents(self, documents: Iterable[Document | Failure]) -> Iterator[Result | Failure]:
        """Results in the order of the documents; a failure passes through in its place."""
        waiting: list[Piece | Failure] = []
        done: list[Result] = []  # the pieces so far of the document at hand
        units = 0
        for document in documents:
            for piece in [document] if isinstance(document, Failure) else cut(document):
                waiting.append(piece)
                units += 0 if isinstance(piece, Failure) else len(piece.spans)
                if units >= BATCH_UNITS:
                    yield from self._results(waiting, done)
                    waiting, units = [], 0
        yield from self._results(waiting, done)

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

    def _results(self, items: Sequence[Piece | Failure], pieces: list[Result]) -> Iterator[Result | Failure]:
        """Results of what is complete; ``pieces`` of a document that goes on are kept for the next call."""
        scored = self._scored([item for item in items if not isinstance(item, Failure)])
        for item in items:
            if isinstance(item, Failure):
                yield item
                continue
            pieces.append(next(scored))
            if item.last:
                yield _joined(pieces)
                pieces.clear()

    def _scored(self, pieces: Sequence[Piece]) -> Iterator[Result]:
        """A Result for each piece of a document, without the units that it holds only as context."""
        labels = tuple(self.classifier.labels)
        probabilities, uncertain = np.zeros((0, len(labels))), np.zeros(0, dtype=bool)
        if any(one.spans for one in pieces):
            batch = batch_of_pieces(pieces)
            probabilities = rounded(self.classifier.predict_proba(batch))
            uncertain = self.classifier.uncertain(batch, probabilities)
        best = probabilities.argmax(axis=1)
        confidence = probabilities[np.arange(len(best)), best]
        at = 0
        for one in pieces:
            mine = slice(at + one.context, at + len(one.spans))
            at = mine.stop
            columns = best[mine], confidence[mine], uncertain[mine], probabilities[mine]
            yield Result(one.document, one.spans[one.context :], labels, *columns)


def _joined(pieces: Sequence[Result]) -> Result:
    """The pieces of one document as one."""
    if len(pieces) == 1:
        return pieces[0]
    return Result(
        pieces[0].document,
        tuple(span for piece in pieces for span in piece.spans),
        pieces[0].labels,
        np.concatenate([piece.best for piece in pieces]),
        np.concatenate([piece.confidence for piece in pieces]),
        np.concatenate([piece.uncertain for piece in pieces]),
        np.concatenate([piece.probabilities for piece in pieces]),
    )


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
    return model_of(*registry.load_model(folder, model_id), folder)


def model_of(classifier: UnitClassifier, info: ModelInfo, folder: Path | None = None) -> Model:
    """The model of what :func:`pipeline.registry.load_model` gives, ready for use.

    Raises
    ------
    PipelineError
        It was made by other code than is installed, or needs a sentence encoder that is not on this machine.
    """
    check_probe(classifier, info, str(folder / info.id if folder else info.id))
    if isinstance(classifier, CombinedClassifier):
        classifier.open_encoder()
    return Model(classifier, info, folder)
