"""Corpus files changed in single cells: what is asked for changes, and not a byte besides."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.corpus_edit import edited, rewrite
from pipeline.corpus_rows import parse_rows
from pipeline.records import PipelineError

COLUMNS = ("article", "title", "genre", "section", "kind", "text", "label")
HEAD = ",".join(COLUMNS)
VALUES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)


def changed(text: str, suffix: str, edits: dict[int, dict[str, object]]) -> str:
    return edited(text, parse_rows(text, suffix), suffix, edits, "f")


@pytest.mark.parametrize(
    "line",
    [
        '{"text": "a", "label": <goal>}',
        '  {"label":<goal> , "note":"\\"label\\": \\u0041"}\t',
        '{ "note" : {"label": "goal"}, "label" : <goal> }',
        '{"label": <goal>, "x": [1, {"y": null}], "z": -1.5e3}\r',
        '{"la\\u0062el": <goal>}',
    ],
)
def test_only_the_value_changes_in_json(line: str) -> None:
    for end in ("", "\n"):
        before, after = (
            f'\n{{"label": "goal"}}\n{line}{end}'.replace("<goal>", new) for new in ('"goal"', '"background"')
        )
        assert changed(before, ".jsonl", {3: {"label": "background"}}) == after


def test_a_missing_column_is_added_at_the_end_of_a_json_row() -> None:
    assert changed('{"a": "é" }\n', ".jsonl", {1: {"source": "agence « x »", "format": 2}}) == (
        '{"a": "é", "source": "agence « x »", "format": 2 }\n'
    )


def test_only_the_cell_changes_in_csv() -> None:
    note = '"one, ""two""\r\nthree"'
    text = f'{HEAD},note\r\n\r\na,"b",wire,,sentence,"x, y",goal,{note}\r\n,,,,,,,\r\na,b,wire,,sentence,z,"goal",'
    after = changed(text, ".csv", {3: {"label": "challenge"}, 6: {"label": "background"}})
    assert after == text.replace("goal,", "challenge,", 1).replace('"goal"', '"background"')


def test_a_missing_column_is_added_to_a_csv_table() -> None:
    text = f"{HEAD}\na,b,wire,,sentence,x,goal\n,,,,,,\na,b,wire,,sentence,y,goal"
    assert changed(text, ".csv", {4: {"source": "composed", "label": "background"}}) == (
        f"{HEAD},source\na,b,wire,,sentence,x,goal,\n,,,,,,\na,b,wire,,sentence,y,background,composed"
    )


@given(st.lists(st.lists(VALUES, min_size=7, max_size=7), min_size=1, max_size=4), st.data(), st.booleans())
def test_any_csv_table_keeps_its_other_cells(rows: list[list[str]], data: st.DataObject, quoted: bool) -> None:
    stream = io.StringIO(newline="")
    end = data.draw(st.sampled_from(["\n", "\r\n", "\r"]))
    writer = csv.writer(stream, lineterminator=end, quoting=csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL)
    writer.writerows([COLUMNS, *rows])
    text = stream.getvalue()
    lines = [line for line, row in parse_rows(text, ".csv") if isinstance(row, dict)]
    if not lines:  # all cells empty
        return
    line = data.draw(st.sampled_from(lines))
    # in their order: a label with a line break in it would take the rows below to other lines
    wanted = [{**row, "label": "new"} if at == line else row for at, row in parse_rows(text, ".csv")]  # type: ignore[dict-item]
    assert [row for _, row in parse_rows(changed(text, ".csv", {line: {"label": "new"}}), ".csv")] == wanted


@given(st.dictionaries(VALUES, st.one_of(VALUES, st.none(), st.lists(VALUES)), max_size=5), st.booleans())
def test_any_json_row_keeps_its_other_values(values: dict[str, object], ascii_only: bool) -> None:
    row = {**values, "label": "goal"}
    line = json.dumps(row, ensure_ascii=ascii_only)
    after = changed(line, ".jsonl", {1: {"label": "background"}})
    assert json.loads(after) == {**row, "label": "background"}
    assert len(after) == len(line) + len("background") - len("goal")


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_a_line_that_starts_no_row_changes_nothing(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_text('{"label": "goal"}\n' if suffix == ".jsonl" else f'{HEAD}\na,b,wire,,sentence,"x\ny",goal\n')
    before = path.read_bytes()
    with pytest.raises(PipelineError, match=rf"a{suffix}:3: no row starts in this line"):
        rewrite(path, {3: {"label": "background"}})
    assert path.read_bytes() == before


def test_byte_order_mark_mode_and_link_are_kept(tmp_path: Path) -> None:
    path, link = tmp_path / "a.jsonl", tmp_path / "link.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"label": "goal"}\r\n')
    path.chmod(0o600)
    link.symlink_to(path)
    rewrite(link, {1: {"label": "background"}})
    assert path.read_bytes() == b'\xef\xbb\xbf{"label": "background"}\r\n'
    assert link.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o600
