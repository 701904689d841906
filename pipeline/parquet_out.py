"""Labelled units as Parquet, the extra [tables]: one file that is streamed, or the parts of a dataset."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from pipeline.records import PipelineError, Prediction

if TYPE_CHECKING:
    import pyarrow

#: Rows of a row group: what is held in memory at a time.
GROUP_ROWS = 65_536


def schema(labels: Sequence[str]) -> pyarrow.Schema:
    """The columns of the output contract; ``probabilities`` is a struct with one field a label.

    Raises
    ------
    PipelineError
        Where pyarrow is not installed.
    """
    arrow = _arrow()
    text, whole, real = arrow.string(), arrow.int64(), arrow.float64()
    return arrow.schema(
        [
            arrow.field("document", text, nullable=False),
            arrow.field("index", whole, nullable=False),
            arrow.field("kind", text, nullable=False),
            arrow.field("section", text),
            arrow.field("start", whole, nullable=False),
            arrow.field("end", whole, nullable=False),
            arrow.field("text", text, nullable=False),
            arrow.field("label", text, nullable=False),
            arrow.field("confidence", real, nullable=False),
            arrow.field("uncertain", arrow.bool_(), nullable=False),
            arrow.field("probabilities", arrow.struct([(label, real) for label in labels]), nullable=False),
        ]
    )


class ParquetWriter:
    """The rows of JSON Lines as Parquet, a row group every ``GROUP_ROWS`` rows.

    ``pyarrow.parquet.read_table(file).to_pylist()`` gives the objects that JSON Lines would hold. The same
    predictions give the same bytes, however they come in documents.

    Parameters
    ----------
    stream : binary file
        Written from here on, never read nor sought in: standard output will do.
    labels : sequence of str
        All labels of the model.

    Raises
    ------
    PipelineError
        Where pyarrow is not installed.
    """

    def __init__(self, stream: BinaryIO, labels: Sequence[str]) -> None:
        self._schema = schema(labels)
        self._labels = tuple(labels)
        from pyarrow.parquet import ParquetWriter as Writer

        # sections, documents and labels repeat, texts hardly do
        repeated = ["document", "kind", "section", "label"]
        self._writer = Writer(_Sink(stream), self._schema, compression="zstd", use_dictionary=repeated)
        self._waiting: list[Prediction] = []

    def document(self, title: str, predictions: Sequence[Prediction]) -> None:
        """Write the rows of one document."""
        self._waiting += predictions
        while len(self._waiting) >= GROUP_ROWS:
            self._write(self._waiting[:GROUP_ROWS])
            del self._waiting[:GROUP_ROWS]

    def close(self, labels: Sequence[str]) -> None:
        """Write what is left, and the end, without which the file can't be read."""
        if self._waiting:
            self._write(self._waiting)
            self._waiting = []
        self._writer.close()

    def _write(self, predictions: Sequence[Prediction]) -> None:
        arrow = _arrow()
        units = [prediction.unit for prediction in predictions]
        columns: dict[str, list[Any]] = {
            name: [getattr(unit, name) for unit in units]
            for name in ("document", "index", "kind", "section", "start", "end", "text")
        }
        for name in ("label", "confidence", "uncertain"):
            columns[name] = [getattr(prediction, name) for prediction in predictions]
        shares = [
            arrow.array([prediction.probabilities[label] for prediction in predictions], arrow.float64())
            for label in self._labels
        ]
        arrays = [arrow.array(columns[field.name], field.type) for field in list(self._schema)[:-1]]
        arrays.append(arrow.StructArray.from_arrays(shares, fields=list(self._schema.field("probabilities").type)))
        self._writer.write_batch(arrow.record_batch(arrays, schema=self._schema))


def write_part(predictions: Iterable[Prediction], folder: Path, name: str, labels: Sequence[str]) -> Path:
    """Write one file of a Parquet dataset, whole or not at all; several processes may write to one folder.

    Written beside under a name that readers pass over, flushed to the disk and renamed. A file of that name is
    replaced, so that a part can be done again. A part without rows has the columns all the same.

    Parameters
    ----------
    predictions : iterable of Prediction
        Held ``GROUP_ROWS`` at a time.
    folder : path
        The dataset; made where it does not exist.
    name : str
        The name of the file in it, for example ``part-00007.parquet``, or ``date=2024-03-05/part-0.parquet``.
    labels : sequence of str
        All labels of the model.

    Returns
    -------
    path
        Of the file.

    Raises
    ------
    PipelineError
        Where it cannot be written, the name is no ``.parquet`` file within the folder, or pyarrow is not installed.
    """
    target = Path(folder) / name
    if (
        target.suffix != ".parquet"
        or target.name.startswith(".")
        or ".." in Path(name).parts
        or Path(name).is_absolute()
    ):
        raise PipelineError(
            "a part of a dataset is a .parquet file within its folder", where=name, remedy="name it part-0.parquet"
        )
    schema(labels)  # before a folder is made
    beside = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("wb") as stream:
            writer = ParquetWriter(stream, labels)
            for prediction in predictions:
                writer.document("", [prediction])
            writer.close(labels)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(beside, target)
    except OSError as error:
        raise PipelineError(f"can't be written: {error.strerror or error}", where=str(target)) from error
    finally:
        with suppress(OSError):
            beside.unlink()
    return target


class _Sink(io.RawIOBase):
    """A stream for pyarrow, which asks where it stands; that is counted, so that pipes will do.

    pyarrow's writer ends its file even where it is given up after an error: by then the sink is deaf.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._written = 0
        self._broken = False

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        size = memoryview(data).nbytes
        if not self._broken and not self._stream.closed:
            try:
                self._stream.write(data)
            except OSError:
                self._broken = True
                raise
        self._written += size
        return size

    def tell(self) -> int:
        return self._written


def _arrow() -> Any:
    try:
        import pyarrow
    except ImportError as error:
        raise PipelineError(
            "Parquet needs the package pyarrow, which is not installed", remedy="pip install 'communique[tables]'"
        ) from error
    return pyarrow
