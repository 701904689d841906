"""The command: what it prints where, what it exits with, and what a user gets for bad input."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import CHALLENGE, EVENT, GOAL, NEWS, ROOT, Done, clean_environment, command_path

from pipeline.records import PipelineError

Run = Callable[..., Done]
KEYS = [
    *("document", "index", "kind", "section", "start", "end", "text"),
    *("label", "confidence", "uncertain", "probabilities"),
]
LABELS = ["challenge", "opportunity", "goal", "implication", "background"]
COMMANDS = ["classify", "train", "evaluate", "check"]
ESCAPE = "\x1b["


def put(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.fixture
def news(tmp_path: Path) -> Path:
    """A folder of three articles in three formats."""
    folder = tmp_path / "news"
    put(folder / "a.txt", NEWS)
    put(folder / "b.md", f"# Talks\n\nChallenges:\n\n- {CHALLENGE}\n- Debt is high.\n")
    put(folder / "c" / "d.jsonl", json.dumps({"id": "wire-7", "title": "Envoys meet", "text": GOAL}) + "\n")
    return folder


# The output contract


def test_rows_keep_the_contract(run: Run, models: Path, news: Path) -> None:
    done = run("classify", news, "--models", models)
    assert done.code == 0
    assert done.err == ""
    for row in done.rows:
        assert list(row) == KEYS
        assert list(row["probabilities"]) == LABELS
        assert sum(row["probabilities"].values()) == pytest.approx(1.0, abs=1e-9)
        assert row["label"] == max(LABELS, key=lambda label: row["probabilities"][label])
        assert row["confidence"] == row["probabilities"][row["label"]]
        assert all(re.fullmatch(r"[01](\.\d{1,6})?|\de-\d\d", str(value)) for value in row["probabilities"].values())
        assert isinstance(row["uncertain"], bool)
    documents = [row["document"] for row in done.rows]
    assert list(dict.fromkeys(documents)) == [f"{news}/a.txt", f"{news}/b.md", "wire-7"]
    assert documents == sorted(documents, key=[f"{news}/a.txt", f"{news}/b.md", "wire-7"].index)
    for name in ("a.txt", "b.md"):
        text = (news / name).read_text()
        rows = [row for row in done.rows if row["document"].endswith(name)]
        assert [row["index"] for row in rows] == list(range(len(rows)))
        assert all(text[row["start"] : row["end"]] == row["text"] for row in rows)
    assert [(row["kind"], row["section"]) for row in done.rows if row["document"].endswith("b.md")] == [
        ("heading", None),
        ("sentence", None),
        ("bullet", "Challenges:"),
        ("bullet", "Challenges:"),
    ]


def test_csv_holds_the_same_rows(run: Run, models: Path, news: Path) -> None:
    rows = run("classify", news, "--models", models).rows
    table = list(csv.DictReader(io.StringIO(run("classify", news, "--models", models, "--format", "csv").out)))
    assert list(table[0]) == [*KEYS[:-1], *(f"p_{label}" for label in LABELS)]
    assert len(table) == len(rows)
    for cells, row in zip(table, rows, strict=True):
        assert {label: float(cells[f"p_{label}"]) for label in LABELS} == row["probabilities"]
        for key in KEYS[:-1]:
            assert cells[key] == ("" if row[key] is None else str(row[key]))


def test_a_table_names_the_documents_and_counts_the_labels(run: Run, models: Path, news: Path) -> None:
    done = run("classify", news, "--models", models, "--format", "table")
    assert ESCAPE not in done.out
    lines = done.out.splitlines()
    titles = [lines.index(title) for title in (f"{news}/a.txt", f"{news}/b.md", "Envoys meet")]
    assert titles == sorted(titles)
    flat = " ".join(done.out.split())
    assert "The minister wants a visa agreement signed" in flat
    rows = run("classify", news, "--models", models).rows
    summary = ", ".join(f"{label} {sum(row['label'] == label for row in rows)}" for label in LABELS)
    uncertain = sum(row["uncertain"] for row in rows)
    assert lines[-1] == f"3 documents, {len(rows)} units: {summary}; {uncertain} uncertain (marked ?)"


def test_a_table_shows_no_control_characters_of_an_article(run: Run, models: Path, tmp_path: Path) -> None:
    row = {"title": "A \x1b]0;title\x07 B", "text": "The \x1b[2Jenvoys\x9b31m met on \x00Monday."}
    path = put(tmp_path / "a.jsonl", json.dumps(row))
    done = run("classify", path, "--models", models, "--format", "table")
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f]", done.out)
    assert "envoys" in done.out


def test_a_table_leaves_out_documents_without_a_unit_to_show(run: Run, models: Path, news: Path) -> None:
    done = run("classify", news, "--models", models, "--format", "table", "--min-confidence", 1)
    assert done.out.splitlines() == [
        "3 documents, 0 units: challenge 0, opportunity 0, goal 0, implication 0, background 0; 0 uncertain (marked ?)"
    ]


def test_only_and_min_confidence_choose_rows(run: Run, models: Path, news: Path) -> None:
    rows = run("classify", news, "--models", models).rows
    some = run("classify", news, "--models", models, "--only", "goal, challenge").rows
    assert some == [row for row in rows if row["label"] in ("goal", "challenge")]
    assert some
    level = sorted(row["confidence"] for row in rows)[len(rows) // 2]
    sure = run("classify", news, "--models", models, "--min-confidence", level).rows
    assert sure == [row for row in rows if row["confidence"] >= level]


@pytest.mark.parametrize(
    ("only", "message"),
    [
        ("goal,challange", "--only: unknown label 'challange'; did you mean 'challenge'; "),
        ("Goals", "--only: unknown label 'Goals'; did you mean 'goal'; "),
        ("zebra", "--only: unknown label 'zebra'; "),
        (",", "--only: no label named; "),
    ],
)
def test_only_with_an_unknown_label_names_the_nearest(run: Run, models: Path, only: str, message: str) -> None:
    done = run("classify", "-", "--models", models, "--only", only, stdin=NEWS)
    assert done.code == 2
    assert done.out == ""
    assert message + f"the labels are {', '.join(LABELS)}" in done.err


# Standard input, output files, pipes and terminals


def test_standard_input_is_read(run: Run, models: Path) -> None:
    rows = run("classify", "-", "--models", models, stdin=NEWS).rows
    assert [(row["document"], row["text"]) for row in rows] == [("-", EVENT), ("-", GOAL), ("-", CHALLENGE)]


def test_output_is_written_whole_and_never_over_a_file(run: Run, models: Path, news: Path, tmp_path: Path) -> None:
    target = tmp_path / "units.jsonl"
    expected = run("classify", news, "--models", models).out
    done = run("classify", news, "--models", models, "--output", target)
    assert (done.code, done.out) == (0, "")
    assert target.read_text() == expected
    assert oct(target.stat().st_mode & 0o777) == oct(0o666 & ~_umask())
    put(target, "mine")
    done = run("classify", news, "--models", models, "-o", target)
    assert done.code == 1
    assert done.err == f"communique: {target}: is there already (give --force to replace it)\n"
    assert target.read_text() == "mine"
    assert run("classify", news, "--models", models, "-o", target, "--force").code == 0
    assert target.read_text() == expected
    assert sorted(path.name for path in tmp_path.iterdir()) == ["news", "units.jsonl"]


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_output_is_refused_before_a_model_is_trained_or_read(run: Run, news: Path, tmp_path: Path) -> None:
    target = put(tmp_path / "units.jsonl", "mine")
    done = run("classify", news, "--models", tmp_path / "none", "-o", target)
    assert done.said == [f"communique: {target}: is there already (give --force to replace it)"]
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("name", "message"), [("", "is a folder"), ("gone/x.csv", "No such file"), ("f/x", "Not a dir")]
)
def test_output_that_cannot_be_written(run: Run, models: Path, tmp_path: Path, name: str, message: str) -> None:
    put(tmp_path / "f", "a file")
    done = run("classify", "-", "--models", models, "-o", tmp_path / name, stdin=NEWS)
    assert done.code == 1
    assert len(done.said) == 1
    assert message in done.err


def test_a_failure_in_the_middle_leaves_no_half_file(
    run: Run, models: Path, news: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.classify import Model

    whole = Model.classify_documents

    def breaks(self: Model, documents: object) -> object:
        yield next(iter(whole(self, documents)))  # type: ignore[arg-type]
        raise PipelineError("the disk went away")

    monkeypatch.setattr(Model, "classify_documents", breaks)
    target = put(tmp_path / "units.jsonl", "before")
    done = run("classify", news, "--models", models, "-o", target, "--force")
    assert (done.code, done.err) == (1, "communique: the disk went away\n")
    assert target.read_text() == "before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["news", "units.jsonl"]


def test_an_interrupt_leaves_no_half_file(models: Path, tmp_path: Path) -> None:
    target = tmp_path / "units.jsonl"
    process = subprocess.Popen(
        [command_path(), "classify", "-", "--models", str(models), "-o", str(target)],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=clean_environment(),
    )
    assert process.stdin is not None
    process.stdin.write(NEWS.encode())
    process.stdin.flush()
    for _ in range(200):
        if any(tmp_path.iterdir()):
            break
        time.sleep(0.05)
    assert any(tmp_path.iterdir()), "the output is not begun beside its place"
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert process.returncode != 0
    assert b"Traceback" not in said
    assert list(tmp_path.iterdir()) == []


def test_the_text_that_offsets_refer_to_can_be_written_out(run: Run, models: Path, tmp_path: Path) -> None:
    page = f"<html><body><article><h1>Talks</h1><p>{EVENT} {GOAL}</p><p>{CHALLENGE}</p></article></body></html>"
    path = put(tmp_path / "a.html", page)
    done = run("classify", path, "--models", models, "--text-dir", tmp_path / "texts")
    (written,) = (tmp_path / "texts").iterdir()
    text = written.read_text()
    assert [text[row["start"] : row["end"]] for row in done.rows] == ["Talks", EVENT, GOAL, CHALLENGE]


def test_a_warning_goes_to_standard_error_and_names_the_document(run: Run, models: Path, tmp_path: Path) -> None:
    path = put(tmp_path / "old.txt", "Caf\xe9 talks resumed.".encode("cp1252"))
    done = run("classify", path, "--models", models)
    assert done.code == 0
    assert done.rows[0]["text"] == "Café talks resumed."
    assert done.said == [f"communique: {path}: not UTF-8 (byte 0xE9 in line 1); read as Windows-1252: check accents"]


def test_a_closed_pipe_ends_quietly(models: Path, tmp_path: Path) -> None:
    put(tmp_path / "a.txt", NEWS * 2000)
    shell = f'"{command_path()}" classify gone.txt a.txt --models "{models}" 2>said | head -1'
    done = subprocess.run(shell, shell=True, cwd=tmp_path, env=clean_environment(), capture_output=True, check=False)
    assert json.loads(done.stdout)["text"] == EVENT
    assert (tmp_path / "said").read_text() == "communique: gone.txt: no such file or folder\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full to stand for a full disk")
def test_a_full_disk_is_one_line(models: Path, tmp_path: Path) -> None:
    for sink in ("> /dev/full", "-o /dev/full"):
        shell = f'"{command_path()}" classify - --models "{models}" {sink}'
        done = subprocess.run(
            shell, shell=True, input=NEWS.encode(), env=clean_environment(), capture_output=True, check=False
        )
        assert done.returncode == 1
        assert re.fullmatch(rb"communique: [^\n]*No space left on device[^\n]*\n", done.stderr), done.stderr


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-"])
def test_closed_standard_streams_give_no_traceback(models: Path, tmp_path: Path, closed: str) -> None:
    put(tmp_path / "a.txt", EVENT)
    shell = f'"{command_path()}" classify a.txt gone.txt - --models "{models}" --format jsonl {closed}'
    done = subprocess.run(
        shell,
        shell=True,
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        env=clean_environment(),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 1
    assert b"Traceback" not in done.stderr
    assert b"Exception" not in done.stderr
    assert [json.loads(line)["text"] for line in done.stdout.splitlines()] == ([] if closed == ">&-" else [EVENT])


def test_a_terminal_gets_a_coloured_table_and_a_pipe_plain_rows(communique: Run, models: Path, news: Path) -> None:
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [command_path(), "classify", str(news), "--models", str(models)],
        stdout=follower,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        env=clean_environment(TERM="xterm-256color", COLORTERM="truecolor", COLUMNS="100"),
    )
    os.close(follower)
    shown = b""
    try:
        while chunk := os.read(leader, 65536):
            shown += chunk
    except OSError:  # Linux says so at the end of a terminal
        pass
    os.close(leader)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (0, b"")
    text = shown.decode()
    assert "\x1b[38;2;118;118;118mbackground" in text  # the grey of labels.toml
    assert "3 documents, " in text
    piped = communique("classify", news, "--models", models)
    assert ESCAPE not in piped.out
    assert [row["text"] for row in piped.rows][:3] == [EVENT, GOAL, CHALLENGE]


# Bad input: one line each, exit 1, and the rest is still classified


def _csv_without_text(path: Path) -> Path:
    return put(path, "id,body\n1,The envoys met.\n")


BAD: dict[str, tuple[str, bytes | None, str]] = {
    "missing": ("gone.txt", None, "no such file or folder"),
    "empty": ("a.txt", b"", "the file is empty (0 bytes)"),
    "whitespace": ("a.txt", b" \n\t\n", "holds only whitespace"),
    "binary": ("a.txt", b"text\0\x01\x02", "binary file (NUL byte at byte 5)"),
    "pdf": ("a.txt", b"%PDF-1.7 ...", "this is a PDF file"),
    "encoding": ("a.txt", b"caf\xe9 \x81 talks", "undecodable: neither UTF-8 (byte 0xE9 in line 1) nor Windows-1252"),
    "utf-16 cut": ("a.txt", b"\xff\xfeT\0h", "marked as UTF-16, but broken at byte "),
    "column": ("a.csv", b"id,body\n1,The envoys met.\n", "no column 'text'; found: id, body."),
    "one line": ("a.txt", b"peace talks " * 1_750_000, "line 1 has 21,000,000 characters; the limit is 1,000,000"),
    "page": ("a.html", b"<html><body><nav>Home</nav></body></html>", "no article found in this page"),
    "kind": ("a.docx", b"text", "files that end in '.docx' are not read"),
    "folder": ("folder/x.bin", b"text", "the folder holds no file that can be read"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_the_rest_is_classified(run: Run, models: Path, tmp_path: Path, case: str) -> None:
    name, content, message = BAD[case]
    bad = tmp_path / name if content is None else put(tmp_path / name, content)
    source = bad.parent if case == "folder" else bad
    first, last = put(tmp_path / "first.txt", EVENT), put(tmp_path / "last.txt", GOAL)
    done = run("classify", first, source, last, "--models", models)
    assert done.code == 1
    assert [row["text"] for row in done.rows] == [EVENT, GOAL]
    assert done.said[0].startswith(f"communique: {source}: {message}")
    assert done.said[1:] == ["communique: 1 source could not be read; everything else was classified"]


def test_a_broken_json_line_is_named_and_the_others_are_classified(run: Run, models: Path, tmp_path: Path) -> None:
    good = json.dumps({"text": EVENT})
    path = put(tmp_path / "a.jsonl", f'{good}\n{{"text": "The\n[1]\n{{"body": "x"}}\n{good}\n')
    done = run("classify", path, "--models", models)
    assert done.code == 1
    assert [row["document"] for row in done.rows] == [f"{path}:1", f"{path}:5"]
    assert [line.removeprefix(f"communique: {path}:")[:15] for line in done.said[:3]] == [
        "2: broken JSON ",
        "3: the line is ",
        "4: no field 'te",
    ]
    assert len(done.said) == 4


def test_an_unreadable_file_is_one_line(communique: Run, models: Path, tmp_path: Path) -> None:
    path = put(tmp_path / "secret.txt", NEWS)
    path.chmod(0)
    if os.access(path, os.R_OK):  # root reads everything; a file whose reading fails takes its place
        path.unlink()
        path.symlink_to("/proc/self/mem")
    put(tmp_path / "open.txt", EVENT)
    done = communique("classify", path, tmp_path / "open.txt", "--models", models)
    assert done.code == 1
    assert [row["text"] for row in done.rows] == [EVENT]
    assert re.fullmatch(rf"communique: {path}: cannot be read: .+", done.said[0])


def test_text_field_renames_the_column(run: Run, models: Path, tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv", f'id,body\nx1,"{EVENT}"\n')
    done = run("classify", path, "--models", models, "--text-field", "body")
    assert [(row["document"], row["text"]) for row in done.rows] == [("x1", EVENT)]


# Wrong usage


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["classify"], "Missing argument 'PATH"),
        (["classify", "x", "--format", "xml"], "'xml' is not one of"),
        (["classify", "x", "--min-confidence", "2"], "Invalid value for '--min-confidence'"),
        (["train", "--jobs", "0"], "0 processes can do nothing; give 1 or more, or -1 for every core"),
        (["train", "--seed", "-1"], "Invalid value for '--seed'"),
        (["clasify"], "No such command 'clasify'"),
    ],
)
def test_wrong_usage_exits_with_2(run: Run, arguments: list[str], message: str) -> None:
    done = run(*arguments)
    assert done.code == 2
    assert done.out == ""
    assert message in done.err


# Help and start


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)])
def test_help_has_an_example(run: Run, command: list[str]) -> None:
    done = run(*command, "--help")
    assert done.code == 0
    assert re.search(rf"Example: communique {' '.join(command)}", " ".join(done.out.split()))


def seconds(call: Callable[[], object], bound: float) -> float:
    """How long a command in a process of its own takes, in the best of up to three runs.

    Processor time counts where it is less than that of the clock: other work on the machine must not fail a test.
    """
    best = bound
    for _ in range(3):
        clock, before = time.perf_counter(), os.times()
        call()
        after = os.times()
        used = after.children_user + after.children_system - before.children_user - before.children_system
        best = min(best, used, time.perf_counter() - clock)
        if best < bound:
            break
    return best


def test_help_is_quick_and_imports_nothing_heavy(communique: Run) -> None:
    assert seconds(lambda: communique("classify", "--help"), 0.5) < 0.5
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "pipeline", "--help"],
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    imported = {line.split("|")[-1].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "pipeline" in imported
    assert imported.isdisjoint({"spacy", "sklearn", "scipy", "numpy", "joblib", "pydantic", "trafilatura"})


def test_a_sentence_from_standard_input_is_quick(communique: Run, models: Path) -> None:
    done = communique("classify", "-", "--models", models, stdin=GOAL)
    assert [row["text"] for row in done.rows] == [GOAL]
    assert seconds(lambda: communique("classify", "-", "--models", models, stdin=GOAL), 3.0) < 3.0


def test_the_module_is_the_command(communique: Run, models: Path) -> None:
    module = [sys.executable, "-m", "pipeline"]
    one = communique("classify", "-", "--models", models, stdin=NEWS)
    other = communique("classify", "-", "--models", models, stdin=NEWS, command=module)
    assert one.code == other.code == 0
    assert one.out == other.out
    assert "Usage: communique" in communique("--help", command=module).out


def test_the_version_is_that_of_the_distribution(run: Run) -> None:
    from importlib.metadata import version

    assert run("--version").out == version("communique") + "\n"


# Where no model is, or one that cannot be used


def test_without_a_model_one_is_trained_first_and_said(
    run: Run, quick: None, small_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "corpus").symlink_to(small_corpus)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("pipeline.places._PACKAGE", tmp_path / "site" / "pipeline")  # nothing is shipped
    first = run("classify", "-", stdin=NEWS)
    assert first.code == 0
    assert re.match(r"communique: no model in .*; training one into models first", first.said[0])
    assert len(first.rows) == 3
    model_id = (tmp_path / "models" / "current").read_text().strip()
    assert (tmp_path / "models" / model_id / "model.joblib").is_file()
    again = run("classify", "-", stdin=NEWS)
    assert (again.out, again.err) == (first.out, "")


def test_an_unknown_model_is_one_line_that_names_the_known(run: Run, models: Path, trained: object) -> None:
    done = run("classify", "-", "--models", models, "--model", "m123", stdin=NEWS)
    assert done.code == 1
    assert done.out == ""
    known = trained.info.id  # type: ignore[attr-defined]
    assert done.said == [
        f"communique: {models}: there is no model 'm123'; the models are: {known} "
        "(name one of them, or run `communique train` to build one for this installation)"
    ]


# The other commands


def test_evaluate_prints_scores_and_mistakes(run: Run, models: Path, small_corpus: Path) -> None:
    done = run("evaluate", "--models", models, "--corpus", small_corpus, "--mistakes", 3)
    assert done.code == 0
    for word in ("macro-F1", "95 % interval", "calibration error", "confusion", "worst mistakes", *LABELS):
        assert word in done.out
    mistakes = done.out.partition("worst mistakes\n")[2].splitlines()
    assert len(mistakes) == 6
    place = re.match(r"(\S+):(\d+): ", mistakes[0])
    assert place is not None
    row = json.loads(Path(place[1]).read_text().splitlines()[int(place[2]) - 1])
    assert mistakes[1].strip() == row["text"]


def test_evaluate_gives_the_same_scores_as_json(run: Run, models: Path, small_corpus: Path, trained: object) -> None:
    heldout = small_corpus / "heldout" / "news.jsonl"
    done = run("evaluate", heldout, "--models", models, "--corpus", small_corpus, "--json", "--mistakes", 2)
    scores = json.loads(done.out)
    info = trained.info  # type: ignore[attr-defined]
    assert scores["model"] == info.id
    assert scores["macro_f1"] == info.metrics["heldout"]["macro_f1"]
    assert len(scores["mistakes"]) == 2
    assert {"example", "said", "confidence", "true_probability"} == set(scores["mistakes"][0])


@pytest.mark.parametrize("name", ["gone.jsonl", "gone"])
def test_evaluate_without_the_file_is_one_line(run: Run, models: Path, tmp_path: Path, name: str) -> None:
    done = run("evaluate", tmp_path / name, "--models", models)
    assert done.code == 1
    assert done.out == ""
    assert str(tmp_path / name) in done.err
    assert "Traceback" not in done.err


def test_check_names_the_line_and_then_counts(run: Run, small_corpus: Path, tmp_path: Path) -> None:
    good = run("check", "--corpus", small_corpus)
    assert good.code == 0
    assert re.search(r"^good rows: \d+ units in 30 articles$", good.out, re.MULTILINE)
    assert "0 errors" in good.out
    row = {"article": "x", "title": "X", "genre": "wire", "section": None, "kind": "sentence", "text": "They met."}
    bad = put(tmp_path / "bad.jsonl", json.dumps({**row, "label": "goall"}) + "\n")
    done = run("check", bad, "--corpus", small_corpus)
    assert done.code == 1
    assert done.out.splitlines()[0].startswith(f"{bad}:1: ")
    assert "goal" in done.out.splitlines()[0]
    assert done.out.splitlines()[-1].startswith("1 error")


def test_train_prints_its_scores_and_where_the_model_is(
    run: Run, quick: None, small_corpus: Path, tmp_path: Path
) -> None:
    done = run("train", "--corpus", small_corpus, "--models", tmp_path / "m", "--no-cross-validation", "--jobs", 1)
    assert done.code == 0
    (folder,) = (path for path in (tmp_path / "m").iterdir() if path.is_dir())
    assert done.out.splitlines()[-1] == f"model {folder.name}, card in {folder / 'README.md'}"
    assert "macro-F1" in done.out
    assert any("fitting on" in line for line in done.said)


def test_train_with_a_broken_corpus_is_exit_1_and_saves_nothing(run: Run, tmp_path: Path) -> None:
    put(tmp_path / "corpus" / "labels.toml", (ROOT / "corpus" / "labels.toml").read_bytes())
    put(tmp_path / "corpus" / "a.jsonl", "{broken\n")
    done = run("train", "--corpus", tmp_path / "corpus", "--models", tmp_path / "models")
    assert done.code == 1
    assert "a.jsonl:1: " in done.err
    assert not list((tmp_path / "models").glob("*"))
