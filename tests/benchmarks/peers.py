"""Other libraries on the same task: trained on the same corpus, scored on the same real news by its own score.py.

Usage: python tests/benchmarks/peers.py --exam DIR [--only NAME,...] [--json FILE] [--corpus DIR] [--models DIR]

DIR holds ``dev.jsonl``, ``dev/*.txt`` and ``score.py``. The peers and their settings are in ``peer_models.py``. The
last two rows are this project's promoted model and its newest model with a sentence encoder, as they lie in
``models/``. ``--only`` takes some of the rows, by the beginnings of their names (several: "fastText,spaCy"). ``--json``
keeps the figures in a file, and the rows that stand there already are shown again, so that the slow ones can be run
one by one.

Speed is that of texts in memory to probabilities, with cutting the texts into sentences, in units a second of
processor time (so on one core). Training is seconds of processor time, with the choice of settings where that is done
by cross-validation; that of our two models is the time that their manifests give. The fine-tuned encoder takes half an
hour and more.
A peer whose package is missing is named with its pip command, the rest is done, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from peer_models import PEERS, Floats, Labelled, Peer

from pipeline.batches import batch_of_parsed
from pipeline.classify import load
from pipeline.corpus import load_corpus
from pipeline.encoder_base import require_extra
from pipeline.evaluate import article_groups
from pipeline.readers import read
from pipeline.records import Document, PipelineError
from pipeline.sentences import Parsed, parse

#: Parsed documents to probabilities of shape (n_units, n_labels).
Classify = Callable[[Sequence[Parsed]], Floats]
OURS, OURS_ENCODER = "communique default", "communique with encoder"
#: Documents that are classified before the clock starts.
_WARM_UP = 3


@dataclass(frozen=True)
class Contestant:
    """A row of the table: its name, and what gives the classifier and the seconds that it took to train."""

    name: str
    make: Callable[[], tuple[Classify, float]]


def labelled(corpus: Path) -> Labelled:
    """The training part of a corpus folder, for peers."""
    data = load_corpus(corpus)
    names = data.labels.names
    y = np.array([names.index(example.label) for example in data.train], dtype=np.int64)
    return Labelled([example.text for example in data.train], y, article_groups(data.train), names)


def make_peer(peer: Peer, data: Labelled) -> tuple[Classify, float]:
    """A trained peer that reads the texts of parsed documents' units."""
    command = peer.missing()
    if command:
        raise PipelineError("its package is not installed", where=peer.name, remedy=f"run `{command}`")
    started = time.process_time()
    predict = peer.train(data)
    seconds = time.process_time() - started
    return lambda parsed: predict([unit.text for one in parsed for unit in one.units]), seconds


def newest_with_encoder(models: Path) -> str:
    """The id of the newest model whose manifest names an encoder."""
    manifests = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(models.glob("m*/model.json"))]
    found = [manifest for manifest in manifests if "encoder" in manifest["settings"]]
    if not found:
        raise PipelineError(
            "no model with an encoder", where=str(models), remedy="run `communique train --encoder default`"
        )
    return str(max(found, key=lambda manifest: manifest["created"])["id"])


def make_ours(models: Path, corpus: Path, *, encoder: bool) -> tuple[Classify, float]:
    """A model of the shelf; it must have been trained on this corpus."""
    if encoder:
        require_extra()
    model = load(newest_with_encoder(models) if encoder else None, models=models)
    if model.info.corpus["sha256"] != load_corpus(corpus).sha256:
        raise PipelineError(
            "trained on another corpus than the peers", where=model.info.id, remedy="run `communique train`"
        )
    return lambda parsed: model.classifier.predict_proba(batch_of_parsed(parsed)), model.info.timings["fit"]


def exam_documents(exam: Path) -> list[Document]:
    found = [item for item in read([exam / "dev"]) if isinstance(item, Document)]
    if not found:
        raise PipelineError("no documents", where=str(exam / "dev"), remedy="name the exam's folder with --exam")
    return found


def output_rows(parsed: Sequence[Parsed], probabilities: Floats, labels: Sequence[str]) -> list[dict[str, Any]]:
    """The rows that score.py reads."""
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


def measure(contestant: Contestant, documents: Sequence[Document], exam: Path, labels: Sequence[str]) -> dict[str, Any]:
    """A row of the table, with F1 by label."""
    classify, training = contestant.make()
    classify([parse(document) for document in documents[:_WARM_UP]])
    started = time.process_time()
    parsed = [parse(document) for document in documents]
    probabilities = classify(parsed)
    seconds = time.process_time() - started
    result = score(exam, output_rows(parsed, probabilities, labels))
    return {
        **{name: result[name] for name in ("macro_f1", "macro_f1_interval", "accuracy", "calibration_error")},
        "f1": {label: row["f1"] for label, row in result["labels"].items()},
        "training_seconds": round(training, 1),
        "units_per_second": round(len(probabilities) / max(seconds, 1e-9)),
    }


def table(results: Mapping[str, Mapping[str, Any]]) -> str:
    """The results as a Markdown table, in their order."""
    lines = [
        "| on the same corpus | macro-F1 (95 % interval) | accuracy | calibration error | training, s | units/s |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in results.items():
        low, high = row["macro_f1_interval"]
        score = f"{row['macro_f1']:.3f} ({low:.3f} to {high:.3f})"
        rest = f"{row['accuracy']:.3f} | {row['calibration_error']:.3f} | {row['training_seconds']:,.0f}"
        lines.append(f"| {name} | {score} | {rest} | {row['units_per_second']:,} |")
    return "\n".join(lines)


def chosen(names: Sequence[str], only: str | None) -> list[str]:
    """The names that begin with one of the comma-separated beginnings, or all."""
    if only is None:
        return list(names)
    wanted = [part.strip().lower() for part in only.split(",") if part.strip()]
    nothing = [part for part in wanted if not any(name.lower().startswith(part) for name in names)]
    if nothing or not wanted:
        raise PipelineError(
            f"no row begins with {', '.join(map(repr, nothing)) or 'nothing'}",
            where="--only",
            remedy=f"rows: {'; '.join(names)}",
        )
    return [name for name in names if any(name.lower().startswith(part) for part in wanted)]


def compare(
    contestants: Sequence[Contestant], exam: Path, labels: Sequence[str], kept: Path | None = None
) -> tuple[dict[str, Any], list[str]]:
    """Results by name, with those that ``kept`` holds already, and what could not be done; saved after each row."""
    results: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8")) if kept and kept.exists() else {}
    documents, failures = exam_documents(exam), []
    for contestant in contestants:
        print(f"{contestant.name} ...", file=sys.stderr, flush=True)
        try:
            results[contestant.name] = measure(contestant, documents, exam, labels)
        except PipelineError as error:
            failures.append(f"{contestant.name}: {error}")
            continue
        if kept:
            kept.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return results, failures


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n")[0],
        epilog="example: python tests/benchmarks/peers.py --exam ../shared/exam",
    )
    parser.add_argument("--exam", type=Path, required=True, help="folder with dev.jsonl, dev/ and score.py")
    parser.add_argument("--only", help="rows to run, by the beginnings of their names, with commas between")
    parser.add_argument("--json", type=Path, help="keep the figures in this file, and show those that it holds")
    parser.add_argument("--corpus", type=Path, default=Path("corpus"))
    parser.add_argument("--models", type=Path, default=Path("models"))
    options = parser.parse_args(arguments)
    data: list[Labelled] = []  # read once, and only if a peer is trained

    def trained(peer: Peer) -> tuple[Classify, float]:
        data.extend([] if data else [labelled(options.corpus)])
        return make_peer(peer, data[0])

    every = [Contestant(peer.name, lambda peer=peer: trained(peer)) for peer in PEERS]  # type: ignore[misc]
    for name, encoder in ((OURS, False), (OURS_ENCODER, True)):
        every.append(
            Contestant(name, lambda encoder=encoder: make_ours(options.models, options.corpus, encoder=encoder))  # type: ignore[misc]
        )
    try:
        names = chosen([contestant.name for contestant in every], options.only)
    except PipelineError as error:
        parser.error(str(error))
    labels = load_corpus(options.corpus).labels.names
    results, failures = compare([row for row in every if row.name in names], options.exam, labels, options.json)
    order = [contestant.name for contestant in every if contestant.name in results]
    print(table({name: results[name] for name in order}))
    for failure in failures:
        print(failure, file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
