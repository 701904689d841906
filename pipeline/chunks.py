"""What is sent to a process and what comes back: documents in chunks, what to do with them, and what became of them."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from pipeline.readers import Raw
from pipeline.records import Document, Failure, ModelInfo, Prediction

#: What is classified: the bytes of a file, a document, or a failure on its way through.
Item = Raw | Document | Failure

#: A chunk is closed when it holds this many bytes or characters, or this many documents.
CHUNK_SIZE, CHUNK_ITEMS = 2**18, 1024
#: Seconds after which what has come of a slow stream is classified.
_PATIENCE = 0.1
#: The size of those that become parts of a dataset, of which few large ones are better.
PART_SIZE = 2**21


class Task(NamedTuple):
    """What to do with documents: how rows are rendered, and which are chosen.

    ``form`` is ``jsonl`` or ``csv`` for text, ``parquet`` and ``table`` for predictions. ``labels`` None chooses all.
    ``parts`` is the folder of a Parquet dataset, to which every chunk is written as a part.
    """

    form: str
    labels: tuple[str, ...] | None = None
    min_confidence: float = 0.0
    text_dir: str | None = None
    parts: str | None = None


class ModelSource(NamedTuple):
    """Where a process finds the model: in a folder, or in ``pickled``, which came over the network."""

    folder: str
    id: str
    sha256: str
    pickled: bytes | None = None


class Shelved(NamedTuple):
    """A model of a models folder that is whole, and is not opened in this process: others will."""

    info: ModelInfo
    folder: Path


class Chunk(NamedTuple):
    """Documents that are sent to a process together. ``number`` counts from 0."""

    number: int
    items: tuple[Item, ...]


class Done(NamedTuple):
    """What became of one item: its rows as UTF-8 or as predictions, and what is counted; or a failure.

    ``crc`` is the CRC-32 of the rows. ``counts`` has the number of chosen units of each label, in the
    order of the model's labels.
    """

    name: str
    data: bytes = b""
    crc: int = 0
    predictions: tuple[Prediction, ...] = ()
    title: str = ""
    units: int = 0
    counts: tuple[int, ...] = ()
    uncertain: int = 0
    warnings: tuple[str, ...] = ()
    failure: Failure | None = None


def chunks(items: Iterable[Item | None], *, size: int = CHUNK_SIZE) -> Iterator[Chunk]:
    """Items in their order, in chunks of a size that does not depend on who will work on them.

    ``items`` may hold None for "nothing more at the moment", which closes a chunk.
    """
    some: list[Item] = []
    total = number = 0
    for item in items:
        if item is not None:
            some.append(item)
            total += size_of(item)
        if some and (item is None or total >= size or len(some) >= CHUNK_ITEMS * size // CHUNK_SIZE):
            yield Chunk(number, tuple(some))
            some, total, number = [], 0, number + 1
    if some:
        yield Chunk(number, tuple(some))


def as_they_come(items: Iterable[Item]) -> Iterator[Item | None]:
    """The items, and None whenever the next one is not there yet: for a stream that comes in slowly.

    They are read in a thread of their own, a few ahead. What reading raises is raised here.
    """
    ahead: queue.Queue[Item | BaseException | None] = queue.Queue(maxsize=64)

    def read() -> None:
        try:
            for item in items:
                ahead.put(item)
            ahead.put(None)
        except BaseException as error:
            ahead.put(error)

    threading.Thread(target=read, daemon=True).start()
    while True:
        try:
            item = ahead.get(timeout=_PATIENCE)
        except queue.Empty:
            yield None
            item = ahead.get()
        if item is None:
            return
        if isinstance(item, BaseException):
            raise item
        yield item


def size_of(item: Item) -> int:
    """Bytes or characters of an item, as a measure of its work."""
    if isinstance(item, Failure):
        return 0
    return len(item.data) if isinstance(item, Raw) else len(item.text)


def name_of(item: Item) -> str:
    """An item as messages call it."""
    if isinstance(item, Failure):
        return item.source
    return item.name if isinstance(item, Raw) else item.id


def key_of(item: Item) -> str:
    """A digest of all that the rows of an item depend on, besides the model and the task."""
    digest = blake2b(digest_size=12)
    fields: Sequence[object]
    if isinstance(item, Raw):
        fields = ("raw", item.name, item.suffix)
        digest.update(item.data)
    elif isinstance(item, Document):
        fields = ("document", item.id, item.title, item.source)
        digest.update(item.text.encode("utf-8", "surrogatepass"))
    else:
        fields = ("failure", item.source, item.reason, item.line)
    digest.update(repr(fields).encode())
    return digest.hexdigest()


def part_name(chunk: Chunk) -> str:
    """The file of a Parquet dataset that holds the rows of a chunk."""
    return f"part-{chunk.number:06d}.parquet"
