"""The commands with a page behind them: serve, review."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli_base import CorpusOption, ModelOption, ModelsOption, app, model_or_train, reported_errors, say, usage
from pipeline.records import PipelineError

if TYPE_CHECKING:
    from pipeline.review import Review

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
        import prometheus_client  # noqa: F401
        import python_multipart  # noqa: F401
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
        from pipeline.serve_guard import Limits, checked_token

        asked = checked_token(host, token)  # before anything heavy is imported
        from pipeline.serve import allowed_hosts, create_app, open_socket, run
        from pipeline.serve_models import ModelKeeper

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


@app.command(name="review")
def review_cli(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Articles, or a corpus folder to look through again.")
    ],
    annotator: Annotated[
        str | None, typer.Option("--annotator", metavar="NAME", help="Who labels. Default: your login name.")
    ] = None,
    corpus: CorpusOption = None,
    genre: Annotated[str, typer.Option("--genre", help="The genre of new articles, for the corpus.")] = "wire",
    most: Annotated[int, typer.Option("--most", min=1, help="How many units to bring.")] = 200,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the share at random.")] = 0,
    terminal: Annotated[bool, typer.Option("--terminal", help="Ask here, without a browser.")] = False,
    export: Annotated[
        Path | None, typer.Option("--export", metavar="FILE", help="Write the queue and the decisions, and end.")
    ] = None,
    import_: Annotated[
        Path | None, typer.Option("--import", metavar="FILE", help="Take labels from another tool, and end.")
    ] = None,
    form: Annotated[
        str, typer.Option("--format", help="Of --export and --import: prodigy, doccano or argilla.")
    ] = "prodigy",
    force: Annotated[bool, typer.Option("--force", help="Replace the --export file.")] = False,
    text_field: Annotated[
        str, typer.Option("--text-field", metavar="NAME", help="The text column of JSON Lines and CSV.")
    ] = "text",
    host: HostOption = "127.0.0.1",
    port: PortOption = 8642,
    token: TokenOption = None,
    allow_host: AllowHostOption = None,
    model: ModelOption = None,
    models: ModelsOption = None,
) -> None:
    """Label the sentences that are most worth it: a page that brings them in their article, one key for each label.

    Example: communique review news/ --corpus corpus --annotator anna

    Each decision is on the disk at once (review-decisions.log in the corpus folder), and in review.jsonl there, which
    `communique check` accepts and `communique train` learns from. Where the corpus has the text already, its row is
    corrected. Two people can review at once. What two label differently comes back to both, and is not learnt until
    they agree.
    """
    from pipeline.annotation_formats import FORMATS

    if sum((terminal, export is not None, import_ is not None)) > 1:
        usage("give one of --terminal, --export and --import")
    if form not in FORMATS:
        usage(f"--format: unknown format '{form}'; allowed: {', '.join(FORMATS)}")
    with reported_errors():
        in_browser = not terminal and export is None and import_ is None
        if in_browser:
            from pipeline.serve_guard import checked_token

            need_server()
            token = checked_token(host, token)
        from pipeline.review import Review, checked_name

        name = checked_name(annotator if annotator is not None else _login())
        target = _own_corpus(corpus, folder)
        loaded = model_or_train(models, model)
        say(f"communique: reading {folder}")
        review = Review(loaded, folder, target, genre=genre, text_field=text_field, most=most, seed=seed)
        _say_what(review)
        if export is not None or import_ is not None:
            _exchange(review, export, import_, form, name, force=force)
            return
        if terminal:
            from pipeline.review_terminal import review_in_terminal

            review_in_terminal(review, name, sys.stdin, sys.stdout)
            return
        from pipeline.serve import allowed_hosts, create_app, open_socket, run
        from pipeline.serve_models import ModelKeeper
        from pipeline.serve_review import ReviewRoutes

        listening = open_socket(host, port)
        # the queue was chosen by this model, so the start page stays with it too
        keeper = ModelKeeper(models, loaded.info.id, first=loaded, corpus=target)
        hosts = allowed_hosts(host, allow_host or [], token)
        served = create_app(keeper, token=token, hosts=hosts, review=ReviewRoutes(review, name))
        say(f"communique: review at {address(host, listening.getsockname()[1], '/review')}")
        run(served, listening)
        say("communique: stopped")


def _say_what(review: Review) -> None:
    for failure in review.material.failures:
        say(f"communique: {failure}")
    for why, many in review.material.passed_over.items():
        say(f"communique: {many} {why} (not offered)")
    for warning in review.warnings():
        say(f"communique: {warning}")
    say(f"communique: {len(review.queue)} units to review; decisions go to {review.corpus}")


def _exchange(
    review: Review, export: Path | None, import_: Path | None, form: str, annotator: str, *, force: bool
) -> None:
    from pipeline.review_exchange import export_review, import_labels

    if export is not None:
        say(f"communique: {export_review(review, export, form, force=force)} rows in {export}")
    if import_ is not None:
        new, passed, failures = import_labels(review, import_, form, annotator)
        for failure in failures:
            say(f"communique: {failure}")
        say(f"communique: {new} new decisions, {passed} rows without one or known already, {len(failures)} not taken")
        if failures:
            raise typer.Exit(1)


def _own_corpus(named: Path | None, folder: Path) -> Path:
    """The corpus that decisions go to: the named one, the folder itself if it is one, else ``./corpus``."""
    from pipeline.places import corpus_folder, shipped
    from pipeline.review_units import is_corpus

    if named is None and is_corpus(folder):
        return folder
    target = corpus_folder(named)
    if named is not None or target != shipped("corpus"):
        return target
    raise PipelineError(
        "there is no ./corpus for the decisions to go to",
        remedy=f"name one with --corpus, or take communique's own along: cp -r {target} corpus",
    )


def _login() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (OSError, KeyError):
        raise PipelineError("nobody is logged in here", remedy="say who labels with --annotator NAME") from None
