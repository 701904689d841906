"""Zip archives of articles: their members one by one, read where they lie; nothing is written to disk."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from typing import IO, BinaryIO, NamedTuple

from pipeline.compressed import FREE, MAX_RATIO, guarded
from pipeline.decoding import shown
from pipeline.records import PipelineError
from pipeline.sources import PARQUET, ZIP, supported

_NESTED = (*ZIP, ".tar", ".tar.gz", ".tgz", ".tar.zst", ".tar.bz2", ".tar.xz", ".7z", ".rar")
_ENCRYPTED = 0x1


class Member(NamedTuple):
    """A member by its name in the archive: a stream, or why there is none."""

    name: str
    content: BinaryIO | PipelineError


def members(stream: BinaryIO) -> Iterator[Member]:
    """The members that can be read, sorted by name, without hidden ones and without those of other kinds.

    A stream is good until the next member is asked for. Reading one that is broken raises UnreadableError. An
    encrypted member, an archive within the archive, a Parquet file (it is read from its end), a name that
    comes twice, and what unpacks to over ``FREE`` bytes and ``MAX_RATIO`` times the archive are not read.

    Memory grows with the number of members (under a kilobyte each), not with what they hold.

    Raises
    ------
    PipelineError
        Where this is no zip archive, or the members that were read unpack to too much together.
    """
    try:
        archive = zipfile.ZipFile(stream)
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise PipelineError(f"broken zip archive: {error}") from error
    with archive:
        limit = max(FREE, MAX_RATIO * stream.seek(0, 2))
        spent = 0
        last = None
        for info in sorted(archive.infolist(), key=lambda info: info.filename):
            if info.is_dir() or _hidden(info.filename):
                continue
            name = info.filename.lower()
            if not supported(name) and not name.endswith(_NESTED):
                continue
            if reason := _refused(info, limit, info.filename == last):
                yield Member(info.filename, PipelineError(reason))
                continue
            last = info.filename
            spent += info.file_size
            if spent > limit:
                raise PipelineError(
                    f"unpacks to over {limit:,} bytes, {MAX_RATIO} times its size: refused as a decompression "
                    f"bomb from '{shown(info.filename)}' on; unpack it yourself if you trust it"
                )
            yield from _opened(archive, info)


def _opened(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[Member]:
    try:
        member: IO[bytes] = archive.open(info)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        yield Member(info.filename, PipelineError(f"broken in the archive: {error}"))
        return
    with member, guarded(member, "member of the archive", lambda: info.compress_size) as content:
        yield Member(info.filename, content)


def _refused(info: zipfile.ZipInfo, limit: int, doubled: bool) -> str | None:
    name = info.filename.lower()
    if name.endswith(_NESTED):
        return "an archive within an archive is not opened: unpack the outer one first"
    if name.endswith(PARQUET):
        return "a Parquet file within an archive is not read: unpack the archive first"
    if doubled:
        return "the archive holds this name twice: only the first is read"
    if info.flag_bits & _ENCRYPTED:
        return "is encrypted: unpack the archive with its password first"
    if info.file_size > limit:
        return (
            f"unpacks to {info.file_size:,} bytes, over {MAX_RATIO} times the archive: refused as a decompression bomb"
        )
    return None


def _hidden(name: str) -> bool:
    """Hidden files, and the copies of file attributes that macOS adds."""
    parts = [part for part in name.split("/") if part not in (".", "..")]
    return any(part.startswith(".") or part == "__MACOSX" for part in parts)
