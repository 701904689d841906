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
from typing import BinaryIO, NamedTuple

from pipeline.archives import members
from pipeline.compressed import unpacked
from pipeline.decoding import check_text, decode, read_whole, refuse_binary, shown
from pipeline.lines import MAX_ROW, as_utf8
from pipeline.parquet_in import read_parquet
from pipeline.records import Document, Failure, PipelineError
from pipeline.rows import parse_object, read_csv, read_json_lines
from pipeline.sources import (
    CSV,
    JSON_LINES,
    PAGES,
    PARQUET,
    STDIN,
    SUFFIXES,
    TEXT,
    ZIP,
    Found,
    ending,
    find,
    printable,
    reason,
    supported,
    unreadable,
    unsupported,
)
from pipeline.webpage import read_page

__all__ = ["SUFFIXES", "Raw", "document_of", "fetch", "file_stem", "read", "read_bytes", "write_texts"]

_SPECIAL = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class Raw(NamedTuple):
    """A file, or a member of an archive, that is one document: unpacked, but not decoded yet."""

    name: str
    suffix: str
    data: bytes


Contents = Iterator[Raw | Document | Failure]


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
        The field of JSON Lines, or the column of CSV and Parquet, that holds the text.
    stdin : binary file, optional
        What ``-`` reads; the process's standard input where None.

    Yields
    ------
    Document or Failure
        ``Document.id`` is the path (``archive.zip/member.txt`` in a zip archive), or for rows the ``id`` field,
        else ``path:line`` (of Parquet the number of the row). Names that are no UTF-8 appear with escapes
        (``\\xff``), so that every id can be printed.
    """
    for item in fetch(sources, text_field=text_field, stdin=stdin):
        yield document_of(item) if isinstance(item, Raw) else item


def fetch(
    sources: Iterable[str | os.PathLike[str]], *, text_field: str = "text", stdin: BinaryIO | None = None
) -> Iterator[Raw | Document | Failure]:
    """As :func:`read`, but a file that is one document comes as its bytes, for :func:`document_of` in any process."""
    if isinstance(sources, str | os.PathLike):
        sources = [sources]
    for found in find(sources):
        if isinstance(found, Failure):
            yield found
        elif found.path == STDIN:
            yield from _standard_input(stdin, text_field)
        else:
            yield from _file(found, text_field)


def document_of(raw: Raw) -> Document | Failure:
    """The document in the bytes of a file: decoded, a page reduced to its article; a Failure says why there is none."""
    try:
        if raw.suffix not in PAGES:
            return _plain(raw.data, raw.name)
        refuse_binary(raw.data)
        page = read_page(raw.data)
        check_text(page.text)
    except PipelineError as error:
        return Failure(raw.name, str(error))
    return Document(raw.name, page.text, page.title, page.date, raw.name, page.warnings)


def read_bytes(data: bytes, name: str, *, text_field: str = "text") -> Iterator[Document | Failure]:
    """The documents of a file that is not on this machine's disk, such as an upload; ``name`` says its format."""
    name = shown(name)
    try:
        if not supported(name):
            raise PipelineError(unsupported(name))
        for item in _contents(io.BytesIO(data), name, ending(name), text_field):
            yield document_of(item) if isinstance(item, Raw) else item
    except PipelineError as error:
        yield Failure(name, str(error))


def _file(found: Found, text_field: str) -> Iterator[Raw | Document | Failure]:
    """What one file holds, or the Failure that says why that is nothing.

    A file that changes while it is read is a Failure: in place of its document, or after those of its rows
    that have been read.
    """
    path, name = found.path, printable(found.path)
    try:
        _refuse_special(os.stat(path).st_mode)
        with open(path, "rb") as stream:
            kind = ending(path)
            contents = _contents(stream, name, kind, text_field)
            yield from _steady(stream, contents, whole=kind[0] in (*TEXT, *PAGES))
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


def _steady(stream: BinaryIO, contents: Contents, *, whole: bool) -> Contents:
    """The contents; PipelineError where the file has changed meanwhile, before the last one if it is ``whole``.

    A file that is replaced by another of its name is no change: the one that was opened is read to its end.
    """
    before = os.fstat(stream.fileno())
    last = list(contents) if whole else ()
    if not whole:
        yield from contents
    now = os.fstat(stream.fileno())
    if (now.st_size, now.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        sizes = f"from {before.st_size:,} to {now.st_size:,} bytes"
        lost = "it is left out" if whole else "what was read of it may be incomplete"
        raise PipelineError(f"changed while it was being read ({sizes}): {lost}; run again when nothing writes to it")
    yield from last


def _contents(stream: BinaryIO, name: str, kind: tuple[str, str], text_field: str) -> Contents:
    suffix, packing = kind
    if suffix in PARQUET:
        yield from read_parquet(stream, name, text_field)
        return
    if suffix in ZIP:
        yield from _archived(stream, name, text_field)
        return
    if packing:
        stream = unpacked(stream, packing)
    if suffix in (*JSON_LINES, *CSV):
        if not (head := stream.readline(MAX_ROW)):
            raise PipelineError("the file is empty (0 bytes)")
        rows = read_csv if suffix in CSV else read_json_lines
        yield from rows(stream, head, name, text_field)
        return
    if not (data := read_whole(stream)):
        raise PipelineError("the file is empty (0 bytes)")
    yield Raw(name, suffix, data)


def _archived(stream: BinaryIO, name: str, text_field: str) -> Contents:
    """What is in the members of a zip archive, ``archive.zip/member.txt``."""
    empty = True
    for member, content in members(stream):
        empty = False
        inside = f"{name}/{shown(member)}"
        try:
            if isinstance(content, PipelineError):
                raise content
            yield from _contents(content, inside, ending(member), text_field)
        except PipelineError as error:
            yield Failure(inside, str(error))
    if empty:
        raise PipelineError(f"the archive holds no file that can be read; read are {' '.join(SUFFIXES)}")


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
        yield _plain(read_whole(stream, head), STDIN, warning)
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
    target = Path(directory) / f"{file_stem(document.source, document.id)}.txt"
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


def file_stem(source: str, identity: str) -> str:
    """The name, without its ending, of a file for one document: readable, and no other document has it."""
    digest = hashlib.sha256(f"{source}\0{identity}".encode("utf-8", "replace")).hexdigest()[:10]
    stem = re.sub(r"[^\w.-]+", "_", identity.removesuffix(".txt")).strip("._-")
    return f"{stem.encode('utf-8', 'ignore')[:100].decode('utf-8', 'ignore') or 'document'}-{digest}"


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
