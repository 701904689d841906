"""Records to what people and programs read: table, JSON Lines, CSV, and the text of an evaluation."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from pipeline.records import Evaluation, Mistake, Prediction

if TYPE_CHECKING:
    from rich.console import Console

ROW_COLUMNS = ("document", "index", "kind", "section", "start", "end", "text", "label", "confidence", "uncertain")
#: What an article could steer a terminal with.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f]")


class JsonLinesWriter:
    """One JSON object a line, with the keys of the output contract."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def document(self, title: str, predictions: Sequence[Prediction]) -> None:
        """Write the rows of one document."""
        for prediction in predictions:
            self._stream.write(json.dumps(prediction.row(), ensure_ascii=False, allow_nan=False) + "\n")

    def close(self, labels: Sequence[str]) -> None:
        """Nothing is left to write."""


class CsvWriter:
    """The same rows as CSV; the probabilities become one column a label, ``p_<label>``."""

    def __init__(self, stream: TextIO, labels: Sequence[str]) -> None:
        self._labels = tuple(labels)
        self._writer = csv.writer(stream, lineterminator="\n")
        self._writer.writerow([*ROW_COLUMNS, *(f"p_{label}" for label in labels)])

    def document(self, title: str, predictions: Sequence[Prediction]) -> None:
        """Write the rows of one document."""
        for prediction in predictions:
            row = prediction.row()
            probabilities = row["probabilities"]
            cells = [row[column] for column in ROW_COLUMNS] + [probabilities[label] for label in self._labels]
            self._writer.writerow(["" if cell is None else cell for cell in cells])

    def close(self, labels: Sequence[str]) -> None:
        """Nothing is left to write."""


def _one_line(text: str) -> str:
    return _CONTROLS.sub("\ufffd", " ".join(text.split()))


class TableWriter:
    """For reading: each document's units with their labels in colour, and a count of labels at the end."""

    def __init__(self, console: Console, colours: Mapping[str, str]) -> None:
        self._console = console
        self._colours = colours
        self._counts: Counter[str] = Counter()
        self._uncertain = 0
        self._documents = 0

    def document(self, title: str, predictions: Sequence[Prediction]) -> None:
        """Print one document, unless it has no units; a ``?`` behind a confidence marks an uncertain label."""
        from rich.table import Table
        from rich.text import Text

        self._documents += 1
        if not predictions:
            return
        self._console.print(Text(_one_line(title), style="bold"), soft_wrap=True)
        table = Table(box=None, padding=(0, 1))
        table.add_column("label", no_wrap=True)
        table.add_column("conf.", no_wrap=True)
        table.add_column("text", overflow="fold")
        for prediction in predictions:
            self._counts[prediction.label] += 1
            self._uncertain += prediction.uncertain
            colour = self._colours.get(prediction.label, "default")
            mark = {"heading": "", "bullet": "• ", "sentence": ""}[prediction.unit.kind]
            text = Text(mark + _one_line(prediction.unit.text))
            if prediction.unit.kind == "heading":
                text.stylize("bold")
            table.add_row(
                Text(prediction.label, style=colour),
                f"{prediction.confidence:.2f}{'?' if prediction.uncertain else ''}",
                text,
            )
        self._console.print(table)
        self._console.print()

    def close(self, labels: Sequence[str]) -> None:
        """Print the summary."""
        total = sum(self._counts.values())
        shares = ", ".join(f"{label} {self._counts[label]}" for label in labels)
        documents = "1 document" if self._documents == 1 else f"{self._documents} documents"
        self._console.print(
            f"{documents}, {total} units: {shares}; {self._uncertain} uncertain (marked ?)",
            highlight=False,
            soft_wrap=True,
        )


Writer = JsonLinesWriter | CsvWriter | TableWriter


def table_lines(head: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """A plain-text table: the first column to the left, the others to the right."""
    cells = [[str(cell) for cell in row] for row in [head, *rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    return ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in cells]


def evaluation_text(evaluation: Evaluation) -> str:
    """Scores as a person reads them."""
    low, high = evaluation.macro_f1_interval
    rows = [
        [label, f"{score.precision:.3f}", f"{score.recall:.3f}", f"{score.f1:.3f}", score.support]
        for label, score in evaluation.per_label.items()
    ]
    lines = [
        f"{evaluation.name}: {evaluation.units} units in {evaluation.articles} articles",
        *table_lines(["label", "precision", "recall", "F1", "units"], rows),
        "",
        f"macro-F1           {evaluation.macro_f1:.3f}   95 % interval {low:.3f} to {high:.3f}, by resampling articles",
        f"accuracy           {evaluation.accuracy:.3f}",
        f"calibration error  {evaluation.calibration_error:.3f}",
        f"uncertain          {evaluation.uncertain_share:.1%} of the units",
        "by genre           "
        + ", ".join(f"{genre} {value:.3f}" for genre, value in evaluation.macro_f1_by_genre.items()),
        "",
        "confusion: a row is the true label, a column the label that was given",
        *table_lines(
            ["", *evaluation.labels],
            [[label, *row] for label, row in zip(evaluation.labels, evaluation.confusion, strict=True)],
        ),
    ]
    return "\n".join(lines)


def mistakes_text(mistakes: Sequence[Mistake]) -> str:
    """The given mistakes, two lines each: what was said and what is true, and the unit."""
    lines = ["worst mistakes"]
    for mistake in mistakes:
        example = mistake.example
        lines.append(
            f"{example.file}:{example.line}: {mistake.said} {mistake.confidence:.2f}, labelled {example.label} "
            f"{mistake.true_probability:.2f}"
        )
        lines.append(f"    {example.text}")
    return "\n".join(lines)


def counts_text(counts: Mapping[str, Any], name: str) -> str:
    """Units by label, genre and kind, as :func:`pipeline.corpus.counts` gives them."""
    lines = [f"{name}: {counts['units']} units in {counts['articles']} articles"]
    for field in ("label", "genre", "kind"):
        shares = ", ".join(f"{value} {number}" for value, number in counts[field].items())
        lines.append(f"  by {field}: {shares}")
    return "\n".join(lines)


def writer_for(
    form: str, stream: TextIO, labels: Sequence[str], colours: Mapping[str, str], console: Callable[[TextIO], Console]
) -> Writer:
    """The writer of a format: ``table``, ``jsonl`` or ``csv``."""
    if form == "jsonl":
        return JsonLinesWriter(stream)
    if form == "csv":
        return CsvWriter(stream, labels)
    return TableWriter(console(stream), colours)
