"""The words everything else is written in: frozen records and the one error type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Kind = Literal["sentence", "heading", "bullet"]
KINDS: tuple[Kind, ...] = ("sentence", "heading", "bullet")

#: The label of a unit that states none of the functions. It is always the last of a model's labels.
BACKGROUND = "background"


class PipelineError(Exception):
    """Something that the user can mend: where, what was found, what is allowed, what to run.

    Parameters
    ----------
    message : str
        What is wrong, and what would be right.
    where : str
        The file, ``file:line`` or option it was found at; empty where there is none.
    remedy : str
        What to do or to run next; empty where the message says it all.
    """

    def __init__(self, message: str, *, where: str = "", remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.remedy = remedy

    def __str__(self) -> str:
        text = f"{self.where}: {self.message}" if self.where else self.message
        return f"{text} ({self.remedy})" if self.remedy else text


@dataclass(frozen=True, slots=True)
class Failure:
    """One source (or one row of it) that could not be read or classified; the others still are.

    ``line`` counts from 1, and is None where the whole source failed.
    """

    source: str
    reason: str
    line: int | None = None

    def __str__(self) -> str:
        where = self.source if self.line is None else f"{self.source}:{self.line}"
        return f"{where}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Document:
    """One article as text. Offsets of units count characters of ``text``."""

    id: str
    text: str
    title: str | None = None
    date: str | None = None
    source: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Unit:
    """A sentence, heading or bullet: ``document.text[start:end] == text``, always.

    ``section`` is the heading above it or, for a list item, the lead-in line of its list.
    """

    document: str
    index: int
    kind: Kind
    section: str | None
    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Example:
    """One labelled unit of the corpus. ``article`` is the group that no split may cut."""

    article: str
    title: str
    genre: str
    section: str | None
    kind: Kind
    text: str
    label: str
    source: str | None = None
    annotator: str | None = None
    note: str | None = None
    #: where it stands: the corpus file and its line, counting from 1
    file: str = ""
    line: int = 0


@dataclass(frozen=True, slots=True)
class Mistake:
    """A labelled unit that a model got wrong, with the probabilities of what it said and of the truth."""

    example: Example
    said: str
    confidence: float
    true_probability: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """A unit with its label. ``probabilities`` covers every label and sums to 1."""

    unit: Unit
    label: str
    confidence: float
    uncertain: bool
    probabilities: Mapping[str, float]

    def row(self) -> dict[str, Any]:
        """The output row, with the keys in the order of the contract."""
        row = asdict(self.unit)
        return {
            **row,
            "label": self.label,
            "confidence": self.confidence,
            "uncertain": self.uncertain,
            "probabilities": dict(self.probabilities),
        }


@dataclass(frozen=True, slots=True)
class LabelScore:
    """Precision, recall and F1 of one label, each in 0..1, and its number of true units.

    ``f1_interval`` is a 95 % interval by resampling articles; None where it was not measured.
    """

    precision: float
    recall: float
    f1: float
    support: int
    f1_interval: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class GenreScore:
    """Scores on the units of one genre; a label that does not occur there counts as an F1 of 0.

    ``macro_f1_interval`` is a 95 % interval by resampling articles; None where there is only one.
    """

    units: int
    articles: int
    accuracy: float
    macro_f1: float
    macro_f1_interval: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class ConfidenceBin:
    """The units whose label was given with a confidence of ``low`` to ``high``.

    ``confidence`` is their mean confidence and ``right`` the share of them whose label is right.
    """

    low: float
    high: float
    units: int
    confidence: float
    right: float


@dataclass(frozen=True, slots=True)
class Surest:
    """The most confident units of some: how many, from which confidence on, and the share that is right.

    ``right_interval`` is a 95 % interval by resampling articles, and never narrower than Wilson's.
    """

    share: float
    units: int
    confidence: float
    right: float
    right_interval: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores of one model on one set of labelled units.

    ``confusion[i][j]`` counts units whose true label is ``labels[i]`` and predicted ``labels[j]``.
    ``macro_f1_interval`` is a 95 % interval by resampling articles. ``calibration_error`` is the
    expected calibration error of the winning label's probability in ten bins of equal width, and
    ``calibration`` those of the bins that hold units. ``coverage`` says how often the labels other than
    background are right where a growing share of them is taken, the most confident first, and
    ``most_confident`` of each label the same for its fifty most confident units. What follows
    ``uncertain_share`` is empty in evaluations that an earlier version made.
    """

    name: str
    units: int
    articles: int
    labels: tuple[str, ...]
    accuracy: float
    macro_f1: float
    macro_f1_interval: tuple[float, float]
    calibration_error: float
    per_label: Mapping[str, LabelScore]
    macro_f1_by_genre: Mapping[str, float]
    confusion: tuple[tuple[int, ...], ...]
    uncertain_share: float
    accuracy_interval: tuple[float, float] | None = None
    by_genre: Mapping[str, GenreScore] = field(default_factory=dict)
    calibration: tuple[ConfidenceBin, ...] = ()
    coverage: tuple[Surest, ...] = ()
    most_confident: Mapping[str, Surest] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Plain types only, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What ``model.json`` says of a saved model: enough to trust it, redo it, and render its card."""

    id: str
    manifest_version: int
    created: str
    labels: tuple[str, ...]
    thresholds: Mapping[str, float]
    seed: int
    command: str
    settings: Mapping[str, Any]
    corpus: Mapping[str, Any]
    metrics: Mapping[str, Any]
    versions: Mapping[str, str]
    sha256: str
    timings: Mapping[str, float] = field(default_factory=dict)
    #: what the gate found and decided (see :mod:`pipeline.gate`); None where nothing was compared
    gate: Mapping[str, Any] | None = None
    #: where a model came from that `communique models import` put here; None for one that was trained here
    imported: Mapping[str, Any] | None = None
    #: what it says of fixed sentences, by which a change of the code is noticed; None in older models
    probe: Sequence[Sequence[float]] | None = None
