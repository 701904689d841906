"""The shelf: ids by content, whole or not there, and nothing unpickled that is not what its manifest says."""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import stat
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import NEWS, Done

from pipeline import promotion, registry
from pipeline.card import render_card
from pipeline.records import ModelInfo, PipelineError
from pipeline.train import Training

Run = Callable[..., Done]
REMEDY = r"run `communique train`"

FIELDS: dict[str, Any] = {
    "created": "2026-01-01T00:00:00+00:00",
    "labels": ("goal", "background"),
    "thresholds": {"goal": 0.5, "background": 0.25},
    "seed": 0,
    "command": "communique train",
    "settings": {"C": 1.0},
    "corpus": {
        "sha256": "c" * 64,
        "train": {"units": 3, "articles": 2, "label": {"goal": 1, "background": 2}},
        "heldout": {"units": 0, "articles": 0, "label": {}},
    },
    "metrics": {},
    "timings": {"fit": 1.0},
}
DATA = registry.model_bytes({"a": "model"})


class Bomb:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


@pytest.fixture
def shelf(tmp_path: Path, models: Path) -> Path:
    """A copy of the models folder with the small model, to do damage to."""
    return Path(shutil.copytree(models, tmp_path / "models"))


@pytest.fixture
def bombed(shelf: Path) -> tuple[Path, Path]:
    """A model folder whose file makes another file when it is unpickled; the manifest knows its hash."""
    payload = shelf.parent / "unpickled"
    data = pickle.dumps(Bomb(payload))
    folder = shelf / (shelf / "current").read_text().strip()
    (folder / "model.joblib").write_bytes(data)
    change(folder, sha256=registry.hashlib.sha256(data).hexdigest())
    return folder, payload


def change(folder: Path, **fields: Any) -> None:
    path = folder / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


# Saving


def test_a_model_is_saved_by_its_content(tmp_path: Path) -> None:
    info = registry.save(DATA, FIELDS, tmp_path / "models")
    folder = tmp_path / "models" / info.id
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "model.joblib", "model.json"]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755
    assert info.sha256 == registry.hashlib.sha256((folder / "model.joblib").read_bytes()).hexdigest()
    assert (folder / "README.md").read_text() == render_card(info)
    assert registry.load_model(tmp_path / "models", info.id) == ({"a": "model"}, info)
    assert registry.current_id(tmp_path / "models") is None


def test_saving_the_same_again_changes_nothing(tmp_path: Path) -> None:
    first = registry.save(DATA, FIELDS, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    later = {**FIELDS, "created": "2027-01-01T00:00:00+00:00", "timings": {"fit": 2.0}}
    assert registry.save(DATA, later, tmp_path) == first
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


@pytest.mark.parametrize(
    "other",
    [
        {"corpus": {**FIELDS["corpus"], "sha256": "d" * 64}},
        {"metrics": {"heldout": {"macro_f1": 0.5}}},
        {"settings": {"C": 2.0}},
    ],
)
def test_what_the_manifest_says_is_part_of_the_id(tmp_path: Path, other: dict[str, Any], monkeypatch: Any) -> None:
    monkeypatch.setattr(registry, "render_card", lambda info: "")
    first = registry.save(DATA, FIELDS, tmp_path)
    second = registry.save(DATA, {**FIELDS, **other}, tmp_path)
    assert second.sha256 == first.sha256
    assert second.id != first.id
    assert [info.id for info in registry.list_models(tmp_path)] == sorted([first.id, second.id])


def test_a_model_under_other_library_versions_is_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    versions = registry.library_versions()
    first = registry.save(DATA, FIELDS, tmp_path)
    monkeypatch.setattr(registry, "library_versions", lambda: {**versions, "spacy": "4.0.0"})
    second = registry.save(DATA, FIELDS, tmp_path)
    assert second.id != first.id
    assert registry.load_model(tmp_path, second.id)[1] == second


def test_training_again_mends_a_damaged_model(tmp_path: Path) -> None:
    info = registry.save(DATA, FIELDS, tmp_path)
    (tmp_path / info.id / "model.joblib").write_bytes(b"half")
    with pytest.raises(PipelineError, match="damaged or exchanged"):
        registry.load_model(tmp_path, info.id)
    again = registry.save(DATA, FIELDS, tmp_path)
    assert again.id == info.id
    assert registry.load_model(tmp_path, info.id) == ({"a": "model"}, info)


@pytest.mark.parametrize("step", ["write_bytes", "rename"])
def test_an_interrupted_save_leaves_no_visible_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, step, interrupted)
        with pytest.raises(KeyboardInterrupt):
            registry.save(DATA, FIELDS, tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert registry.list_models(tmp_path) == []


def test_what_a_killed_save_left_is_no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(registry.shutil, "rmtree", lambda *_, **__: None)
        patch.setattr(Path, "rename", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            registry.save(DATA, FIELDS, tmp_path)
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".")
    assert registry.list_models(tmp_path) == []
    with pytest.raises(PipelineError, match=f"there is no model '{left.name}'; the models are: none"):
        registry.load_model(tmp_path, left.name)
    info = registry.save(DATA, FIELDS, tmp_path)
    assert registry.list_models(tmp_path) == [info]


def test_equal_models_give_equal_bytes_whichever_strings_are_one_object() -> None:
    one, other = "".join(["ver", "bose"]), "".join(["ver", "bose"])
    assert one is not other
    data = registry.model_bytes({"a": {one: 1}, "b": {one: 2}})
    assert data == registry.model_bytes({"a": {one: 1}, "b": {other: 2}})
    assert registry.joblib.load(io.BytesIO(data)) == {"a": {"verbose": 1}, "b": {"verbose": 2}}


def test_equal_models_give_equal_bytes_whichever_arrays_came_from_elsewhere() -> None:
    here = np.arange(3, dtype=np.uint64)
    other = pickle.loads(pickle.dumps(here))
    assert here.dtype is not other.dtype
    assert registry.model_bytes([here, other]) == registry.model_bytes([here, here.copy()])


# Promoting


def test_promotion_is_seen_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = registry.save(DATA, FIELDS, tmp_path)
    second = registry.save(DATA, {**FIELDS, "seed": 1}, tmp_path)
    promotion.promote(first.id, tmp_path)
    assert registry.current_id(tmp_path) == first.id
    assert registry.load_model(tmp_path)[1] == first

    def fails(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fails)
        with pytest.raises(PipelineError, match="can't be written: No space left"):
            promotion.promote(second.id, tmp_path)
    assert registry.current_id(tmp_path) == first.id
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([first.id, second.id, "current"])
    promotion.promote(second.id, tmp_path)
    assert registry.current_id(tmp_path) == second.id
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE((tmp_path / "current").stat().st_mode) == 0o666 & ~mask


def test_only_a_saved_model_can_be_promoted(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="there is no model 'm1'; the models are: none"):
        promotion.promote("m1", tmp_path)
    assert not (tmp_path / "current").exists()


# Loading: each fault has its own message, and nothing is unpickled


def test_the_bomb_of_these_tests_goes_off_where_nothing_is_wrong(bombed: tuple[Path, Path]) -> None:
    folder, payload = bombed
    registry.load_model(folder.parent)
    assert payload.exists()


def _shorten(folder: Path) -> None:
    with (folder / "model.joblib").open("ab") as file:
        file.write(b"x")


def _cut(folder: Path) -> None:
    """What a full disk or a broken copy leaves of a model file: its beginning."""
    data = registry.model_bytes({"a": list(range(10_000))})
    change(folder, sha256=registry.hashlib.sha256(data).hexdigest())
    (folder / "model.joblib").write_bytes(data[: len(data) // 2])


def _link(folder: Path) -> None:
    """A file elsewhere whose hash the manifest knows."""
    elsewhere = folder.parent.parent / "elsewhere.joblib"
    (folder / "model.joblib").rename(elsewhere)
    (folder / "model.joblib").symlink_to(elsewhere)


def _pipe(folder: Path) -> None:
    """Reading it would wait for ever."""
    (folder / "model.joblib").unlink()
    os.mkfifo(folder / "model.joblib")


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "damaged file": (_shorten, r"model\.joblib: SHA-256 is \w{12}\.\.\., the manifest says \w{12}\.\.\.: damaged"),
    "file cut off": (
        _cut,
        r"model\.joblib: SHA-256 is .*: cut off, not opened \(bring it back with `communique models",
    ),
    "empty file": (
        lambda folder: (folder / "model.joblib").write_bytes(b""),
        r"model\.joblib: SHA-256 is .*: empty, not",
    ),
    "link to a file": (_link, r"model\.joblib: is a link, or no plain file, and not opened"),
    "pipe for a file": (_pipe, r"model\.joblib: is a link, or no plain file, and not opened"),
    "missing file": (lambda folder: (folder / "model.joblib").unlink(), r"model\.joblib: can't be read: No such file"),
    "missing manifest": (
        lambda folder: (folder / "model.json").unlink(),
        r"model\.json: the model's manifest is missing",
    ),
    "broken manifest": (
        lambda folder: (folder / "model.json").write_text("{"),
        r"model\.json: the manifest can't be read",
    ),
    "binary manifest": (lambda folder: (folder / "model.json").write_bytes(b"\xff"), "the manifest can't be read"),
    "list for a manifest": (lambda folder: (folder / "model.json").write_text("[]"), "manifest version None"),
    "newer manifest": (
        lambda folder: change(folder, manifest_version=2),
        "manifest version 2; this version of communique reads 1 .install a newer communique",
    ),
    "older manifest": (lambda folder: change(folder, manifest_version=0), "manifest version 0; this version of "),
    "text for thresholds": (lambda folder: change(folder, thresholds="high"), "the manifest's 'thresholds' is wrong: "),
    "list for versions": (lambda folder: change(folder, versions=[1]), "the manifest's 'versions' is wrong: "),
    "deep manifest": (
        lambda folder: (folder / "model.json").write_text("[" * 100_000),
        r"model\.json: the manifest can't be read",
    ),
    "manifest without labels": (lambda folder: change(folder, labels=None), "the manifest is not complete"),
    "unknown field": (lambda folder: change(folder, colour="red"), "the manifest is not complete: .*'colour'"),
    "manifest of another": (lambda folder: change(folder, id="m1"), "the manifest is of model 'm1'"),
    "other scikit-learn": (
        lambda folder: change(folder, versions={**registry.library_versions(), "scikit-learn": "1.2.3"}),
        r"made with scikit-learn 1\.2\.3, but \d\S+ is installed",
    ),
    "other spacy": (
        lambda folder: change(folder, versions={**registry.library_versions(), "spacy": "2.0.1"}),
        r"made with spacy 2\.0\.1, but \d\S+ is installed",
    ),
    "other communique": (
        lambda folder: change(folder, versions={**registry.library_versions(), "communique": "99.0"}),
        r"made with communique 99\.0, but \d\S+ is installed",
    ),
    "no versions": (lambda folder: change(folder, versions={}), "made with communique unknown, but "),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_model_has_its_own_message_and_is_not_unpickled(
    bombed: tuple[Path, Path], run: Run, fault: str
) -> None:
    folder, payload = bombed
    damage, message = FAULTS[fault]
    damage(folder)
    with pytest.raises(PipelineError, match=rf"(?s){message}.*{REMEDY}"):
        registry.load_model(folder.parent)
    done = run("classify", "-", "--models", folder.parent, stdin=NEWS)
    assert (done.code, done.out) == (1, "")
    assert len(done.said) == 1
    assert not payload.exists()


def test_a_current_that_names_no_model_is_said_to_be_at_fault(shelf: Path, trained: Training) -> None:
    (shelf / "current").write_text("m0\n")
    with pytest.raises(
        PipelineError,
        match=rf"models/current: there is no model 'm0'; the models are: {trained.info.id} \(name one .*{REMEDY}",
    ):
        registry.load_model(shelf)


def test_bytes_are_read_without_unpickling(bombed: tuple[Path, Path]) -> None:
    folder, payload = bombed
    data, info = registry.read_model(folder.parent)
    assert (data, info.id) == ((folder / "model.joblib").read_bytes(), folder.name)
    assert not payload.exists()


def test_how_a_model_came_about_is_no_part_of_what_it_is(tmp_path: Path) -> None:
    info = registry.save(DATA, FIELDS, tmp_path)
    assert registry.save(DATA, {**FIELDS, "imported": {"file": "x"}, "gate": {"promoted": True}}, tmp_path) == info


def test_a_model_outside_the_folder_is_not_unpickled(bombed: tuple[Path, Path], tmp_path: Path) -> None:
    folder, payload = bombed
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / folder.name).symlink_to(folder)
    for name in (folder.name, f"../models/{folder.name}", str(folder), "..", ""):
        (mine / "current").write_text(name or "\n")
        with pytest.raises(PipelineError, match=r"there is no model|no model is promoted"):
            registry.load_model(mine)
    assert not payload.exists()


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", None])
def test_a_current_file_that_names_nothing_is_one_line(tmp_path: Path, content: bytes | None) -> None:
    if content is None:
        (tmp_path / "current").mkdir()
    else:
        (tmp_path / "current").write_bytes(content)
    with pytest.raises(PipelineError, match=r"current: can't be read: .*communique models promote ID"):
        registry.load_model(tmp_path)


def test_another_patch_release_is_opened_without_a_word(shelf: Path, trained: Training) -> None:
    versions = registry.library_versions()
    major, minor, *_ = versions["scikit-learn"].split(".")
    numpy = versions["numpy"].split(".")[0] + ".99.0"
    change(shelf / trained.info.id, versions={**versions, "scikit-learn": f"{major}.{minor}.99", "numpy": numpy})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert registry.load_model(shelf)[1].id == trained.info.id


def test_a_pickle_of_another_patch_release_is_opened_without_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sklearn.base
    from sklearn.linear_model import LogisticRegression

    with monkeypatch.context() as patch:
        patch.setattr(sklearn.base, "__version__", "0.0.1")
        data = registry.model_bytes(LogisticRegression())
    info = registry.save(data, FIELDS, tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        registry.load_model(tmp_path, info.id)
    with pytest.warns(UserWarning, match=r"Trying to unpickle estimator .* from version 0\.0\.1"):
        registry.joblib.load(tmp_path / info.id / "model.joblib")


def test_a_pickle_of_code_that_is_gone_is_one_line(tmp_path: Path) -> None:
    info = registry.save(b"cpipeline.model\nNoSuchClass\n.", FIELDS, tmp_path)
    with pytest.raises(
        PipelineError, match=rf"can't be opened by this version of communique \(.*NoSuchClass.*{REMEDY}"
    ):
        registry.load_model(tmp_path, info.id)


def test_models_are_listed_oldest_first_and_broken_ones_left_out(tmp_path: Path) -> None:
    new = registry.save(DATA, {**FIELDS, "created": "2026-02-01T00:00:00+00:00"}, tmp_path)
    old = registry.save(DATA, {**FIELDS, "created": "2026-01-01T00:00:00+00:00", "seed": 1}, tmp_path)
    broken = registry.save(DATA, {**FIELDS, "seed": 2}, tmp_path)
    (tmp_path / broken.id / "model.json").write_text("{")
    assert registry.list_models(tmp_path) == [old, new]


def test_a_manifest_comes_back_as_it_was_saved(models: Path, trained: Training) -> None:
    (info,) = registry.list_models(models)
    assert isinstance(info, ModelInfo)
    assert render_card(info) == render_card(trained.info)
    assert (info.labels, info.thresholds, info.sha256) == (
        trained.info.labels,
        trained.info.thresholds,
        trained.info.sha256,
    )
