"""Output that is whole or not there: files written beside their place and renamed."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from pipeline.records import PipelineError


@contextmanager
def opened(path: Path | None, *, force: bool) -> Iterator[TextIO]:
    """Standard output, or a file that takes its name when it is complete.

    Raises
    ------
    PipelineError
        The file is there already and ``force`` is not given, or its folder can't be written to.
    """
    if path is None:
        if sys.stdout is None:
            raise PipelineError("standard output is closed", remedy="name a file with --output")
        yield sys.stdout
        return
    if path.is_file() and not force:
        raise PipelineError("is there already", where=str(path), remedy="give --force to replace it")
    if path.is_dir():
        raise PipelineError("is a folder", where=str(path), remedy="name a file with --output")
    special = path.exists() and not path.is_file()  # a device or a pipe: nothing to replace
    beside = path if special else path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with beside.open("w", encoding="utf-8", errors="surrogateescape", newline="") as stream:
            yield stream
            stream.flush()
            if not special:
                os.fsync(stream.fileno())
        if not special:
            os.replace(beside, path)
    except OSError as error:
        if error.filename not in (None, str(beside)):  # of something else that was done meanwhile
            raise
        raise PipelineError(f"can't be written: {error.strerror}", where=str(path)) from error
    finally:
        if not special:
            with suppress(OSError):
                beside.unlink()
