"""The review page of the server: a unit in its article, a decision, the next one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, ConfigDict, Field

from pipeline.page import json_block
from pipeline.page_articles import article
from pipeline.review import Review, Task, checked_name
from pipeline.serve_pages import model_looks, page
from pipeline.serve_requests import answer, body_of

#: Decisions of one person that the page lists.
_RECENT = 12


class StateRequest(BaseModel):
    """Who asks, and for which unit; the next one where none is named."""

    model_config = ConfigDict(extra="forbid")
    annotator: str = Field(max_length=200)
    id: str | None = Field(None, max_length=64)


class DecideRequest(BaseModel):
    """A decision; without a label the unit is skipped."""

    model_config = ConfigDict(extra="forbid")
    annotator: str = Field(max_length=200)
    id: str = Field(max_length=64)
    label: str | None = Field(None, max_length=80)
    note: str | None = Field(None, max_length=4000)


class ReviewRoutes:
    """The operations behind the review page.

    Parameters
    ----------
    review : Review
    annotator : str
        The name that the page begins with; each browser can have its own.
    """

    def __init__(self, review: Review, annotator: str) -> None:
        self.review = review
        self.annotator = checked_name(annotator)
        self._looks = model_looks(review.model, review.material.labels)
        self._number = {look.name: number for number, look in enumerate(self._looks)}

    def add_to(self, app: FastAPI) -> None:
        """Put the page and its operations into an application. They are no part of its public schema."""
        add = app.add_api_route
        add("/review", self._page, methods=["GET", "HEAD"], include_in_schema=False)
        add("/review/state", self._state_asked, methods=["POST"], include_in_schema=False)
        add("/review/decide", self._decide, methods=["POST"], include_in_schema=False)
        add("/review/undo", self._undo, methods=["POST"], include_in_schema=False)

    async def _page(self) -> Response:
        labels = self.review.material.labels
        keys = [
            {"name": look.name, "letter": look.letter, "told": labels.definitions[look.name]} for look in self._looks
        ]
        html, policy = page(
            "review.html.j2",
            ["units.js", "serve.js", "review.js"],
            self._looks,
            model=self.review.model.info.id,
            folder=str(self.review.folder),
            definitions=labels.definitions,
            settings=json_block({"annotator": self.annotator, "labels": keys}),
        )
        return HTMLResponse(html, headers={"Content-Security-Policy": f"{policy}; frame-ancestors 'none'"})

    async def _state_asked(self, request: Request) -> Response:
        wanted = await body_of(request, StateRequest)
        return await self._answer(lambda: self._state(wanted.annotator, wanted.id))

    async def _decide(self, request: Request) -> Response:
        wanted = await body_of(request, DecideRequest)

        def work() -> dict[str, Any]:
            self.review.decide(wanted.id, wanted.label, wanted.annotator, wanted.note)
            return self._state(wanted.annotator)

        return await self._answer(work)

    async def _undo(self, request: Request) -> Response:
        wanted = await body_of(request, StateRequest)

        def work() -> dict[str, Any]:
            undone = self.review.undo(wanted.annotator)
            here = undone is not None and undone.unit.id in self.review.material.units
            state = self._state(wanted.annotator, undone.unit.id if undone is not None and here else None)
            return {**state, "undone": None if undone is None else (undone.label or "skipped")}

        return await self._answer(work)

    async def _answer(self, work: Callable[[], dict[str, Any]]) -> Response:
        # the disk is waited for in another thread, and never given up half-way: a decision is on it or refused
        return answer(await asyncio.shield(asyncio.to_thread(work)))

    def _state(self, annotator: str, key: str | None = None) -> dict[str, Any]:
        name = checked_name(annotator)
        task = self.review.next(name) if key is None else self.review.task(key)
        return {
            "task": None if task is None else self._task(task, name),
            "progress": asdict(self.review.progress(name)),
            "recent": self._recent(name),
            "warnings": self.review.warnings(),
        }

    def _task(self, task: Task, annotator: str) -> dict[str, Any]:
        material, unit = self.review.material, task.unit
        number, index = material.place[unit.id]
        prediction = material.prediction(unit.id)
        verdict = self.review.held().get(unit.id)
        mine = verdict.by.get(annotator) if verdict is not None else None
        return {
            "id": unit.id,
            "index": index,
            "reason": task.reason,
            "title": unit.title,
            "article": unit.article,
            "paragraphs": self._paragraphs(number),
            "known": unit.known[0].label if unit.known else None,
            "suggested": prediction.label,
            "probabilities": [prediction.probabilities[look.name] for look in self._looks],
            "mine": mine.label if mine is not None else None,
            "note": mine.note if mine is not None else None,
            "others": {name: label for name, label in verdict.labels.items() if name != annotator} if verdict else {},
        }

    def _paragraphs(self, number: int) -> list[dict[str, Any]]:
        """The article without what the model says of it, which would put words into the annotator's mouth."""
        material = self.review.material
        decided = {
            material.place[key][1]: verdict.label
            for key, verdict in self.review.held().items()
            if key in material.place and material.place[key][0] == number
        }
        found = article(number, material.results[number], self._looks)
        return [
            {
                "kind": paragraph.kind,
                "sentences": [
                    {
                        "number": one.number,
                        "text": one.text,
                        "label": self._number.get(decided.get(one.number) or "", -1),
                    }
                    for one in paragraph.sentences
                ],
            }
            for paragraph in found.paragraphs
        ]

    def _recent(self, annotator: str) -> list[dict[str, Any]]:
        """The last decisions of a person that hold, the latest first."""
        held = self.review.held().values()
        own = [(verdict.by[annotator], verdict) for verdict in held if annotator in verdict.by]
        place = {id(entry): number for number, entry in enumerate(self.review.log.entries)}
        own.sort(key=lambda pair: -place[id(pair[0])])
        return [
            {
                "id": one.unit.id,
                "here": one.unit.id in self.review.material.units,
                "label": self._number.get(one.label or "", -1),
                "name": one.label or "skipped",
                "disputed": verdict.disputed,
                "text": one.unit.text,
                "note": one.note,
            }
            for one, verdict in own[:_RECENT]
        ]
