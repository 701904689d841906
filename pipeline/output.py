"""Output that is whole or not there: files written beside their place and renamed."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, TextIO

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
    refuse(path, force=force)
    special = is_special(path)
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


def refuse(path: Path, *, force: bool) -> None:
    """Raise PipelineError where a file may not be written: it is there already, or is a folder."""
    if path.is_file() and not force:
        raise PipelineError("is there already", where=str(path), remedy="give --force to replace it")
    if path.is_dir():
        raise PipelineError("is a folder", where=str(path), remedy="name a file with --output")


def is_special(path: Path) -> bool:
    """Whether it is a device or a pipe: there is nothing to replace, nor to go on with."""
    return path.exists() and not path.is_file()


def lock(stream: BinaryIO, path: Path) -> None:
    """Hold a file as long as it is open; PipelineError where another process does. Where the system can't, nothing."""
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(stream.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise PipelineError("another run is writing it", where=str(path), remedy="wait for it, or end it") from None
    except OSError:  # a file system without locks
        return
