"""The server: the application, its operations, and how it runs and stops."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from starlette.exceptions import HTTPException

from pipeline.records import Document, PipelineError, Result
from pipeline.serve_batching import Batcher
from pipeline.serve_guard import App, Guard, Limits, RequestError, error_content, is_loopback
from pipeline.serve_metrics import Metrics
from pipeline.serve_models import Loaded, ModelKeeper
from pipeline.serve_pages import article_data, docs_page, reasons_data, start_page
from pipeline.serve_requests import answer, body_of, classified, documents_of, json_body, text_or_file
from pipeline.serve_schema import (
    ERRORS,
    MOST_EXPLAINED,
    Classified,
    Explained,
    ExplainRequest,
    Health,
    ModelRow,
)

if TYPE_CHECKING:
    from pipeline.serve_review import ReviewRoutes

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
#: Codes of the errors that the framework raises itself.
_CODES = {400: "malformed", 404: "not_found", 405: "method_not_allowed", 413: "too_large"}


class Service:
    """What the operations of one server share."""

    def __init__(self, keeper: ModelKeeper, limits: Limits) -> None:
        self.keeper = keeper
        self.limits = limits
        self.metrics = Metrics(keeper)
        self.batcher = Batcher(keeper, limits.max_waiting, self.metrics.batch)

    async def explained(self, work: Callable[[Loaded], Any]) -> Any:
        """Work that needs reasons: waits for them to be ready without holding up who only classifies."""
        try:
            await asyncio.wait_for(asyncio.to_thread(self.keeper.current.reasoner), self.limits.timeout * 0.8)
        except TimeoutError:
            message = "the corpus, in which precedents are looked for, is still being read"
            raise RequestError(503, "starting", message, remedy="ask again in some seconds") from None
        return await self.batcher.compute(work)


def create_app(
    keeper: ModelKeeper,
    *,
    limits: Limits | None = None,
    token: str | None = None,
    hosts: Sequence[str] = _LOOPBACK,
    review: ReviewRoutes | None = None,
) -> App:
    """The ASGI application.

    Parameters
    ----------
    keeper : ModelKeeper
    limits : Limits, optional
    token : str, optional
        Asked for with every request but those for the pages themselves.
    hosts : sequence of str
        Names by which the server may be called; empty allows any.
    review : ReviewRoutes, optional
        Adds the review page.
    """
    service = Service(keeper, limits or Limits())

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        keeper.watch()
        service.batcher.start()
        yield
        await service.batcher.stop()
        keeper.close()

    app = FastAPI(
        title="communique",
        version=version("communique"),
        description="Says of every sentence of diplomatic news whether it states a challenge, an opportunity, a goal "
        "or an implication, or only gives background.",
        docs_url=None,  # these two load their scripts from the network
        redoc_url=None,
        lifespan=lifespan,
    )
    _add_errors(app)
    _add_operations(app, service)
    _add_pages(app, service, review is not None)
    if review is not None:
        review.add_to(app)
    return service.metrics.around(Guard(app, limits=service.limits, token=token, hosts=hosts))


def _add_errors(app: FastAPI) -> None:
    """Every error in one shape."""

    @app.exception_handler(RequestError)
    async def refused(_: Request, error: RequestError) -> Response:
        return answer(error.content, error.status)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        found = error.errors()[0]
        where = ".".join(map(str, found["loc"]))
        return answer(error_content("invalid", str(found["msg"]), where=where, remedy="see /docs"), 422)

    @app.exception_handler(PipelineError)
    async def not_possible(_: Request, error: PipelineError) -> Response:
        return answer(error_content("failed", error.message, where=error.where, remedy=error.remedy), 422)

    @app.exception_handler(HTTPException)
    async def of_framework(_: Request, error: HTTPException) -> Response:
        code = _CODES.get(error.status_code, "failed")
        response = answer(error_content(code, str(error.detail)), error.status_code)
        response.headers.update(error.headers or {})
        return response

    @app.exception_handler(Exception)
    async def fault(_: Request, error: Exception) -> Response:
        message = "a fault of the server; its log says more"
        return answer(error_content("internal", f"{message} ({type(error).__name__})"), 500)


def _add_operations(app: FastAPI, service: Service) -> None:
    keeper, batcher = service.keeper, service.batcher

    async def classify(request: Request) -> Response:
        """Classify a text, or the articles of a file. Offsets count characters of the text."""
        documents, failures, uploaded = await documents_of(request)
        model, results = await batcher.classify(documents)
        service.metrics.units(results)
        return answer(classified(model, results, failures, with_text=uploaded))

    async def explain(request: Request) -> Response:
        """Show what moved the labels of a text: words, cues and context, which sum to the scores, and precedents."""
        wanted = await body_of(request, ExplainRequest)

        def work(loaded: Loaded) -> dict[str, Any]:
            (result,) = loaded.model.classify_documents([Document("text", wanted.text, wanted.title)])
            assert isinstance(result, Result)
            many = len(result.predictions)
            if many > MOST_EXPLAINED:
                message = f"the text has {many} units; at most {MOST_EXPLAINED} are explained at once"
                raise RequestError(422, "too_long", message, where="text", remedy="send a part of it")
            if wanted.index is not None and wanted.index >= many:
                message = f"there is no unit {wanted.index}; the text has {many}, counted from 0"
                raise RequestError(422, "no_such_unit", message, where="index")
            reasons = loaded.reasoner().of_result(result, most=wanted.most, only=wanted.index)
            return {"model": loaded.model.info.id, "units": [one.row() for one in reasons]}

        return answer(await service.explained(work))

    async def model() -> Response:
        """The model in use."""
        loaded = keeper.current
        info = loaded.model.info
        return answer(
            {
                "id": info.id,
                "created": info.created,
                "labels": list(info.labels),
                "thresholds": dict(info.thresholds),
                "metrics": dict(info.metrics),
                "versions": dict(info.versions),
                "opened": loaded.opened,
                "problem": keeper.problem,
            }
        )

    async def health() -> Response:
        """That the server answers; needs no token."""
        return answer({"status": "ok", "model": keeper.current.model.info.id})

    async def metrics() -> Response:
        """Counters, in Prometheus's text format."""
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    add = app.add_api_route
    add(
        "/v1/classify",
        classify,
        methods=["POST"],
        summary="Classify",
        response_model=Classified,
        responses={**ERRORS, 415: ERRORS[400]},
        openapi_extra=text_or_file(),
    )
    add(
        "/v1/explain",
        explain,
        methods=["POST"],
        summary="Explain",
        response_model=Explained,
        responses={**ERRORS, 415: ERRORS[400]},
        openapi_extra=json_body(ExplainRequest),
    )
    add("/v1/model", model, methods=["GET"], summary="Model", response_model=ModelRow, responses=ERRORS)
    add("/healthz", health, methods=["GET"], summary="Health", response_model=Health, responses=ERRORS)
    plain: dict[int | str, dict[str, Any]] = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}
    add(
        "/metrics",
        metrics,
        methods=["GET"],
        summary="Metrics",
        response_class=Response,
        responses={**ERRORS, **plain},
    )


def _add_pages(app: FastAPI, service: Service, reviewing: bool) -> None:
    async def start() -> Response:
        return page_answer(*start_page(service.keeper.current.model, service.limits.max_bytes, reviewing=reviewing))

    async def docs() -> Response:
        return page_answer(*docs_page(service.keeper.current.model, app.openapi()))

    async def article(request: Request) -> Response:
        documents, failures, _ = await documents_of(request)
        model, results = await service.batcher.classify(documents)
        service.metrics.units(results)
        return answer(article_data(model, results, failures))

    async def reasons(request: Request) -> Response:
        documents, _, _ = await documents_of(request)

        def work(loaded: Loaded) -> dict[str, Any]:
            found = [one for one in loaded.model.classify_documents(documents) if isinstance(one, Result)]
            return reasons_data(loaded, found, MOST_EXPLAINED)

        return answer(await service.explained(work))

    for path, page in (("/", start), ("/docs", docs)):
        app.add_api_route(path, page, methods=["GET", "HEAD"], include_in_schema=False)
    app.add_api_route("/page/article", article, methods=["POST"], include_in_schema=False)
    app.add_api_route("/page/reasons", reasons, methods=["POST"], include_in_schema=False)


def page_answer(html: str, policy: str) -> Response:
    """A page with its Content-Security-Policy as a header, which no text in the page can come before."""
    return HTMLResponse(html, headers={"Content-Security-Policy": f"{policy}; frame-ancestors 'none'"})


def allowed_hosts(host: str, more: Sequence[str], token: str | None) -> list[str]:
    """The names that a server at an address goes by; none, which allows any, only where a token is asked for."""
    if is_loopback(host):
        return [*_LOOPBACK, host, *more]
    return [host, *more] if more or token is None else []


def open_socket(host: str, port: int) -> socket.socket:
    """The socket to serve at; port 0 takes any free one.

    Raises
    ------
    PipelineError
        It can't be had: the port is taken, or the address is not of this machine.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=512)
    except OSError as error:
        told = error.strerror or str(error)
        reason = told.partition(" (while")[0].lower()  # create_server names the address once more
        raise PipelineError(reason, where=f"{host}:{port}", remedy="name another with --port or --host") from error


def run(app: App, listening: socket.socket, *, graceful: float = 30.0) -> None:
    """Serve until SIGTERM or Ctrl-C; requests that have begun are answered first, for so many seconds."""
    import uvicorn

    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=max(1, round(graceful)),
        h11_max_incomplete_event_size=64 * 1024,
    )
    # uvicorn raises the signal again once it has stopped; to be told to stop is no failure
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    uvicorn.Server(config).run(sockets=[listening])
