"""What a run has done, and who is told of it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from pipeline.chunks import Done
from pipeline.journal import Entry
from pipeline.records import Failure


@dataclass(slots=True)
class Summary:
    """What a run has done so far. ``units`` are all classified ones; ``labels`` and ``uncertain`` count the rows."""

    labels: dict[str, int]
    documents: int = 0
    units: int = 0
    uncertain: int = 0
    failed: int = 0
    resumed: int = 0
    size: int = 0
    seconds: float = 0.0
    started: float = field(default_factory=time.perf_counter)

    @property
    def rows(self) -> int:
        """Rows written: all units, unless they were chosen from."""
        return sum(self.labels.values())

    @property
    def units_per_second(self) -> float:
        """Of the whole run so far, without loading the model."""
        return self.units / max(self.seconds, 1e-9)

    def count(self, one: Done | Entry) -> None:
        """Add a document, or a failure."""
        if one.failure is not None:
            self.failed += 1
            return
        self.documents += 1
        self.units += one.units
        self.uncertain += one.uncertain
        for label, number in zip(self.labels, one.counts, strict=True):
            self.labels[label] += number

    def tick(self) -> None:
        """Note the time."""
        self.seconds = time.perf_counter() - self.started

    def as_dict(self) -> dict[str, Any]:
        """Plain types, ready for JSON."""
        return {
            "documents": self.documents,
            "units": self.units,
            "rows": self.rows,
            "labels": dict(self.labels),
            "uncertain": self.uncertain,
            "failed": self.failed,
            "resumed": self.resumed,
            "seconds": round(self.seconds, 3),
            "units_per_second": round(self.units_per_second, 1),
        }


class Reporter:
    """Is told what happens. This one keeps silent; override what you want to hear."""

    def failure(self, failure: Failure) -> None:
        """A source or a row could not be read or classified."""

    def warning(self, document: str, text: str) -> None:
        """A document was read, but look at it."""

    def note(self, text: str) -> None:
        """Something about the run as a whole."""

    def progress(self, summary: Summary) -> None:
        """Some more documents are done."""
