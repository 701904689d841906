"""What each lever of the default model brings: cross-validation on our corpus and real news, side by side.

Usage: python tests/benchmarks/ablation.py --exam DIR [--only NAME,...] [--jobs N] [--corpus DIR]

Each row is the default model with one thing changed, trained on the corpus (or a part of it), cross-validated on
article-grouped folds of the whole corpus, and scored on the exam in DIR by the exam's own score.py. Intervals are of
95 %, by resampling articles or documents. All rows take some 12 minutes on two quiet cores; ``--only full,cues`` takes
those whose names begin so.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from exam import exam_documents, output_rows, score

from pipeline.batches import batch_of_examples, batch_of_parsed
from pipeline.corpus import Corpus, load_corpus
from pipeline.evaluate import COMPOSED, article_groups, cross_validate, natural, source_groups
from pipeline.model import UnitClassifier
from pipeline.records import Evaluation, Example
from pipeline.sentences import parse

HEAD = """\
| the default model, but | macro-F1, cross-validation | macro-F1, real news | accuracy | calibration error |
|---|---|---|---|---|"""
Kept = Callable[[Example], bool]
#: Every block of features, by the parameter that weighs it.
BLOCKS = {
    "n-grams": "ngram_weight",
    "cues": "cue_weight",
    "stance of cues": "stance_weight",
    "structure": "structure_weight",
    "context": "context_weight",
}


@dataclass(frozen=True)
class Lever:
    """A row of the table: the default model with other settings, or fitted and calibrated otherwise."""

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    kept: Kept = lambda example: True
    #: whole corpus files are left out to calibrate, and only on natural articles; else articles, of all kinds
    calibrated_as_news: bool = True


def alone(*blocks: str) -> dict[str, Any]:
    """Settings with no features but these."""
    return {"features": {weight: 0.0 for block, weight in BLOCKS.items() if block not in blocks}}


LEVERS = [
    Lever("full"),
    Lever("n-grams alone", alone("n-grams")),
    Lever("cues alone", alone("cues")),
    Lever("cues and their stance", alone("cues", "stance of cues")),
    *(Lever(f"without {block}", {"features": {weight: 0.0}}) for block, weight in BLOCKS.items()),
    Lever("all blocks weigh the same", {"features": dict.fromkeys(BLOCKS.values(), 1.0)}),
    Lever("labels as frequent as they are", {"balance": 0.0}),
    Lever("labels weigh the same", {"balance": 1.0}),
    Lever("composed articles alone", kept=lambda example: example.source == COMPOSED),
    Lever("natural articles alone", kept=lambda example: example.source != COMPOSED),
    Lever("calibrated on all articles", calibrated_as_news=False),
]


def fitted(lever: Lever, data: Corpus) -> UnitClassifier:
    """The model of a row, fitted on its part of the corpus."""
    rows = [example for example in data.train if lever.kept(example)]
    classifier = UnitClassifier(data.labels.names, **lever.settings)
    labels = [example.label for example in rows]
    if lever.calibrated_as_news:
        return classifier.fit(batch_of_examples(rows), labels, source_groups(rows), natural(rows))
    return classifier.fit(batch_of_examples(rows), labels, article_groups(rows))


def measured(lever: Lever, data: Corpus, n_jobs: int) -> tuple[Evaluation | None, UnitClassifier]:
    """Cross-validation where the whole corpus is fitted on, and the fitted model."""
    whole = all(lever.kept(example) for example in data.train) and lever.calibrated_as_news
    # calibration inside the folds has no part in macro-F1: two folds of it are enough
    light = UnitClassifier(data.labels.names, **{**lever.settings, "n_splits": 2})
    return cross_validate(light, data.train, n_jobs=n_jobs) if whole else None, fitted(lever, data)


def line(name: str, ours: Evaluation | None, news: Mapping[str, Any]) -> str:
    """A row of the table, in Markdown."""
    own = f"{ours.macro_f1:.3f} ({ours.macro_f1_interval[0]:.3f} to {ours.macro_f1_interval[1]:.3f})" if ours else ""
    low, high = news["macro_f1_interval"]
    real = f"{news['macro_f1']:.3f} ({low:.3f} to {high:.3f})"
    return f"| {name} | {own} | {real} | {news['accuracy']:.3f} | {news['calibration_error']:.3f} |"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--exam", type=Path, required=True, help="folder with dev.jsonl, dev/ and score.py")
    parser.add_argument("--only", help="rows to run, by the beginnings of their names, with commas between")
    parser.add_argument("--jobs", type=int, default=2, help="processes for the folds")
    parser.add_argument("--corpus", type=Path, default=Path("corpus"))
    options = parser.parse_args(arguments)
    wanted = tuple(part.strip() for part in options.only.split(",")) if options.only else ("",)
    levers = [lever for lever in LEVERS if lever.name.startswith(wanted)]
    if not levers:
        parser.error(f"--only: no row begins so; the rows are: {'; '.join(lever.name for lever in LEVERS)}")
    data = load_corpus(options.corpus)
    parsed = [parse(document) for document in exam_documents(options.exam)]
    batch = batch_of_parsed(parsed)
    print(
        "| the default model, but | macro-F1, cross-validation | macro-F1, real news | accuracy | calibration error |"
    )
    print("|---|---|---|---|---|")
    for lever in levers:
        ours, classifier = measured(lever, data, options.jobs)
        news = score(options.exam, output_rows(parsed, classifier.predict_proba(batch), data.labels.names))
        print(line(lever.name, ours, news), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
