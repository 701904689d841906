"""What a running server counts, for Prometheus."""

from __future__ import annotations

import time
from collections import Counter as Tally
from collections.abc import Iterable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

from pipeline.records import Result
from pipeline.serve_guard import App, Message, Receive, Scope, Send
from pipeline.serve_models import ModelKeeper

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_TOGETHER = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """The counters of one server, in a registry of their own."""

    def __init__(self, keeper: ModelKeeper) -> None:
        self._keeper = keeper
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self._requests = Counter(
            "communique_requests",
            "Answers by path, method and status.",
            ["path", "method", "status"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "communique_request_seconds",
            "Time to the end of an answer.",
            ["path"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._running = Gauge(
            "communique_requests_in_progress", "Requests without an answer yet.", registry=self.registry
        )
        self._units = Counter("communique_units", "Classified units by label.", ["label"], registry=self.registry)
        self._together = Histogram(
            "communique_batch_documents",
            "Documents of one call of the model.",
            buckets=_TOGETHER,
            registry=self.registry,
        )
        self._model = Gauge("communique_model_info", "1 for the model in use.", ["model"], registry=self.registry)
        self._reloads = Gauge(
            "communique_model_reloads", "Changes of the model so far.", ["result"], registry=self.registry
        )

    def batch(self, documents: int) -> None:
        """One call of the model."""
        self._together.observe(documents)

    def units(self, results: Iterable[Result]) -> None:
        """What was classified."""
        found = Tally(prediction.label for result in results for prediction in result.predictions)
        for label, many in found.items():
            self._units.labels(label).inc(many)

    def text(self) -> bytes:
        """Everything, in Prometheus's text format."""
        self._model.clear()
        self._model.labels(self._keeper.current.model.info.id).set(1)
        for result, many in self._keeper.reloads.items():
            self._reloads.labels(result).set(many)
        return generate_latest(self.registry)

    def around(self, app: App) -> App:
        """The application with its answers counted. Unknown paths count as one: they are the caller's to choose."""

        async def counted(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            status, began = 0, time.perf_counter()

            async def counted_send(message: Message) -> None:
                nonlocal status
                if message["type"] == "http.response.start":
                    status = message["status"]
                await send(message)

            with self._running.track_inprogress():
                try:
                    await app(scope, receive, counted_send)
                finally:
                    path = getattr(scope.get("route"), "path", "other")
                    method = scope["method"] if scope["method"] in ("GET", "HEAD", "POST") else "other"
                    self._requests.labels(path, method, str(status or "none")).inc()
                    self._seconds.labels(path).observe(time.perf_counter() - began)

        return counted
