"""The commands with a page behind them: serve, review."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli_base import CorpusOption, ModelOption, ModelsOption, app, model_or_train, reported_errors, say
from pipeline.records import PipelineError

HostOption = Annotated[
    str, typer.Option("--host", metavar="ADDRESS", help="Where to listen; any but this machine's own needs a token.")
]
PortOption = Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes any free one.")]
TokenOption = Annotated[
    str | None,
    typer.Option(
        "--token",
        metavar="TOKEN",
        envvar="COMMUNIQUE_TOKEN",
        show_default=False,
        help="Ask for it with every request. Better given as COMMUNIQUE_TOKEN: others can see options.",
    ),
]
AllowHostOption = Annotated[
    list[str] | None,
    typer.Option("--allow-host", metavar="NAME", help="Another name that the server goes by, such as a proxy's."),
]


def need_server() -> None:
    """Say which extra is missing, where it is."""
    try:
        import fastapi  # noqa: F401
        import multipart  # noqa: F401
        import prometheus_client  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise PipelineError(
            f"the server needs {error.name}, which is not installed", remedy="pip install 'communique[serve]'"
        ) from None


@app.command(name="serve")
def serve_cli(
    host: HostOption = "127.0.0.1",
    port: PortOption = 8642,
    token: TokenOption = None,
    allow_host: AllowHostOption = None,
    max_bytes: Annotated[int, typer.Option("--max-bytes", min=1000, help="Largest request.")] = 1_000_000,
    timeout: Annotated[float, typer.Option("--timeout", min=0.1, help="Seconds that a request may take.")] = 30.0,
    graceful: Annotated[float, typer.Option("--graceful", min=1, help="Seconds to finish requests when stopped.")] = 30,
    corpus: CorpusOption = None,
    model: ModelOption = None,
    models: ModelsOption = None,
) -> None:
    """Serve the model over HTTP: a page to paste articles into, and /v1/classify and /v1/explain for programs.

    Example: communique serve --port 8642

    Only this machine can reach it, unless --host says otherwise. A model that is promoted later is taken up by itself,
    unless --model names one. It stops at SIGTERM or Ctrl-C, when the requests that have begun are answered.
    """
    with reported_errors():
        need_server()
        from pipeline.serve import allowed_hosts, create_app, open_socket, run
        from pipeline.serve_guard import Limits, checked_token
        from pipeline.serve_models import ModelKeeper

        asked = checked_token(host, token)
        listening = open_socket(host, port)
        first = model_or_train(models, model)
        keeper = ModelKeeper(models, model, first=first, corpus=corpus, said=lambda text: say(f"communique: {text}"))
        served = create_app(
            keeper,
            limits=Limits(max_bytes, timeout),
            token=asked,
            hosts=allowed_hosts(host, allow_host or [], asked),
        )
        say(f"communique: model {keeper.current.model.info.id} at {address(host, listening.getsockname()[1])}")
        run(served, listening, graceful=graceful)
        say("communique: stopped")


def address(host: str, port: int, path: str = "/") -> str:
    """The address to open in a browser."""
    name = {"0.0.0.0": "localhost", "::": "localhost"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{name}:{port}{path}"
