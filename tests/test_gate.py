"""The gate: what harms is refused and kept, what helps is promoted, and neither model is scored on what it has seen."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import NEWS, ROOT, SMALL_LEXICON, Done, articles_of

from pipeline import challenge, features, gate, load, train
from pipeline.corpus import load_corpus
from pipeline.records import Example
from pipeline.registry import list_models, manifest
from pipeline.shelf import current_id

Run = Callable[..., Done]
Row = dict[str, Any]
LABELS = ("goal", "background")


def rows_of(name: str) -> list[Row]:
    return [json.loads(line) for line in (ROOT / "corpus" / name).read_text(encoding="utf-8").splitlines()]


def first_units(rows: list[Row], count: int) -> list[Row]:
    """Whole articles until they hold that many units."""
    chosen: dict[str, None] = {}
    for row in rows:
        if sum(other["article"] in chosen for other in rows) >= count:
            break
        chosen[row["article"]] = None
    return [row for row in rows if row["article"] in chosen]


def write_rows(path: Path, rows: list[Row]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def shuffled(rows: list[Row], seed: int = 0) -> list[Row]:
    labels = [row["label"] for row in rows]
    random.Random(seed).shuffle(labels)
    return [{**row, "label": label} for row, label in zip(rows, labels, strict=True)]


#: Some 300 units of the project's own corpus, which the corpus of these tests does not hold.
ADDED = first_units(rows_of("newsroom-3.jsonl"), 300)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A real corpus of some 1,000 units, and a shelf with a model fitted on it, with the whole lexicon. Read only."""
    folder = tmp_path_factory.mktemp("gate")
    corpus = folder / "corpus"
    (corpus / "heldout").mkdir(parents=True)
    (corpus / "labels.toml").write_bytes((ROOT / "corpus" / "labels.toml").read_bytes())
    for name in ("newsroom-1.jsonl", "newsroom-2.jsonl"):
        (corpus / name).write_bytes((ROOT / "corpus" / name).read_bytes())
    held_out = articles_of(ROOT / "corpus" / "heldout" / "articles.jsonl", 30)
    (corpus / "heldout" / "news.jsonl").write_text(held_out, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        few_folds(patch)
        done = train.train(corpus, folder / "models", n_jobs=1)
    assert (done.gate, done.promoted) == (None, True), "nothing to compare the first model with"
    return corpus, folder / "models"


def few_folds(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(train, "SETTINGS", {"n_splits": 2})
    patch.setattr(train, "out_of_fold", partial(train.out_of_fold, n_splits=3))
    patch.setattr(train, "train", partial(train.train, n_jobs=1))


@pytest.fixture
def place(base: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A copy of the corpus and of the shelf, to add to."""
    import shutil

    few_folds(monkeypatch)
    corpus, models = base
    return Path(shutil.copytree(corpus, tmp_path / "corpus")), Path(shutil.copytree(models, tmp_path / "models"))


# The whole way


def test_a_helpful_file_is_promoted(run: Run, place: tuple[Path, Path]) -> None:
    corpus, models = place
    before = current_id(models)
    write_rows(corpus / "added.jsonl", ADDED)
    done = run("train", "--corpus", corpus, "--models", models)
    assert done.code == 0, done.err
    after = current_id(models)
    assert after != before
    found = manifest(str(after), models).gate
    assert found is not None
    assert (found["against"], found["promoted"], found["overridden"], found["reasons"]) == (before, True, False, [])
    assert [one["name"] for one in found["comparisons"]] == ["cross-validation", "held-out articles"]
    (agreement,) = found["agreements"]
    assert (agreement["file"], agreement["units"]) == (str(corpus / "added.jsonl"), len(ADDED))
    assert agreement["kappa"] > 0.3
    assert f"gate: F1 minus that of {before}" in done.out
    low, high = found["comparisons"][0]["macro_f1"]["interval"]
    assert low < found["comparisons"][0]["macro_f1"]["difference"] < high


@pytest.mark.parametrize("files", [1, 8])
def test_a_poisoned_file_is_refused_and_kept(run: Run, place: tuple[Path, Path], files: int) -> None:
    corpus, models = place
    before = current_id(models)
    poison = shuffled(ADDED)
    names = list(dict.fromkeys(row["article"] for row in poison))
    for number in range(files):  # many small files are too small to be judged by their labels alone
        write_rows(
            corpus / f"p{number}.jsonl", [row for row in poison if names.index(row["article"]) % files == number]
        )
    done = run("train", "--corpus", corpus, "--models", models)
    assert done.code == 1
    assert current_id(models) == before
    (kept,) = [info for info in list_models(models) if info.id != before]
    assert kept.gate is not None
    assert not kept.gate["promoted"]
    assert all(f"communique: {reason}" in done.err for reason in kept.gate["reasons"])
    assert any(reason.startswith("macro-F1 on cross-validation is worse: -0.") for reason in kept.gate["reasons"])
    if files == 1:
        assert any("hardly agree with the current model: Cohen's kappa" in reason for reason in kept.gate["reasons"])
    assert f"{kept.id} is kept and not used; {before} still is" in done.said[-1]
    assert run("classify", "-", "--models", models, stdin=NEWS).code == 0
    assert load(kept.id, models=models).info.id == kept.id, "what is refused can still be looked at"


def test_promote_overrides_and_the_manifest_and_card_say_so(run: Run, place: tuple[Path, Path]) -> None:
    corpus, models = place
    write_rows(corpus / "added.jsonl", shuffled(ADDED))
    done = run("train", "--corpus", corpus, "--models", models, "--promote")
    assert done.code == 0, done.err
    info = manifest(str(current_id(models)), models)
    assert info.gate is not None
    assert (info.gate["promoted"], info.gate["overridden"]) == (False, True)
    assert info.gate["reasons"]
    assert f"saved and promoted {models / info.id}, though the gate refused it" in done.err


def test_a_refused_model_can_be_promoted_by_hand_and_says_so(run: Run, place: tuple[Path, Path]) -> None:
    corpus, models = place
    before = current_id(models)
    write_rows(corpus / "added.jsonl", shuffled(ADDED))
    assert run("train", "--corpus", corpus, "--models", models, "--no-cross-validation").code == 1
    (kept,) = [info.id for info in list_models(models) if info.id != before]
    done = run("models", "promote", kept, "--models", models)
    assert (done.code, done.out) == (0, f"{kept} is in use\n")
    assert "the gate refused" in done.err
    assert current_id(models) == kept
    found = manifest(kept, models).gate
    assert found is not None
    assert found["overridden"]
    assert "overridden" in run("models", "list", "--models", models).out


def test_the_same_corpus_again_is_the_same_model_and_stays_in_use(place: tuple[Path, Path]) -> None:
    corpus, models = place
    before = current_id(models)
    again = train.train(corpus, models)
    assert (again.info.id, again.promoted, again.gate) == (before, True, None)
    assert [info.id for info in list_models(models)] == [before]


def test_a_gate_file_is_not_fitted_and_copies_of_it_are_kept_out(run: Run, place: tuple[Path, Path]) -> None:
    corpus, models = place
    units = manifest(str(current_id(models)), models).corpus["train"]["units"]
    mine = write_rows(corpus.parent / "mine.jsonl", ADDED)
    copy = [{**row, "article": f"copy of {row['article']}", "text": row["text"] + " indeed"} for row in ADDED]
    write_rows(corpus / "copied.jsonl", copy)
    done = run("train", "--corpus", corpus, "--models", models, "--gate", mine)
    assert done.code == 0, done.err
    copied = {row["article"] for row in copy}
    said = [line for line in done.said if line.startswith("kept out of the fit: article ")]
    assert len(said) >= 0.9 * len(copied), "an article of short units only has nothing to be known by"
    assert f"because {corpus / 'copied.jsonl'}:1 nearly repeats {mine}:1" in done.err
    info = list_models(models)[-1]
    assert info.corpus["train"]["units"] == units + len(ADDED) - (info.gate or {"left_out": 0})["left_out"]


def test_what_the_model_in_use_was_fitted_on_is_not_scored(place: tuple[Path, Path]) -> None:
    corpus, models = place
    known = first_units(rows_of("newsroom-1.jsonl"), 60)
    mine = write_rows(corpus.parent / "mine.jsonl", [*known, *ADDED])
    data = load_corpus(corpus, leaks=True)
    sets = challenge.evaluation_sets(data, [mine])
    after, scored, left_out = challenge.without_leaks(data, sets, challenge.incumbent_of(models))
    assert left_out == []
    assert after.train == data.train
    assert [one.name for one in scored] == ["held-out articles", str(mine)]
    assert {row.article for row in scored[1].examples} == {row["article"] for row in ADDED}


def test_copies_of_held_out_articles_are_kept_out_of_the_first_training_too(
    run: Run, base: tuple[Path, Path], place: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus, models = place
    monkeypatch.setattr(features, "load_lexicon", lambda: SMALL_LEXICON)
    held_out = [json.loads(line) for line in (corpus / "heldout" / "news.jsonl").read_text().splitlines()]
    first = [row for row in held_out if row["article"] == held_out[0]["article"]]
    write_rows(corpus / "leak.jsonl", [{**row, "article": "leak"} for row in first])
    assert run("check", "--corpus", corpus).code == 1, "for check it is an error"
    done = run("train", "--corpus", corpus, "--models", corpus.parent / "new", "--no-cross-validation")
    assert done.code == 0, done.err
    assert f"kept out of the fit: article 'leak' ({len(first)} units)" in done.err
    info = list_models(corpus.parent / "new")[0]
    assert info.corpus["train"]["units"] == manifest(str(current_id(models)), models).corpus["train"]["units"]


def test_a_model_in_use_that_cannot_be_opened_is_compared_in_folds_only(place: tuple[Path, Path]) -> None:
    corpus, models = place
    before = current_id(models)
    (models / str(before) / "model.joblib").write_bytes(b"damaged")
    write_rows(corpus / "added.jsonl", ADDED)
    done = train.train(corpus, models)
    assert done.promoted
    assert done.gate is not None
    assert [one["name"] for one in done.gate["comparisons"]] == ["cross-validation"]
    assert any("can't be opened" in note and "damaged" in note for note in done.gate["notes"])


def test_without_anything_to_compare_on_it_is_not_promoted(run: Run, place: tuple[Path, Path]) -> None:
    corpus, models = place
    before = current_id(models)
    (corpus / "heldout" / "news.jsonl").unlink()
    write_rows(corpus / "added.jsonl", ADDED)
    done = run("train", "--corpus", corpus, "--models", models, "--no-cross-validation")
    assert done.code == 1
    assert "there was nothing to compare it with the current model on" in done.err
    assert current_id(models) == before


def test_another_training_that_was_quicker_is_compared_with_too(
    place: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus, models = place
    before = current_id(models)
    other = train.train(corpus, models, seed=1, cross_validation=False, promote=True)
    train.promotion.rollback(models)
    assert current_id(models) == before
    judged: list[str] = []
    judge = train.judge

    def and_meanwhile(challenger: Any, incumbent: Any, *rest: Any) -> Any:
        judged.append(incumbent.id)
        found = judge(challenger, incumbent, *rest)
        if len(judged) == 1:
            train.promotion.promote(other.info.id, models)
        return found

    monkeypatch.setattr(train, "judge", and_meanwhile)
    write_rows(corpus / "added.jsonl", ADDED)
    done = train.train(corpus, models, cross_validation=False)
    assert judged == [before, other.info.id]
    assert done.gate is not None
    assert done.gate["against"] == other.info.id


# The decision


def difference(found: float, low: float, high: float) -> gate.Difference:
    return gate.Difference(found, (low, high))


SAME = difference(0.0, -0.01, 0.01)


@pytest.mark.parametrize(
    ("macro", "goal", "faults"),
    [
        (SAME, SAME, []),
        (difference(-0.009, -0.012, -0.006), SAME, []),
        (difference(-0.011, -0.02, 0.009), SAME, ["macro-F1 on x is worse: -0.011 (-0.020 to +0.009)"]),
        (difference(-0.03, -0.08, 0.02), SAME, []),
        (SAME, difference(-0.04, -0.07, -0.01), ["F1 of 'goal' on x is worse: -0.040 (-0.070 to -0.010)"]),
        (SAME, difference(-0.04, -0.09, 0.01), []),
    ],
)
def test_worse_is_beyond_the_margin_and_not_by_chance(
    macro: gate.Difference, goal: gate.Difference, faults: list[str]
) -> None:
    comparison = gate.Comparison("x", 100, 10, macro, {"goal": goal, "background": SAME})
    found = gate.comparison_faults(comparison)
    assert [fault.split(", where")[0] for fault in found] == faults
    assert gate.verdict("m1", [comparison])["promoted"] is not bool(faults)


def test_a_paired_interval_is_narrower_than_either_score() -> None:
    rng = np.random.default_rng(0)
    articles = [f"a{number // 10}" for number in range(400)]
    true = rng.integers(0, 2, 400)
    old = np.where(rng.random(400) < 0.3, 1 - true, true)
    new = np.where(rng.random(400) < 0.02, 1 - old, old)
    paired = gate.compare("x", LABELS, articles, true, old, new).macro_f1
    alone = gate.compare("x", LABELS, articles, true, 1 - true, new).macro_f1
    assert paired.interval[0] <= paired.difference <= paired.interval[1]
    assert np.diff(paired.interval) < 0.6 * np.diff(alone.interval)
    same = gate.compare("x", LABELS, articles, true, old, old).macro_f1
    assert (same.difference, same.interval) == (0.0, (0.0, 0.0))


def test_the_difference_is_that_of_scikit_learn() -> None:
    from sklearn.metrics import f1_score

    rng = np.random.default_rng(1)
    true, old, new = rng.integers(0, 2, (3, 200))
    found = gate.compare("x", LABELS, ["a", "b"] * 100, true, old, new)
    expected = f1_score(true, new, average=None) - f1_score(true, old, average=None)
    assert found.macro_f1.difference == pytest.approx(expected.mean())
    assert [one.difference for one in found.per_label.values()] == pytest.approx(expected)


def test_labels_by_chance_are_told_from_labels_by_knowledge() -> None:
    from sklearn.metrics import cohen_kappa_score

    rng = np.random.default_rng(2)
    said = rng.choice(5, 300, p=[0.1, 0.1, 0.1, 0.1, 0.6])
    good = np.where(rng.random(300) < 0.4, rng.integers(0, 5, 300), said)
    for labels, faults in ((good, 0), (rng.permutation(good), 1)):
        found = gate.agreement("mine.jsonl", labels, said)
        assert found is not None
        assert found.kappa == pytest.approx(cohen_kappa_score(labels, said))
        assert len(gate.agreement_faults(found)) == faults


@pytest.mark.parametrize(
    "labels", [np.zeros(49, dtype=np.int64), np.zeros(300, dtype=np.int64), np.arange(60) // 55], ids=str
)
def test_too_little_to_tell_agreement_by(labels: Any) -> None:
    assert gate.agreement("mine.jsonl", labels, np.zeros(len(labels), dtype=np.int64)) is None


def test_rows_are_known_by_what_they_say_and_not_by_where_they_stand() -> None:
    from pipeline.fitted import row_keys

    row = Example("a", "A", "wire", None, "heading", "Outlook", "goal", file="x.jsonl", line=3)
    twice = row_keys([row, row])
    assert len(set(twice)) == 2, "a heading that comes again is another row"
    moved = Example("a", "B", "wire", None, "heading", "Outlook", "background", file="y.jsonl", line=9)
    other = Example("b", "A", "wire", None, "heading", "Outlook", "goal")
    assert row_keys([moved]) == twice[:1]
    assert row_keys([other])[0] not in twice
