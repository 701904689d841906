"""How often `drift` raises a false alarm: `python tests/benchmarks/drift.py [MODELS]`.

Articles drawn from the reference are compared with those left in it, 300 times for each size of the draw.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import numpy as np

from pipeline import drift, load
from pipeline.batches import batch_of_examples
from pipeline.corpus import load_corpus
from pipeline.drift_measures import measures_of
from pipeline.evaluate import article_groups
from pipeline.novelty import novelty, vectors, vocabulary_of

ROUNDS = 300


def main(models: str | None) -> None:
    model, corpus = load(models=models), load_corpus(Path("corpus"))
    groups, batch = article_groups(corpus.train), batch_of_examples(corpus.train)
    starts = np.flatnonzero(np.diff(batch.documents, prepend=-1))
    known = vocabulary_of(batch, groups)
    rows = vectors(batch, known, len(starts))
    own = novelty(rows, rows, groups[starts], groups[starts])
    probabilities = drift._out_of_fold(model, corpus.train, batch, -1)
    chosen = drift._reference_rows(corpus.train, starts)
    reference = drift._articles(model, batch, probabilities, known, own, within=True).take(chosen)
    for size in (10, 20, 40):
        unusual: Counter[int] = Counter()
        for seed in range(ROUNDS):
            order = np.random.default_rng(seed).permutation(len(chosen))
            found = measures_of(reference.take(order[:size]), reference.take(order[size:]), seed)
            unusual[sum(measure.unusual for measure in found.values())] += 1
        alarms = sum(count for number, count in unusual.items() if number >= drift.ALARM)
        print(f"{size} articles: an unusual measure {1 - unusual[0] / ROUNDS:.1%}, an alarm {alarms / ROUNDS:.1%}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
