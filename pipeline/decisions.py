"""The log of a review: every decision on disk at once, by whomever, and none ever overwritten.

One file of JSON Lines, which only grows. A line is appended under a lock of the operating system and flushed to the
disk before the decision counts as taken, so that a killed process or a power cut loses nothing that was confirmed, and
two processes take turns. Which label holds is found by reading the log from its start.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Literal

from pipeline.records import Kind, PipelineError

Action = Literal["label", "skip", "undo"]
ACTIONS: tuple[Action, ...] = ("label", "skip", "undo")


@dataclass(frozen=True, slots=True)
class KnownRow:
    """A corpus row with the text of a unit, as it was at the first decision. ``file`` is below the corpus folder."""

    file: str
    line: int
    label: str
    annotator: str | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class ReviewUnit:
    """A unit to decide on, with all that its corpus row needs. ``id`` is the same wherever the same text stands."""

    id: str
    article: str
    title: str
    genre: str
    section: str | None
    kind: Kind
    text: str
    index: int
    known: tuple[KnownRow, ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """What somebody decided on a unit; ``undo`` takes back the last that the same person said of it."""

    unit: ReviewUnit
    action: Action
    annotator: str
    label: str | None = None
    note: str | None = None
    time: str = ""
    model: str = ""
    suggested: str | None = None
    reason: str = ""

    def line(self) -> bytes:
        """The line of the log."""
        return json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace") + b"\n"


def now() -> str:
    """The time of a decision: UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class DecisionLog:
    """The file of decisions. Every process that reviews opens it for itself; see :meth:`turn`.

    Parameters
    ----------
    path : Path
        Made at the first decision.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: list[Decision] = []
        #: what was wrong with the file, each told once
        self.warnings: list[str] = []
        self._offset = 0
        self._lines = 0

    def read(self) -> Sequence[Decision]:
        """All decisions by now, others' too."""
        if self.path.exists():
            with self._open() as stream, _locked(stream):
                self._catch_up(stream)
        return self.entries

    @contextmanager
    def turn(self) -> Iterator[Sequence[Decision]]:
        """Hold the log while it is read, decided and written: nobody else decides meanwhile."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        new = not self.path.exists()
        with self._open() as stream, _locked(stream):
            if new:
                _sync_folder(self.path.parent)
            self._catch_up(stream, mend=True)
            self._stream = stream
            try:
                yield self.entries
            finally:
                del self._stream

    def append(self, decisions: Iterable[Decision]) -> None:
        """Put decisions on the disk, inside a :meth:`turn`. When this returns they are there.

        Raises
        ------
        PipelineError
            The disk is full or fails; the log is then as before.
        """
        taken = list(decisions)
        data = b"".join(decision.line() for decision in taken)
        try:
            self._stream.seek(0, os.SEEK_END)
            self._stream.write(data)
            os.fsync(self._stream.fileno())
        except OSError as error:
            self._stream.truncate(self._offset)
            raise PipelineError(f"can't be written: {error.strerror}", where=str(self.path)) from error
        self._offset += len(data)
        self._lines += len(taken)
        self.entries.extend(taken)

    def _open(self) -> BinaryIO:
        try:
            # unbuffered, so that one write is one call of the system
            number = os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644)
            return os.fdopen(number, "r+b", 0)
        except OSError as error:
            raise PipelineError(f"can't be opened: {error.strerror}", where=str(self.path)) from error

    def _catch_up(self, stream: BinaryIO, mend: bool = False) -> None:
        """Read what has been added since. A last line without its end was never confirmed: it is passed over."""
        stream.seek(0, os.SEEK_END)
        size = stream.tell()
        if size < self._offset:
            raise PipelineError("has become shorter: somebody changed it", where=str(self.path), remedy="start again")
        stream.seek(self._offset)
        data = b""
        while len(data) < size - self._offset and (part := stream.read(size - self._offset - len(data))):
            data += part
        whole, end, torn = data.rpartition(b"\n")
        for line in (whole + end).split(b"\n")[:-1]:
            self._lines += 1
            self._take(line)
        self._offset += len(whole) + len(end)
        if torn:
            cut = "was cut off" if mend else "is passed over"
            warning = f"{self.path}:{self._lines + 1}: a half-written last line ({len(torn)} bytes) {cut}"
            if warning not in self.warnings:
                self.warnings.append(warning)
            if mend:
                stream.truncate(self._offset)

    def _take(self, line: bytes) -> None:
        try:
            self.entries.append(_decision(json.loads(line)))
        except (ValueError, KeyError, TypeError) as error:
            self.warnings.append(f"{self.path}:{self._lines}: not a decision, passed over: {error}")


def _decision(row: dict[str, Any]) -> Decision:
    known = tuple(KnownRow(**one) for one in row["unit"]["known"])
    decision = Decision(**{**row, "unit": ReviewUnit(**{**row["unit"], "known": known})})
    if decision.action not in ACTIONS or (decision.action == "label") != (decision.label is not None):
        raise ValueError(f"the action {decision.action!r} with the label {decision.label!r}")
    return decision


@contextmanager
def _locked(stream: BinaryIO) -> Iterator[None]:
    """Alone with the file until the end; the system lets go of it even when the process is killed."""
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        stream.seek(0)
        msvcrt.locking(stream.fileno(), msvcrt.LK_LOCK, 1)  # type: ignore[attr-defined]
        try:
            yield
        finally:
            stream.seek(0)
            msvcrt.locking(stream.fileno(), msvcrt.LK_UNLCK, 1)  # type: ignore[attr-defined]
        return
    fcntl.flock(stream, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(stream, fcntl.LOCK_UN)


def _sync_folder(folder: Path) -> None:
    """A new file's name is on the disk only when its folder is."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What holds of a unit: the decision of each person that has one, and the label if all agree."""

    unit: ReviewUnit
    by: dict[str, Decision]

    @property
    def labels(self) -> dict[str, str]:
        """Label by annotator, of those who gave one."""
        return {name: one.label for name, one in self.by.items() if one.label is not None}

    @property
    def label(self) -> str | None:
        """The label that everybody gave; None where nobody did or two differ."""
        given = set(self.labels.values())
        return given.pop() if len(given) == 1 else None

    @property
    def disputed(self) -> bool:
        """Whether two people gave different labels."""
        return len(set(self.labels.values())) > 1


def verdicts(entries: Iterable[Decision]) -> dict[str, Verdict]:
    """What holds after all decisions: unit id to verdict, in the order of the first decision on each unit.

    Each person's last decision on a unit counts; ``undo`` brings back the one before.
    """
    units: dict[str, ReviewUnit] = {}
    stacks: dict[str, dict[str, list[Decision]]] = {}
    for entry in entries:
        unit = units.setdefault(entry.unit.id, entry.unit)
        stack = stacks.setdefault(unit.id, {}).setdefault(entry.annotator, [])
        if entry.action != "undo":
            stack.append(entry)
        elif stack:
            stack.pop()
    return {
        key: Verdict(unit, {name: stack[-1] for name, stack in stacks[key].items() if stack})
        for key, unit in units.items()
    }


def last_of(entries: Iterable[Decision], annotator: str) -> Decision | None:
    """The decision that an undo of this person takes back: the last that was not taken back already."""
    stack: list[Decision] = []
    for entry in entries:
        if entry.annotator != annotator:
            continue
        if entry.action != "undo":
            stack.append(entry)
            continue
        at = next((n for n in range(len(stack) - 1, -1, -1) if stack[n].unit.id == entry.unit.id), None)
        if at is not None:
            del stack[at]
    return stack[-1] if stack else None
