"""Readers: what every kind of input becomes, and the one line that bad input gets."""

from __future__ import annotations

import builtins
import errno
import gzip
import io
import json
import os
import pickle
import socket
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline import decoding, lines, readers
from pipeline.readers import SUFFIXES, Raw, document_of, fetch, read, write_texts
from pipeline.records import Document, Failure, PipelineError

NEWS = "The two envoys met on Monday.\n\nBoth want a treaty.\n"

PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Envoys meet | The Daily</title>
<meta property="og:title" content="Envoys meet in Oslo">
<meta property="article:published_time" content="2024-03-05T10:00:00Z"></head>
<body><nav><ul><li><a href="/">Front page</a></li><li><a href="/w">World desk</a></li></ul></nav>
<article><h1>Envoys meet in Oslo</h1>
<p>The two envoys met for <b>forty</b> minutes on Monday and spoke
of <a href="/x">fishing rights</a>, * and [nothing] else.</p>
<h2>Challenges</h2><ul><li>Fishing in the strait remains the sharpest dispute.</li>
<li><p>Debt is high in both capitals.</p><ul><li>Above all in the south.</li></ul></li></ul>
<ol><li>Sign first.</li><li>Count later.</li></ol>
<blockquote><p>"We want a just peace," the envoy said after the talks in Oslo.</p></blockquote>
<table><tr><td>Tonnes</td><td>81230</td></tr></table>
<p>The bloc urged all parties to return to the table before the spring.</p></article>
<section class="comments" id="comments"><h3>Comments</h3><p>First! I never read such rubbish.</p></section>
<footer><p>Copyright 2024 The Daily. All rights reserved.</p></footer></body></html>"""


def put(folder: Path, name: str, content: str | bytes) -> str:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return str(path)


def only(*sources: str | Path, **options: object) -> Document | Failure:
    results = list(read(sources, **options))  # type: ignore[arg-type]
    assert len(results) == 1, results
    return results[0]


def document(*sources: str | Path, **options: object) -> Document:
    result = only(*sources, **options)
    assert isinstance(result, Document), result
    return result


def reason(*sources: str | Path, **options: object) -> str:
    result = only(*sources, **options)
    assert isinstance(result, Failure), result
    assert len(str(result).splitlines()) == 1
    return result.reason


def names(results: object) -> list[str]:
    return [Path(item.id if isinstance(item, Document) else item.source).name for item in results]  # type: ignore[attr-defined]


# Text and its encodings


@pytest.mark.parametrize("name", ["a.txt", "a.text", "a.md", "a.markdown", "A.TXT"])
def test_text_is_returned_to_the_character(tmp_path: Path, name: str) -> None:
    text = "\n  One.\r\nTwo \x0b\u2028 three\t🇫🇷 é\r\n\r\n"
    path = put(tmp_path, name, text)
    assert document(path) == Document(path, text, source=path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_byte_order_marks_are_not_text(tmp_path: Path, encoding: str) -> None:
    result = document(put(tmp_path, "a.txt", "Zoë said “no”.\r\n".encode(encoding)))
    assert (result.text, result.warnings) == ("Zoë said “no”.\r\n", ())


def test_big_endian_utf16(tmp_path: Path) -> None:
    assert document(put(tmp_path, "a.txt", b"\xfe\xff" + NEWS.encode("utf-16-be"))).text == NEWS


def test_windows_1252_is_read_with_a_warning(tmp_path: Path) -> None:
    result = document(put(tmp_path, "a.txt", "One.\nThe café\u2019s €5.".encode("cp1252")))
    assert result.text == "One.\nThe café\u2019s €5."
    assert result.warnings == ("not UTF-8 (byte 0xE9 in line 2); read as Windows-1252: check accents",)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(text=st.text())
def test_any_text_comes_back_unchanged_or_with_a_reason(tmp_path: Path, text: str) -> None:
    result = only(put(tmp_path, "any.txt", text))
    if isinstance(result, Failure):
        expected = text.removeprefix("\ufeff")
        controls = sum((char < " " and char not in "\t\n\v\f\r") or char == "\x7f" for char in text)
        assert not expected.strip() or "\0" in text or controls > 0.1 * len(text.encode()), result
    else:
        assert (result.text, result.warnings) == (text.removeprefix("\ufeff"), ())


def test_files_can_be_fetched_here_and_decoded_elsewhere(tmp_path: Path) -> None:
    path = put(tmp_path, "1.txt", "One é.".encode("cp1252"))
    put(tmp_path, "2.html", PAGE)
    put(tmp_path, "3.txt.gz", gzip.compress(b"Three."))
    put(tmp_path, "4.jsonl", '{"text": "Four."}\n')
    put(tmp_path, "5.txt", b"a\0b")
    put(tmp_path, "6.html", "<html></html>")
    put(tmp_path, "7.txt", "")
    fetched = list(fetch([tmp_path]))
    assert fetched[0] == Raw(path, ".txt", b"One \xe9.")
    assert [type(item) for item in fetched] == [Raw, Raw, Raw, Document, Raw, Raw, Failure]
    there = [document_of(pickle.loads(pickle.dumps(item))) if isinstance(item, Raw) else item for item in fetched]
    assert there == list(read([tmp_path]))
    assert [type(item) for item in there[4:]] == [Failure] * 3


# Files that hold no text


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "the file is empty"),
        (b"\xef\xbb\xbf", "empty"),
        (b" \r\n\t\xc2\xa0\n", "only whitespace"),
        (b"%PDF-1.7\n...", "a PDF file, not text: convert it to text first"),
        (b"\x89PNG\r\n\x1a\n", "a PNG image"),
        (gzip.compress(b"text"), "a gzip archive"),
        (b"text\0more", "NUL byte at byte 5"),
        ("no mark".encode("utf-16-le"), "UTF-16 without a byte-order mark, save it as UTF-8"),
        (b"\x01\x02\x03" + b"a" * 20, r"13% control characters, the limit is 10%"),
        (b"caf\xe9 \x81", r"neither UTF-8 (byte 0xE9 in line 1) nor Windows-1252 (byte 0x81 at byte 6)"),
        (b"\xff\xfea\x00b", "marked as UTF-16, but broken at byte 5"),
    ],
)
def test_what_is_no_text_is_named(tmp_path: Path, content: bytes, expected: str) -> None:
    assert expected in reason(put(tmp_path, "a.txt", content))
    if content:
        assert isinstance(only(put(tmp_path, "a.html", content)), Failure)


def test_word_file_under_a_text_name(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.txt", "w") as archive:
        archive.writestr("word/document.xml", "<w/>")
    assert "a Word file (DOCX), not text: convert it to text first" in reason(tmp_path / "a.txt")


def test_a_line_of_20_mb_is_refused_with_its_number(tmp_path: Path) -> None:
    found = reason(put(tmp_path, "a.txt", b"One.\r\nTwo.\n" + b"word " * 4_000_000 + b"\nEnd."))
    assert found == "line 3 has 20,000,000 characters; the limit is 1,000,000: break it into lines"


@pytest.mark.parametrize("newline", ["\n", "\r", "\r\n"])
def test_long_texts_of_allowed_lines_are_read(tmp_path: Path, newline: str) -> None:
    text = newline.join(["a" * decoding.MAX_LINE, "b" * 700_000, "c" * decoding.MAX_LINE])
    assert document(put(tmp_path, "a.txt", text)).text == text


# Sources


def test_a_folder_is_read_in_the_order_of_its_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("news/b.txt", "news/a/z.md", "news/a/y.txt", "news/c.txt", "news/.x.txt", "news/.git/h.txt"):
        put(tmp_path, name, NEWS)
    put(tmp_path, "news/photo.jpg", b"\xff\xd8\xff")
    monkeypatch.chdir(tmp_path)
    expected = ["news/a/y.txt", "news/a/z.md", "news/b.txt", "news/c.txt"]
    assert [getattr(item, "id", item) for item in read(["news/"])] == expected
    assert [getattr(item, "id", item) for item in read("news")] == expected


def test_what_is_named_twice_is_read_and_said_once(tmp_path: Path) -> None:
    a = put(tmp_path, "news/a.txt", NEWS)
    bad = put(tmp_path, "news/bad.txt", "")
    folder, gone = str(tmp_path / "news"), str(tmp_path / "gone.txt")
    found = list(read([gone, a, folder, gone, bad, a, folder + "/../news/a.txt", f"{folder}/*.txt", folder]))
    assert names(found) == ["gone.txt", "a.txt", "bad.txt"]
    assert names(read([folder, a, bad, str(tmp_path)])) == ["a.txt", "bad.txt"]
    assert names(read([folder, folder + "/missing.txt"])) == ["a.txt", "bad.txt", "missing.txt"]


def test_symbolic_links_end_and_count_once(tmp_path: Path) -> None:
    put(tmp_path, "news/a/one.txt", NEWS)
    (tmp_path / "news/a/up").symlink_to(tmp_path / "news")
    (tmp_path / "news/b").symlink_to(tmp_path / "news/a")
    (tmp_path / "news/self.txt").symlink_to(tmp_path / "news/self.txt")
    (tmp_path / "news/two.txt").symlink_to(tmp_path / "news/a/one.txt")
    (tmp_path / "news/void.txt").symlink_to(tmp_path / "nowhere.txt")
    found = list(read([tmp_path / "news"]))
    assert names(found) == ["one.txt", "self.txt", "void.txt"]
    assert "too many levels of symbolic links" in str(found[1])
    assert "a symbolic link to a file that does not exist" in str(found[2])
    assert names(read([f"{tmp_path}/news/**/one.txt"])) == ["one.txt"]


def test_deep_folders_do_not_exhaust_the_stack(tmp_path: Path) -> None:
    folders = [str(tmp_path)]
    for _ in range(1500):
        folders.append(folders[-1] + "/d")
        os.mkdir(folders[-1])
    put(Path(folders[-1]), "a.txt", NEWS)
    found = names(read([tmp_path]))
    os.unlink(folders[-1] + "/a.txt")
    for folder in reversed(folders[1:]):  # pytest's own clean-up is recursive
        os.rmdir(folder)
    assert found == ["a.txt"]


def test_patterns_the_shell_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("n/b.txt", "n/a.txt", "n/.h.txt", "n/deep/c.md", "n/x.pdf", "[1].txt"):
        put(tmp_path, name, NEWS)
    monkeypatch.chdir(tmp_path)
    assert [getattr(item, "id", item) for item in read(["n/*.txt"])] == ["n/a.txt", "n/b.txt"]
    assert [getattr(item, "id", item) for item in read(["n/**/*.md"])] == ["n/deep/c.md"]
    assert names(read(["[1].txt"])) == ["[1].txt"]
    assert reason("n/*.doc") == "no file matches this pattern"
    assert "1 files match, but none that can be read; read are .txt" in reason("n/*.pdf")


def test_names_outside_utf8_are_read_and_printable(tmp_path: Path) -> None:
    for raw in (b"caf\xe9.txt", b"caf\xe8.txt", b"two\nlines.txt"):
        Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), raw))).write_text(NEWS)
    found = list(read([tmp_path]))
    assert sorted(names(found)) == ["caf\\xe8.txt", "caf\\xe9.txt", "two\\nlines.txt"]
    for item in found:
        assert isinstance(item, Document)
        json.dumps(item.id, ensure_ascii=False).encode("utf-8")
        assert write_texts(item, tmp_path / "out").read_text() == NEWS


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("missing.txt", "no such file or folder"),
        ("a.pdf", "files that end in '.pdf' are not read; read are " + " ".join(SUFFIXES)),
        ("README", "the file name has no ending"),
        ("empty", "the folder holds no file that can be read; read are .txt"),
        ("", "no path"),
        ("a\0.txt", "NUL character"),
    ],
)
def test_paths_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, expected: str) -> None:
    put(tmp_path, "a.pdf", "%PDF-")
    put(tmp_path, "README", NEWS)
    put(tmp_path, "empty/photo.jpg", b"x")
    monkeypatch.chdir(tmp_path)
    assert expected in reason(name)


def test_pipes_sockets_and_devices_are_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    with socket.socket(socket.AF_UNIX) as server, tempfile.TemporaryDirectory() as short:
        server.bind(f"{short}/s.txt")
        assert "this is a socket, not a file" in reason(f"{short}/s.txt")
    assert "this is a named pipe, not a file: to read from it, send it to '-'" in reason(tmp_path / "pipe.txt")
    assert "this is a device" in reason("/dev/zero")


def test_one_bad_file_leaves_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("1.txt", "2.txt", "3.txt", "4.txt"):
        put(tmp_path, name, NEWS)
    refused = {"1.txt": errno.EACCES, "2.txt": errno.EIO, "3.txt": errno.ENOENT}
    opened = builtins.open

    def refusing(path: object, *args: object, **options: object) -> object:
        if code := refused.get(Path(str(path)).name):
            raise OSError(code, os.strerror(code))
        return opened(path, *args, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(builtins, "open", refusing)
    found = list(read([tmp_path]))
    assert names(found) == ["1.txt", "2.txt", "3.txt", "4.txt"]
    assert [item.reason for item in found if isinstance(item, Failure)] == [
        "cannot be read: permission denied",
        "cannot be read: input/output error",
        "vanished during the run",
    ]


def test_a_file_that_vanishes_between_two_reads(tmp_path: Path) -> None:
    put(tmp_path, "1.txt", NEWS)
    second = put(tmp_path, "2.txt", NEWS)
    put(tmp_path, "3.txt", NEWS)
    run = read([tmp_path])
    assert isinstance(next(run), Document)
    os.unlink(second)
    assert str(next(run)) == f"{second}: vanished during the run"
    assert isinstance(next(run), Document)


def test_a_file_that_changes_before_its_turn_is_read_as_it_stands_then(tmp_path: Path) -> None:
    for name in ("1.txt", "2.txt", "3.txt", "4.txt"):
        put(tmp_path, name, NEWS)
    run = read([tmp_path])
    assert isinstance(next(run), Document)
    put(tmp_path, "2.txt", NEWS + "They met again.\n")
    put(tmp_path, "3.txt", "")
    os.unlink(tmp_path / "4.txt")
    (tmp_path / "4.txt").mkdir()
    second, third, fourth = run
    assert getattr(second, "text", None) == NEWS + "They met again.\n"
    assert str(third).endswith("3.txt: the file is empty (0 bytes)")
    assert str(fourth).endswith("4.txt: cannot be read: is a directory")


@pytest.mark.parametrize("change", [b"They met again.\n", b""])
def test_a_text_that_changes_while_it_is_read_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: bytes
) -> None:
    path = put(tmp_path, "a.txt", NEWS)
    whole = readers.read_whole

    def meanwhile(stream: BinaryIO) -> bytes:
        data = whole(stream)
        with open(path, "ab" if change else "wb") as other:
            other.write(change)
        return data

    monkeypatch.setattr(readers, "read_whole", meanwhile)
    size = len(NEWS) + len(change) if change else 0
    assert reason(path) == (
        f"changed while it was being read (from {len(NEWS)} to {size} bytes): it is left out; run again when nothing "
        "writes to it"
    )


def test_rows_that_come_while_a_file_is_read_are_read_and_said(tmp_path: Path) -> None:
    path = put(tmp_path, "a.jsonl", '{"text": "One."}\n')
    run = read([path])
    first = next(run)
    with open(path, "a") as other:
        other.write('{"text": "Two."}\n')
    second, failure = run
    assert [getattr(item, "text", None) for item in (first, second)] == ["One.", "Two."]
    assert str(failure).startswith(
        f"{path}: changed while it was being read (from 17 to 34 bytes): what was read of it "
    )


def test_rows_that_vanish_while_a_file_is_read(tmp_path: Path) -> None:
    line = '{"text": "%s"}\n' % ("word " * 200)
    path = put(tmp_path, "a.jsonl", line * 1000)
    run = read([path])
    assert isinstance(next(run), Document)
    os.truncate(path, 500 * len(line) + 100)
    rest = list(run)
    assert {type(item) for item in rest[:499]} == {Document}
    assert [str(item).split(": ")[1] for item in rest[499:]] == [
        "broken JSON at column 10",
        f"changed while it was being read (from {1000 * len(line):,} to {500 * len(line) + 100:,} bytes)",
    ]


def test_a_file_that_is_replaced_while_it_is_read_is_the_one_that_was_opened(tmp_path: Path) -> None:
    path = put(tmp_path, "a.jsonl", '{"text": "One."}\n{"text": "Two."}\n')
    run = read([path])
    first = next(run)
    os.replace(put(tmp_path, "b.txt", '{"text": "New."}\n'), path)
    assert [getattr(item, "text", item) for item in (first, *run)] == ["One.", "Two."]


def test_real_permissions() -> None:
    """As another user where this one is root, to whom nothing is forbidden."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        secret = put(folder, "b/secret.txt", NEWS)
        put(folder, "c/in.txt", NEWS)
        put(folder, "d/open.txt", NEWS)
        os.chmod(secret, 0)
        (folder / "c").chmod(0)
        user = os.geteuid()
        try:
            if user == 0:
                os.seteuid(65534)
            found = list(read([folder, folder / "c/in.txt"]))
        finally:
            os.seteuid(user)
            (folder / "c").chmod(0o755)
    assert names(found) == ["secret.txt", "c", "open.txt", "in.txt"]
    assert {item.reason for item in found if isinstance(item, Failure)} == {"cannot be read: permission denied"}


# Rows


def test_json_lines(tmp_path: Path) -> None:
    path = put(
        tmp_path,
        "a.jsonl",
        '\ufeff{"text": "One.\\nTwo.", "id": 7, "title": "T", "date": "2024-01-02"}\r\n\n'
        '{"text": "Zoë \\ud83d\\ude00"}',
    )
    assert list(read([path])) == [
        Document("7", "One.\nTwo.", "T", "2024-01-02", path),
        Document(f"{path}:3", "Zoë 😀", source=path),
    ]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"text": "a" "b"}', "broken JSON at column 14: Expecting ',' delimiter"),
        ('["text"]', "the line is a list; a JSON object is needed"),
        ("12", "the line is a number"),
        (
            '{"body": "x", "a\\nb": 1}',
            "no field 'text'; found: body, a\\nb. Name the one that holds the text with --text-field",
        ),
        ("{}", "no field 'text'; found: none"),
        ('{"text": null}', "field 'text' is null, not a string"),
        ('{"text": ["a"]}', "field 'text' is a list, not a string"),
        ('{"text": " \\n"}', "field 'text': holds only whitespace"),
        ('{"text": "c", "id": "first"}', "id 'first' is already that of line 1"),
        ('{"text": "c", "id": {}}', "field 'id' is an object; a string or a number is needed"),
        ('{"text": "%s"}' % ("a" * 1_000_001), "line 1 has 1,000,001 characters; the limit is 1,000,000"),
        ('{"a":' * 100_000, "nested too deeply"),
        ('{"text": %s}' % ("9" * 5000), "too many digits"),
        (b'{"text": "caf\xe9 \x81"}', "neither UTF-8 (byte 0xE9 in line 2) nor Windows-1252"),
    ],
)
def test_a_bad_json_line_is_one_failure(tmp_path: Path, line: str | bytes, expected: str) -> None:
    middle = line if isinstance(line, bytes) else line.encode()
    path = put(tmp_path, "a.jsonl", b'{"text": "A.", "id": "first"}\n' + middle + b'\n{"text": "B."}\n')
    first, failure, last = read([path])
    assert isinstance(failure, Failure)
    assert expected in failure.reason
    assert str(failure).startswith(f"{path}:2: ")
    assert (getattr(first, "text", None), getattr(last, "text", None)) == ("A.", "B.")


def test_half_a_surrogate_pair_can_be_written(tmp_path: Path) -> None:
    result = document(put(tmp_path, "a.jsonl", '{"text": "A \\ud800 b.", "id": "x\\udcff", "title": "\\udfff"}'))
    assert (result.text, result.id, result.title) == ("A \ufffd b.", "x\ufffd", "\ufffd")
    assert result.warnings == ("holds half a surrogate pair: replaced by U+FFFD",)
    assert write_texts(result, tmp_path).read_text("utf-8") == "A \ufffd b."


def test_json_lines_are_read_one_by_one(tmp_path: Path) -> None:
    class Counting(io.BytesIO):
        lines = 0

        def readline(self, size: int | None = -1, /) -> bytes:
            self.lines += 1
            return super().readline(size)

    stream = Counting(b'{"text": "A."}\n' * 1000)
    assert isinstance(next(read(["-"], stdin=stream)), Document)
    assert stream.lines <= 2


@pytest.mark.parametrize(
    ("name", "header", "row"), [("a.jsonl", b"", b'{"text": "X."}\n'), ("a.csv", b"text\n", b"X.\n")]
)
def test_a_line_over_the_bound_on_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, header: bytes, row: bytes
) -> None:
    monkeypatch.setattr(lines, "MAX_ROW", 30)
    long = b'"' + b"a" * 99 + b'"\n'
    first, failure, last = read([put(tmp_path, name, header + row + long + row)])
    assert (getattr(first, "text", None), getattr(last, "text", None)) == ("X.", "X.")
    assert "the line has 102 bytes; the limit is 30" in str(failure)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_csv(tmp_path: Path, separator: str, encoding: str) -> None:
    table = 'id,text,title,date\r\n7,"One,\r\n""two"" é.",T,2024\r\n\r\n,Three.,,\r\n'.replace(",", separator)
    path = put(tmp_path, "a.csv", table.encode(encoding))
    assert list(read([path])) == [
        Document("7", f'One{separator}\r\n"two" é.', "T", "2024", path),
        Document(f"{path}:5", "Three.", source=path),
    ]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (b"1,One, two.", "malformed CSV: 3 cells where the header has 2 columns"),
        (b"1", "malformed CSV: 1 of 2 cells, none for the text column"),
        (b'1,"One" two.', "malformed CSV: ',' expected after '\"'"),
        (b"1,", "field 'text': empty"),
        (b"first,Two.", "id 'first' is already that of line 2"),
    ],
)
def test_a_bad_csv_row_is_one_failure(tmp_path: Path, row: bytes, expected: str) -> None:
    path = put(tmp_path, "a.csv", b'id,text\nfirst,"A\nb."\n' + row + b"\n9,B.\n")
    _, failure, last = read([path])
    assert isinstance(failure, Failure)
    assert (failure.line, getattr(last, "id", None)) == (4, "9")
    assert expected in failure.reason


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            "id;body\n1;A.\n",
            "no column 'text'; found: id, body. Name the one that holds the text with --text-field",
        ),
        ("text,a,text\nA,b,C\n", "columns named twice in the header: text"),
        ("id,text\n", "no rows under the header"),
        ("text\rA.\r", "lines end in a carriage return alone"),
        ('text\n"A.\nB.\n', "a quotation mark in this row is never closed; nothing after it is read"),
        (b"text\0\nA.\n", "binary file"),
    ],
)
def test_csv_that_cannot_be_read(tmp_path: Path, content: str | bytes, expected: str) -> None:
    assert expected in reason(put(tmp_path, "a.csv", content))


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv"])
def test_utf16_rows_before_a_break_are_kept(tmp_path: Path, name: str) -> None:
    row = '{"text": "Zoë 😀 said no."}\n' if name == "a.jsonl" else '"Zoë 😀 said no."\n'
    head = "" if name == "a.jsonl" else "text\n"
    data = (head + row * 20_000).encode("utf-16")
    for broken, at in ((data + b"\x00\xdc", len(data) + 1), (data[:-1], len(data) - 1)):
        *documents, failure = read([put(tmp_path, name, broken)])
        assert {getattr(item, "text", None) for item in documents} == {"Zoë 😀 said no."}
        assert len(documents) in (19_999, 20_000)
        assert str(failure).endswith(f": marked as UTF-16, but broken at byte {at}")


def test_a_large_cell_leaves_the_limit_of_others_alone(tmp_path: Path) -> None:
    import csv

    before = csv.field_size_limit()
    text = "word word\n" * 40_000
    path = put(tmp_path, "a.csv", f'text\n"{text}"\nlast\n')
    run = read([path])
    assert getattr(next(run), "text", None) == text
    assert csv.field_size_limit() == before
    assert getattr(next(run), "id", None) == f"{path}:40003"


def test_other_fields_can_hold_the_text(tmp_path: Path) -> None:
    table, lines = put(tmp_path, "a.csv", "body,text\nA.,x\n"), put(tmp_path, "a.jsonl", '{"body": "B."}')
    assert [getattr(item, "text", item) for item in read([table, lines], text_field="body")] == ["A.", "B."]


def test_rows_in_windows_1252_name_their_line(tmp_path: Path) -> None:
    path = put(tmp_path, "a.csv", "text\nPlain.\nThe café.\nPlain.\n".encode("cp1252"))
    found = [item for item in read([path]) if isinstance(item, Document)]
    assert [item.text for item in found] == ["Plain.", "The café.", "Plain."]
    assert [len(item.warnings) for item in found] == [0, 1, 0]
    assert "(byte 0xE9 in line 3)" in found[1].warnings[0]


def test_odd_titles_are_left_out_and_said(tmp_path: Path) -> None:
    result = document(put(tmp_path, "a.jsonl", '{"text": "A.", "title": ["x"], "date": 2024}'))
    assert (result.title, result.date) == (None, "2024")
    assert result.warnings == ("field 'title' is a list, not a string: left out",)


# Standard input


def test_standard_input_is_text_or_json_lines() -> None:
    assert document("-", "-", stdin=io.BytesIO(NEWS.encode())) == Document("-", NEWS, source="-")
    rows_in = b' {"text": "A.", "id": "x"}\n\n{"text": "B."}\n'
    for stream in (rows_in, rows_in.decode().encode("utf-16")):
        found = list(read(["-"], stdin=io.BytesIO(stream)))
        assert [getattr(item, "id", item) for item in found] == ["x", "-:3"]
    brace = "{Note} the envoys met.\nThey left."
    assert document("-", stdin=io.BytesIO(brace.encode())).text == brace


def test_standard_input_of_other_fields_is_text_with_a_hint() -> None:
    result = document("-", stdin=io.BytesIO(b'{"body": "A."}\n'))
    assert (result.text, len(result.warnings)) == ('{"body": "A."}\n', 1)
    assert "--text-field names the field of JSON Lines" in result.warnings[0]


def test_bad_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    assert reason("-", stdin=io.BytesIO(b"")) == "standard input is empty"
    assert "only whitespace" in reason("-", stdin=io.BytesIO(b"\n\n"))
    assert "NUL byte" in reason("-", stdin=io.BytesIO(b"a\0"))
    monkeypatch.setattr(sys, "stdin", None)
    assert reason("-") == "standard input is closed"


# Web pages


def test_a_page_becomes_its_article(tmp_path: Path) -> None:
    result = document(put(tmp_path, "a.html", PAGE))
    assert (result.title, result.date, result.warnings) == ("Envoys meet in Oslo", "2024-03-05", ())
    assert result.text == (
        "# Envoys meet in Oslo\n\n"
        "The two envoys met for forty minutes on Monday and spoke of fishing rights, "
        "* and [nothing] else.\n\n"
        "## Challenges\n\n"
        "- Fishing in the strait remains the sharpest dispute.\n"
        "- Debt is high in both capitals.\n"
        "  - Above all in the south.\n\n"
        "1. Sign first.\n2. Count later.\n\n"
        '"We want a just peace," the envoy said after the talks in Oslo.\n\n'
        "The bloc urged all parties to return to the table before the spring.\n"
    )


@pytest.mark.parametrize(
    ("declaration", "encoding", "warned"),
    [
        ('<meta charset="windows-1251">', "cp1251", False),
        ("<meta http-equiv='Content-Type' content='text/html; charset=iso-8859-1'>", "cp1252", False),
        ('<meta charset="utf-8">', "cp1252", True),
        ('<meta charset="nonsense">', "cp1252", True),
        ('<meta charset="utf-16le">', "cp1252", True),
        ("", "cp1252", True),
        ("", "utf-16", False),
    ],
)
def test_pages_in_old_encodings(tmp_path: Path, declaration: str, encoding: str, warned: bool) -> None:
    word = "Договор" if encoding == "cp1251" else "“Café”"
    prose = f"<p>{word} was the name of the treaty that both of the envoys signed.</p>"
    page = f"<html><head>{declaration}</head><body><article>{prose}</article></body></html>"
    result = document(put(tmp_path, "a.htm", page.encode(encoding)))
    assert result.text.startswith(word)
    assert bool(result.warnings) == warned


def test_a_fragment_of_a_page_is_read(tmp_path: Path) -> None:
    text = "The minister wants a visa agreement signed before the spring."
    assert document(put(tmp_path, "a.html", f"<p>{text}</p>")).text == text + "\n"


@pytest.mark.parametrize(
    "body",
    [
        "",
        "<nav><a href='/'>Home</a><a href='/w'>World</a></nav><footer>Copyright 2024</footer>",
        "<form><label>User</label><input><button>Sign in</button></form><p>Please enable JavaScript.</p>",
        "<script>let a = 'many words that nobody is ever meant to read here';</script>",
        "<table><tr><td>1</td><td>2</td></tr></table>",
    ],
)
def test_pages_without_an_article(tmp_path: Path, body: str, capfd: pytest.CaptureFixture[str]) -> None:
    page = f"<html><head><title>News</title></head><body>{body}</body></html>"
    assert "no article found in this page" in reason(put(tmp_path, "a.html", page))
    assert capfd.readouterr() == ("", "")


def test_hostile_pages_end_in_a_document_or_a_failure(tmp_path: Path) -> None:
    deep = "<div>" * 5000 + "<p>The minister wants a visa agreement signed before the spring.</p>"
    nested = "<ul><li>The list goes on and on " * 200
    put(tmp_path, "1.html", f"<html><body>{deep}</body></html>")
    put(tmp_path, "2.html", f"<html><body>{nested}</body></html>")
    put(tmp_path, "3.html", PAGE.replace("fishing", "&#xD800; &#0;"))
    assert len(list(read([tmp_path]))) == 3


def test_a_missing_page_library_fails_pages_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trafilatura", None)
    put(tmp_path, "a.html", PAGE)
    put(tmp_path, "b.txt", NEWS)
    failure, text = read([tmp_path])
    assert "pip install trafilatura lxml_html_clean" in str(failure)
    assert isinstance(text, Document)


def test_starting_up_imports_no_heavy_library() -> None:
    heavy = "{'trafilatura', 'lxml', 'spacy', 'sklearn', 'numpy'}"
    code = f"import sys, pipeline.readers; print(sorted({heavy} & set(sys.modules)))"
    root = Path(readers.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True)
    assert done.stdout.strip() == "[]"


# Writing texts out


def test_written_texts_are_exact_and_apart(tmp_path: Path) -> None:
    text = "One.\r\nTwo\u2028 é\r"
    ids = ["a/b.txt", "a_b", "A_b", "../../etc/passwd", "é" * 400, "..", "", "con", "x\0y\n"]
    paths = [write_texts(Document(name, text, source="s"), tmp_path / "new/out") for name in ids]
    paths.append(write_texts(Document("a_b", text, source="other"), tmp_path / "new/out"))
    assert len({str(path).lower() for path in paths}) == len(ids) + 1
    assert {path.parent for path in paths} == {tmp_path / "new/out"}
    assert {path.read_bytes() for path in paths} == {text.encode()}
    assert all(path.suffix == ".txt" and not path.name.startswith(".") for path in paths)
    assert sorted(paths) == sorted((tmp_path / "new/out").iterdir())
    assert write_texts(Document("a_b", "new", source="s"), tmp_path / "new/out") == paths[1]
    assert paths[1].read_text() == "new"


def test_texts_that_cannot_be_written(tmp_path: Path) -> None:
    put(tmp_path, "file", "x")
    with pytest.raises(PipelineError, match=r"file/a-\w+\.txt: cannot be written: (file exists|not a directory)"):
        write_texts(Document("a", "A."), tmp_path / "file")
