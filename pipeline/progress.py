"""How a run is talked about on standard error: in lines, with a progress bar on a terminal, or in JSON for machines."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pipeline.records import Failure
from pipeline.summary import Reporter, Summary

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

#: Seconds between two lines of progress in JSON.
EVERY = 5.0
#: Endings of files whose size says nothing of the text in them.
_PACKED = (".gz", ".zst", ".zip", ".parquet")


class Lines(Reporter):
    """A line for every failure, warning and note; ``quiet`` leaves only the failures."""

    def __init__(self, *, quiet: bool = False, summary: bool = True) -> None:
        self._quiet = quiet
        self._summary = summary and not quiet

    def failure(self, failure: Failure) -> None:
        self.say(f"communique: {failure}")

    def warning(self, document: str, text: str) -> None:
        if not self._quiet:
            self.say(f"communique: {document}: {text}")

    def note(self, text: str) -> None:
        if not self._quiet:
            self.say(f"communique: {text}")

    def error(self, text: str) -> None:
        """What ended the run."""
        self.say(f"communique: {text}")

    def say(self, text: str) -> None:
        """One line on standard error, which may be closed."""
        if sys.stderr is not None:
            print(text, file=sys.stderr, flush=True)

    def close(self, summary: Summary | None) -> None:
        """The run is over; ``summary`` where it came to its end."""
        if summary is None:
            return
        if self._summary:
            self.say(f"communique: {summary_line(summary)}")
        if summary.failed:
            many = "1 source" if summary.failed == 1 else f"{summary.failed} sources"
            self.say(f"communique: {many} could not be read; everything else was classified")


def summary_line(summary: Summary) -> str:
    """A run as a person reads it."""
    parts = ", ".join(f"{label} {number:,}" for label, number in summary.labels.items())
    rows = "" if summary.rows == summary.units else f" ({summary.rows:,} chosen)"
    resumed = f" ({summary.resumed:,} of them by an earlier run)" if summary.resumed else ""
    return (
        f"{_many(summary.documents, 'document')}{resumed}, {_many(summary.units, 'unit')}{rows}: {parts}; "
        f"{summary.uncertain:,} uncertain; {summary.failed:,} failed; {summary.seconds:.1f} s, "
        f"{summary.units_per_second:,.0f} units a second"
    )


def _many(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"


class JsonLog(Lines):
    """A JSON object a line: ``event`` is start, progress, warning, failure, note, error or summary."""

    def __init__(self) -> None:
        super().__init__()
        self._next = time.monotonic() + EVERY

    def _log(self, event: str, **fields: Any) -> None:
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self.say(json.dumps({"time": now, "event": event, **fields}, ensure_ascii=False))

    def failure(self, failure: Failure) -> None:
        self._log("failure", document=failure.source, line=failure.line, reason=failure.reason)

    def warning(self, document: str, text: str) -> None:
        self._log("warning", document=document, reason=text)

    def note(self, text: str) -> None:
        self._log("note", reason=text)

    def error(self, text: str) -> None:
        self._log("error", reason=text)

    def progress(self, summary: Summary) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + EVERY
            self._log("progress", **summary.as_dict())

    def close(self, summary: Summary | None) -> None:
        if summary is not None:
            self._log("summary", **summary.as_dict())


class Bar(Lines):
    """A progress bar with documents, units a second and time left, on a terminal.

    The whole is the sum of the sizes of all sources, which a thread adds up meanwhile; until it is known, and where
    a source is a stream or packed, no end is shown.
    """

    def __init__(self, sources: Sequence[str]) -> None:
        super().__init__()
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._console = Console(stderr=True)
        self._bar: Progress = Progress(
            BarColumn(),
            TextColumn("{task.fields[documents]:,} documents, {task.fields[speed]:,.0f} units a second,"),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=self._console,
            transient=True,
        )
        self._task: TaskID = self._bar.add_task("", total=None, documents=0, speed=0.0)
        self._bar.start()
        threading.Thread(target=self._measure, args=(sources,), daemon=True).start()

    def _measure(self, sources: Sequence[str]) -> None:
        self._bar.update(self._task, total=total_size(sources))

    def say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def progress(self, summary: Summary) -> None:
        self._bar.update(
            self._task, completed=summary.size, documents=summary.documents, speed=summary.units_per_second
        )

    def close(self, summary: Summary | None) -> None:
        self._bar.stop()
        super().close(summary)


def total_size(sources: Sequence[str]) -> int | None:
    """Bytes of all files that the sources stand for; None where that says nothing of the text in them."""
    from pipeline.sources import STDIN, find

    total = 0
    for found in find(sources):
        if isinstance(found, Failure):
            continue
        if found.path == STDIN or found.path.lower().endswith(_PACKED):
            return None
        try:
            total += os.stat(found.path).st_size
        except OSError:
            continue
    return total
