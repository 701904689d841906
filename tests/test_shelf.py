"""The shelf: promotions that can be undone, processes that do not collide, and kills at any moment that do no harm."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import NEWS, ROOT, Done, clean_environment, write_small_corpus
from test_registry import DATA, FIELDS

from pipeline import load, promotion, registry, shelf, train
from pipeline.model import TemperatureScaling
from pipeline.records import PipelineError

Run = Callable[..., Done]


@pytest.fixture
def two(quick: None, trained: train.Training, small_corpus: Path, tmp_path: Path) -> tuple[Path, str, str]:
    """A shelf with two models, the second one in use after the first."""
    models = Path(shutil.copytree(trained.folder.parent, tmp_path / "models"))
    later = train.train(small_corpus, models, seed=1, cross_validation=False, promote=True)
    return models, trained.info.id, later.info.id


# Promote, roll back, remove


def test_rollback_goes_back_step_by_step(run: Run, two: tuple[Path, str, str]) -> None:
    models, first, second = two
    third = registry.save(DATA, FIELDS, models).id
    promotion.promote(third, models)
    assert shelf.promotions(models) == [third, second, first]
    done = run("models", "rollback", "--models", models)
    assert (done.code, done.out) == (0, f"{second} is in use, {third} no longer\n")
    assert promotion.rollback(models) == (first, second)
    with pytest.raises(PipelineError, match="no model was in use before the current one"):
        promotion.rollback(models)
    assert shelf.current_id(models) == first
    promotion.promote(third, models)
    assert shelf.promotions(models) == [third, first]
    promotion.promote(third, models)
    assert shelf.promotions(models) == [third, first], "what is in use already is not its own predecessor"


def test_rollback_to_a_damaged_model_changes_nothing(run: Run, two: tuple[Path, str, str]) -> None:
    models, first, second = two
    (models / first / "model.joblib").write_bytes(b"")
    done = run("models", "rollback", "--models", models)
    assert done.code == 1
    assert first in done.err
    assert shelf.current_id(models) == second


def test_a_damaged_model_is_not_promoted(two: tuple[Path, str, str]) -> None:
    models, first, second = two
    (models / first / "model.joblib").write_bytes(b"half")
    with pytest.raises(PipelineError, match=r"model\.joblib"):
        promotion.promote(first, models)
    assert shelf.current_id(models) == second


def test_a_model_in_use_is_not_removed(run: Run, two: tuple[Path, str, str]) -> None:
    models, first, second = two
    done = run("models", "remove", second, "--models", models)
    assert done.code == 1
    assert f"{second} is the model in use, and is not removed (first `communique models promote`" in done.err
    done = run("models", "remove", first, "--models", models)
    assert (done.code, done.out) == (0, f"{first} is removed\n")
    assert sorted(path.name for path in models.iterdir()) == sorted([second, "current"])
    assert shelf.promotions(models) == [second], "it can't be rolled back to"
    assert run("classify", "-", "--models", models, stdin=NEWS).code == 0


def test_promoting_only_instead_of_the_model_that_was_judged(two: tuple[Path, str, str]) -> None:
    models, first, second = two
    assert not promotion.promote(first, models, instead_of=None)
    assert not promotion.promote(first, models, instead_of="m000000000000")
    assert shelf.current_id(models) == second
    assert promotion.promote(first, models, instead_of=second)
    assert shelf.current_id(models) == first


def test_a_damaged_current_file_is_mended_by_promoting(run: Run, two: tuple[Path, str, str]) -> None:
    models, first, _ = two
    (models / "current").write_bytes(b"\xff")
    done = run("classify", "-", "--models", models, stdin=NEWS)
    assert done.code == 1
    assert "name the model to use with `communique models promote ID`" in done.err
    assert run("models", "promote", first, "--models", models).code == 0
    assert run("classify", "-", "--models", models, stdin=NEWS).code == 0


# Seeing what is there


def test_the_list_marks_the_model_in_use(run: Run, two: tuple[Path, str, str]) -> None:
    models, first, second = two
    done = run("models", "list", "--models", models)
    lines = done.out.splitlines()
    assert len(lines) == 3
    assert next(line for line in lines if line.startswith("* ")).startswith(f"* {second}")
    rows = json.loads(run("models", "list", "--models", models, "--json").out)
    assert {row["id"]: row["current"] for row in rows} == {first: False, second: True}
    (models / first / "model.json").write_text("{")
    done = run("models", "list", "--models", models)
    assert f"{models / first}: its manifest can't be read" in done.err


def test_show_prints_the_card_or_the_manifest(run: Run, two: tuple[Path, str, str]) -> None:
    models, first, second = two
    assert run("models", "show", "--models", models).out.startswith(f"# Model {second}")
    shown = json.loads(run("models", "show", first, "--models", models, "--json").out)
    assert shown == json.loads((models / first / "model.json").read_text())
    assert run("models", "show", "m0", "--models", models).code == 1


def test_diff_shows_both_and_the_units_with_another_label(
    run: Run, quick: None, trained: train.Training, tmp_path: Path
) -> None:
    models = Path(shutil.copytree(trained.folder.parent, tmp_path / "models"))
    corpus = write_small_corpus(tmp_path / "corpus", fitted=10)
    other = train.train(corpus, models, cross_validation=False, promote=True).info
    arguments = ["models", "diff", trained.info.id, other.id, "--models", models, "--corpus", corpus]
    found = json.loads(run(*arguments, "--json").out)
    facts = {(fact["topic"], fact["name"]): (fact["first"], fact["second"]) for fact in found["facts"]}
    assert facts["corpus", "train articles"] == (24, 10)
    assert facts["settings", "min_df"] == (5, 5)
    assert facts["heldout", "macro-F1"][1] == round(other.metrics["heldout"]["macro_f1"], 3)
    one, two = (load(model, models=models) for model in (trained.info.id, other.id))
    changed = found["changed"]
    assert 0 < len(changed) < found["units"]
    for unit in changed[:3]:
        line = Path(unit["file"]).read_text(encoding="utf-8").splitlines()[unit["line"] - 1]
        assert json.loads(line)["text"] == unit["text"]
        assert unit["first"] != unit["second"]
    assert one.info.id == found["first"]
    assert two.info.id == found["second"]
    text = run(*arguments, "--units", 1).out
    assert f"{len(changed)} of {found['units']} units have another label" in text
    assert f"and {len(changed) - 1} more" in text
    assert "\n* train articles" in text
    assert "\n  min_df" in text


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_other_code_than_a_model_was_made_by_is_noticed(run: Run, two: tuple[Path, str, str], jobs: int) -> None:
    models, _, second = two
    path = models / second / "model.json"
    manifest = json.loads(path.read_text())
    manifest["probe"][0][0] += 0.001
    path.write_text(json.dumps(manifest))
    done = run("classify", "-", "--models", models, "--jobs", jobs, stdin=NEWS)
    assert (done.code, done.out) == (1, "")
    assert "was made by other code than is installed: its answer to fixed sentences is not that of its" in done.err
    assert "(by 0.0010) (run `communique train`" in done.err


@pytest.mark.parametrize("older", [False, True])
def test_code_that_fails_on_the_model_in_use_is_one_line_and_no_reason_not_to_train(
    run: Run,
    two: tuple[Path, str, str],
    small_corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    older: bool,
) -> None:
    models, _, second = two
    if older:  # made before manifests had an answer to fixed sentences
        path = models / second / "model.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "probe": None}))
    with monkeypatch.context() as patch:
        patch.setattr(TemperatureScaling, "__call__", lambda *_: 1 / 0)
        done = run("classify", "-", "--models", models, stdin=NEWS)
    assert (done.code, done.out) == (1, "")
    assert len(done.said) == 1
    assert "by other code than is installed: it fails on fixed sentences (ZeroDivisionError" in done.err
    corpus = write_small_corpus(tmp_path / "corpus", fitted=20)
    scaling = TemperatureScaling.__call__

    def fails_on_old_ones(self: TemperatureScaling, *rest: Any) -> Any:
        return scaling(self, *rest) if hasattr(self, "new") else 1 / 0

    fit = TemperatureScaling.fit.__func__  # type: ignore[attr-defined]

    def fitted(cls: type[TemperatureScaling], *rest: Any) -> TemperatureScaling:
        found: TemperatureScaling = fit(cls, *rest)
        found.new = True  # type: ignore[attr-defined]
        return found

    monkeypatch.setattr(TemperatureScaling, "__call__", fails_on_old_ones)
    monkeypatch.setattr(TemperatureScaling, "fit", classmethod(fitted))
    again = train.train(corpus, models)
    assert again.gate is not None
    assert again.promoted, again.gate["reasons"]
    assert any("can't be opened" in note for note in again.gate["notes"])


# Several at once, and kills


def test_what_killed_processes_left_is_cleared_by_the_next_and_nothing_else(two: tuple[Path, str, str]) -> None:
    models, first, second = two
    (models / f".{first}-abc123").mkdir()
    (models / f".{first}-abc123" / "model.joblib").write_bytes(b"half")
    (models / ".current.123.part").write_text("half")
    (models / f".{first}-damaged-1234").mkdir()
    (models / ".git").mkdir()
    promotion.promote(first, models)
    kept = {".git", f".{first}-damaged-1234", "current", first, second}
    assert {path.name for path in models.iterdir()} == kept


def test_a_process_waits_for_the_one_at_work(tmp_path: Path) -> None:
    info = registry.save(DATA, FIELDS, tmp_path)
    code = f"""
import sys
from pathlib import Path
from pipeline.promotion import promote
print("ready", flush=True)
promote({info.id!r}, Path({str(tmp_path)!r}))
print("done", flush=True)
"""
    with shelf.locked(tmp_path):
        process = subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=clean_environment(), cwd=ROOT
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        assert shelf.current_id(tmp_path) is None
    assert process.communicate(timeout=60)[0] == "done\n"
    assert shelf.current_id(tmp_path) == info.id


def test_several_processes_that_save_and_promote_at_once_lose_nothing(tmp_path: Path) -> None:
    children = []
    for number in range(4):
        children.append(
            forked(
                lambda number=number: [
                    promotion.promote(registry.save(DATA, {**FIELDS, "seed": 10 * number + k}, tmp_path).id, tmp_path)
                    for k in range(5)
                ]
            )
        )
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    models = registry.list_models(tmp_path)
    assert len(models) == 20
    assert sorted(shelf.promotions(tmp_path)) == sorted(info.id for info in models)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def forked(work: Callable[[], object]) -> int:
    """The number of a process that does the work with all that is loaded here, and then ends."""
    child = os.fork()
    if child:
        return child
    try:
        work()
        os._exit(0)
    except BaseException:
        os._exit(1)


#: Events of Python that may change a file or folder, or come right before it.
_TOUCHING = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.chmod", "tempfile.mkdtemp", "fcntl.flock"}


def killed_at(event: int, folder: Path, work: Callable[[], object]) -> bool:
    """Do the work in another process, which is killed right before its n-th touch of a folder; whether it was."""

    def until() -> None:
        left = event

        def look(name: str, arguments: tuple[Any, ...]) -> None:
            nonlocal left
            if name in _TOUCHING and any(str(folder) in str(argument) for argument in arguments[:2]):
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(look)
        work()

    _, status = os.waitpid(forked(until), 0)
    assert os.WIFSIGNALED(status) or status == 0
    return os.WIFSIGNALED(status)


def works(models: Path, run: Run, allowed: set[str]) -> None:
    done = run("classify", "-", "--models", models, "--format", "jsonl", stdin=NEWS)
    assert done.code == 0, done.err
    assert len(done.rows) == 3
    assert shelf.current_id(models) in allowed


@pytest.mark.slow
def test_a_kill_before_any_touch_of_the_shelf_leaves_the_old_or_the_new_model(
    run: Run, two: tuple[Path, str, str], tmp_path: Path
) -> None:
    models, first, second = two
    data = (models / first / "model.joblib").read_bytes()
    manifest = json.loads((models / first / "model.json").read_text())
    fields = {name: manifest[name] for name in FIELDS}
    place = tmp_path / "killed"
    number = 0
    seen = set()
    new = ""

    def work() -> None:
        info = registry.save(data, {**fields, "seed": 99, "labels": tuple(fields["labels"])}, place, {"more": b"x"})
        promotion.record_gate(info.id, {**GATE}, place)
        promotion.promote(info.id, place)
        promotion.remove(first, place)

    while True:
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(models, place)
        killed = killed_at(number, place, work)
        new = new or next((info.id for info in registry.list_models(place) if info.id not in (first, second)), "")
        works(place, run, {second, new})
        seen.add(shelf.current_id(place))
        promotion.promote(second, place)  # the next one finds everything in order, and clears what was left
        assert not [path.name for path in place.iterdir() if path.name.startswith(".")]
        if not killed:
            break
        number += 1
    assert number > 20
    assert seen == {second, new}


GATE: dict[str, Any] = {
    "against": None,
    "margin": 0.01,
    "promoted": True,
    "overridden": False,
    "reasons": [],
    "notes": [],
    "left_out": 0,
    "comparisons": [],
    "agreements": [],
}


@pytest.mark.slow
def test_kills_at_twenty_random_moments_of_train_and_promote(
    run: Run, quick: None, two: tuple[Path, str, str], small_corpus: Path
) -> None:
    models, first, second = two
    corpus = write_small_corpus(models.parent / "corpus", fitted=20)

    def trained() -> None:
        train.train(corpus, models, cross_validation=False, promote=True, cache=models.parent / "cache")

    def promoted() -> None:
        while True:
            for one in (first, second):
                promotion.promote(one, models)

    started = time.monotonic()
    _, status = os.waitpid(forked(trained), 0)
    assert status == 0
    took = time.monotonic() - started
    (new,) = {info.id for info in registry.list_models(models)} - {first, second}
    random_moments = random.Random(5)
    for work, longest in ((trained, took), (promoted, 0.2)):
        for _ in range(20):
            promotion.promote(second, models)
            if new in {info.id for info in registry.list_models(models)}:
                promotion.remove(new, models)
            child = forked(work)
            time.sleep(random_moments.uniform(0, longest))
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            works(models, run, {first, second, new})
    trained()
    assert shelf.current_id(models) == new, "and a training afterwards gives the same model as one undisturbed"
