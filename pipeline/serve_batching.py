"""Micro-batching: texts of requests that arrive together are classified by one call of the model.

All computing happens in one thread: numpy holds the cores for itself anyway, spaCy's vocabulary is not made to be
written by two, and the event loop stays free to take requests and to say that the server is alive.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pipeline.classify import Model
from pipeline.records import Document, Result
from pipeline.serve_guard import RequestError
from pipeline.serve_models import Loaded, ModelKeeper

#: Texts of one call, at most; a batch also ends where nothing more is waiting.
MOST_TOGETHER = 64


def _classify(model: Model, documents: Sequence[Document]) -> list[Result]:
    found = list(model.classify_documents(documents))
    return [result for result in found if isinstance(result, Result)]


class Batcher:
    """Collects what waits while the model computes, and hands all of it over at once.

    No request waits for others to come: a batch is what has arrived while the last one was computed, so that a
    lone request is answered at once and a crowd shares the fixed cost of a call.

    Parameters
    ----------
    keeper : ModelKeeper
    max_waiting : int
        Requests that may wait; one more is answered with 503.
    on_batch : callable, optional
        Is given the number of documents of each call.
    """

    def __init__(self, keeper: ModelKeeper, max_waiting: int, on_batch: Callable[[int], None] | None = None) -> None:
        self.keeper = keeper
        self._queue: asyncio.Queue[tuple[list[Document], asyncio.Future[tuple[Model, list[Result]]]]]
        self._queue = asyncio.Queue(max_waiting)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="model")
        self._on_batch = on_batch or (lambda _: None)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to serve, in the running event loop."""
        self._task = asyncio.create_task(self._serve())

    async def stop(self) -> None:
        """End, after every answer has been given."""
        if self._task is not None:
            self._task.cancel()
        self._thread.shutdown(wait=True)

    async def classify(self, documents: list[Document]) -> tuple[Model, list[Result]]:
        """The results of some documents, in their order, all by one model, which is returned too.

        Raises
        ------
        RequestError
            503 where too many wait already.
        """
        future: asyncio.Future[tuple[Model, list[Result]]] = asyncio.get_running_loop().create_future()
        try:
            self._queue.put_nowait((documents, future))
        except asyncio.QueueFull:
            raise RequestError(503, "busy", "too many requests are waiting", remedy="ask again later") from None
        return await future

    async def compute(self, work: Callable[[Loaded], Any]) -> Any:
        """Anything else that needs the model, in the same thread and with the model in use by then."""

        def run() -> Any:
            return work(self.keeper.current)

        return await asyncio.get_running_loop().run_in_executor(self._thread, run)

    async def _serve(self) -> None:
        while True:
            waiting = [await self._queue.get()]
            while len(waiting) < MOST_TOGETHER and not self._queue.empty():
                waiting.append(self._queue.get_nowait())
            # whoever has gone or was told that it took too long needs no answer
            waiting = [(documents, future) for documents, future in waiting if not future.done()]
            if waiting:
                await self._answer(waiting)

    async def _answer(self, waiting: list[tuple[list[Document], asyncio.Future[tuple[Model, list[Result]]]]]) -> None:
        documents = [document for wanted, _ in waiting for document in wanted]
        self._on_batch(len(documents))
        try:
            model, results = await self._run(documents)
        except Exception as error:
            if len(waiting) == 1:
                _, future = waiting[0]
                if not future.done():
                    future.set_exception(error)
                return
            for one in waiting:  # one bad text must not fail the others
                await self._answer([one])
            return
        at = 0
        for wanted, future in waiting:
            if not future.done():
                future.set_result((model, results[at : at + len(wanted)]))
            at += len(wanted)

    async def _run(self, documents: list[Document]) -> tuple[Model, list[Result]]:
        def run() -> tuple[Model, list[Result]]:
            model = self.keeper.current.model
            return model, _classify(model, documents)

        return await asyncio.get_running_loop().run_in_executor(self._thread, run)
