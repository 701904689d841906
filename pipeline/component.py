"""spaCy component ``communique``: the labelled units of a Doc as a span group.

>>> import spacy
>>> nlp = spacy.blank("en")
>>> classifier = nlp.add_pipe("communique")
>>> for span in nlp("The minister wants a deal before the spring.").spans["communique"]:
...     print(span.text, span._.label)
The minister wants a deal before the spring. goal
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from spacy.language import Language
from spacy.tokens import Doc, Span

from pipeline.places import models_folder
from pipeline.records import Document, Failure, PipelineError, Prediction

if TYPE_CHECKING:
    from pipeline.classify import Model

COMPONENT = "communique"
_REFERENCE = "reference.json"
EXTENSIONS = ("label", "scores", "uncertain")


def register_extensions() -> None:
    """Make ``span._.label`` (str), ``.scores`` (label to probability) and ``.uncertain`` (bool) known to spaCy."""
    for name in EXTENSIONS:
        if not Span.has_extension(name):
            Span.set_extension(name, default=None)


register_extensions()


@Language.factory(
    COMPONENT,
    assigns=["doc.spans", *(f"span._.{name}" for name in EXTENSIONS)],
    default_config={"model": None, "models": None, "spans_key": COMPONENT},
)
def create_classifier(nlp: Language, name: str, model: str | None, models: str | None, spans_key: str) -> UnitLabels:
    """What ``nlp.add_pipe("communique", config={...})`` calls.

    Parameters
    ----------
    model : str, optional
        Id of a saved model; default the promoted one.
    models : str, optional
        The models folder; default ``./models``, else the shipped one.
    spans_key : str
        Name of the span group.
    """
    return UnitLabels(name, model, models, spans_key)


class UnitLabels:
    """Sets ``doc.spans[spans_key]``: one span for each sentence, heading and list item, with its label.

    Each span has ``label_``, ``_.label``, ``_.scores`` (probabilities that sum to 1) and ``_.uncertain``. Spans cover
    whole tokens of the Doc; where two units share a token (rare: a list mark glued to its word), the first has it.

    A pipeline goes to disk with a copy of its model, but a model is opened only from a models folder: where the one in
    use here is another, ``spacy.load`` says so. Whoever trusts the maker of the pipeline names the copy,
    ``spacy.load(path, config={"components.communique.models": f"{path}/communique"})``.
    """

    #: spaCy would ask for the labels, and so for the model, before ``from_disk`` says which one it is.
    hide_labels = True

    def __init__(self, name: str, model: str | None, models: str | None, spans_key: str) -> None:
        self.name = name
        self.spans_key = spans_key
        self._wanted = {"id": model, "sha256": None}
        self._models = models
        self._model: Model | None = None

    @property
    def classifier(self) -> Model:
        """The model; opened when it is first needed.

        Raises
        ------
        PipelineError
            There is no such model, or it is not the one that the pipeline was saved with.
        """
        if self._model is None:
            # spaCy imports this module whenever anybody makes a pipeline, whether it has this component or not
            from pipeline.classify import load

            found = load(self._wanted["id"], models=self._models)
            if self._wanted["sha256"] not in (None, found.info.sha256):
                raise PipelineError(f"model {found.info.id} is not the file that this pipeline was saved with")
            self._model = found
        return self._model

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels, in the order of the scores."""
        return self.classifier.info.labels

    def __call__(self, doc: Doc) -> Doc:
        """Label the units of one Doc, and hand it back."""
        return next(self.pipe([doc]))

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 64) -> Iterator[Doc]:
        """Label a stream of Docs, some at a time, in their order."""
        waiting = iter(stream)
        while docs := list(islice(waiting, batch_size)):
            documents = [Document(str(number), doc.text) for number, doc in enumerate(docs)]
            for doc, result in zip(docs, self.classifier.classify_documents(documents), strict=True):
                if not isinstance(result, Failure):
                    self._set(doc, result.predictions)
                yield doc

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        """Which model this is, as JSON; the model itself stays on the shelf."""
        return json.dumps({"id": self.classifier.info.id, "sha256": self.classifier.info.sha256}).encode()

    def from_bytes(self, data: bytes, *, exclude: Iterable[str] = ()) -> UnitLabels:
        """Open the model that ``to_bytes`` named.

        Raises
        ------
        PipelineError
            It is not in the models folder, or another file has its name.
        """
        self._wanted, self._model = json.loads(data), None
        assert self.classifier  # opened now: an error now is better than one at the first Doc
        return self

    def to_disk(self, path: Path | str, *, exclude: Iterable[str] = ()) -> None:
        """Write which model this is, and a copy of it, into a folder."""
        target = Path(path)
        target.mkdir(parents=True, exist_ok=True)
        (target / _REFERENCE).write_bytes(self.to_bytes())
        folder = models_folder(Path(self._models) if self._models else None) / self.classifier.info.id
        shutil.copytree(folder, target / folder.name, dirs_exist_ok=True)

    def from_disk(self, path: Path | str, *, exclude: Iterable[str] = ()) -> UnitLabels:
        """Open the model that was written, from the models folder in use.

        Raises
        ------
        PipelineError
            It is not there, or another file has its name.
        """
        source = Path(path)
        try:
            return self.from_bytes((source / _REFERENCE).read_bytes())
        except PipelineError as error:
            copy = f"spacy.load(..., config={{'components.{self.name}.models': {str(source)!r}}})"
            raise PipelineError(
                f"the model of this pipeline is not in the models folder: {error.message}",
                where=error.where,
                remedy=f"if you trust who made the pipeline, open its own copy with {copy}",
            ) from error

    def _set(self, doc: Doc, predictions: Iterable[Prediction]) -> None:
        spans: list[Span] = []
        for prediction in predictions:
            unit = prediction.unit
            span = doc.char_span(unit.start, unit.end, prediction.label, alignment_mode="expand")
            if span is None or (spans and span.start < spans[-1].end):
                continue
            span._.label = prediction.label
            span._.scores = dict(prediction.probabilities)
            span._.uncertain = prediction.uncertain
            spans.append(span)
        doc.spans[self.spans_key] = spans
