"""The exam of real news, as the benchmarks use it: its documents, and its own score.py.

The exam's folder holds ``dev.jsonl``, ``dev/*.txt`` and ``score.py``; it is not part of this repository.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.readers import read
from pipeline.records import Document, PipelineError
from pipeline.sentences import Parsed

Floats = NDArray[np.float64]


def exam_documents(exam: Path) -> list[Document]:
    """The documents to classify."""
    found = [item for item in read([exam / "dev"]) if isinstance(item, Document)]
    if not found:
        raise PipelineError("no documents", where=str(exam / "dev"), remedy="name the exam's folder with --exam")
    return found


def output_rows(parsed: Sequence[Parsed], probabilities: Floats, labels: Sequence[str]) -> list[dict[str, Any]]:
    """The rows that score.py reads, from probabilities of shape (n_units, n_labels)."""
    units = [unit for one in parsed for unit in one.units]
    return [
        {
            "document": unit.document,
            "start": unit.start,
            "end": unit.end,
            "label": labels[int(row.argmax())],
            "confidence": float(row.max()),
            "probabilities": dict(zip(labels, row.tolist(), strict=True)),
        }
        for unit, row in zip(units, probabilities, strict=True)
    ]


def score(exam: Path, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the exam's own score.py says of output rows."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "output.jsonl"
        output.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        command = [sys.executable, str(exam / "score.py"), str(exam / "dev.jsonl"), str(output), "--json"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result
