"""Bytes to text: which encoding, is it text at all, and names that can be printed."""

from __future__ import annotations

import codecs
import re
from typing import BinaryIO, NamedTuple

from pipeline.records import PipelineError

#: Longest line in characters; what is longer is data or a lost line ending, not news.
MAX_LINE = 1_000_000
#: Share of control bytes above which a file is taken for binary.
MAX_CONTROL_SHARE = 0.10
#: Largest document in bytes, unpacked: it is held in memory as a whole.
MAX_DOCUMENT = 512 * 2**20

FALLBACK = "Windows-1252"
SURROGATE_WARNING = "holds half a surrogate pair: replaced by U+FFFD"

_BOMS = (  # the UTF-32 mark begins with the UTF-16 one, so it is looked for first
    (codecs.BOM_UTF32_LE, "utf-32-le", "UTF-32"),
    (codecs.BOM_UTF32_BE, "utf-32-be", "UTF-32"),
    (codecs.BOM_UTF16_LE, "utf-16-le", "UTF-16"),
    (codecs.BOM_UTF16_BE, "utf-16-be", "UTF-16"),
)
_MAGIC = (
    (b"%PDF-", "a PDF file"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF87a", "a GIF image"),
    (b"GIF89a", "a GIF image"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x28\xb5\x2f\xfd", "a zstd file"),
    (b"PAR1", "a Parquet file"),
    (b"\xd0\xcf\x11\xe0", "an older Office file (.doc, .xls)"),
    (b"{\\rtf", "an RTF file"),
)
_ENDINGS = {
    "a gzip archive": ".txt.gz or .jsonl.gz",
    "a zstd file": ".txt.zst or .jsonl.zst",
    "a Parquet file": ".parquet",
    "a ZIP archive": ".zip",
}
_ZIP = b"PK\x03\x04"
_ZIP_KINDS = (
    (b"word/", "a Word file (DOCX)"),
    (b"xl/", "an Excel file (XLSX)"),
    (b"opendocument", "an OpenDocument file"),
)
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\v\f\r")) + b"\x7f"
_SURROGATE = re.compile("[\ud800-\udfff]")
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f\u0085\u2028\u2029\ud800-\udfff]")
_NEWLINE = re.compile(r"\r\n|\r|\n")


class UnreadableError(PipelineError):
    """Nothing more can be read of a stream: it is broken, cut short, or a decompression bomb."""


class Decoded(NamedTuple):
    """Text without its byte-order mark, and what the reader of the result should know."""

    text: str
    warnings: tuple[str, ...] = ()


def shown(name: str) -> str:
    r"""A path or field name that prints on one line in any encoding.

    Bytes of a file name that are no UTF-8 become ``\xff``, a newline becomes ``\n``: names stay distinct.
    """
    return _UNPRINTABLE.sub(_escape, name)


def _escape(match: re.Match[str]) -> str:
    code = ord(match.group())
    if 0xDC80 <= code <= 0xDCFF:  # how Python holds a byte of a file name that is no UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return ascii(match.group())[1:-1]


def mend(text: str) -> str:
    """The text with every lone surrogate, which no file can hold, replaced by U+FFFD (same length)."""
    return _SURROGATE.sub("\ufffd", text)


def mark(data: bytes) -> tuple[bytes, str, str]:
    """The UTF-16 or UTF-32 mark that the bytes begin with, its codec and its name; empty where there is none.

    Under such a mark NUL bytes are normal.
    """
    return next((known for known in _BOMS if data.startswith(known[0])), (b"", "", ""))


def read_whole(stream: BinaryIO, head: bytes = b"") -> bytes:
    """``head`` and the rest of a stream; PipelineError where that is over ``MAX_DOCUMENT``."""
    data = head + stream.read(MAX_DOCUMENT + 1 - len(head))
    if len(data) > MAX_DOCUMENT:
        raise PipelineError(f"holds over {MAX_DOCUMENT:,} bytes, the limit for one document: split it into articles")
    return data


def refuse_binary(data: bytes) -> None:
    """Raise PipelineError, naming the kind, where the bytes are no text in any encoding read here."""
    kind = next((kind for magic, kind in _MAGIC if data.startswith(magic)), None)
    if data.startswith(_ZIP):
        kind = next((kind for mark, kind in _ZIP_KINDS if mark in data), "a ZIP archive")
    if kind is not None:
        ending = _ENDINGS.get(kind)
        named = f", or let its name end in {ending} and it is read as such" if ending else ""
        raise PipelineError(f"this is {kind}, not text: convert it to text first{named}")
    if mark(data)[0]:
        return
    if (at := data.find(b"\0")) >= 0:
        raise PipelineError(
            f"binary file (NUL byte at byte {at + 1}): convert it to text first; "
            "if it is UTF-16 without a byte-order mark, save it as UTF-8"
        )
    controls = len(data) - len(data.translate(None, _CONTROLS))
    if controls > MAX_CONTROL_SHARE * len(data):
        raise PipelineError(
            f"binary file ({controls / len(data):.0%} control characters, the limit is "
            f"{MAX_CONTROL_SHARE:.0%}): convert it to text first"
        )


def decode(data: bytes, declared: str | None = None, *, line: int = 1) -> Decoded:
    """Bytes to text: by the byte-order mark, as UTF-8, as ``declared``, then as Windows-1252 with a warning.

    ``line`` is the number of the first line of ``data``, for what is said about it.

    Raises
    ------
    PipelineError
        Where none of them fits. Newlines are left as they are.
    """
    bom, codec, name = mark(data)
    if bom:
        try:
            text = data[len(bom) :].decode(codec)
        except UnicodeDecodeError as error:
            raise PipelineError(f"marked as {name}, but broken at byte {len(bom) + error.start + 1}") from error
        refuse_binary(text.encode("utf-8"))
        return Decoded(text)
    try:
        return Decoded(data.removeprefix(codecs.BOM_UTF8).decode("utf-8"))
    except UnicodeDecodeError as error:
        bad = error
    if declared is not None:
        try:
            return Decoded(data.decode(declared))
        except (UnicodeError, LookupError):  # a wrong or unknown declaration counts as none
            pass
    line += bad.object.count(b"\n", 0, bad.start)
    byte = f"byte 0x{bad.object[bad.start]:02X} in line {line}"
    try:
        text = data.decode("cp1252")
    except UnicodeDecodeError as error:
        raise PipelineError(
            f"undecodable: neither UTF-8 ({byte}) nor {FALLBACK} "
            f"(byte 0x{data[error.start]:02X} at byte {error.start + 1}): save it as UTF-8"
        ) from error
    return Decoded(text, (f"not UTF-8 ({byte}); read as {FALLBACK}: check accents",))


def check_text(text: str) -> None:
    """Raise PipelineError for text that holds nothing to read, or a line longer than ``MAX_LINE``."""
    if not text:
        raise PipelineError("empty: there is no text to read")
    if text.isspace():
        raise PipelineError("holds only whitespace")
    start = 0
    while len(text) - start > MAX_LINE:  # jumps from line to line near the limit, so long texts stay cheap
        end = start + MAX_LINE + 1
        found = max(text.rfind("\n", start, end), text.rfind("\r", start, end))
        if found < 0:
            after = _NEWLINE.search(text, end)
            length = (after.start() if after else len(text)) - start
            line = len(_NEWLINE.findall(text[:start])) + 1
            raise PipelineError(
                f"line {line} has {length:,} characters; the limit is {MAX_LINE:,}: break it into lines"
            )
        start = found + 1
