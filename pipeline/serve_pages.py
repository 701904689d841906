"""The pages of the server, and what their scripts ask for: the same sentences and explanations as in a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from pipeline.classify import Model
from pipeline.corpus_labels import LabelSet, load_labels
from pipeline.page import Look, asset, colour_css, json_block, looks, policy, render
from pipeline.page_articles import MOST_TERMS, PageData, article
from pipeline.places import corpus_folder
from pipeline.records import Failure, PipelineError, Result
from pipeline.serve_guard import RequestError
from pipeline.serve_models import Loaded

_STYLES = ["base.css", "report.css", "serve.css"]
#: Articles of an uploaded file that a page shows; a report is the place for more.
MOST_SHOWN = 50


def model_looks(model: Model, labels: LabelSet | None = None) -> list[Look]:
    """How the labels of a model look: its own colours, and the letters of the corpus."""
    if labels is None:
        try:
            labels = load_labels(corpus_folder())
        except PipelineError:
            return looks(model.info.labels, model.info.corpus.get("colours", {}))
    colours = model.info.corpus.get("colours") or labels.colours
    return looks(model.info.labels, colours, {name: labels.letters[name] for name in labels.names})


def page(template: str, scripts: Sequence[str], shown: Sequence[Look], **context: Any) -> tuple[str, str]:
    """A page of the server, and its Content-Security-Policy to send as a header too. It may ask its own server only."""
    more = {"connect_src": "'self'"}
    html = render(template, styles=_STYLES, scripts=scripts, shown=shown, policy_more=more, **context)
    style, script = colour_css(shown) + "".join(map(asset, _STYLES)), "".join(map(asset, scripts))
    return html, policy(style, script, **more)


def start_page(model: Model, max_bytes: int, *, reviewing: bool = False) -> tuple[str, str]:
    """Where somebody pastes an article or drops a file."""
    shown = model_looks(model)
    data = {"letters": [look.letter for look in shown], "maxBytes": max_bytes}
    return page(
        "start.html.j2",
        ["units.js", "serve.js", "start.js"],
        shown,
        model=model.info.id,
        reviewing=reviewing,
        settings=json_block(data),
    )


def docs_page(model: Model, schema: Mapping[str, Any]) -> tuple[str, str]:
    """The operations, drawn from the OpenAPI schema without a script or anything from the network."""
    operations = []
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            body = operation.get("requestBody", {}).get("content", {})
            fields = [
                (kind, name, field.get("description", ""), name in content["schema"].get("required", ()))
                for kind, content in body.items()
                for name, field in content["schema"]["properties"].items()
            ]
            told = operation.get("description", "")
            operations.append({"method": method.upper(), "path": path, "told": told, "fields": fields})
    statuses = sorted({(status, said["description"]) for status, said in _answers(schema) if status != "200"})
    return page("docs.html.j2", [], model_looks(model), model=model.info.id, operations=operations, statuses=statuses)


def _answers(schema: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    return [
        answer
        for methods in schema["paths"].values()
        for operation in methods.values()
        for answer in operation["responses"].items()
    ]


def article_data(model: Model, results: Sequence[Result], failures: Sequence[Failure]) -> dict[str, Any]:
    """Classified articles for the start page: paragraphs of sentences, and the numbers that ``units.js`` reads."""
    shown = model_looks(model)
    data = PageData(list(model.info.labels))
    articles = []
    for number, result in enumerate(results[:MOST_SHOWN]):
        one = article(number, result, shown)
        data.add(one, result)
        articles.append(asdict(one))
    left = [f"{len(results) - MOST_SHOWN} more articles are not shown"] if len(results) > MOST_SHOWN else []
    return {
        "model": model.info.id,
        "page": data.units_block(),
        "articles": articles,
        "failures": [str(failure) for failure in failures] + left,
    }


def reasons_data(loaded: Loaded, results: Sequence[Result], most_units: int) -> dict[str, Any]:
    """What moved the sentences of the same articles.

    Raises
    ------
    RequestError
        422 where they are more than ``most_units``.
    """
    results = results[:MOST_SHOWN]
    many = sum(len(result.predictions) for result in results)
    if many > most_units:
        message = f"explanations are made for up to {most_units} sentences at once, these are {many}"
        raise RequestError(422, "too_long", message)
    shown = model_looks(loaded.model)
    data = PageData(list(loaded.model.info.labels))
    for number, result in enumerate(results):
        data.add(article(number, result, shown), result, loaded.reasoner().of_result(result, most=MOST_TERMS))
    return {"model": loaded.model.info.id, **data.why_block()}
