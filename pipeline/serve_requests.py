"""Bodies of requests to documents, and results to answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any, TypeVar

from fastapi import Request, Response
from pydantic import BaseModel, ValidationError
from starlette.datastructures import UploadFile

from pipeline.classify import Model
from pipeline.decoding import check_text
from pipeline.readers import read_bytes
from pipeline.records import Document, Failure, PipelineError, Result
from pipeline.serve_guard import RequestError
from pipeline.serve_schema import TextRequest

Body = TypeVar("Body", bound=BaseModel)


def json_body(model: type[BaseModel]) -> dict[str, Any]:
    """The part of an operation's schema that says which JSON it takes."""
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": model.model_json_schema()}}}}


def text_or_file() -> dict[str, Any]:
    """The part of an operation's schema that says it takes a text as JSON, or a file."""
    found = json_body(TextRequest)
    found["requestBody"]["content"]["multipart/form-data"] = {
        "schema": {
            "type": "object",
            "required": ["file"],
            "properties": {
                "file": {
                    "type": "string",
                    "format": "binary",
                    "description": "Named .txt, .md, .html, .jsonl or .csv: the ending says how it is read.",
                },
                "text_field": {
                    "type": "string",
                    "minLength": 1,
                    "default": "text",
                    "description": "The field of JSON Lines, or the column of CSV, that holds the text.",
                },
            },
        }
    }
    return found


async def body_of(request: Request, model: type[Body]) -> Body:
    """The JSON body of a request, checked.

    Raises
    ------
    RequestError
        415 for another content type, 422 with every problem of the body.
    """
    content_type = _content_type(request)
    if content_type != "application/json":
        raise RequestError(
            415, "unsupported_type", f"found the content type '{content_type[:80]}'", remedy="send application/json"
        )
    try:
        return model.model_validate_json(await request.body(), strict=True)
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, found['loc'])) or 'body'}: {found['msg']}" for found in error.errors()[:5]]
        raise RequestError(422, "invalid", "; ".join(problems)[:1000], where="body", remedy="see /docs") from None


async def documents_of(request: Request) -> tuple[list[Document], list[Failure], bool]:
    """The documents of a request, what of it could not be read, and whether it was an uploaded file.

    Raises
    ------
    RequestError
        The body is not what is asked for, or nothing of it can be read.
    """
    if _content_type(request) != "multipart/form-data":
        wanted = await body_of(request, TextRequest)
        try:
            check_text(wanted.text)
        except PipelineError as error:
            raise RequestError(422, "unreadable", error.message, where="text") from None
        return [Document(wanted.id, wanted.text, wanted.title)], [], False
    async with request.form(max_files=1, max_fields=10) as form:
        upload, field = form.get("file"), form.get("text_field", "text")
        if not isinstance(upload, UploadFile) or not upload.filename:
            raise RequestError(422, "invalid", "there is no file in the form", where="file", remedy="see /docs")
        if not isinstance(field, str) or not field:
            raise RequestError(422, "invalid", "must be a name", where="text_field")
        data, name = await upload.read(), upload.filename.replace("\\", "/").rpartition("/")[2] or "file"
    # a large page takes a while to read, and others should not wait for it
    found = await asyncio.to_thread(lambda: list(read_bytes(data, name, text_field=field)))
    documents = [one for one in found if isinstance(one, Document)]
    failures = [one for one in found if isinstance(one, Failure)]
    if not documents:
        first = failures[0] if failures else Failure(name, "holds no article")
        where = first.source if first.line is None else f"{first.source}:{first.line}"
        raise RequestError(422, "unreadable", first.reason, where=where)
    return documents, failures, True


def classified(
    model: Model, results: Sequence[Result], failures: Sequence[Failure], *, with_text: bool
) -> dict[str, Any]:
    """The answer to a request to classify, as ``serve_schema.Classified`` describes it."""
    return {
        "model": model.info.id,
        "documents": [
            {
                "id": result.document.id,
                "title": result.document.title,
                "date": result.document.date,
                "warnings": list(result.document.warnings),
                "text": result.document.text if with_text else None,
                "units": [prediction.row() for prediction in result.predictions],
            }
            for result in results
        ],
        "failures": [{"source": one.source, "line": one.line, "reason": one.reason} for one in failures],
    }


def answer(content: Any, status: int = 200) -> Response:
    """A JSON answer. Half a surrogate pair, which a file can hold, goes out as an escape."""
    try:
        body = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        body = json.dumps(content, allow_nan=False, separators=(",", ":")).encode()
    return Response(body, status, media_type="application/json")


def _content_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()
