"""The models folder as several processes share it: its lock, which model is in use, what killed processes left.

``current`` names the model in use in its first line, and those used before it, latest first, in the lines below: one
file, so that a promotion and what it must be rolled back to are written by one rename, or not at all.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pipeline.output import opened
from pipeline.records import PipelineError

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

CURRENT_FILE = "current"
#: How many earlier promotions are remembered.
_REMEMBERED = 50
#: Names of what is being written, or on its way out: `.m4316e97a80b1-x7_ab2`, `.current.1234.part`.
_UNFINISHED = (".m*-*", ".*.part")
_DAMAGED = "-damaged-"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Let one process after the other change the shelf; readers need no lock, for what they see is always whole.

    The lock is on the folder itself and ends with the process, however that ends. Whoever has it clears what killed
    processes left. Where the system has no such lock (Windows, some network disks) nothing is cleared, and two
    promotions at the same moment may forget one of the earlier models, but never tear a file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if fcntl is None:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError:
            yield
            return
        _clear(folder)
        yield
    finally:
        os.close(handle)


def _clear(folder: Path) -> None:
    """Remove unfinished files and folders: only one who holds the lock makes them, so nobody is at work on these."""
    for pattern in _UNFINISHED:
        for path in folder.glob(pattern):
            if _DAMAGED in path.name:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def promotions(folder: Path) -> list[str]:
    """Ids of the promoted model and of those promoted before it, latest first; empty where none ever was.

    Raises
    ------
    PipelineError
        The file that names them can't be read.
    """
    try:
        lines = (folder / CURRENT_FILE).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        remedy = "name the model to use with `communique models promote ID`; the ids are the folders beside it"
        raise PipelineError(f"can't be read: {error}", where=str(folder / CURRENT_FILE), remedy=remedy) from error
    return [line.strip() for line in lines if line.strip()]


def current_id(folder: Path) -> str | None:
    """Id of the promoted model; None where the folder has none."""
    return next(iter(promotions(folder)), None)


def write_promotions(ids: Sequence[str], folder: Path) -> None:
    """Make the first id the model in use, and the others those before it; call it under the lock."""
    with opened(folder / CURRENT_FILE, force=True) as stream:
        stream.writelines(f"{one}\n" for one in ids[: _REMEMBERED + 1])
