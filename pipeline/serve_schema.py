"""What goes over the wire, as pydantic models: requests are checked against them, and the schema is drawn from them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

#: Units that one request to explain may have: each costs a look through the corpus.
MOST_EXPLAINED = 500


class TextRequest(BaseModel):
    """One text to classify."""

    model_config = ConfigDict(extra="forbid")
    text: str = Field(description="Plain text or Markdown.", examples=["The minister wants a deal before the spring."])
    title: str | None = Field(None, description="Its headline, if that does not stand in the text.", max_length=2000)
    id: str = Field("text", description="Comes back as `document`.", min_length=1, max_length=500)


class ExplainRequest(BaseModel):
    """One text to explain."""

    model_config = ConfigDict(extra="forbid")
    text: str = Field(examples=["The minister wants a deal before the spring."])
    title: str | None = Field(None, max_length=2000)
    index: int | None = Field(None, ge=0, le=1_000_000, description="Explain only this unit.")
    most: int = Field(12, ge=1, le=100, description="Words and cues to name; the others are summed.")


class UnitRow(BaseModel):
    """The output row of one unit, as `communique classify` writes it."""

    document: str
    index: int
    kind: Literal["sentence", "heading", "bullet"]
    section: str | None
    start: int
    end: int
    text: str
    label: str
    confidence: float
    uncertain: bool
    probabilities: dict[str, float]


class DocumentRow(BaseModel):
    """A classified document. ``text[start:end]`` of a unit is its text; `text` is null where the caller sent it."""

    id: str
    title: str | None
    date: str | None
    warnings: list[str]
    text: str | None
    units: list[UnitRow]


class FailureRow(BaseModel):
    """A document of an uploaded file that could not be read; ``line`` counts from 1."""

    source: str
    line: int | None
    reason: str


class Classified(BaseModel):
    """What was classified, all by one model."""

    model: str
    documents: list[DocumentRow]
    failures: list[FailureRow]


class ReasonsRow(UnitRow):
    """A unit with what moved it: ``terms`` sum to ``scores``."""

    scores: dict[str, float]
    terms: list[dict[str, Any]]
    precedents: list[dict[str, Any]]


class Explained(BaseModel):
    """The reasons of the units of one text."""

    model: str
    units: list[ReasonsRow]


class ModelRow(BaseModel):
    """The model in use, as its manifest says."""

    id: str
    created: str
    labels: list[str]
    thresholds: dict[str, float]
    metrics: dict[str, Any]
    versions: dict[str, str]
    opened: float = Field(description="When the server opened it, in seconds since 1970.")
    problem: str | None = Field(description="Why a model that was promoted since is not used.")


class Health(BaseModel):
    """That the server answers."""

    status: Literal["ok"]
    model: str


class ErrorDetail(BaseModel):
    """What is wrong, where, and what to do."""

    code: str
    message: str
    where: str | None
    remedy: str | None


class Error(BaseModel):
    """The one shape of every error."""

    error: ErrorDetail


#: What every operation may answer; for the schema.
ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": Error, "description": description}
    for status, description in {
        400: "not readable as a request",
        401: "a token is needed",
        403: "a page of another origin asks",
        405: "another method is needed",
        413: "too large",
        421: "not a name of this server",
        422: "not what is asked for",
        500: "a fault of the server",
        503: "too many requests wait",
        504: "took too long",
    }.items()
}
