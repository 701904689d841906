"""The command `communique`: parse, call, print, exit. Nothing is decided here.

Every command is a thin function over a plain one that anybody can call from Python; heavy modules
are imported inside the commands, so that ``--help`` answers at once.
"""

from __future__ import annotations

import io
import sys
from typing import Annotated

import typer

from pipeline import cli_classify, cli_corpus, cli_exchange, cli_models, cli_train
from pipeline.cli_base import app

#: Importing a module of commands is what adds its commands to the application.
__all__ = ["app", "cli_classify", "cli_corpus", "cli_exchange", "cli_models", "cli_train"]


@app.callback(invoke_without_command=True)
def main(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
) -> None:
    """Common options."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="surrogateescape")
    if version:
        from importlib.metadata import version as version_of

        print(version_of("communique"))
        raise typer.Exit()
