"""What 300 more units do to a model, as they are and with shuffled labels: the measurement behind the gate's margins.

From the project's own corpus it draws so many articles, leaves 300 units' worth of them out, and compares the model
without them (the one in use) with the model with them (the challenger), on the held-out articles and in folds, as
`communique train` does.

Usage: python tests/benchmarks/gate_noise.py ARTICLES [TRIALS]     e.g. 40, 120 or 698 (all); 5 trials by default
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from sklearn.base import clone

from pipeline.batches import batch_of_examples
from pipeline.cache import prepared_batch
from pipeline.corpus import load_corpus
from pipeline.evaluate import article_groups, refitted_predictions
from pipeline.gate import agreement, agreement_faults, compare, comparison_faults
from pipeline.model import UnitClassifier, grouped_folds

ROOT = Path(__file__).resolve().parents[2]
ADDED = 300


def main(articles: int, trials: int) -> None:
    data = load_corpus(ROOT / "corpus")
    labels = data.labels.names
    number = {label: index for index, label in enumerate(labels)}
    batch, _, _ = prepared_batch(data.train)
    true = np.array([number[row.label] for row in data.train])
    names = np.array([row.article for row in data.train])
    groups = article_groups(data.train)
    held_out = batch_of_examples(data.heldout)
    held_out_true = np.array([number[row.label] for row in data.heldout])
    held_out_articles = [row.article for row in data.heldout]
    classifier = UnitClassifier(labels)

    def predicted(rows: np.ndarray, target: np.ndarray, test: object) -> np.ndarray:
        fitted = clone(classifier)._fit_pipeline(batch.take(rows), target[rows])
        return classifier._scores(fitted, test).argmax(axis=1)

    for trial in range(trials):
        rng = np.random.default_rng(trial)
        drawn = rng.permutation(np.unique(names))[:articles]
        sizes = np.array([(names == name).sum() for name in drawn])
        last = int(np.searchsorted(np.cumsum(sizes), ADDED)) + 1
        added = np.isin(names, drawn[:last])
        old, new = np.flatnonzero(np.isin(names, drawn[last:])), np.flatnonzero(np.isin(names, drawn))
        shuffled = true.copy()
        shuffled[added] = rng.permutation(true[added])
        before = predicted(old, true, held_out)
        for kind, target in (("as they are", true), ("shuffled", shuffled)):
            print(f"trial {trial}, {len(old)} units and {added.sum()} more, {kind}")
            after = predicted(new, target, held_out)
            found = [compare("held-out articles", labels, held_out_articles, held_out_true, before, after)]
            folds = grouped_folds(target[new], groups[new], 5, trial)
            part = batch.take(new)
            known = [labels[true[row]] if not added[row] else None for row in new]
            all_labels = [labels[target[row]] for row in new]
            said = [refitted_predictions(classifier, part, some, folds, n_jobs=-1) for some in (known, all_labels)]
            rows = ~added[new]
            both = (said[0][rows], said[1][rows])
            found.append(compare("folds", labels, names[new][rows].tolist(), true[new][rows], *both))
            judged = agreement("the added units", target[new][~rows], said[0][~rows])
            for one in found:
                print(f"  {one.name:18} macro-F1 {one.macro_f1}")
            print(f"  kappa of the added units {judged.kappa:.2f}")
            faults = [fault for one in found for fault in comparison_faults(one)] + agreement_faults(judged)
            print("  " + ("refused: " + "; ".join(faults) if faults else "promoted"), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 5)
