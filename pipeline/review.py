"""The verb `review`: bring units that are worth a label, take decisions, keep log and corpus in step."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.classify import Model
from pipeline.corpus_rows import nearest
from pipeline.decisions import Decision, DecisionLog, ReviewUnit, Verdict, last_of, now, verdicts
from pipeline.records import PipelineError
from pipeline.review_corpus import check_ours, correct_rows, write_rows
from pipeline.review_queue import Pick, pick
from pipeline.review_units import Material, gather, log_path, one_line


@dataclass(frozen=True, slots=True)
class Task:
    """A unit to decide on, and why it was chosen."""

    unit: ReviewUnit
    reason: str


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a review is: decisions that hold, by this person and by all; what is left in the queue; disputes."""

    mine: int
    labelled: int
    skipped: int
    disputed: int
    left: int


@dataclass(slots=True)
class Review:
    """One review of a folder. Several processes may review the same corpus at once; each takes turns with the log.

    Parameters
    ----------
    model : Model
    folder : Path
        Articles, or a corpus folder.
    corpus : Path
        Where decisions go.
    genre, text_field : str
        As for :func:`pipeline.review_units.gather`.
    most : int
        Units to bring.
    seed : int
        For the share at random.
    """

    model: Model
    folder: Path
    corpus: Path
    genre: str = "wire"
    text_field: str = "text"
    most: int = 200
    seed: int = 0
    material: Material = field(init=False)
    log: DecisionLog = field(init=False)
    queue: list[str] = field(init=False)
    problems: list[str] = field(init=False, default_factory=list)
    _reasons: dict[str, str] = field(init=False)
    _lock: threading.Lock = field(init=False, default_factory=threading.Lock)

    def __post_init__(self) -> None:
        """Read everything, bring the corpus up to the log, and choose the queue."""
        self.corpus = Path(self.corpus)
        check_ours(self.corpus)
        self.material = gather(self.model, Path(self.folder), self.corpus, genre=self.genre, text_field=self.text_field)
        self.log = DecisionLog(log_path(self.corpus))
        if self.log.path.exists():
            with self.log.turn() as entries:
                self._write(entries)
        held = verdicts(self.log.read())
        keys = list(self.material.units)
        chosen = self._picks(keys, held)
        self.queue = [keys[one.row] for one in chosen]
        self._reasons = {keys[one.row]: one.reason for one in chosen}

    def _picks(self, keys: list[str], held: dict[str, Verdict]) -> list[Pick]:
        """The queue, of units that nobody has labelled and those on which two differ."""
        open_keys = [key for key in keys if key not in held or not held[key].labels]
        rows = {key: row for row, key in enumerate(keys)}
        disputed = [rows[key] for key, verdict in held.items() if verdict.disputed and key in rows]
        labels = list(self.model.info.labels)
        units = [self.material.units[key] for key in open_keys]
        known = [unit.known[0].label if unit.known else None for unit in units]
        chosen = pick(
            self.material.probabilities(open_keys, labels),
            labels,
            known,
            self.material.counts,
            most=max(self.most - len(disputed), 0),
            seed=self.seed,
        )
        return [Pick(row, "disputed") for row in disputed] + [
            Pick(rows[open_keys[one.row]], one.reason) for one in chosen
        ]

    def next(self, annotator: str) -> Task | None:
        """The next unit for somebody; None where the queue is done.

        A unit that anybody has labelled is left out, and so is one that this person skipped; but one on which this
        person differs from another comes back.
        """
        with self._lock:
            held = verdicts(self.log.read())
            return next((self.task(key) for key in self.queue if self._is_open(held.get(key), annotator)), None)

    def _is_open(self, verdict: Verdict | None, annotator: str) -> bool:
        if verdict is None:
            return True
        if verdict.disputed:
            return True
        return not verdict.labels and annotator not in verdict.by

    def task(self, key: str) -> Task:
        """A unit with the reason why it is brought."""
        return Task(self.unit(key), self._reasons.get(key, ""))

    def unit(self, key: str) -> ReviewUnit:
        """A unit by its id.

        Raises
        ------
        PipelineError
            There is none in this folder.
        """
        try:
            return self.material.units[key]
        except KeyError:
            raise PipelineError(f"no unit {key!r} in {self.folder}", where="id") from None

    def decide(self, key: str, label: str | None, annotator: str, note: str | None = None) -> Decision:
        """Give a unit a label, or skip it with None. When this returns, the decision is on the disk.

        Raises
        ------
        PipelineError
            There is no such unit or label, the name of the annotator is empty, or the disk can't be written to.
        """
        decision = self.decision(key, label, annotator, note)
        self.record([decision])
        return decision

    def decision(
        self, key: str, label: str | None, annotator: str, note: str | None = None, *, reason: str | None = None
    ) -> Decision:
        """A checked decision that is not recorded yet."""
        unit = self.unit(key)
        if label is not None and label not in self.material.labels.names:
            names = self.material.labels.names
            raise PipelineError(f"unknown label '{label}'{nearest(label, names)}; allowed: {', '.join(names)}")
        prediction = self.material.prediction(key)
        return Decision(
            unit=unit,
            action="skip" if label is None else "label",
            annotator=checked_name(annotator),
            label=label,
            note=one_line(note or "")[:2000] or None,
            time=now(),
            model=self.model.info.id,
            suggested=prediction.label,
            reason=self._reasons.get(key, "") if reason is None else reason,
        )

    def record(self, decisions: Sequence[Decision]) -> None:
        """Put decisions on the disk, all or none, and write the corpus."""
        with self._lock, self.log.turn() as entries:
            self.log.append(decisions)
            self._write(entries)

    def undo(self, annotator: str) -> Decision | None:
        """Take back somebody's last decision; returns it, or None where there is none."""
        name = checked_name(annotator)
        with self._lock, self.log.turn() as entries:
            last = last_of(entries, name)
            if last is None:
                return None
            self.log.append([Decision(last.unit, "undo", name, time=now(), model=self.model.info.id)])
            self._write(entries)
            return last

    def held(self) -> dict[str, Verdict]:
        """What holds by now, by unit id."""
        with self._lock:
            return verdicts(self.log.read())

    def progress(self, annotator: str) -> Progress:
        """How far this review is."""
        held = self.held()
        return Progress(
            mine=sum(annotator in verdict.labels for verdict in held.values()),
            labelled=sum(verdict.label is not None for verdict in held.values()),
            skipped=sum(bool(verdict.by) and not verdict.labels for verdict in held.values()),
            disputed=sum(verdict.disputed for verdict in held.values()),
            left=sum(self._is_open(held.get(key), annotator) for key in self.queue),
        )

    def warnings(self) -> list[str]:
        """What the user should know of the log and the corpus."""
        return [*self.log.warnings, *self.problems]

    def _write(self, entries: Iterable[Decision]) -> None:
        """Bring the corpus to what the log says, while the log is held."""
        taken = list(entries)
        held = verdicts(taken)
        write_rows(self.corpus, held.values())
        self.problems = correct_rows(self.corpus, taken, held)


def checked_name(annotator: str) -> str:
    """The name of an annotator as it stands in the corpus.

    Raises
    ------
    PipelineError
        It is empty, or longer than a name.
    """
    name = one_line(annotator)
    if not name or len(name) > 80 or "," in name:
        raise PipelineError("the annotator's name must have 1 to 80 characters and no comma", where="annotator")
    return name
