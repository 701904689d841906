"""The systems that speed.py compares: each fits or predicts in a process of its own and says how long it took.

Usage: python tests/benchmarks/speed_systems.py NAME ARGUMENT...    (as speed.py does; NAME is a function below)
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SEED = 20
#: spaCy's bag-of-words classifier learns from so many sentences: its speed does not hang on it.
TEXTCAT_SENTENCES = 1500
BATCH = 4096


def corpus() -> list[list[dict[str, Any]]]:
    """The articles of the corpus, each as its rows."""
    articles: dict[str, list[dict[str, Any]]] = {}
    for path in sorted((ROOT / "corpus").glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            articles.setdefault(row["article"], []).append(row)
    return list(articles.values())


def rows_of_corpus() -> tuple[list[str], list[str]]:
    rows = [row for article in corpus() for row in article]
    return [" ".join(row["text"].split()) for row in rows], [row["label"] for row in rows]


def batches(path: str) -> Iterator[list[str]]:
    """The sentences of a file, ``BATCH`` at a time."""
    with open(path, encoding="utf-8") as lines:
        waiting = []
        for line in lines:
            waiting.append(line.rstrip("\n"))
            if len(waiting) == BATCH:
                yield waiting
                waiting = []
    if waiting:
        yield waiting


@contextmanager
def told() -> Iterator[None]:
    """Print the seconds and processor seconds that the block took, as JSON."""
    begun, cpu = time.perf_counter(), time.process_time()
    yield
    print(json.dumps({"seconds": time.perf_counter() - begun, "cpu": time.process_time() - cpu}))


def timed(predict: Callable[[list[str]], Any], path: str) -> None:
    with told():
        for batch in batches(path):
            predict(batch)


def bare(articles: str) -> None:
    import spacy

    nlp = spacy.blank("en")
    texts = [path.read_text(encoding="utf-8") for path in sorted(Path(articles).iterdir())]
    with told():
        for text in texts:
            nlp.make_doc(text)


def fit_sklearn(model: str) -> None:
    import joblib
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    pipeline = make_pipeline(TfidfVectorizer(), LogisticRegression(max_iter=1000))
    joblib.dump(pipeline.fit(*rows_of_corpus()), model)


def predict_sklearn(model: str, sentences: str) -> None:
    import joblib

    timed(joblib.load(model).predict_proba, sentences)


def fit_fasttext(model: str) -> None:
    import fasttext

    texts, labels = rows_of_corpus()
    training = Path(model).with_suffix(".train")
    lines = (f"__label__{label} {text}\n" for text, label in zip(texts, labels, strict=True))
    training.write_text("".join(lines), encoding="utf-8")
    fasttext.train_supervised(str(training), thread=1, seed=SEED, verbose=0).save_model(model)


def predict_fasttext(model: str, sentences: str) -> None:
    import fasttext

    timed(fasttext.load_model(model).predict, sentences)


def fit_textcat(model: str) -> None:
    import spacy
    from spacy.training import Example

    nlp = spacy.blank("en")
    network = {
        "@architectures": "spacy.TextCatBOW.v3",
        "exclusive_classes": True,
        "ngram_size": 1,
        "no_output_layer": False,
        "length": 262144,
    }
    nlp.add_pipe("textcat", config={"model": network})
    texts, labels = rows_of_corpus()
    names = sorted(set(labels))
    chosen = random.Random(SEED).sample(range(len(texts)), min(TEXTCAT_SENTENCES, len(texts)))
    examples = [
        Example.from_dict(nlp.make_doc(texts[at]), {"cats": {name: float(name == labels[at]) for name in names}})
        for at in chosen
    ]
    nlp.initialize(lambda: examples)
    for start in range(0, len(examples), 200):
        nlp.update(examples[start : start + 200])
    nlp.to_disk(model)


def predict_textcat(model: str, sentences: str) -> None:
    import spacy

    nlp = spacy.load(model)
    timed(lambda batch: [doc.cats for doc in nlp.pipe(batch, batch_size=1024)], sentences)


SYSTEMS: dict[str, Callable[..., None]] = {
    one.__name__: one
    for one in (
        *(bare, fit_sklearn, predict_sklearn),
        *(fit_fasttext, predict_fasttext, fit_textcat, predict_textcat),
    )
}


if __name__ == "__main__":
    SYSTEMS[sys.argv[1]](*sys.argv[2:])
