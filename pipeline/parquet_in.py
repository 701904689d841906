"""Parquet files with one article a row, read piece by piece; the extra [tables]."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import unquote
from uuid import UUID

from pipeline.records import Document, Failure, PipelineError
from pipeline.rows import Rows, absent

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

#: Rows that are held at a time.
_ROWS = 256
#: Bytes of a column that are read at a time, so that a large row group is not read as a whole.
_BUFFER = 2**20
#: What a folder named ``date=2024-03-05`` may tell of the rows below it.
_FROM_FOLDERS = ("title", "date")


def read_parquet(stream: BinaryIO, source: str, text_field: str) -> Iterator[Document | Failure]:
    """Documents of a Parquet file: a row has a text column, and optionally ``id``, ``title`` and ``date``.

    A title or date that the file has no column for is taken from a folder's name, as partitioned datasets
    have it: ``date=2024-03-05/part-0.parquet``. A bad row is one Failure with its number, counting from 1; of a
    row group that is broken the rest is passed over. Memory grows neither with rows nor with row groups.

    Raises
    ------
    PipelineError
        Where this is no Parquet file, it has no text column, or pyarrow is not installed.
    """
    try:
        import pyarrow as arrow
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise PipelineError(
            "Parquet files need the package pyarrow, which is not installed", remedy="pip install 'communique[tables]'"
        ) from error
    try:
        file = ParquetFile(stream, buffer_size=_BUFFER, pre_buffer=False)
    except (arrow.ArrowException, OSError) as error:
        raise PipelineError(f"broken Parquet file: {_first_line(error)}") from error
    names = file.schema_arrow.names
    if text_field not in names:
        raise PipelineError(absent("column", text_field, names))
    columns = [name for name in dict.fromkeys((text_field, "id", "title", "date")) if name in names]
    above = {name: value for name, value in _folders(source).items() if name not in names}
    rows = Rows(source, text_field)
    first = 1
    for group in range(file.num_row_groups):
        line = first
        try:
            for row in _group(file, group, columns):
                yield rows.document({**above, **row}, line, [])
                line += 1
        except (arrow.ArrowException, OSError) as error:
            yield rows.failure(
                f"broken Parquet file: {_first_line(error)}; the rest of its row group is not read", line
            )
        first += file.metadata.row_group(group).num_rows
    if not rows.count:
        yield rows.failure("no rows", None)


def _group(file: ParquetFile, group: int, columns: list[str]) -> Iterator[dict[str, Any]]:
    for batch in file.iter_batches(_ROWS, row_groups=[group], columns=columns, use_threads=False):
        for row in batch.to_pylist():
            yield {name: _cell(value) for name, value in row.items()}


def _cell(value: object) -> object:
    """A value in one of the types that JSON has, where it is a date or another kind of number."""
    if isinstance(value, date):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal | UUID) else value


def _folders(source: str) -> dict[str, str]:
    """What the names of the folders above a file say, as Hive writes partitions."""
    pairs = (part.partition("=") for part in PurePosixPath(source).parts[:-1])
    return {name: unquote(value) for name, equals, value in pairs if equals and name in _FROM_FOLDERS}


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
