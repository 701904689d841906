"""Parquet: articles in, labelled units out, and datasets of many parts."""

from __future__ import annotations

import datetime
import errno
import gc
import io
import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from decimal import Decimal
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import parquet_out
from pipeline.parquet_out import ParquetWriter, write_part
from pipeline.readers import read
from pipeline.records import Document, PipelineError, Prediction, Unit
from pipeline.report import JsonLinesWriter

LABELS = ("goal", "background")


def table(path: Path, columns: dict[str, Any], **options: Any) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path, **options)
    return str(path)


def said(*sources: str | Path, **options: Any) -> list[str]:
    return [item.text if isinstance(item, Document) else str(item) for item in read(sources, **options)]


def prediction(number: int, section: str | None = None, document: str = "a.txt") -> Prediction:
    text = f"Sentence {number} “é” \u2028."
    unit = Unit(document, number, "sentence", section, 7, 7 + len(text), text)
    return Prediction(unit, "goal", 0.75, number % 2 == 0, {"goal": 0.75, "background": 0.25})


def objects(predictions: list[Prediction]) -> list[dict[str, Any]]:
    stream = io.StringIO()
    JsonLinesWriter(stream).document("", predictions)
    return [json.loads(line) for line in stream.getvalue().removesuffix("\n").split("\n")]


# In


def test_a_row_is_an_article(tmp_path: Path) -> None:
    path = table(
        tmp_path / "a.parquet",
        {
            "body": ["ignored", None, "x"],
            "id": ["one", None, ""],
            "text": ["One.\r\nTwo é.", "Two.", "Three."],
            "title": ["T", None, "U"],
            "date": [datetime.date(2024, 3, 5), None, datetime.date(2024, 3, 6)],
        },
    )
    assert list(read([tmp_path])) == [
        Document("one", "One.\r\nTwo é.", "T", "2024-03-05", path),
        Document(f"{path}:2", "Two.", None, None, path),
        Document(f"{path}:3", "Three.", "U", "2024-03-06", path),
    ]
    assert said(path, text_field="body") == ["ignored", f"{path}:2: field 'body' is null, not a string", "x"]


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("id", pa.array([7]), "7"),
        ("id", pa.array([Decimal("7.50")]), "7.50"),
        ("id", pa.array(["x"]).dictionary_encode(), "x"),
        ("title", pa.array(["x"], pa.large_string()), "x"),
        ("date", pa.array([datetime.datetime(2024, 3, 5, 6, 7)]), "2024-03-05T06:07:00"),
    ],
)
def test_columns_of_other_types(tmp_path: Path, column: str, value: pa.Array, expected: str) -> None:
    path = table(tmp_path / "a.parquet", {"text": pa.array(["A."], pa.large_string()), column: value})
    (document,) = read([path])
    assert getattr(document, column) == expected


def test_a_bad_row_is_one_line_with_its_number(tmp_path: Path) -> None:
    texts = ["A.", None, "", " ", "a" * 1_000_001, "B.", "C."]
    path = table(tmp_path / "a.parquet", {"text": texts, "id": ["1", "2", "3", "4", "5", "1", "7"]}, row_group_size=2)
    assert said(path) == [
        "A.",
        f"{path}:2: field 'text' is null, not a string",
        f"{path}:3: field 'text': empty: there is no text to read",
        f"{path}:4: field 'text': holds only whitespace",
        f"{path}:5: field 'text': line 1 has 1,000,001 characters; the limit is 1,000,000: break it into lines",
        f"{path}:6: id '1' is already that of line 1: ids must differ",
        "C.",
    ]


def test_texts_that_are_no_strings(tmp_path: Path) -> None:
    for name, values, kind in (("a", [b"A."], "bytes"), ("b", [1.5], "a number"), ("c", [["A."]], "a list")):
        path = table(tmp_path / f"{name}.parquet", {"text": values})
        assert said(path) == [f"{path}:1: field 'text' is {kind}, not a string"]


def test_files_that_are_no_parquet_or_have_no_text(tmp_path: Path) -> None:
    odd = tmp_path / "1.parquet"
    odd.write_bytes(b"This is plain text.")
    (tmp_path / "2.parquet").write_bytes(b"")
    other = table(tmp_path / "3.parquet", {"body": ["A."], "id": [1]})
    none = table(tmp_path / "4.parquet", {"text": pa.array([], pa.string())})
    renamed = table(tmp_path / "5.txt", {"text": ["A."]})
    found = said(tmp_path)
    assert found[0].startswith(f"{odd}: broken Parquet file: ")
    assert "2.parquet: broken Parquet file: " in found[1]
    assert found[2] == (
        f"{other}: no column 'text'; found: body, id. Name the one that holds the text with --text-field"
    )
    assert found[3] == f"{none}: no rows"
    assert found[4] == (
        f"{renamed}: this is a Parquet file, not text: convert it to text first, or let its name end in "
        ".parquet and it is read as such"
    )


def test_a_broken_row_group_leaves_the_others(tmp_path: Path) -> None:
    texts = [f"Sentence number {n} of all." for n in range(30)]
    path = table(tmp_path / "a.parquet", {"text": texts}, row_group_size=10, compression="zstd", use_dictionary=False)
    column = pq.ParquetFile(path).metadata.row_group(1).column(0)
    data = bytearray(Path(path).read_bytes())
    start = column.data_page_offset
    data[start + 40 : start + column.total_compressed_size] = bytes(column.total_compressed_size - 40)
    Path(path).write_bytes(data)
    found = said(path)
    assert found[:10] + found[11:] == texts[:10] + texts[20:]
    assert found[10].startswith(f"{path}:11: broken Parquet file: ")
    assert found[10].endswith("; the rest of its row group is not read")


def test_a_partitioned_dataset_is_a_folder(tmp_path: Path) -> None:
    for day, text in (("2024-03-05", "B."), ("2024-03-04", "A.")):
        table(tmp_path / f"date={day}" / "part-0.parquet", {"text": [text]})
    table(tmp_path / "title=Talks%3A%20day%20one/part-0.parquet", {"text": ["C."], "date": ["own"]})
    (tmp_path / "_SUCCESS").write_text("")
    (tmp_path / "_metadata").write_text("")
    found = [item for item in read([tmp_path]) if isinstance(item, Document)]
    assert [(item.text, item.title, item.date) for item in found] == [
        ("A.", None, "2024-03-04"),
        ("B.", None, "2024-03-05"),
        ("C.", "Talks: day one", "own"),
    ]


def test_parquet_without_its_package_names_the_pip_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table(tmp_path / "a.parquet", {"text": ["A."]})
    (tmp_path / "b.txt").write_text("B.")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    failure, text = said(tmp_path)
    assert failure.endswith("pyarrow, which is not installed (pip install 'communique[tables]')")
    assert text == "B."
    with pytest.raises(PipelineError, match=r"pip install 'communique\[tables\]'"):
        ParquetWriter(io.BytesIO(), LABELS)
    with pytest.raises(PipelineError, match=r"pip install 'communique\[tables\]'"):
        write_part([], tmp_path / "new", "part-0.parquet", LABELS)
    assert not (tmp_path / "new").exists()


# Out


class Pipe(io.RawIOBase):
    """Like standard output in a pipe: it can't tell where it stands."""

    def __init__(self) -> None:
        self.data = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        self.data += data
        return len(data)

    def tell(self) -> int:
        raise OSError(29, "illegal seek")


def test_parquet_holds_what_json_lines_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_out, "GROUP_ROWS", 10)
    documents = [[prediction(n) for n in range(7)], [], [prediction(n, "Aims:", "b.txt") for n in range(28)]]
    pipe = Pipe()
    writer = ParquetWriter(pipe, LABELS)  # type: ignore[arg-type]
    for predictions in documents:
        writer.document("title", predictions)
    assert len(pipe.data) > 1000  # groups leave before the end
    writer.close(LABELS)
    file = pq.ParquetFile(io.BytesIO(bytes(pipe.data)))
    assert file.read().to_pylist() == objects([one for predictions in documents for one in predictions])
    assert [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)] == [10, 10, 10, 5]


def test_no_rows_are_a_table_all_the_same() -> None:
    stream = io.BytesIO()
    ParquetWriter(stream, LABELS).close(LABELS)
    assert pq.read_table(stream).column_names[-2:] == ["uncertain", "probabilities"]
    assert not stream.closed


def test_the_file_does_not_depend_on_how_documents_come() -> None:
    rows = [prediction(n) for n in range(50)]
    files = []
    for size in (1, 7, 50):
        stream = io.BytesIO()
        writer = ParquetWriter(stream, LABELS)
        for start in range(0, 50, size):
            writer.document("", rows[start : start + size])
        writer.close(LABELS)
        files.append(stream.getvalue())
    assert files[0] == files[1] == files[2]


def part(folder: Path, number: int) -> Path:
    rows = [prediction(n, document=f"{number}.txt") for n in range(20)]
    return write_part(rows, folder, f"part-{number:05}.parquet", LABELS)


def test_processes_write_their_own_parts(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "dataset"
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        paths = list(pool.map(part, [folder] * 4, range(4)))
    assert sorted(folder.iterdir()) == paths
    rows = pq.read_table(folder).to_pylist()
    assert [row["document"] for row in rows] == [f"{number}.txt" for number in range(4) for _ in range(20)]
    assert rows[:20] == objects([prediction(n, document="0.txt") for n in range(20)])
    before = paths[1].read_bytes()
    assert part(folder, 1).read_bytes() == before


def test_a_part_is_whole_or_not_there(tmp_path: Path) -> None:
    part(tmp_path, 0)
    before = (tmp_path / "part-00000.parquet").read_bytes()

    def stopping() -> Any:
        yield from [prediction(n) for n in range(5)]
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        write_part(stopping(), tmp_path, "part-00000.parquet", LABELS)
    assert [path.name for path in tmp_path.iterdir()] == ["part-00000.parquet"]
    assert (tmp_path / "part-00000.parquet").read_bytes() == before


@pytest.mark.parametrize("name", ["../part.parquet", "/tmp/part.parquet", "part.csv", ".part.parquet"])
def test_a_part_has_a_name_within_its_dataset(tmp_path: Path, name: str) -> None:
    with pytest.raises(PipelineError, match=r"a \.parquet file within its folder"):
        write_part([prediction(0)], tmp_path / "dataset", name, LABELS)
    assert list(tmp_path.iterdir()) == []


def test_parts_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(PipelineError, match=r"can't be written: (File exists|Not a directory)"):
        write_part([prediction(0)], tmp_path / "file", "part-0.parquet", LABELS)
    (tmp_path / "part-0.parquet").mkdir()
    with pytest.raises(PipelineError, match=r"can't be written: Is a directory"):
        write_part([prediction(0)], tmp_path, "part-0.parquet", LABELS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "part-0.parquet"]


def test_what_is_written_can_be_read_again(tmp_path: Path) -> None:
    part(tmp_path, 0)
    assert said(tmp_path) == [prediction(n).unit.text for n in range(20)]


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_a_full_disk_is_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(Pipe):
        def write(self, data: Any, /) -> int:
            if len(self.data) > 100:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return super().write(data)

    monkeypatch.setattr(parquet_out, "GROUP_ROWS", 10)
    writer = ParquetWriter(Full(), LABELS)  # type: ignore[arg-type]
    with pytest.raises(OSError, match="No space left on device"):
        writer.document("", [prediction(n) for n in range(100)])
    del writer
    gc.collect()
