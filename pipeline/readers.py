"""Any input to Documents: files, folders, glob patterns and standard input, read lazily and in order."""

from __future__ import annotations

import codecs
import contextlib
import hashlib
import io
import os
import re
import stat
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from pipeline.decoding import check_text, decode, refuse_binary, shown
from pipeline.records import Document, Failure, PipelineError
from pipeline.rows import MAX_ROW, as_utf8, parse_object, read_csv, read_json_lines
from pipeline.sources import (
    CSV,
    JSON_LINES,
    PAGES,
    STDIN,
    SUFFIXES,
    Found,
    find,
    printable,
    reason,
    supported,
    unreadable,
    unsupported,
)
from pipeline.webpage import read_page

__all__ = ["SUFFIXES", "read", "read_bytes", "write_texts"]

_SPECIAL = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def read(
    sources: Iterable[str | os.PathLike[str]], *, text_field: str = "text", stdin: BinaryIO | None = None
) -> Iterator[Document | Failure]:
    """Read documents one by one, in the order of the sources; what cannot be read is a Failure.

    Parameters
    ----------
    sources : iterable of path
        Files, folders (recursive, sorted, hidden and unsupported files passed over), glob patterns, and
        ``-`` for standard input. What is named twice, or lies in a folder also named, is read once.
    text_field : str
        The field of JSON Lines, or the column of CSV, that holds the text.
    stdin : binary file, optional
        What ``-`` reads; the process's standard input where None.

    Yields
    ------
    Document or Failure
        ``Document.id`` is the path, or for rows the ``id`` field, else ``path:line``. Names that are no
        UTF-8 appear with escapes (``\\xff``), so that every id can be printed.
    """
    if isinstance(sources, str | os.PathLike):
        sources = [sources]
    for found in find(sources):
        if isinstance(found, Failure):
            yield found
        elif found.path == STDIN:
            yield from _standard_input(stdin, text_field)
        else:
            yield from _file(found, text_field)


def read_bytes(data: bytes, name: str, *, text_field: str = "text") -> Iterator[Document | Failure]:
    """The documents of a file that is not on this machine's disk, such as an upload; ``name`` says its format."""
    name = shown(name)
    suffix = os.path.splitext(name)[1].lower()
    try:
        if not supported(name):
            raise PipelineError(unsupported(name))
        yield from _documents(io.BytesIO(data), name, suffix, text_field)
    except PipelineError as error:
        yield Failure(name, str(error))


def _file(found: Found, text_field: str) -> Iterator[Document | Failure]:
    """The documents of one file, or the Failure that says why there are none."""
    path, name = found.path, printable(found.path)
    try:
        _refuse_special(os.stat(path).st_mode)
        with open(path, "rb") as stream:
            yield from _documents(stream, name, os.path.splitext(path)[1].lower(), text_field)
    except FileNotFoundError:
        why = "no such file or folder"
        if os.path.islink(path):
            why = "a symbolic link to a file that does not exist"
        elif found.listed:
            why = "vanished during the run"
        yield Failure(name, why)
    except OSError as error:
        yield Failure(name, unreadable(error))
    except PipelineError as error:
        yield Failure(name, str(error))


def _documents(stream: BinaryIO, name: str, suffix: str, text_field: str) -> Iterator[Document | Failure]:
    if suffix in (*JSON_LINES, *CSV):
        if not (head := stream.readline(MAX_ROW)):
            raise PipelineError("the file is empty (0 bytes)")
        rows = read_csv if suffix in CSV else read_json_lines
        yield from rows(stream, head, name, text_field)
        return
    if not (data := stream.read()):
        raise PipelineError("the file is empty (0 bytes)")
    if suffix in PAGES:
        refuse_binary(data)
        page = read_page(data)
        check_text(page.text)
        yield Document(name, page.text, page.title, page.date, name, page.warnings)
    else:
        yield _plain(data, name)


def _standard_input(stdin: BinaryIO | None, text_field: str) -> Iterator[Document | Failure]:
    stream = stdin or getattr(sys.stdin, "buffer", None)
    if stream is None:
        yield Failure(STDIN, "standard input is closed")
        return
    try:
        stream, head = as_utf8(stream, stream.readline(MAX_ROW))
        if not head:
            raise PipelineError("standard input is empty")
        fields = _fields(head)
        if text_field in fields:
            yield from read_json_lines(stream, head, STDIN, text_field)
            return
        warning: tuple[str, ...] = ()
        if fields:
            warning = (
                f"the first line is a JSON object without '{shown(text_field)}': read as plain "
                "text; --text-field names the field of JSON Lines",
            )
        yield _plain(head + stream.read(), STDIN, warning)
    except OSError as error:
        yield Failure(STDIN, unreadable(error))
    except PipelineError as error:
        yield Failure(STDIN, str(error))


def write_texts(document: Document, directory: Path) -> Path:
    """Write the text that the offsets of a document refer to, as UTF-8 without any change.

    The file name is made of the id and a digest of source and id, so that two documents never share a
    file and the same one always gets the same. Written beside and then renamed. Returns the path.

    Raises
    ------
    PipelineError
        Where the folder or the file cannot be written.
    """
    digest = hashlib.sha256(f"{document.source}\0{document.id}".encode("utf-8", "replace")).hexdigest()[:10]
    stem = re.sub(r"[^\w.-]+", "_", document.id.removesuffix(".txt")).strip("._-")
    stem = stem.encode("utf-8", "ignore")[:100].decode("utf-8", "ignore") or "document"
    target = Path(directory) / f"{stem}-{digest}.txt"
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(document.text.encode("utf-8", "replace"))
        part.replace(target)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        raise PipelineError(f"cannot be written: {reason(error)}", where=shown(str(target))) from error
    return target


def _plain(data: bytes, name: str, warnings: tuple[str, ...] = ()) -> Document:
    refuse_binary(data)
    decoded = decode(data)
    check_text(decoded.text)
    return Document(name, decoded.text, source=name, warnings=(*warnings, *decoded.warnings))


def _fields(line: bytes) -> list[str]:
    """The fields of the JSON object on a line, none where it is no such object."""
    if not line.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"{"):
        return []
    try:
        return list(parse_object(decode(line).text))
    except PipelineError:
        return []


def _refuse_special(mode: int) -> None:
    """Opening a pipe would wait for a writer, and a device may never end."""
    for matches, kind in _SPECIAL:
        if matches(mode):
            raise PipelineError(f"this is {kind}, not a file: to read from it, send it to '-' (standard input)")
