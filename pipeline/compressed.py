"""Compressed streams, unpacked piece by piece under a bound, so that a decompression bomb costs one line."""

from __future__ import annotations

import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Callable
from typing import Any, BinaryIO, Protocol

from pipeline.decoding import UnreadableError
from pipeline.records import PipelineError

GZIP, ZSTD = ".gz", ".zst"
#: The endings that may follow that of a text file.
PACKINGS = (GZIP, ZSTD)
#: What may be unpacked for every packed byte: news takes 3 to 10, a bomb of zeros 1,000 and more ...
MAX_RATIO = 500
#: ... and what may be unpacked in any case, in bytes: it takes about a second.
FREE = 256 * 2**20

_PIECE = 1024  # what a piece of zstd unpacks to at worst is 32,000 times as much
_BUFFER = 2**16
_WINDOW = 2**27  # the largest that the command `zstd` makes without being asked for more
_BROKEN = (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile, lzma.LZMAError, RuntimeError)


class Packed(Protocol):
    """What unpacks: a stream with ``read``."""

    def read(self, size: int = -1, /) -> bytes:
        """At most ``size`` bytes, none at the end."""


class _Guarded(io.RawIOBase):
    """Unpacked bytes; a broken or an explosive source raises UnreadableError."""

    def __init__(self, source: Packed, kind: str, taken: Callable[[], int]) -> None:
        self._source = source
        self._kind = kind
        self._taken = taken
        self._given = 0

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._given

    def readinto(self, buffer: Any, /) -> int:
        try:
            data = self._source.read(len(buffer))
        except EOFError as error:
            raise UnreadableError(f"broken {self._kind}: it ends too early") from error
        except _BROKEN as error:
            raise UnreadableError(f"broken {self._kind}: {_first_line(error)}") from error
        except OSError as error:
            if error.errno is not None:  # of the disk, not of what is on it
                raise
            raise UnreadableError(f"broken {self._kind}: {_first_line(error)}") from error
        self._given += len(data)
        if self._given > max(FREE, MAX_RATIO * self._taken()):
            raise UnreadableError(
                f"unpacks to more than {self._given:,} bytes, over {MAX_RATIO} times its size: refused as a "
                "decompression bomb; unpack it yourself if you trust it"
            )
        buffer[: len(data)] = data
        return len(data)


class _Zstd:
    """The frames of a zstd stream, one after the other."""

    def __init__(self, stream: BinaryIO) -> None:
        # zstandard's own stream_reader takes a file that was cut short for a whole one
        try:
            import zstandard
        except ImportError as error:
            raise PipelineError(
                "zstd files need the package zstandard, which is not installed",
                remedy="pip install 'communique[tables]'",
            ) from error
        self._new = zstandard.ZstdDecompressor(max_window_size=_WINDOW).decompressobj
        self._error = zstandard.ZstdError
        self._stream = stream
        self._frame: Any = None
        self._packed = b""
        self._ready = memoryview(b"")

    def read(self, size: int = -1, /) -> bytes:
        while not self._ready:
            piece = self._packed or self._stream.read(_PIECE)
            self._packed = b""
            if not piece:
                if self._frame is not None:
                    raise EOFError
                return b""
            self._frame = self._frame or self._new()
            try:
                self._ready = memoryview(self._frame.decompress(piece))
            except self._error as error:
                raise RuntimeError(str(error)) from error
            if self._frame.eof:
                self._packed, self._frame = self._frame.unused_data, None
        given, self._ready = self._ready[:size], self._ready[size:]
        return bytes(given)


def unpacked(stream: BinaryIO, packing: str) -> BinaryIO:
    """The unpacked bytes of a stream, ``packing`` being one of ``PACKINGS``.

    Reading raises UnreadableError where the stream is broken or cut short, and where it unpacks to more than
    ``FREE`` bytes and ``MAX_RATIO`` times what has been read of it.

    Raises
    ------
    PipelineError
        Where zstandard is needed and is not installed.
    """
    if packing == GZIP:
        return guarded(gzip.GzipFile(fileobj=stream, mode="rb"), "gzip file", stream.tell)
    return guarded(_Zstd(stream), "zstd file", stream.tell)


def guarded(source: Packed, kind: str, taken: Callable[[], int]) -> BinaryIO:
    """A source as a buffered stream that is bounded as :func:`unpacked` says.

    ``taken`` tells how many packed bytes have been read so far.
    """
    return io.BufferedReader(_Guarded(source, kind, taken), _BUFFER)


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
