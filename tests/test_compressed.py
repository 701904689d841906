"""Compressed sources: gzip and zstd text, zip archives, and what is broken or explosive among them."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import os
import struct
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from pipeline import archives, compressed, decoding
from pipeline.readers import read
from pipeline.records import Document, Failure

NEWS = "The two envoys met on Monday.\n\nBoth want a treaty.\n"
PROSE = "The minister wants a visa agreement signed before the spring."
PAGE = f"<html><body><article><p>{PROSE}</p></article></body></html>"
LINES = '{"text": "One.", "id": "a"}\n{"text": 2}\n{"text": "Three."}\n'

PACK: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.compress, ".zst": zstandard.ZstdCompressor().compress}


def put(folder: Path, name: str, content: bytes) -> str:
    (folder / name).write_bytes(content)
    return str(folder / name)


def said(*sources: str | Path) -> list[str]:
    """The texts of documents, and failures as the command prints them."""
    return [item.text if isinstance(item, Document) else str(item) for item in read(sources)]


def zipped(path: Path, *members: tuple[str, str | bytes], method: int = zipfile.ZIP_DEFLATED) -> str:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return str(path)


# gzip and zstd


@pytest.mark.parametrize("packing", [".gz", ".zst"])
@pytest.mark.parametrize("name", ["a.txt", "a.md", "A.MARKDOWN"])
def test_packed_text_is_the_text(tmp_path: Path, packing: str, name: str) -> None:
    path = put(tmp_path, name + packing.upper(), PACK[packing](NEWS.encode()))
    assert list(read([tmp_path])) == [Document(path, NEWS, source=path)]


@pytest.mark.parametrize("packing", [".gz", ".zst"])
def test_packed_rows_and_pages_are_read_as_unpacked_ones(tmp_path: Path, packing: str) -> None:
    put(tmp_path, "1.html" + packing, PACK[packing](PAGE.encode()))
    lines = put(tmp_path, "2.jsonl" + packing, PACK[packing](LINES.encode()))
    put(tmp_path, "3.csv" + packing, PACK[packing]('text\n"Four,\nfive."\n'.encode("utf-16")))
    assert said(tmp_path) == [
        PROSE + "\n",
        "One.",
        f"{lines}:2: field 'text' is a number, not a string",
        "Three.",
        "Four,\nfive.",
    ]


@pytest.mark.parametrize("packing", [".gz", ".zst"])
def test_packed_pieces_one_after_the_other_are_one_text(tmp_path: Path, packing: str) -> None:
    parts = [PACK[packing](part) for part in (b"The envoys ", b"", b"met.\n")]
    assert said(put(tmp_path, "a.txt" + packing, b"".join(parts))) == ["The envoys met.\n"]


@pytest.mark.parametrize(("packing", "kind"), [(".gz", "gzip"), (".zst", "zstd")])
def test_broken_packing_is_one_line(tmp_path: Path, packing: str, kind: str) -> None:
    good = PACK[packing](os.urandom(5000).hex().encode())
    cut = put(tmp_path, "cut.txt" + packing, good[:-20])
    odd = put(tmp_path, "odd.txt" + packing, b"This is plain text.\n")
    tail = put(tmp_path, "tail.txt" + packing, good + b"garbage")
    empty = put(tmp_path, "void.txt" + packing, PACK[packing](b""))
    found = said(cut, odd, tail, empty)
    assert found[0] == f"{cut}: broken {kind} file: it ends too early"
    assert found[1].startswith(f"{odd}: broken {kind} file: ")
    assert found[2].startswith(f"{tail}: broken {kind} file: ")
    assert found[3] == f"{empty}: the file is empty (0 bytes)"


@pytest.mark.parametrize("packing", [".gz", ".zst"])
def test_rows_before_the_break_are_kept(tmp_path: Path, packing: str) -> None:
    rows = "".join(json.dumps({"text": os.urandom(300).hex()}) + "\n" for _ in range(2000))
    whole = put(tmp_path, "whole.jsonl" + packing, PACK[packing](rows.encode()))
    half = PACK[packing](rows.encode())
    path = put(tmp_path, "half.jsonl" + packing, half[: len(half) // 2])
    texts, found = said(whole), said(path)
    assert len(texts) == 2000
    assert len(found) > 500
    assert found[:-1] == texts[: len(found) - 1]
    assert found[-1].startswith(f"{path}:{len(found)}: broken ")
    assert found[-1].endswith("it ends too early")
    table = "text\n" + "".join(f'"{os.urandom(300).hex()}"\n' for _ in range(2000))
    half = PACK[packing](table.encode())
    path = put(tmp_path, "half.csv" + packing, half[: len(half) // 2])
    found = said(path)
    assert [line.startswith(path) for line in found] == [False] * (len(found) - 1) + [True]


@pytest.mark.parametrize("packing", [".gz", ".zst"])
@pytest.mark.parametrize("name", ["bomb.txt", "bomb.jsonl", "bomb.csv", "bomb.html"])
def test_a_bomb_is_refused_before_it_fills_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packing: str, name: str
) -> None:
    monkeypatch.setattr(compressed, "FREE", 2**20)
    bomb = put(tmp_path, name + packing, PACK[packing](b"text\n" * 10 + b" " * 30 * 2**20))
    assert os.path.getsize(bomb) < 40_000
    (found,) = [line for line in said(bomb) if "text" not in line or "bomb" in line][-1:]
    assert "over 500 times its size: refused as a decompression bomb" in found


def test_a_document_is_bounded_however_it_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "MAX_DOCUMENT", 1000)
    put(tmp_path, "1.txt", b"word \n" * 200)
    put(tmp_path, "2.txt.gz", gzip.compress(b"word \n" * 200))
    zipped(tmp_path / "3.zip", ("a.txt", "word \n" * 200))
    found = said(tmp_path)
    assert len(found) == 3
    assert all(
        line.endswith(": holds over 1,000 bytes, the limit for one document: split it into articles") for line in found
    )
    stdin = io.BytesIO(b"word \n" * 200)
    assert "holds over 1,000 bytes" in str(next(read(["-"], stdin=stdin)))


def test_packed_files_under_a_text_name_are_told_what_to_be_called(tmp_path: Path) -> None:
    for number, (packing, pack) in enumerate(PACK.items()):
        path = put(tmp_path, f"{number}.txt", pack(NEWS.encode()))
        assert f"or let its name end in .txt{packing}" in said(path)[0]
    path = zipped(tmp_path / "z.txt", ("a.txt", NEWS))
    assert said(path)[0].endswith("or let its name end in .zip and it is read as such")


def test_zstd_without_its_package_names_the_pip_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "a.txt.zst", PACK[".zst"](NEWS.encode()))
    put(tmp_path, "b.txt", NEWS.encode())
    monkeypatch.setitem(sys.modules, "zstandard", None)
    failure, text = said(tmp_path)
    assert failure.endswith("zstandard, which is not installed (pip install 'communique[tables]')")
    assert text == NEWS


# Zip archives


def test_members_are_documents_in_the_order_of_their_names(tmp_path: Path) -> None:
    lines = io.StringIO()
    csv.writer(lines).writerows([["text"], ["Row."]])
    path = zipped(
        tmp_path / "News.ZIP",
        ("b/late.txt", NEWS),
        ("a/page.html", PAGE),
        ("a/rows.jsonl", LINES),
        ("b/table.csv.gz", gzip.compress(lines.getvalue().encode())),
        ("photo.jpg", b"\xff\xd8\xff"),
        (".hidden.txt", NEWS),
        ("__MACOSX/a/._page.html", b"\0\1"),
        ("../../etc/up.txt", "Up.\n"),
        ("two\nlines é.txt", "Name.\n"),
    )
    found = list(read([tmp_path]))
    assert [item.id if isinstance(item, Document) else str(item) for item in found] == [
        f"{path}/../../etc/up.txt",
        f"{path}/a/page.html",
        "a",
        f"{path}/a/rows.jsonl:2: field 'text' is a number, not a string",
        f"{path}/a/rows.jsonl:3",
        f"{path}/b/late.txt",
        f"{path}/b/table.csv.gz:2",
        f"{path}/two\\nlines é.txt",
    ]
    assert {item.source.startswith(path + "/") for item in found} == {True}
    assert list(tmp_path.iterdir()) == [Path(path)]


def test_one_bad_member_is_one_line(tmp_path: Path) -> None:
    inner = zipped(tmp_path / "inner.bin", ("x.txt", NEWS))
    path = zipped(
        tmp_path / "a.zip",
        ("1.zip", Path(inner).read_bytes()),
        ("2.tar.gz", gzip.compress(b"x")),
        ("3.parquet", b"PAR1"),
        ("4.txt", b"caf\xe9 \x81"),
        ("5.txt", ""),
        ("6.txt", "secret\n"),
        ("7.txt", "Seven is broken.\n"),
        ("8.txt", "Eight is good.\n"),
        method=zipfile.ZIP_STORED,
    )
    data = bytearray(Path(path).read_bytes())
    at = data.rindex(b"6.txt")  # in the list of members: its flags stand 38 bytes before
    data[at - 38] |= 1
    data[data.index(b"Seven is")] ^= 1
    Path(path).write_bytes(data)
    found = said(path)
    assert [line.removeprefix(path) for line in found[:3]] == [
        "/1.zip: an archive within an archive is not opened: unpack the outer one first",
        "/2.tar.gz: an archive within an archive is not opened: unpack the outer one first",
        "/3.parquet: a Parquet file within an archive is not read: unpack the archive first",
    ]
    assert "neither UTF-8" in found[3]
    assert found[4] == f"{path}/5.txt: the file is empty (0 bytes)"
    assert found[5] == f"{path}/6.txt: is encrypted: unpack the archive with its password first"
    assert found[6].startswith(f"{path}/7.txt: broken member of the archive: Bad CRC-32")
    assert found[7:] == ["Eight is good.\n"]


def test_bad_archives_are_one_line(tmp_path: Path) -> None:
    good = Path(zipped(tmp_path / "good.zip", ("a.txt", NEWS))).read_bytes()
    cut = put(tmp_path, "cut.zip", good[:-10])
    void = zipped(tmp_path / "void.zip", ("photo.jpg", b"x"))
    empty = put(tmp_path, "empty.zip", b"")
    found = said(cut, void, empty)
    assert found[0] == f"{cut}: broken zip archive: File is not a zip file"
    assert found[1].startswith(f"{void}: the archive holds no file that can be read; read are .txt")
    assert found[2].startswith(f"{empty}: broken zip archive")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_twice_in_an_archive_is_read_once(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", ("a.txt", "First.\n"), ("a.txt", "Second.\n"))
    assert said(path) == ["First.\n", f"{path}/a.txt: the archive holds this name twice: only the first is read"]


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_methods_of_zip(tmp_path: Path, method: int) -> None:
    path = zipped(tmp_path / "a.zip", ("a.txt", NEWS), method=method)
    assert said(path) == [NEWS]
    data = bytearray(Path(path).read_bytes())
    packed = 30 + len("a.txt")
    data[packed + 12 : packed + 30] = bytes(18)
    Path(path).write_bytes(data)
    assert said(path)[0].startswith(f"{path}/a.txt: broken member of the archive: ")


def test_an_unknown_method_of_zip_is_named(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", ("a.txt", NEWS))
    data = bytearray(Path(path).read_bytes())
    struct.pack_into("<H", data, data.index(b"PK\x01\x02") + 10, 97)
    Path(path).write_bytes(data)
    assert said(path)[0].startswith(f"{path}/a.txt: broken in the archive: That compression method is not supported")


def test_zip_bombs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "FREE", 10_000)
    monkeypatch.setattr(archives, "MAX_RATIO", 10)
    page = b"word\n" * 1800
    one = zipped(tmp_path / "one.zip", ("a.txt", bytes(50_000)), ("b.txt", NEWS))
    many = zipped(tmp_path / "many.zip", *((f"{n}.txt", page) for n in range(5)))
    found = said(one)
    assert (
        found[0] == f"{one}/a.txt: unpacks to 50,000 bytes, over 10 times the archive: refused as a decompression bomb"
    )
    assert found[1:] == [NEWS]
    found = said(many)
    assert found[0] == page.decode()
    assert (
        "unpacks to over 10,000 bytes, 10 times its size: refused as a decompression bomb from '1.txt' on" in found[1]
    )
    assert len(found) == 2


def test_a_member_that_lies_about_its_size_is_cut_there(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", ("a.txt", b"word\n" * 100_000), ("b.txt", NEWS))
    data = bytearray(Path(path).read_bytes())
    struct.pack_into("<I", data, data.index(b"PK\x01\x02") + 24, 50)
    Path(path).write_bytes(data)
    found = said(path)
    assert found[0].startswith(f"{path}/a.txt: broken member of the archive: Bad CRC-32")
    assert found[1:] == [NEWS]


def test_an_archive_is_opened_lazily(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", *((f"{n:03}.txt", NEWS) for n in range(200)))
    run = read([path])
    assert isinstance(next(run), Document)
    with open(path, "r+b") as stream:  # what follows is read only when it is asked for
        stream.seek(400)
        stream.write(bytes(3000))
    assert any(isinstance(item, Failure) for item in run)


def test_bzip2_alone_is_not_read(tmp_path: Path) -> None:
    path = put(tmp_path, "a.txt.bz2", bz2.compress(NEWS.encode()))
    assert "files that end in '.bz2' are not read" in said(path)[0]
    assert "and text packed as .gz or .zst" in said(path)[0]
