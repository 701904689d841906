"""Records to text: rows, tables and the scores that a person reads."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from rich.console import Console

from pipeline.records import Evaluation, Example, LabelScore, Mistake, Prediction, Unit
from pipeline.report import counts_text, evaluation_text, mistakes_text, table_lines, writer_for

LABELS = ("goal", "background")
COLOURS = {"goal": "#0072B2", "background": "#767676"}


def prediction(text: str = "They want peace.", label: str = "goal", uncertain: bool = False, **unit: Any) -> Prediction:
    fields = {"document": "a", "index": 0, "kind": "sentence", "section": None, "start": 0, "end": len(text), **unit}
    probabilities = {"goal": 0.75, "background": 0.25} if label == "goal" else {"goal": 0.25, "background": 0.75}
    return Prediction(Unit(text=text, **fields), label, 0.75, uncertain, probabilities)


def written(form: str, *documents: tuple[str, list[Prediction]], width: int = 80, colour: bool = False) -> str:
    stream = io.StringIO()
    writer = writer_for(
        form,
        stream,
        LABELS,
        COLOURS,
        lambda to: Console(
            file=to,
            width=width,
            force_terminal=colour,
            color_system="truecolor" if colour else None,
            legacy_windows=False,
        ),
    )
    for title, predictions in documents:
        writer.document(title, predictions)
    writer.close(LABELS)
    return stream.getvalue()


def test_json_lines_are_one_object_a_unit_in_plain_utf8() -> None:
    text = written("jsonl", ("a", [prediction("Zażądał „pokoju”\u2028 dziś."), prediction(section="Goals:")]))
    rows = [json.loads(line) for line in text.removesuffix("\n").split("\n")]
    assert "Zażądał „pokoju”" in text
    assert [row["section"] for row in rows] == [None, "Goals:"]
    assert rows[0]["probabilities"] == {"goal": 0.75, "background": 0.25}


def test_csv_quotes_what_needs_it() -> None:
    text = 'They "want", \nand wait.'
    table = list(csv.DictReader(io.StringIO(written("csv", ("a", [prediction(text, section="A, b")])), newline="")))
    assert table[0]["text"] == text
    assert table[0]["section"] == "A, b"
    assert (table[0]["uncertain"], table[0]["p_background"]) == ("False", "0.25")


def test_csv_without_a_unit_has_its_header() -> None:
    assert written("csv", ("a", [])).startswith("document,index,kind,")


def test_a_table_marks_kinds_and_doubt() -> None:
    units = [
        prediction("Aims", kind="heading"),
        prediction("Trade [bold]first[/bold] :smile:", kind="bullet", uncertain=True),
        prediction("They\nmet.", "background"),
    ]
    lines = [line.strip() for line in written("table", ("A title", units)).splitlines()]
    assert lines == [
        "A title",
        "label       conf.  text",
        "goal        0.75   Aims",
        "goal        0.75?  • Trade [bold]first[/bold] :smile:",
        "background  0.75   They met.",
        "",
        "1 document, 3 units: goal 2, background 1; 1 uncertain (marked ?)",
    ]


def test_a_table_has_the_colours_of_the_labels_and_bold_headings() -> None:
    text = written("table", ("T", [prediction("Aims", kind="heading"), prediction("x", "background")]), colour=True)
    assert "\x1b[38;2;0;114;178mgoal" in text
    assert "\x1b[38;2;118;118;118mbackground" in text
    assert "\x1b[1mAims" in text


def test_a_table_keeps_every_word_on_a_narrow_terminal() -> None:
    words = [f"word{number}" for number in range(60)]
    text = written("table", ("A very long title " * 5, [prediction(" ".join(words))]), width=40)
    assert " ".join(text.split()).count("word") == 60
    assert ("A very long title " * 5).strip() in text


@pytest.mark.parametrize("hostile", ["\x1b[2J", "\x9b2J", "\x07", "\x00", "\x7f", "\x1b]0;x\x07"])
def test_a_table_prints_no_control_character(hostile: str) -> None:
    text = written("table", (f"t{hostile}itle", [prediction(f"They {hostile} met.")]))
    assert not any(sign in text for sign in "\x1b\x9b\x07\x00\x7f")
    assert "\ufffd" in text


def evaluation() -> Evaluation:
    return Evaluation(
        name="heldout",
        units=4,
        articles=2,
        labels=LABELS,
        accuracy=0.75,
        macro_f1=0.7333,
        macro_f1_interval=(0.4, 1.0),
        calibration_error=0.125,
        per_label={"goal": LabelScore(1.0, 0.5, 0.6667, 2), "background": LabelScore(0.6667, 1.0, 0.8, 2)},
        macro_f1_by_genre={"wire": 0.7333},
        confusion=((1, 1), (0, 2)),
        uncertain_share=0.25,
    )


def test_scores_as_a_person_reads_them() -> None:
    assert evaluation_text(evaluation()).splitlines() == [
        "heldout: 4 units in 2 articles",
        "label       precision  recall     F1  units",
        "goal            1.000   0.500  0.667      2",
        "background      0.667   1.000  0.800      2",
        "",
        "macro-F1           0.733   95 % interval 0.400 to 1.000, by resampling articles",
        "accuracy           0.750",
        "calibration error  0.125",
        "uncertain          25.0% of the units",
        "by genre           wire 0.733",
        "",
        "confusion: a row is the true label, a column the label that was given",
        "            goal  background",
        "goal           1           1",
        "background     0           2",
    ]


def test_mistakes_name_their_place() -> None:
    example = Example("a", "A", "wire", None, "sentence", "They met.", "background", file="x.jsonl", line=7)
    assert mistakes_text([Mistake(example, "goal", 0.9, 0.05)]).splitlines() == [
        "worst mistakes",
        "x.jsonl:7: goal 0.90, labelled background 0.05",
        "    They met.",
    ]


def test_counts_and_tables() -> None:
    counts = {"units": 2, "articles": 1, "label": {"goal": 2}, "genre": {"wire": 2}, "kind": {"sentence": 2}}
    assert counts_text(counts, "good rows").splitlines() == [
        "good rows: 2 units in 1 articles",
        "  by label: goal 2",
        "  by genre: wire 2",
        "  by kind: sentence 2",
    ]
    assert table_lines(["a", "bb"], [["ccc", 1]]) == ["a    bb", "ccc   1"]
