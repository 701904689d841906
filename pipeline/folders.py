"""Rows in a folder: a file for each document, or a Parquet dataset of which the workers write the parts."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO
from zlib import crc32

from pipeline.chunks import Chunk, Done, Item, part_name
from pipeline.journal import Entry
from pipeline.readers import file_stem
from pipeline.records import Document, ModelInfo, PipelineError
from pipeline.sinks import FileSink, Journaled, StreamSink, WriterSink, told

_JOURNAL = ".communique.journal"


class FolderSink(Journaled):
    """A file for each document in one folder, each written beside its place and renamed."""

    def __init__(self, target: Path, form: str, *, force: bool, resume: bool) -> None:
        if target.exists() and not target.is_dir():
            raise PipelineError("is a file, not a folder", where=str(target), remedy="name a folder with --output-dir")
        super().__init__(target, target / _JOURNAL, force=force, resume=resume)
        if not self._before and not force and target.is_dir() and any(target.iterdir()):
            raise PipelineError("is not empty", where=str(target), remedy="give --force to write into it all the same")
        with told(target):
            target.mkdir(parents=True, exist_ok=True)
        self._suffix = f".{form}"
        self._header = b""

    def begin(self, header: str, settings: Mapping[str, Any], info: ModelInfo) -> None:
        super().begin(header, settings, info)
        self._header = header.encode()

    def _file(self, item: Item) -> Path | None:
        if isinstance(item, Document):
            return self.target / (file_stem(item.source, item.id) + self._suffix)
        name = getattr(item, "name", None)
        return self.target / (file_stem(name, name) + self._suffix) if name else None

    def keeps(self, entry: Entry, chunk: Chunk, item: Item) -> bool:
        """Whether the file of the document holds what the journal vouches for."""
        path = self._file(item)
        if path is None or entry.failure is not None:
            return True
        try:
            data = path.read_bytes()
        except OSError:
            return False
        return len(data) == entry.size and crc32(data) == entry.crc

    def add(self, chunk: Chunk, keys: Sequence[str], done: Sequence[Done]) -> None:
        sizes = []
        for item, one in zip(chunk.items, done, strict=True):
            path = self._file(item)
            if path is None or one.failure is not None:
                sizes.append((0, 0))
                continue
            data = self._header + one.data
            with told(path), _beside(path) as stream:
                stream.write(data)
            sizes.append((len(data), crc32(data)))
        self._note(keys, done, sizes)

    def finish(self) -> None:
        self.journal.remove()

    def _discard(self) -> None:
        with suppress(OSError):
            self.target.rmdir()  # only an empty one


class PartsSink(FolderSink):
    """A Parquet dataset, of which the workers write the parts themselves: a part is kept whole or done again."""

    whole_chunks = True

    def __init__(self, target: Path, *, force: bool, resume: bool) -> None:
        super().__init__(target, "parquet", force=force, resume=resume)
        self._parts: set[str] = set()

    def keeps(self, entry: Entry, chunk: Chunk, item: Item) -> bool:
        """Whether the part of the document is there as it was; looked at once, with its first document."""
        self._parts.add(part_name(chunk))
        return item is not chunk.items[0] or self._state(chunk) == (entry.size, entry.crc)

    def _state(self, chunk: Chunk) -> tuple[int, int]:
        try:
            data = (self.target / part_name(chunk)).read_bytes()
        except FileNotFoundError:
            return 0, 0
        return len(data), crc32(data)

    def add(self, chunk: Chunk, keys: Sequence[str], done: Sequence[Done]) -> None:
        with told(self.target):
            state = self._state(chunk)
        self._parts.add(part_name(chunk))
        self._note(keys, done, [state, *[(0, 0)] * (len(done) - 1)])

    def finish(self) -> None:
        for path in self.target.glob("part-*.parquet"):  # one of an earlier run would count as part of the dataset
            if path.name not in self._parts:
                path.unlink()
        super().finish()


@contextmanager
def _beside(path: Path) -> Iterator[BinaryIO]:
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as stream:
            yield stream
        os.replace(part, path)
    finally:
        with suppress(OSError):
            part.unlink()


Sink = StreamSink | WriterSink | FileSink | FolderSink
