"""The audit: planted errors come first, and an edited table changes what it says and nothing else."""

from __future__ import annotations

import csv
import io
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import EVENT, GOAL, ROOT, Done, write_small_corpus

from pipeline.audit import audit, examples_to_audit
from pipeline.audit_table import COLUMNS, apply, audit_text, unit_key, write_csv
from pipeline.corpus import load_labels
from pipeline.model import UnitClassifier
from pipeline.records import Example, PipelineError

LABELS = load_labels(ROOT / "corpus")
Run = Callable[..., Done]
CONFLICT = "Fishing rights in the strait remain the sharpest dispute between the two capitals this year."
GERMAN = "Die beiden Minister trafen sich gestern Abend zu langen Gesprächen über den Hafen."


@pytest.fixture(scope="module")
def newsroom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus folder of two files of the project's own."""
    folder = write_small_corpus(tmp_path_factory.mktemp("audit") / "corpus")
    for number in (1, 2, 3):
        shutil.copy(ROOT / "corpus" / f"newsroom-{number}.jsonl", folder)
    (folder / "news.jsonl").unlink()
    return folder


@pytest.mark.slow
def test_planted_errors_come_first(newsroom: Path) -> None:
    """Of 5 % planted label errors, 60 % and more are among the first 10 % of the units."""
    examples, _ = examples_to_audit(newsroom, LABELS)
    rng = np.random.default_rng(0)
    planted = rng.choice(len(examples), len(examples) // 20, replace=False).tolist()
    for row in planted:
        others = [label for label in LABELS.names if label != examples[row].label]
        examples[row] = replace(examples[row], label=str(rng.choice(others)))
    found = audit(UnitClassifier(LABELS.names), examples)
    first = {(one.example.file, one.example.line) for one in found[: len(examples) // 10]}
    recall = np.mean([(examples[row].file, examples[row].line) in first for row in planted])
    assert recall >= 0.6
    suspicion = [one.suspicion for one in found]
    assert suspicion == sorted(suspicion, reverse=True)
    labelled = [one for one in found if "label" in one.kinds]
    assert all(one.suggested != one.example.label for one in labelled)
    assert 0.5 < len(labelled) / len(planted) < 5


@pytest.fixture
def corpus(tmp_path: Path, quick: None) -> Path:
    """A small corpus with a conflict, a duplicate and an outlier planted."""
    folder = write_small_corpus(tmp_path / "corpus", fitted=8)
    plain = {"title": "News", "genre": "wire", "section": None, "kind": "sentence"}
    rows = [
        {"article": "x", **plain, "text": CONFLICT, "label": "challenge"},
        {"article": "x", **plain, "text": GOAL, "label": "goal", "note": "second, so far"},
        {"article": "y", **plain, "text": EVENT, "label": "background"},
        {"article": "y", **plain, "text": CONFLICT.replace(" this year", ""), "label": "goal"},
        {"article": "y", **plain, "text": GOAL, "label": "goal"},
        {"article": "y", **plain, "text": GERMAN, "label": "background"},
    ]
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (folder / "planted.jsonl").write_text("\n" + text, encoding="utf-8")
    return folder


def test_conflicts_duplicates_and_outliers_are_named(corpus: Path) -> None:
    examples, _ = examples_to_audit(corpus, LABELS)
    found = {(Path(one.example.file).name, one.example.line): one for one in audit(small(), examples)}
    planted = {line: found.get(("planted.jsonl", line)) for line in range(2, 8)}
    kinds = {line: set(one.kinds) - {"label"} if one else set() for line, one in planted.items()}
    assert kinds == {2: {"conflict"}, 3: {"duplicate"}, 4: set(), 5: {"conflict"}, 6: {"duplicate"}, 7: {"outlier"}}
    twins = {line: one.twin.line for line, one in planted.items() if one and one.twin}
    assert twins == {2: 5, 3: 6, 5: 2, 6: 3}


def small() -> UnitClassifier:
    return UnitClassifier(LABELS.names, n_splits=2, features={"min_df": 5})


def test_a_conflict_goes_before_a_duplicate(corpus: Path) -> None:
    examples, _ = examples_to_audit(corpus, LABELS)
    same = "The minister wants the new treaty signed before the summer break begins."
    for article, label in {"b0": "goal", "b1": "goal", "b2": "challenge"}.items():
        examples.append(Example(article, "", "wire", None, "sentence", same, label))
    found = {one.example.article: one for one in audit(small(), examples) if one.example.text == same}
    twins = {name: one.twin.article for name, one in found.items() if one.twin}
    assert twins == {"b0": "b2", "b1": "b2", "b2": "b0"}
    assert all("conflict" in one.kinds for one in found.values())


def test_too_little_corpus_is_explained(quick: None) -> None:
    rows = [Example(f"a{n}", "", "wire", None, "sentence", f"Port {n} opened.", "background") for n in range(8)]
    with pytest.raises(PipelineError, match=r"too little to learn from: .* the only label is 'background'"):
        audit(small(), rows)


# the command, and the way back


def rows_of(table: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(table.read_text(encoding="utf-8"), newline="")))


def fill(table: Path, new: dict[tuple[str, str], str], *, head: tuple[str, ...] = COLUMNS, delimiter: str = ",") -> int:
    """Set new_label by (name of the file, line); the number of rows set."""
    rows = rows_of(table)
    done = 0
    for row in rows:
        row["new_label"] = new.get((Path(row["file"]).name, row["line"]), "")
        done += bool(row["new_label"])
    with table.open("w", encoding="utf-8-sig", newline="") as stream:
        writer = csv.DictWriter(stream, head, extrasaction="ignore", delimiter=delimiter, restval="my comment")
        writer.writeheader()
        writer.writerows(rows)
    return done


@pytest.fixture
def table(corpus: Path, run: Run, tmp_path: Path) -> Path:
    """The audit of the corpus as CSV."""
    path = tmp_path / "audit.csv"
    done = run("audit", "--corpus", corpus, "-o", path, "--jobs", 1)
    assert (done.code, done.out) == (0, "")
    return path


def test_an_edited_table_changes_labels_and_no_other_byte(corpus: Path, run: Run, table: Path) -> None:
    path = corpus / "planted.jsonl"
    other = {file: file.read_bytes() for file in corpus.rglob("*.jsonl") if file != path}
    before = path.read_text(encoding="utf-8")
    # with columns in another order, one of the annotator's own, and as a German spreadsheet saves it
    head = ("my own", *reversed(COLUMNS))
    assert (
        fill(table, {("planted.jsonl", "5"): " challenge ", ("planted.jsonl", "3"): "goal"}, head=head, delimiter=";")
        == 2
    )
    done = run("audit", "--apply", table, "--corpus", corpus)
    assert (done.code, done.out, done.err) == (0, f"{path}: 1 label changed\n", "")
    lines = before.split("\n")
    lines[4] = lines[4].replace('"label": "goal"', '"label": "challenge"')
    assert path.read_text(encoding="utf-8") == "\n".join(lines)
    assert {file: file.read_bytes() for file in other} == other


def test_a_csv_corpus_file_keeps_order_comments_and_columns(tmp_path: Path) -> None:
    path, table = tmp_path / "mine.csv", tmp_path / "audit.csv"
    text = (
        f'label,note,article,title,genre,section,kind,text\r\n\r\ngoal,"a, ""b""\r\nc",x,News,wire,,sentence,{GOAL}\r\n'
    )
    path.write_bytes(text.encode())
    key = unit_key("x", GOAL)
    table.write_text(f"file,line,label,new_label,unit\n{path},3,goal,background,{key}\n")
    assert apply(table, LABELS).changed == {str(path): 1}
    assert path.read_bytes().decode() == text.replace("goal,", "background,", 1)


def test_rows_that_changed_since_are_refused_and_the_others_applied(corpus: Path, run: Run, table: Path) -> None:
    path = corpus / "planted.jsonl"
    lines = path.read_text(encoding="utf-8").split("\n")
    lines[1] = lines[1].replace("Fishing", "Mining")
    lines[2] = lines[2].replace('"goal"', '"challenge"')
    path.write_text("\n".join(lines), encoding="utf-8")
    wanted = {("planted.jsonl", str(line)): "background" for line in (2, 3, 5)}
    assert fill(table, wanted) == 3
    done = run("audit", "--apply", table, "--corpus", corpus)
    assert done.code == 1
    assert done.out == f"{path}: 1 label changed\n"
    assert len(done.said) == 2
    assert any(f"{path}:2: another text stands there now; run `communique audit` again" in line for line in done.said)
    assert any(f"{path}:3: its label is 'challenge' now, and was 'goal'" in line for line in done.said)
    lines[4] = lines[4].replace('"label": "goal"', '"label": "background"')
    assert path.read_text(encoding="utf-8") == "\n".join(lines)
    # once more: what was applied is refused now
    assert run("audit", "--apply", table, "--corpus", corpus).out == "no label changed\n"


def test_a_missing_file_and_a_line_beyond_the_end_are_refused(tmp_path: Path) -> None:
    table, path = tmp_path / "t.csv", tmp_path / "a.jsonl"
    path.write_text("\n")
    table.write_text(f"file,line,label,new_label,unit\n{path},7,goal,background,u\n{path}x,1,goal,background,u\n")
    done = apply(table, LABELS)
    assert done.changed == {}
    assert "no row starts in this line any more" in done.refused[0]
    assert "cannot be read: No such file" in done.refused[1]


def test_two_rows_that_disagree_are_refused(tmp_path: Path) -> None:
    table, path = tmp_path / "t.csv", tmp_path / "a.jsonl"
    path.write_text(json.dumps({"article": "x", "text": GOAL, "label": "goal"}))
    rows = [f"{path},1,goal,{new},{unit_key('x', GOAL)}\n" for new in ("background", "challenge", "background")]
    table.write_text("file,line,label,new_label,unit\n" + "".join(rows))
    done = apply(table, LABELS)
    assert json.loads(path.read_text())["label"] == "background"
    assert list(done.refused) == [
        f"{table}:3: {path}:1: an earlier row of the table makes it 'background'; decide for one"
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("file,line,label,new_label,unit\na,1,goal,gaol,u\n", r"t\.csv:2: unknown label 'gaol'; did you mean 'goal'"),
        ("file,line,label,new_label,unit\na.jsonl,one,goal,challenge,u\n", r"t\.csv:2: column 'line' must be a number"),
        ("file,line,label,unit\n", r"t\.csv: column 'new_label' is missing \(apply a table that"),
        ("", r"t\.csv: column 'file' is missing"),
        (b"\xff", r"t\.csv: not UTF-8"),
    ],
)
def test_a_bad_table_changes_nothing_and_is_explained(tmp_path: Path, content: str | bytes, message: str) -> None:
    table = tmp_path / "t.csv"
    table.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(PipelineError, match=message):
        apply(table, LABELS)


def test_an_unfilled_table_changes_nothing(corpus: Path, run: Run, table: Path) -> None:
    assert all(row["new_label"] == "" for row in rows_of(table))
    done = run("audit", "--apply", table, "--corpus", corpus)
    assert (done.code, done.out) == (0, "no label changed: the column new_label is empty, or says what stands there\n")


def test_named_files_alone_are_listed(corpus: Path, run: Run) -> None:
    done = run("audit", corpus / "planted.jsonl", "--corpus", corpus, "--format", "csv", "--jobs", 1)
    files = {row["file"] for row in csv.DictReader(io.StringIO(done.out))}
    assert files == {str(corpus / "planted.jsonl")}
    assert run("audit", "--corpus", corpus, "--format", "csv", "--limit", 2, "--jobs", 1).out.count("\n") == 3


def test_the_table_for_reading_goes_kind_by_kind(corpus: Path, run: Run) -> None:
    done = run("audit", "--corpus", corpus, "--limit", 1, "--jobs", 1)
    heads = [line for line in done.out.splitlines() if line[:1].isdigit()]
    assert [line.split()[1].rstrip(":") for line in heads] == ["conflicts", "labels", "outliers", "duplicates"]
    assert heads[0].startswith("2 ")
    assert "  and 1 more" in done.out
    assert f"{corpus / 'planted.jsonl'}:7: background\n      {GERMAN}" in done.out


def test_held_out_articles_are_not_audited(corpus: Path, run: Run) -> None:
    held = corpus / "heldout" / "news.jsonl"
    done = run("audit", held, "--corpus", corpus)
    assert done.code == 1
    assert f"{held}: held-out articles measure the model" in done.err
    examples, _ = examples_to_audit(corpus, LABELS)
    assert not any("heldout" in Path(one.file).parts for one in examples)


def test_a_row_that_cannot_be_read_stops_the_audit(corpus: Path, run: Run) -> None:
    (corpus / "bad.jsonl").write_text("{}\n")
    done = run("audit", "--corpus", corpus)
    assert done.code == 1
    assert "bad.jsonl:1: column 'article' is missing" in done.err
    assert "communique check" in done.err


def test_without_the_extra_the_command_to_install_is_named(
    corpus: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "cleanlab", None)
    done = run("audit", "--corpus", corpus)
    assert done.code == 1
    assert done.err.endswith("not installed: cleanlab (pip install 'communique[audit]')\n")


def test_apply_takes_no_other_arguments(run: Run, tmp_path: Path) -> None:
    done = run("audit", "--apply", tmp_path / "a.csv", "--limit", 3)
    assert done.code == 2
    assert "--apply takes no other arguments" in " ".join(done.err.replace("│", " ").split())


def test_no_findings_make_an_empty_table() -> None:
    stream = io.StringIO()
    write_csv([], stream)
    assert stream.getvalue() == ",".join(COLUMNS) + "\n"
    assert audit_text([], 5).startswith("0 conflicts")
