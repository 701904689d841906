"""A journal of what a run has finished, so that another run can go on from there.

Beside ``units.jsonl`` a run writes ``.units.jsonl.part``, the rows so far, and ``.units.jsonl.journal``: a JSON object
that says which model and options the rows are of, then a line for every document that is complete. Rows are brought to
the disk before the lines that vouch for them, so that whatever ends the run, a line never promises too much.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from pipeline.records import Failure, PipelineError

_VERSION = 1
START_OVER = "give --force without --resume to start over"


class Entry(NamedTuple):
    """A document that is complete.

    ``key`` is the digest of what it was made from; ``size`` and ``crc`` are the number of bytes and the CRC-32 of
    its rows; ``units``, ``counts`` and ``uncertain`` are for the summary; ``failure`` where it failed.
    """

    key: str
    size: int
    crc: int
    units: int
    counts: tuple[int, ...]
    uncertain: int
    failure: tuple[str, str, int | None] | None = None

    def failed(self) -> Failure | None:
        """The failure as a record."""
        return Failure(*self.failure) if self.failure else None


class Journal:
    """The journal of one output.

    Parameters
    ----------
    path : Path
    header : mapping
        Whatever the rows depend on besides the documents; plain JSON values. A journal with another header
        belongs to another output.
    """

    def __init__(self, path: Path, header: Mapping[str, Any]) -> None:
        self.path = path
        self._header = json.loads(json.dumps({"communique journal": _VERSION, **header}))
        self._stream: BinaryIO | None = None
        self._waiting: list[str] = []
        self._at = 0

    def entries(self) -> Iterator[Entry]:
        """The entries on disk, as far as they are whole.

        Raises
        ------
        PipelineError
            The journal is of other options or another model, or is none.
        """
        with self.path.open(encoding="utf-8", newline="\n") as stream:
            self._check(stream.readline())
            for line in stream:
                if (entry := _entry(line)) is None:  # the run ended while it was written
                    return
                yield entry

    def _check(self, line: str) -> None:
        try:
            found = dict(json.loads(line))
        except (ValueError, TypeError):
            raise PipelineError("is no journal of communique", where=str(self.path), remedy=START_OVER) from None
        for name, value in self._header.items():
            if found.get(name) != value:
                raise PipelineError(
                    f"the interrupted run has {name} {_short(found.get(name))}, this one {_short(value)}",
                    where=str(self.path),
                    remedy=f"give the same again, or {START_OVER}",
                )

    def start(self, kept: int) -> None:
        """Begin to write: after the first ``kept`` entries on disk, whatever else stands there is dropped."""
        if not kept:
            self.remove()
            return
        self._stream = self.path.open("rb+", buffering=0)
        with self.path.open("rb") as stream:
            self._at = sum(len(stream.readline()) for _ in range(kept + 1))
        self._stream.truncate(self._at)

    def add(self, entry: Entry) -> None:
        """Note a document; the line is written by :meth:`sync`."""
        self._waiting.append(json.dumps(entry, ensure_ascii=True) + "\n")

    def sync(self) -> None:
        """Bring the lines to the disk. What they vouch for must be there already.

        A sync that failed or was interrupted at any moment can be repeated: it writes the same bytes to the same place.
        """
        if not self._waiting:
            return
        if self._stream is None:
            self._stream = self.path.open("wb", buffering=0)
        head = "" if self._at else json.dumps(self._header) + "\n"
        data = (head + "".join(self._waiting)).encode()
        self._stream.seek(self._at)
        _write(self._stream, data)
        os.fsync(self._stream.fileno())
        self._at, self._waiting = self._at + len(data), []

    def close(self) -> None:
        """Leave the journal on disk as it stands."""
        if self._stream is not None:
            self._stream.close()

    def remove(self) -> None:
        """The output is complete, or not worth going on with."""
        self.close()
        self._stream, self._at = None, 0
        with suppress(FileNotFoundError):
            self.path.unlink()


def _write(stream: BinaryIO, data: bytes) -> None:
    while data:  # an unbuffered stream may take a part
        data = data[stream.write(data) :]


def _entry(line: str) -> Entry | None:
    if not line.endswith("\n"):
        return None
    try:
        key, size, crc, units, counts, uncertain, failure = json.loads(line)
        return Entry(key, size, crc, units, tuple(counts), uncertain, tuple(failure) if failure else None)
    except (ValueError, TypeError):
        return None


def count_entries(path: Path) -> int:
    """Documents that a journal vouches for; 0 where there is none."""
    try:
        with path.open("rb") as stream:
            return max(0, sum(line.endswith(b"\n") for line in stream) - 1)
    except FileNotFoundError:
        return 0


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else text[:77] + "..."
