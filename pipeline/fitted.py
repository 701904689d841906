"""Which corpus rows a model was fitted on: a number and the label of each, in a small file beside the model.

It lets the gate tell added rows from those that the current model knows, and fit that model's settings again on the
latter, without a copy of the corpus as it was.
"""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.records import Example, ModelInfo

FITTED_FILE = "rows.npy"
_ROW = np.dtype([("row", "<u8"), ("label", "u1")])
Ints = NDArray[np.int64]


def row_keys(examples: Sequence[Example]) -> list[int]:
    """A number for each row, from its article, kind, section and text; not from its label, file or line.

    A heading that comes again in its article has another number each time.
    """
    seen: Counter[tuple[str, str, str, str]] = Counter()
    keys = []
    for example in examples:
        row = (example.article, example.kind, example.section or "", example.text)
        seen[row] += 1
        digest = hashlib.blake2b("\0".join((*row, str(seen[row]))).encode("utf-8", "surrogatepass"), digest_size=8)
        keys.append(int.from_bytes(digest.digest(), "little"))
    return keys


def fitted_bytes(examples: Sequence[Example], labels: Sequence[str]) -> bytes:
    """The file of the rows that a model was fitted on."""
    number = {label: index for index, label in enumerate(labels)}
    rows = [(key, number[example.label]) for key, example in zip(row_keys(examples), examples, strict=True)]
    buffer = io.BytesIO()
    np.save(buffer, np.sort(np.array(rows, dtype=_ROW), order="row"), allow_pickle=False)
    return buffer.getvalue()


@dataclass(frozen=True, slots=True)
class Fitted:
    """The rows of a model: the number of each, and the label that it had."""

    labels: Mapping[int, str]

    def old_labels(self, examples: Sequence[Example]) -> list[str | None]:
        """The label that each row had when the model was fitted; None where it was not fitted on it."""
        return [self.labels.get(key) for key in row_keys(examples)]


def read_fitted(info: ModelInfo, folder: Path) -> Fitted | None:
    """What a model of the shelf was fitted on; None where it doesn't say, or the file is not that of its manifest."""
    expected = info.corpus.get("rows_sha256")
    try:
        data = (folder / info.id / FITTED_FILE).read_bytes()
    except OSError:
        return None
    if hashlib.sha256(data).hexdigest() != expected:
        return None
    rows = np.load(io.BytesIO(data), allow_pickle=False)
    return Fitted({key: info.labels[label] for key, label in rows.tolist()})
