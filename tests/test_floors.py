"""The house: which module may import which, where spaCy is, and what stands at the top level."""

from __future__ import annotations

import ast
import fnmatch
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT

#: From the ground up. A module imports only from those named before it.
FLOORS: dict[str, list[str]] = {
    "words": ["records"],
    "edges: sources": [
        *("decoding", "webpage", "compressed", "lines", "rows", "parquet_in", "sources", "archives", "readers"),
    ],
    "edges: corpus": ["corpus_labels", "corpus_similar", "corpus_format", "corpus_rows", "corpus_check", "corpus"],
    "edges: units": ["keys", "words", "blocks", "boundaries", "outline", "sentences"],
    "edges: output": [
        *("report", "parquet_out", "output", "places", "render", "journal", "chunks", "summary", "sinks"),
        "folders",
        "corpus_edit",
    ],
    "learning": [
        "lexicon",
        "cues",
        "structure",
        "batches",
        "novelty",
        "parts",
        "features",
        "cache",
        "familiarity",
        "model",
        "scores",
        "evaluate",
        "gate",
    ],
    "learning: encoder": ["encoder_base", "encoder", "combined"],
    "learning: explain": ["explain", "precedents", "estimator"],
    "shelf": ["shelf", "markdown", "card_scores", "card", "manifest", "registry", "promotion", "fitted", "probe"],
    "shelf: exchange": ["exchange_audit", "exchange_file", "exchange"],
    "verbs": ["challenge", "train", "classify", "compare", "reasons"],
    "verbs: batches": ["work", "workers", "run"],
    "verbs: curve": ["learning_curve", "learning_curve_picture"],
    "verbs: corpus": ["audit", "audit_table", "agreement", "agreement_text", "drift_measures", "drift", "drift_text"],
    "edges: pages": ["explain_text", "page", "page_articles", "report_page"],
    "verbs: review": [
        *("annotation_formats", "decisions", "review_corpus", "review_queue", "review_units", "review"),
        *("review_exchange", "review_terminal"),
    ],
    "doors: serve": [
        *("serve_guard", "serve_models", "serve_batching", "serve_metrics", "serve_pages", "serve_schema"),
        *("serve_requests", "serve_review", "serve"),
    ],
    "doors": [
        "component",
        "cli_base",
        "progress",
        "cli_classify",
        "cli_train",
        "cli_models",
        "cli_exchange",
        "cli_corpus",
        "cli_report",
        "cli_serve",
        "cli",
        "__init__",
        "__main__",
    ],
}
ORDER = [module for floor in FLOORS.values() for module in floor]
MODULES = sorted((ROOT / "pipeline").rglob("*.py"))
#: Whatever stands at the top level of the project.
TOP = {
    *("pyproject.toml", "README.md", "LICENSE", ".gitignore", ".gitattributes"),
    *("pipeline", "corpus", "models", "tests", ".ci", ".git"),
}
LONGEST = 350


def imports(source: str) -> Iterator[str]:
    """The full names of all modules that a source imports, also inside functions; ``pipeline.x.y`` for a name in x."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(filter(None, ["pipeline" if node.level else "", node.module]))
            yield from (f"{base}.{alias.name}" for alias in node.names)


def faults(module: str, source: str) -> list[str]:
    """What is wrong with the imports of a module of the package."""
    below = ORDER[: ORDER.index(module)]
    wanted = {name.split(".")[1] for name in imports(source) if name.startswith("pipeline.")}
    unlisted = [f"{module} imports pipeline.{name}, which FLOORS does not list" for name in wanted - set(ORDER)]
    upward = [f"{module} imports {name}, which does not stand below it" for name in wanted & set(ORDER) - set(below)]
    return sorted(unlisted + upward)


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT / "pipeline").with_suffix("").parts)


def test_every_module_has_its_floor() -> None:
    assert sorted(map(name_of, MODULES)) == sorted(ORDER)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_imports_only_from_below(path: Path) -> None:
    assert faults(name_of(path), path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "from pipeline.cli import app",
        "import pipeline.cli",
        "from pipeline import cli",
        "from . import cli",
        "from .cli import app",
        "def f():\n    from pipeline.cli import app",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from pipeline.cli import app",
    ],
)
def test_an_upward_import_is_found_however_it_is_written(source: str) -> None:
    assert faults("records", source) == ["records imports cli, which does not stand below it"]
    assert faults("__main__", source) == []


def test_an_unlisted_module_is_found() -> None:
    assert faults("cli", "from pipeline.utils import x") == ["cli imports pipeline.utils, which FLOORS does not list"]


def test_spacy_is_imported_where_it_must_be() -> None:
    where = {
        name_of(path)
        for path in MODULES
        if any(name.split(".")[0] == "spacy" for name in imports(path.read_text(encoding="utf-8")))
    }
    assert where == {"sentences", "component"}, "one makes the tokens, the other is what spaCy calls"


def test_torch_is_imported_in_one_place() -> None:
    where = {
        name_of(path)
        for path in MODULES
        if {"torch", "transformers"} & {name.split(".")[0] for name in imports(path.read_text(encoding="utf-8"))}
    }
    assert where == {"encoder"}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_is_one_room(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST


def test_the_top_level_holds_only_what_design_lists() -> None:
    ignored = [line.rstrip("/") for line in (ROOT / ".gitignore").read_text().splitlines() if line.strip()]
    found = {path.name for path in ROOT.iterdir()}
    assert sorted(name for name in found - TOP if not any(fnmatch.fnmatch(name, one) for one in ignored)) == []
    assert sorted(TOP - found - {".git"}) == []
