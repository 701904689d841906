"""How often a model is right where it is sure: the README's table of coverage against precision.

Usage: python tests/benchmarks/coverage.py GOLD.jsonl OUTPUT.jsonl

GOLD and OUTPUT are those of the exam's score.py. Only units that were given another label than background count.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path, PurePath
from typing import Any

SHARES = (0.1, 0.25, 0.5, 0.75, 1.0)
SUREST = 50


def rows(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines() if line]


def judged(gold: list[dict[str, Any]], output: list[dict[str, Any]]) -> list[tuple[float, str, bool]]:
    """Confidence, label, and whether it is right, of every undisputed unit, the most confident first."""
    by_document = defaultdict(list)
    for row in output:
        by_document[PurePath(row["document"]).stem].append(row)
    found = []
    for unit in gold:
        if unit["label"] != "disputed":
            said = max(
                by_document[unit["doc"]],
                key=lambda row: min(unit["end"], row["end"]) - max(unit["start"], row["start"]),
            )
            found.append((said["confidence"], said["label"], said["label"] == unit["label"]))
    return sorted(found, reverse=True)


def right(units: list[tuple[float, str, bool]]) -> str:
    return f"{sum(unit[2] for unit in units) / len(units):.0%} of {len(units)}" if units else "none"


def main(gold: str, output: str) -> None:
    labelled = [unit for unit in judged(rows(gold), rows(output)) if unit[1] != "background"]
    for share in SHARES:
        print(f"most confident {share:.0%}: right {right(labelled[: int(share * len(labelled))])}")
    for label in sorted({unit[1] for unit in labelled}):
        print(f"{label}, most confident {SUREST}: right {right([u for u in labelled if u[1] == label][:SUREST])}")


if __name__ == "__main__":
    main(*sys.argv[1:])
