"""The verb `explain`: predictions with what moved them, and the corpus units that are most like them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.batches import batch_of_parsed
from pipeline.classify import Model
from pipeline.explain import Explainer, Explanation
from pipeline.places import corpus_folder
from pipeline.precedents import Precedent, Precedents, labelled_units
from pipeline.records import Document, Failure, Prediction, Result
from pipeline.sentences import parse


@dataclass(frozen=True, slots=True)
class Reasons:
    """A prediction, what moved it, and the labelled units of the corpus that are most like it."""

    prediction: Prediction
    explanation: Explanation
    precedents: tuple[Precedent, ...]

    def row(self) -> dict[str, Any]:
        """The output row of the prediction, with ``scores``, ``terms`` and ``precedents``; ready for JSON."""
        precedents = [precedent.as_dict() for precedent in self.precedents]
        return {**self.prediction.row(), **self.explanation.as_dict(), "precedents": precedents}


class Reasoner:
    """Explains what a model says. Made once and asked often: it holds the labelled units of the corpus.

    Parameters
    ----------
    model : Model
    corpus : Path, optional
        Where precedents come from; default ``./corpus`` or the shipped one. Reading it takes some seconds.
    precedents : int, default=3
        How many to find for each unit; with 0 the corpus is not read.

    Raises
    ------
    PipelineError
        There is no such corpus folder.
    """

    def __init__(self, model: Model, corpus: Path | None = None, *, precedents: int = 3) -> None:
        self.model = model
        self.explainer = Explainer(model.classifier)
        self._most = precedents
        self._precedents = (
            Precedents(model.classifier, labelled_units(corpus_folder(corpus))) if precedents > 0 else None
        )

    def explain(self, text: str, *, title: str | None = None, most: int | None = None) -> list[Reasons]:
        """The reasons of every unit of a text; ``most`` as in :meth:`~pipeline.explain.Explainer.explain`."""
        document = Document("text", text, title)
        (result,) = self.model.classify_documents([document])
        assert isinstance(result, Result)
        return self.of_result(result, most=most)

    def of_result(self, result: Result, *, most: int | None = None, only: int | None = None) -> list[Reasons]:
        """The reasons of the units of one classified document, or of the one unit with the index ``only``."""
        if not result.predictions:
            return []
        batch = batch_of_parsed([parse(result.document)])
        explanations: Sequence[Explanation] = self.explainer.explain(batch, most)
        predictions: Sequence[Prediction] = result.predictions
        if self._precedents is None:
            near: Sequence[Sequence[Precedent]] = [()] * len(predictions)
        else:
            near = self._precedents.nearest(batch, self._most)
        found = [
            Reasons(prediction, explanation, tuple(precedents))
            for prediction, explanation, precedents in zip(predictions, explanations, near, strict=True)
        ]
        return found if only is None else [found[only]]

    def of_results(
        self, results: Iterable[Result | Failure], *, most: int | None = None
    ) -> Iterator[tuple[Result, list[Reasons]] | Failure]:
        """The same for many documents, in their order; a failure passes through in its place."""
        for result in results:
            yield result if isinstance(result, Failure) else (result, self.of_result(result, most=most))
