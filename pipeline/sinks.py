"""Where rows go: a stream, a file that can be gone on with, a folder with a file for each document, or a dataset.

A sink is opened before the model, so that an output that can't be written is known at once; ``begin`` then says what
the rows will depend on. ``keeps`` is asked, where a run goes on, whether what stands there of a document is still good.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, TextIO
from zlib import crc32

from pipeline.chunks import Chunk, Done, Item
from pipeline.journal import Entry, Journal, count_entries
from pipeline.output import lock, refuse
from pipeline.parquet_out import ParquetWriter
from pipeline.records import ModelInfo, PipelineError
from pipeline.report import Writer

#: Seconds between two times that rows and journal are brought to the disk: what a crash can cost.
SYNC_SECONDS = 1.0
_PIECE = 2**16
RESUME = "run the same command with --resume to go on from there"


class StreamSink:
    """Rows of text on a stream that is somebody else's, each document as soon as it is done."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def begin(self, header: str, settings: Mapping[str, Any], info: ModelInfo) -> None:
        self._stream.write(header)

    def add(self, chunk: Chunk, keys: Sequence[str], done: Sequence[Done]) -> None:
        binary = getattr(self._stream, "buffer", None)
        self._stream.flush()
        for one in done:
            if binary is None:
                self._stream.write(one.data.decode("utf-8", "surrogateescape"))
                continue
            for at in range(0, len(one.data), _PIECE):  # a pipe closed in the middle of one long write may go unnoticed
                binary.write(one.data[at : at + _PIECE])
        self._stream.flush()

    def finish(self) -> None:
        self._stream.flush()

    def abort(self) -> str:
        return ""


class WriterSink:
    """Predictions to a writer: a table, or one Parquet file. ``make`` gives it for the model in use."""

    def __init__(self, make: Callable[[ModelInfo], Writer | ParquetWriter]) -> None:
        self._make = make
        self._labels: Sequence[str] = ()
        self._writer: Writer | ParquetWriter | None = None

    def begin(self, header: str, settings: Mapping[str, Any], info: ModelInfo) -> None:
        self._labels = info.labels
        self._writer = self._make(info)

    def add(self, chunk: Chunk, keys: Sequence[str], done: Sequence[Done]) -> None:
        assert self._writer is not None, "begin() comes first"
        for one in done:
            if one.failure is None:
                self._writer.document(one.title, one.predictions)

    def finish(self) -> None:
        assert self._writer is not None, "begin() comes first"
        self._writer.close(self._labels)

    def abort(self) -> str:
        return ""


class Journaled:
    """What the sinks share that keep a journal and can be gone on with."""

    #: Whether the documents of a chunk are kept together or not at all.
    whole_chunks = False

    def __init__(self, target: Path, journal: Path, *, force: bool, resume: bool) -> None:
        self.target = target
        self._journal_path = journal
        self._before = count_entries(journal)
        self._resume = resume and self._before > 0
        self._synced = time.monotonic()
        self._journal: Journal | None = None
        if self._before and not force and not resume:
            raise PipelineError(
                f"an interrupted run has done {self._before:,} documents of it",
                where=str(target),
                remedy="give --resume to go on with it, or --force to start over",
            )

    def begin(self, header: str, settings: Mapping[str, Any], info: ModelInfo) -> None:
        """Say what the rows depend on; ``header`` stands above them."""
        self._journal = Journal(self._journal_path, settings)
        if not self._resume:
            self._journal.start(0)

    @property
    def journal(self) -> Journal:
        assert self._journal is not None, "begin() comes first"
        return self._journal

    def entries(self) -> Generator[Entry, None, None]:
        """What an interrupted run has finished; nothing where this one starts from the beginning."""
        if self._resume:
            yield from self.journal.entries()

    def go_on(self, kept: int) -> None:
        """Write on behind the first ``kept`` documents; whatever stands there of later ones is dropped."""
        if self._resume:
            self.journal.start(kept)

    def _note(self, keys: Sequence[str], done: Sequence[Done], sizes: Sequence[tuple[int, int]]) -> None:
        for key, one, (size, crc) in zip(keys, done, sizes, strict=True):
            failure = (one.failure.source, one.failure.reason, one.failure.line) if one.failure else None
            self.journal.add(Entry(key, size, crc, one.units, one.counts, one.uncertain, failure))
        if time.monotonic() - self._synced >= SYNC_SECONDS:
            self._sync()

    def _sync(self) -> None:
        with told(self.target):
            self._flush()
            self.journal.sync()
        self._synced = time.monotonic()

    def _flush(self) -> None:
        """Bring the rows to the disk."""

    def abort(self) -> str:
        """The run ends early. What is done is kept, if it comes to the disk; says what to do next."""
        if self._journal is not None:
            with suppress(PipelineError):  # a full disk, which has been reported
                self._sync()
            self._journal.close()
        if done := count_entries(self._journal_path):
            return f"{self.target}: {done:,} documents are done and kept; {RESUME}"
        with suppress(OSError):
            self._journal_path.unlink()
        self._discard()
        return ""

    def _discard(self) -> None:
        """Leave nothing."""


class FileSink(Journaled):
    """Rows of text in one file, which takes its name when it is complete. Until then they stand beside it."""

    def __init__(self, target: Path, *, force: bool, resume: bool) -> None:
        refuse(target, force=force)
        super().__init__(target, target.with_name(f".{target.name}.journal"), force=force, resume=resume)
        self._part = target.with_name(f".{target.name}.part")
        self._at = 0
        with told(target):
            self._stream: BinaryIO = self._part.open("ab+")
        try:
            lock(self._stream, target)
            if not self._part.exists() or not os.path.samestat(os.fstat(self._stream.fileno()), self._part.stat()):
                raise PipelineError("another run has just finished it", where=str(target))
        except PipelineError:
            self._stream.close()
            raise

    def begin(self, header: str, settings: Mapping[str, Any], info: ModelInfo) -> None:
        super().begin(header, settings, info)
        above = header.encode()
        self._stream.seek(0)
        with told(self.target):
            if self._resume and self._stream.read(len(above)) != above:
                self._resume = False
                self.journal.start(0)
            if not self._resume:
                self._stream.truncate(0)
                self._stream.write(above)
        self._at = len(above)

    def keeps(self, entry: Entry, chunk: Chunk, item: Item) -> bool:
        """Whether the rows in the file are those that the journal vouches for."""
        if crc32(self._stream.read(entry.size)) != entry.crc:
            return False
        self._at += entry.size
        return True

    def go_on(self, kept: int) -> None:
        super().go_on(kept)
        if self._resume:
            self._stream.truncate(self._at)

    def add(self, chunk: Chunk, keys: Sequence[str], done: Sequence[Done]) -> None:
        with told(self.target):
            for one in done:
                self._stream.write(one.data)
        self._note(keys, done, [(len(one.data), one.crc) for one in done])

    def _flush(self) -> None:
        self._stream.flush()
        os.fsync(self._stream.fileno())

    def finish(self) -> None:
        with told(self.target):
            self._flush()
            os.replace(self._part, self.target)
        self.journal.remove()
        self._stream.close()

    def abort(self) -> str:
        said = super().abort()
        with suppress(OSError):
            self._stream.close()
        return said

    def _discard(self) -> None:
        with suppress(OSError):
            self._part.unlink()


@contextmanager
def told(path: Path) -> Iterator[None]:
    """What the system refuses, as an error that names the output."""
    try:
        yield
    except OSError as error:
        raise PipelineError(f"can't be written: {error.strerror or error}", where=str(path)) from error
