"""Models to and from elsewhere: what comes in is what went out, and a malicious file runs no code."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import random
import struct
import subprocess
import sys
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import skops.io
from conftest import NEWS, ROOT, Done, clean_environment

from pipeline import exchange, exchange_audit, registry
from pipeline.batches import batch_of_examples
from pipeline.classify import Model
from pipeline.exchange import export_model, import_model, read_back, read_incoming
from pipeline.promotion import promote
from pipeline.records import Example, PipelineError
from pipeline.train import Training

Run = Callable[..., Done]
Schema = dict[str, Any]
#: Fields of a manifest that registry.save fills in.
MADE_BY_SAVE = ("id", "manifest_version", "versions", "sha256")


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Path:
    """The small model as a skops file. Read only."""
    return export_model(models, output=tmp_path_factory.mktemp("out") / "model.skops").path


@pytest.fixture
def payload(tmp_path: Path) -> Path:
    """The file that a malicious file of these tests makes when its code runs."""
    return tmp_path / "code-ran"


def members(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(content: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, one in content.items():
            archive.writestr(name, one)
    return buffer.getvalue()


def changed(path: Path, change: Callable[[dict[str, bytes]], object]) -> bytes:
    """A skops file with some of its members changed."""
    content = members(path.read_bytes())
    change(content)
    return zipped(content)


def in_schema(change: Callable[[Schema], object]) -> Callable[[dict[str, bytes]], None]:
    def apply(content: dict[str, bytes]) -> None:
        schema = json.loads(content["schema.json"])
        change(schema)
        content["schema.json"] = json.dumps(schema).encode()

    return apply


def in_manifest(**fields: Any) -> Callable[[dict[str, bytes]], None]:
    def apply(content: dict[str, bytes]) -> None:
        content["model.json"] = json.dumps({**json.loads(content["model.json"]), **fields}).encode()

    return apply


# What comes in is what went out


def test_an_imported_model_is_the_exported_one(
    exported: Path, models: Path, trained: Training, tmp_path: Path, run: Run
) -> None:
    shelf = tmp_path / "shelf"
    done = run("models", "import", exported, "--models", shelf)
    assert (done.code, done.out) == (0, trained.info.id + "\n")
    assert f"saved {shelf / trained.info.id}, not promoted" in done.err
    assert registry.current_id(shelf) is None
    here, there = (folder / trained.info.id / "model.joblib" for folder in (shelf, models))
    assert here.read_bytes() == there.read_bytes()
    imported = run("classify", "-", "--models", shelf, "--model", trained.info.id, "--format", "jsonl", stdin=NEWS)
    original = run("classify", "-", "--models", models, "--format", "jsonl", stdin=NEWS)
    assert len(imported.rows) == 3
    assert imported.rows == original.rows


def test_the_card_of_an_imported_model_says_where_it_is_from(exported: Path, tmp_path: Path, trained: Training) -> None:
    info, incoming = import_model(exported, tmp_path / "shelf")
    assert incoming.same
    assert info.metrics == json.loads(json.dumps(dict(trained.info.metrics)))
    assert info.imported is not None
    assert info.imported["sha256"] == registry.hashlib.sha256(exported.read_bytes()).hexdigest()
    card = (tmp_path / "shelf" / info.id / "README.md").read_text()
    assert f"> Imported from `model.skops` (SHA-256 `{info.imported['sha256']}`)" in card


def test_import_promotes_only_when_asked_and_twice_is_once(exported: Path, tmp_path: Path, run: Run) -> None:
    shelf = tmp_path / "shelf"
    assert run("models", "import", exported, "--models", shelf, "--promote").code == 0
    first = sorted((path, path.stat().st_mtime_ns) for path in shelf.rglob("*"))
    name = registry.current_id(shelf)
    assert run("models", "import", exported, "--models", shelf).out == f"{name}\n"
    assert sorted((path, path.stat().st_mtime_ns) for path in shelf.rglob("*")) == first


@pytest.mark.slow
def test_the_same_model_gives_the_same_file_in_any_process(
    exported: Path, models: Path, tmp_path: Path, communique: Run, trained: Training
) -> None:
    done = communique("models", "export", "--models", models, cwd=tmp_path)
    assert (done.code, done.out) == (0, f"{trained.info.id}.skops\n")
    assert (tmp_path / done.out.strip()).read_bytes() == exported.read_bytes()


def test_a_skops_file_opens_with_skops_too(exported: Path, models: Path) -> None:
    classifier = skops.io.load(exported, trusted=exchange_audit.TRUSTED)
    expected, _ = registry.load_model(models)
    batch = batch_of_examples([Example("a", "", "wire", None, "sentence", NEWS, "goal")])
    np.testing.assert_array_equal(classifier.predict_proba(batch), expected.predict_proba(batch))
    names = classifier.pipeline_[0].get_feature_names_out()
    assert names.tolist() == expected.pipeline_[0].get_feature_names_out().tolist()


def test_a_plain_joblib_file_is_the_bare_classifier(models: Path, tmp_path: Path, run: Run) -> None:
    path = tmp_path / "model.joblib"
    done = run("models", "export", "--models", models, "--format", "joblib", "--output", path)
    assert (done.code, done.out) == (0, f"{path}\n")
    assert "a joblib file is a pickle" in done.err
    batch = batch_of_examples([Example("a", "", "wire", None, "sentence", NEWS, "goal")])
    expected, _ = registry.load_model(models)
    np.testing.assert_array_equal(joblib.load(path).predict_proba(batch), expected.predict_proba(batch))


def test_an_existing_file_is_replaced_only_with_force(models: Path, tmp_path: Path, run: Run) -> None:
    path = tmp_path / "model.joblib"
    path.write_text("mine")
    arguments = ("models", "export", "--models", models, "--format", "joblib", "-o", path)
    done = run(*arguments)
    assert done.code == 1
    assert "is there already (give --force to replace it)" in done.err
    assert path.read_text() == "mine"
    assert run(*arguments, "--force").code == 0


def test_check_says_what_is_in_a_file_and_writes_nothing(exported: Path, tmp_path: Path, run: Run) -> None:
    done = run("models", "import", exported, "--check", "--models", tmp_path / "shelf")
    assert done.code == 0
    assert "      1  pipeline.model.UnitClassifier\n" in done.out
    assert not (tmp_path / "shelf").exists()


def test_other_patch_releases_give_the_same_model_under_another_id(
    exported: Path, tmp_path: Path, trained: Training, run: Run
) -> None:
    versions = {**trained.info.versions, "scipy": "1.0.0"}
    path = tmp_path / "model.skops"
    path.write_bytes(changed(exported, in_manifest(versions=versions)))
    info, _ = import_model(path, tmp_path / "shelf")
    assert info.versions == registry.library_versions()
    assert info.imported is not None
    assert info.imported["versions"] == versions


def test_without_skops_the_message_names_the_extra(
    exported: Path, models: Path, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    find = exchange.importlib.util.find_spec
    monkeypatch.setattr(exchange.importlib.util, "find_spec", lambda name: None if name == "skops" else find(name))
    monkeypatch.chdir(tmp_path)
    for arguments in (("export",), ("import", exported)):
        done = run("models", *arguments, "--models", models)
        assert done.code == 1
        assert (
            "need the extra [exchange], which is not installed (run `pip install 'communique[exchange]'`)" in done.err
        )
    assert run("models", "export", "--format", "joblib", "--models", models).code == 0


# A malicious file: no code runs


class Bomb:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


def dumped(path: Path) -> bytes:
    buffer = io.BytesIO()
    joblib.dump(Bomb(path), buffer, compress=3)
    return buffer.getvalue()


PICKLES: dict[str, Callable[[Path], bytes]] = {
    "pickle": lambda path: pickle.dumps(Bomb(path)),
    "joblib file": dumped,
    "gzipped pickle": lambda path: gzip.compress(pickle.dumps(Bomb(path))),
}


@pytest.mark.parametrize("kind", PICKLES)
def test_a_malicious_pickle_is_not_opened(kind: str, payload: Path, tmp_path: Path, run: Run) -> None:
    path = tmp_path / "model.skops"
    path.write_bytes(PICKLES[kind](payload))
    done = run("models", "import", path, "--models", tmp_path / "shelf")
    assert (done.code, done.out) == (1, "")
    assert "looks like a pickle or a joblib file, which can run any code when it is opened, and was not" in done.err
    assert not payload.exists()
    assert not (tmp_path / "shelf").exists()
    joblib.load(path)
    assert payload.exists(), "the bomb of this test does not go off"


def node(loader: str, name: str, **more: Any) -> Schema:
    module, _, kind = name.rpartition(".")
    return {"__loader__": loader, "__module__": module, "__class__": kind, **more}


def text(value: object) -> Schema:
    return node("JsonNode", "builtins.str", content=json.dumps(value), is_json=True)


def items(loader: str, *content: Schema) -> Schema:
    return node(loader, f"builtins.{loader.removesuffix('Node').lower()}", content=list(content))


def keyed(payload: Path) -> Schema:
    """A dict whose keys are to be made by os.system."""
    keys = items("ListNode", node("TypeNode", "posix.system"))
    return node("DictNode", "builtins.dict", content={f"touch {payload}": text(1)}, key_types=keys)


def partially(payload: Path) -> Schema:
    """The same by functools.partial, and by a subclass of dict that is built with __setstate__."""
    arguments = items("TupleNode", text(f"touch {payload}"))
    whole = node(
        "PartialNode",
        "functools.partial",
        content={
            "func": node("FunctionNode", "posix.system"),
            "args": arguments,
            "kwds": node("DictNode", "builtins.dict", content={}, key_types=items("ListNode")),
            "namespace": text(None),
        },
    )
    return node(
        "DefaultDictNode", "collections.defaultdict", content={"main": keyed(payload), "default_factory": whole}
    )


def constructed(payload: Path) -> Schema:
    return node("ConstructorFromReduceNode", "posix.system", content=items("TupleNode", text(f"touch {payload}")))


def sequenced(payload: Path) -> Schema:
    """A list of the class subprocess.Popen."""
    words = items("ListNode", text("touch"), text(str(payload)))
    return {**words, "__module__": "subprocess", "__class__": "Popen"}


MALICIOUS: dict[str, tuple[Callable[[Path], Schema], str]] = {
    "key types": (keyed, "posix.system"),
    "partial": (partially, r"collections.defaultdict by DefaultDictNode.*functools.partial by PartialNode"),
    "constructor": (constructed, "posix.system by ConstructorFromReduceNode"),
    "list class": (sequenced, "subprocess.Popen"),
}


@pytest.mark.parametrize("kind", MALICIOUS)
def test_a_malicious_skops_file_is_refused_by_name_and_runs_no_code(
    kind: str, exported: Path, payload: Path, tmp_path: Path, run: Run
) -> None:
    make, name = MALICIOUS[kind]
    evil = make(payload)
    path = tmp_path / "evil.skops"
    path.write_bytes(changed(exported, in_schema(lambda schema: schema["content"]["content"].update(labels=evil))))
    with pytest.raises(PipelineError, match=rf"refused, and nothing of it was opened: .*{name}"):
        read_incoming(path)
    done = run("models", "import", path, "--models", tmp_path / "shelf")
    assert (done.code, done.out, len(done.said)) == (1, "", 1)
    assert not payload.exists()
    assert not (tmp_path / "shelf").exists()
    # and it is malicious: who trusts whatever skops says that it does not know, runs it
    unknown = skops.io.get_untrusted_types(file=path)
    with suppress(TypeError, ValueError):  # of what the code returned, when it has run
        skops.io.load(path, trusted=unknown)
    for _ in range(100):  # one of them is another process
        if payload.exists():
            break
        time.sleep(0.05)
    assert payload.exists(), "the bomb of this test does not go off"


def test_what_is_refused_is_named_before_other_faults(exported: Path) -> None:
    evil = items("ListNode", node("ObjectNode", "a.B"), text("x" * 2000), node("FunctionNode", "posix.system"))
    data = changed(exported, in_schema(lambda schema: schema["content"]["content"].update(labels=evil)))
    with pytest.raises(PipelineError, match=r"needs: (a\.B, posix.*FunctionNode|posix.*FunctionNode, a\.B)"):
        read_back(data, "evil.skops")


def test_what_skops_trusts_but_no_model_needs_is_refused_too(exported: Path) -> None:
    """skops trusts hundreds of types by default: every estimator of scikit-learn, numpy's functions and generators."""
    forest = skops.io.dumps({"labels": [np.add, np.random.default_rng(0), np.float64(1)]})
    evil = json.loads(members(forest)["schema.json"])
    data = changed(exported, in_schema(lambda schema: schema["content"]["content"].update(labels=evil)))
    with pytest.raises(PipelineError, match=r"numpy\.\S*add by FunctionNode") as caught:
        read_back(data, "evil.skops")
    assert "Generator by RandomGeneratorNode" in caught.value.message
    assert "numpy.float64" in caught.value.message


def test_a_pickle_in_an_array_is_not_opened(exported: Path, payload: Path) -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.array([Bomb(payload)], dtype=object), allow_pickle=True)
    with pytest.raises(PipelineError, match=r"1\.npy: an array of object; numbers and strings are allowed"):
        read_back(changed(exported, lambda content: content.update({"1.npy": buffer.getvalue()})), "evil.skops")
    assert not payload.exists()


def test_names_of_a_strangers_file_can_not_write_on_the_terminal(exported: Path) -> None:
    evil = {**node("ObjectNode", "x.y"), "__module__": "\x1b[2J\n" + "long" * 100}
    data = changed(exported, in_schema(lambda schema: schema.update(more=evil)))
    with pytest.raises(PipelineError, match=r"refused.*\?\[2J\?longlong.*\.\.\.") as caught:
        read_back(data, "evil.skops")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


# A broken, enormous or foreign file: one message each


def attributes(schema: Schema) -> Schema:
    """The attributes of the classifier, in a schema."""
    found: Schema = schema["content"]["content"]
    return found


def with_another_attribute(schema: Schema) -> None:
    """One that pickle would ask for how to save the classifier."""
    attributes(schema)["__reduce_ex__"] = text(1)
    schema["content"]["key_types"]["content"].append(node("TypeNode", "builtins.str"))


def array(values: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


def too_large(content: dict[str, bytes]) -> None:
    """An array whose header speaks of ten terabytes."""
    content["1.npy"] = array(np.zeros(10)).replace(b"(10,), }           ", b"(1250000000000,), }")


BROKEN: dict[str, tuple[Callable[[dict[str, bytes]], object], str]] = {
    "no schema": (lambda content: content.pop("schema.json"), "no communique model: schema.json is not in it"),
    "no manifest": (lambda content: content.pop("model.json"), "no communique model: model.json is not in it"),
    "another member": (lambda content: content.update({"../x": b""}), r"member that no communique model has: \.\./x"),
    "schema is no JSON": (lambda content: content.update({"schema.json": b"{"}), "schema.json can't be read"),
    "deep schema": (lambda content: content.update({"schema.json": nested(200_000)}), "schema.json can't be read"),
    "schema of nothing": (lambda content: content.update({"schema.json": b"[]"}), "it describes no object"),
    "half a node": (in_schema(lambda schema: schema["content"].pop("__class__")), "a node without a loader"),
    "long text": (in_schema(lambda schema: attributes(schema).update(labels=text("x" * 2000))), "more than 1000 char"),
    "array elsewhere": (
        in_schema(lambda s: attributes(s).update(labels=node("NdArrayNode", "numpy.ndarray", type="numpy", file="/x"))),
        "an array that is not stored as an .npy file",
    ),
    "missing array": (lambda content: content.pop("1.npy"), r"1\.npy is not in the file"),
    "no array": (lambda content: content.update({"1.npy": b"PK"}), r"1\.npy: not an \.npy file"),
    "array of terabytes": (too_large, r"1\.npy: an array that is not as large as its header says"),
    "manifest is no JSON": (lambda content: content.update({"model.json": b"\xff{"}), "the manifest can't be read"),
    "manifest with NaN": (lambda content: content.update({"model.json": b"[NaN]"}), "NaN is no JSON"),
    "manifest that writes on the terminal": (in_manifest(id="\x1b[2J"), "control characters or very long text"),
    "manifest with a long key": (in_manifest(settings={"x" * 2000: 1}), "control characters or very long text"),
    "newer manifest": (in_manifest(manifest_version=99), "manifest version 99.*install a newer communique, or run"),
    "manifest of types": (in_manifest(thresholds=[1]), "the manifest's 'thresholds' is wrong"),
    "manifest of metrics": (in_manifest(metrics={"heldout": {"units": "x"}}), "not one that communique writes"),
    "manifest of corpus": (in_manifest(corpus={"sha256": 3}), "not one that communique writes"),
    "other scikit-learn": (
        in_manifest(versions={**registry.library_versions(), "scikit-learn": "1.2.3"}),
        r"made with scikit-learn 1\.2\.3, but \S+ is installed \(run `pip install 'scikit-learn==1\.2\.3'`",
    ),
    "made by other code": (in_manifest(probe=[[0.0] * 5] * 9), "was made by other code than is installed"),
    "labels of another": (in_manifest(labels=["a", "b"]), "its labels or thresholds are not those of its manifest"),
    "another attribute": (
        in_schema(with_another_attribute),
        "its UnitClassifier is not one that this version",
    ),
    "no attributes": (in_schema(lambda schema: attributes(schema).clear()), "holds no working communique model"),
    "endless list": (
        in_schema(
            lambda schema: attributes(schema).update(
                labels={**items("ListNode", node("ListNode", "builtins.list", __id__=77, content=[])), "__id__": 77}
            )
        ),
        "holds no working communique model",
    ),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_file_has_its_own_message(
    fault: str, exported: Path, tmp_path: Path, run: Run, trained: Training
) -> None:
    change, message = BROKEN[fault]
    path = tmp_path / "model.skops"
    path.write_bytes(changed(exported, change))
    with pytest.raises(PipelineError, match=rf"(?s)model\.skops.*{message}"):
        read_incoming(path)
    done = run("models", "import", path, "--models", tmp_path / "shelf")
    assert (done.code, done.out, len(done.said)) == (1, "", 1)
    assert not (tmp_path / "shelf").exists()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"hello", "is no skops file"),
        (None, "can't be read: No such file"),
        (b"PK\5\6" + bytes(18), "is not"),
    ],
)
def test_what_is_no_archive_is_said(data: bytes | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "model.skops"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(PipelineError, match=message):
        read_incoming(path)


def test_coefficients_that_are_no_numbers_are_refused(exported: Path, models: Path) -> None:
    content = members(exported.read_bytes())
    coefficients = registry.load_model(models)[0].pipeline_[-1].coef_
    name = next(name for name, data in content.items() if name.endswith(".npy") and data == array(coefficients))
    for wrong, message in ((coefficients * np.nan, "coefficients"), (coefficients[:, 1:], "coefficients")):
        with pytest.raises(PipelineError, match=f"holds no working communique model: .*{message}"):
            read_back(zipped({**content, name: array(wrong)}), "model.skops")


@pytest.mark.parametrize(
    ("limit", "value"), [("MOST_UNPACKED", 10_000), ("MOST_MEMBERS", 5), ("MOST_JSON", 1000), ("MOST_BYTES", 1000)]
)
def test_sizes_are_bounded(exported: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: int) -> None:
    for module in (exchange, exchange_audit):
        monkeypatch.setattr(module, limit, value, raising=False)
    with pytest.raises(PipelineError, match="too much for a model"):
        read_incoming(exported)


def test_an_archive_that_lies_about_its_sizes_is_not_unpacked_further(exported: Path) -> None:
    size = 64_000_000
    data = bytearray(changed(exported, lambda content: content.update({"1.npy": bytes(size)})))
    for at in range(len(data) - 4):  # in the local header and in the directory
        if data[at : at + 4] == struct.pack("<I", size):
            data[at : at + 4] = struct.pack("<I", 128)
    tracemalloc.start()
    try:
        with pytest.raises(PipelineError, match="is damaged"):
            read_back(bytes(data), "bomb.skops")
        assert tracemalloc.get_traced_memory()[1] < 30_000_000
    finally:
        tracemalloc.stop()


def test_a_damaged_file_is_refused_or_gives_the_same_model(exported: Path, trained: Training) -> None:
    rng = random.Random(5)
    data = exported.read_bytes()
    refused = 0
    for _ in range(150):
        broken = bytearray(data[: rng.choice([len(data), rng.randrange(len(data))])])
        for _ in range(rng.choice([1, 1, 20])):
            broken[rng.randrange(len(broken))] = rng.randrange(256)
        try:
            found = read_back(bytes(broken), "model.skops")
        except PipelineError:
            refused += 1
        else:
            assert registry.hashlib.sha256(found.data).hexdigest() == trained.info.sha256
    assert refused > 100


# kill -9 at any moment


#: Forks imports from a process that has everything loaded, kills each, and looks at the shelf after each.
KILLER = """
import json, os, random, shutil, signal, sys, time, traceback
from pathlib import Path
from pipeline import exchange, registry
from pipeline.classify import Model
from pipeline.promotion import promote

path, shelf, how = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
exchange.read_incoming(path)  # the first time, libraries are imported
started = time.monotonic()
incoming = exchange.read_incoming(path)
takes = 1.2 * (time.monotonic() - started)
old = registry.current_id(shelf)
rng = random.Random(3)

def work():
    info, _ = exchange.import_model(path, shelf)
    promote(info.id, shelf)
    os._exit(0)

def work_up_to_step(step):
    exchange.read_incoming = lambda _: incoming  # read already
    left = [step]
    def hook(event, arguments):
        if event != "os.kill" and str(shelf) in str(arguments):
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)
    work()

seen = []
for turn in range(20 if how == "moments" else 1000):
    child = os.fork()
    if not child:
        try:
            work() if how == "moments" else work_up_to_step(turn)
        except BaseException:
            traceback.print_exc()
        os._exit(99)
    if how == "moments":
        time.sleep(rng.uniform(0, takes))
        os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    if status not in (0, signal.SIGKILL):
        sys.exit(f"turn {turn}: {status}")
    classifier, info = registry.load_model(shelf)
    said = [one.label for one in Model(classifier, info).classify(sys.argv[4])]
    sound = [one.id for one in registry.list_models(shelf) if registry.load_model(shelf, one.id)]
    seen.append([info.id, said, sound])
    if how == "steps" and status == 0:
        break
    promote(old, shelf)
    for one in sound:
        if one != old:
            shutil.rmtree(shelf / one)
json.dump(seen, sys.stdout)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("how", ["steps", "moments"])
def test_an_import_killed_at_any_moment_leaves_a_usable_shelf(
    how: str, exported: Path, models: Path, trained: Training, tmp_path: Path
) -> None:
    """By kill -9 before each touch of the shelf, and at twenty random moments from the reading on."""
    shelf, new = tmp_path / "shelf", trained.info.id
    classifier, info = registry.load_model(models)
    fields = {name: value for name, value in asdict(info).items() if name not in MADE_BY_SAVE}
    old = registry.save(registry.model_bytes(classifier), {**fields, "command": "by hand"}, shelf).id
    promote(old, shelf)
    done = subprocess.run(
        [sys.executable, "-c", KILLER, exported, shelf, how, NEWS],
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    expected = [one.label for one in Model(classifier, info).classify(NEWS)]
    for current, said, sound in seen:
        assert current in (old, new)
        assert said == expected
        assert current in sound
        assert set(sound) <= {old, new}
    if how == "steps":
        assert len(seen) > 10
        assert seen[-1][0] == new, "the last one was not killed"
