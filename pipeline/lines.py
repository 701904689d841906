"""A byte stream as lines of text, one by one, whatever its encoding."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from typing import Any, BinaryIO

from pipeline.decoding import UnreadableError, decode, mark, refuse_binary
from pipeline.records import PipelineError

#: Longest line of a file in bytes: a bound on memory, well over any article.
MAX_ROW = 128 * 2**20
_CHUNK = 2**20


class _Recoded(io.RawIOBase):
    """A UTF-16 or UTF-32 stream, of which ``head`` was read already, as UTF-8 without its mark."""

    def __init__(self, stream: BinaryIO, head: bytes) -> None:
        self._mark, self._codec, self._name = mark(head)
        self._decoder = codecs.getincrementaldecoder(self._codec)()
        self._stream = stream
        self._head = head[len(self._mark) :]
        self._taken = len(self._mark)
        self._ready = memoryview(b"")
        self._broken: int | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        while not self._ready:
            if self._broken is not None:
                raise UnreadableError(f"marked as {self._name}, but broken at byte {self._broken}")
            piece, self._head = self._head or self._stream.read(len(buffer)), b""
            self._ready = memoryview(self._decoded(piece).encode("utf-8"))
            if not piece:
                break
        size = min(len(buffer), len(self._ready))
        buffer[:size] = self._ready[:size]
        self._ready = self._ready[size:]
        return size

    def _decoded(self, piece: bytes) -> str:
        """The text of a piece, up to where it is broken; the next call for more says so."""
        before = self._taken - len(self._decoder.getstate()[0])
        self._taken += len(piece)
        try:
            return self._decoder.decode(piece, final=not piece)
        except UnicodeDecodeError as error:
            self._broken = before + error.start + 1
            return error.object[: error.start].decode(self._codec)


def as_utf8(stream: BinaryIO, head: bytes) -> tuple[BinaryIO, bytes]:
    """The stream and its first line, re-encoded where they are UTF-16 or UTF-32, whose lines no byte ends."""
    if not mark(head)[0]:
        return stream, head
    recoded = io.BufferedReader(_Recoded(stream, head), 2**16)
    return recoded, recoded.readline(MAX_ROW)


class Lines(Iterator[str]):
    """The lines of a stream as text, each with its line ending; ``number`` counts from 1.

    A line that cannot be read raises PipelineError, and the next one is still read; after UnreadableError there
    is no next one. Memory does not grow with the file.
    """

    def __init__(self, stream: BinaryIO, head: bytes) -> None:
        stream, head = as_utf8(stream, head)
        refuse_binary(head)
        self.number = 0
        self.warnings: list[str] = []
        self._stream = stream
        self._head: bytes | None = head

    def __next__(self) -> str:
        self.number += 1
        line = self._stream.readline(MAX_ROW) if self._head is None else self._head
        self._head = None
        if not line:
            self.number -= 1
            raise StopIteration
        if len(line) >= MAX_ROW and not line.endswith(b"\n"):
            raise PipelineError(f"the line has {len(line) + self._skip():,} bytes; the limit is {MAX_ROW:,}")
        text, warnings = decode(line, line=self.number)
        self.warnings += warnings
        return text

    def _skip(self) -> int:
        skipped = 0
        while chunk := self._stream.readline(_CHUNK):
            skipped += len(chunk)
            if chunk.endswith(b"\n"):
                break
        return skipped

    def take_warnings(self) -> list[str]:
        """The warnings since the last call, each once."""
        taken, self.warnings = list(dict.fromkeys(self.warnings)), []
        return taken
