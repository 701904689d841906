"""The peers of ``peers.py``: other libraries' classifiers, each with the settings that its makers publish.

All are given the same units (this project's sentence boundaries) and the same labels, and see the text of a unit
only. Seeds are fixed. ``cross-validation`` below is article-grouped and on the corpus; the exam chose nothing.

=================  ====================================================================================
fastText           supervised, one thread; lower-cased, punctuation apart; word pairs, rate 0.5, 25 passes, 100
                   dimensions (its tutorial's settings; best of 5 by cross-validation, which also rejected
                   sub-words and repeating the rare labels; it has no class weights)
spaCy bag          what ``spacy init config --pipeline textcat --optimize efficiency`` writes (TextCatBOW.v3), with
                   word pairs; a grouped tenth of the corpus chooses the best step; spaCy has no class weights
spaCy ensemble     the same of ``--optimize accuracy`` (TextCatEnsemble.v2), without pretrained vectors (none are at
                   hand offline), its token encoder in spaCy's small size (96 wide, 4 deep)
TF-IDF             scikit-learn: words and word pairs seen twice or more, sublinear; logistic regression, whose
                   C and class weights are chosen by cross-validation for macro-F1, here, each time
MiniLM             all-MiniLM-L6-v2, frozen: mean of its last states, of length 1; logistic regression, chosen likewise
MiniLM fine-tuned  the same, all its layers and a classification head: 3 passes, batches of 32, rate 5e-5 with a tenth
                   of warm-up and linear decay, weight decay 0.01, 128 word pieces (Devlin et al., 2019)
=================  ====================================================================================
"""

from __future__ import annotations

import importlib.util
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.encoder_base import DEFAULT_ENCODER, find_base
from pipeline.model import grouped_folds

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
#: Texts to probabilities of shape (n, n_labels).
Predict = Callable[[Sequence[str]], Floats]

SEED = 0
_C = (1.0, 4.0, 16.0, 64.0)
_TORCH = "pip install torch --index-url https://download.pytorch.org/whl/cpu, then pip install 'communique[encoder]'"
_ENCODER = dict.fromkeys(("torch", "transformers", "safetensors", DEFAULT_ENCODER), _TORCH)


@dataclass(frozen=True)
class Labelled:
    """What a peer learns from: texts, the number of each one's label, its group, and the labels' names."""

    texts: list[str]
    y: Ints
    groups: Ints
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Peer:
    """A peer: its name, what it imports and how that is installed, and its training."""

    name: str
    needs: Mapping[str, str]
    train: Callable[[Labelled], Predict]

    def missing(self) -> str | None:
        """The pip command for what is not installed, or None."""
        return next((how for name, how in self.needs.items() if importlib.util.find_spec(name) is None), None)


def fasttext_words(text: str) -> str:
    """A text as fastText's tutorial prepares it: lower case, punctuation apart, in one line."""
    return " ".join(re.findall(r"\w+|[^\w\s]", text.lower()))


def train_fasttext(data: Labelled, **settings: Any) -> Predict:
    import fasttext

    settings = {"lr": 0.5, "epoch": 25, "wordNgrams": 2, "dim": 100} | settings
    with tempfile.TemporaryDirectory() as folder:
        lines = [f"__label__{label} {fasttext_words(text)}\n" for text, label in zip(data.texts, data.y, strict=True)]
        (path := Path(folder) / "train.txt").write_text("".join(lines), encoding="utf-8")
        model = fasttext.train_supervised(str(path), thread=1, seed=SEED, verbose=0, **settings)

    def predict(texts: Sequence[str]) -> Floats:
        found = np.zeros((len(texts), len(data.labels)))
        answers = model.predict([fasttext_words(text) for text in texts], k=-1)
        for row, (names, values) in enumerate(zip(*answers, strict=True)):
            found[row, [int(name.removeprefix("__label__")) for name in names]] = values
        return found / found.sum(axis=1, keepdims=True)

    return predict


def tuned_regression(data: Labelled, matrix: Any) -> Any:
    """Logistic regression with the C and the class weights that are best by article-grouped macro-F1."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV

    grid = {"C": _C, "class_weight": (None, "balanced")}
    folds = grouped_folds(data.y, data.groups, 3, SEED)
    search = GridSearchCV(LogisticRegression(max_iter=2000), grid, scoring="f1_macro", cv=folds)
    return search.fit(matrix, data.y).best_estimator_


def _columns(classifier: Any, matrix: Any, n_labels: int) -> Floats:
    """Probabilities of all labels; one that the classifier never saw has 0."""
    found = np.zeros((matrix.shape[0], n_labels))
    found[:, classifier.classes_] = classifier.predict_proba(matrix)
    return found


def train_tfidf(data: Labelled) -> Predict:
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    classifier = tuned_regression(data, words.fit_transform(data.texts))
    return lambda texts: _columns(classifier, words.transform(texts), len(data.labels))


def _spacy_config(optimize: str) -> tuple[Any, dict[str, Any]]:
    """spaCy's own training configuration and what is set otherwise."""
    from spacy.cli.init_config import init_config

    config = init_config(lang="en", pipeline=["textcat"], optimize=optimize, gpu=False)
    if optimize == "efficiency":
        return config, {"components.textcat.model.ngram_size": 2}
    small = {"components.tok2vec.model.encode.width": 96, "components.tok2vec.model.encode.depth": 4}
    return config, {
        "paths.vectors": None,
        "components.tok2vec.model.embed.include_static_vectors": False,
        "components.textcat.model.linear_model.ngram_size": 2,
        **small,
    }


def train_spacy(optimize: str, data: Labelled, **overrides: Any) -> Predict:
    """``spacy train`` with spaCy's configuration for 'efficiency' or 'accuracy'; ``overrides`` are its dotted names."""
    import spacy
    from spacy.tokens import Doc, DocBin
    from spacy.training.initialize import init_nlp
    from spacy.training.loop import train as run

    blank = spacy.blank("en")

    def doc_of(row: int) -> Doc:
        doc = blank.make_doc(data.texts[row])
        doc.cats = {name: float(number == data.y[row]) for number, name in enumerate(data.labels)}
        return doc

    train, dev = grouped_folds(data.y, data.groups, 10, SEED)[0]
    config, ours = _spacy_config(optimize)
    with tempfile.TemporaryDirectory() as folder:
        for name, rows in (("train", train), ("dev", dev)):
            path = Path(folder) / f"{name}.spacy"
            DocBin(docs=[doc_of(row) for row in rows.tolist()], store_user_data=True).to_disk(path)
            ours[f"paths.{name}"] = str(path)
        config = config.merge(_nested({**ours, **overrides})).interpolate()
        (best := Path(folder) / "model").mkdir()
        with (Path(folder) / "log").open("w", encoding="utf-8") as log:
            run(init_nlp(config), best, stdout=log, stderr=log)
        nlp = spacy.load(best / "model-best")

    def predict(texts: Sequence[str]) -> Floats:
        return np.array([[doc.cats[name] for name in data.labels] for doc in nlp.pipe(texts)])

    return predict


def _nested(dotted: Mapping[str, Any]) -> dict[str, Any]:
    """``{"a.b": 1}`` as ``{"a": {"b": 1}}``."""
    found: dict[str, Any] = {}
    for name, value in dotted.items():
        *sections, last = name.split(".")
        place = found
        for section in sections:
            place = place.setdefault(section, {})
        place[last] = value
    return found


def _batches(texts: Sequence[str], size: int) -> Iterator[list[int]]:
    """All rows, the longest texts first, so that a batch holds little padding."""
    order = sorted(range(len(texts)), key=lambda row: -len(texts[row]))
    for at in range(0, len(order), size):
        yield order[at : at + size]


def train_minilm(data: Labelled) -> Predict:
    import torch
    from transformers import AutoModel, AutoTokenizer

    folder = find_base(DEFAULT_ENCODER)[1]
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = AutoModel.from_pretrained(folder, local_files_only=True).eval()

    def embed(texts: Sequence[str]) -> NDArray[np.float32]:
        found = np.zeros((len(texts), model.config.hidden_size), dtype=np.float32)
        for rows in _batches(texts, 64):
            chosen = [texts[row] for row in rows]
            pieces = tokenizer(chosen, padding=True, truncation=True, max_length=256, return_tensors="pt")
            with torch.inference_mode():
                states = model(**pieces).last_hidden_state
            mask = pieces["attention_mask"].unsqueeze(-1)
            mean = (states * mask).sum(dim=1) / mask.sum(dim=1)
            found[rows] = torch.nn.functional.normalize(mean).numpy()
        return found

    classifier = tuned_regression(data, embed(data.texts))
    return lambda texts: _columns(classifier, embed(texts), len(data.labels))


def train_finetuned(data: Labelled, *, rate: float = 5e-5, epochs: int = 3, batch: int = 32) -> Predict:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, get_linear_schedule_with_warmup

    torch.manual_seed(SEED)
    folder = find_base(DEFAULT_ENCODER)[1]
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model: Any = AutoModelForSequenceClassification.from_pretrained(
        folder, num_labels=len(data.labels), local_files_only=True
    )
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.01)
    steps = epochs * -(-len(data.texts) // batch)
    schedule = get_linear_schedule_with_warmup(optimiser, steps // 10, steps)
    target, shuffle = torch.from_numpy(data.y), np.random.default_rng(SEED)

    def scores(texts: list[str]) -> Any:
        pieces = tokenizer(texts, padding=True, truncation=True, max_length=128, return_tensors="pt")
        return model(**pieces).logits

    model.train()
    for _ in range(epochs):
        batches = _mixed_batches(data.texts, batch, shuffle)
        for rows in batches:
            loss = torch.nn.functional.cross_entropy(scores([data.texts[row] for row in rows]), target[rows])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            optimiser.zero_grad()
    model.eval()

    def predict(texts: Sequence[str]) -> Floats:
        found = np.zeros((len(texts), len(data.labels)))
        with torch.inference_mode():
            for rows in _batches(texts, 64):
                found[rows] = torch.softmax(scores([texts[row] for row in rows]), dim=1).numpy()
        return found

    return predict


def _mixed_batches(texts: Sequence[str], size: int, shuffle: np.random.Generator) -> list[list[int]]:
    """All rows once in random batches, made of texts of about the same length out of 20 batches' worth."""
    rows = shuffle.permutation(len(texts)).tolist()
    span = 20 * size
    parts = [sorted(rows[at : at + span], key=lambda row: len(texts[row])) for at in range(0, len(rows), span)]
    batches = [part[at : at + size] for part in parts for at in range(0, len(part), size)]
    shuffle.shuffle(batches)
    return batches


PEERS = (
    Peer("fastText", {"fasttext": "pip install fasttext-numpy2-wheel"}, train_fasttext),
    Peer("spaCy bag of words", {}, lambda data: train_spacy("efficiency", data)),
    Peer("spaCy ensemble", {}, lambda data: train_spacy("accuracy", data)),
    Peer("TF-IDF + logistic regression", {}, train_tfidf),
    Peer("MiniLM + logistic regression", _ENCODER, train_minilm),
    Peer("MiniLM fine-tuned", _ENCODER, train_finetuned),
)
