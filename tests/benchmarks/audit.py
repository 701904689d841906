"""How many planted label errors an audit finds: `python tests/benchmarks/audit.py [CORPUS]`.

Of every label of the corpus, 5 % are replaced by another at random; the share of those that are among the first
10 % of the units, over three draws.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from pipeline.audit import audit, examples_to_audit
from pipeline.corpus import load_labels
from pipeline.train import new_classifier


def main(corpus: Path) -> None:
    labels = load_labels(corpus)
    for seed in range(3):
        examples, _ = examples_to_audit(corpus, labels)
        rng = np.random.default_rng(seed)
        planted = rng.choice(len(examples), len(examples) // 20, replace=False).tolist()
        for row in planted:
            others = [label for label in labels.names if label != examples[row].label]
            examples[row] = replace(examples[row], label=str(rng.choice(others)))
        found = audit(new_classifier(labels, n_jobs=-1), examples)
        first = {(one.example.file, one.example.line) for one in found[: len(examples) // 10]}
        share = np.mean([(examples[row].file, examples[row].line) in first for row in planted])
        print(f"seed {seed}: {share:.3f} of {len(planted)} planted errors among the first {len(examples) // 10}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "corpus"))
