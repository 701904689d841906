"""The estimator over raw texts: scikit-learn's own checks, its searches, and its errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sklearn
from conftest import SMALL_LEXICON, batch_of_texts
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from sklearn.utils.estimator_checks import parametrize_with_checks

from pipeline import features
from pipeline.estimator import SentenceClassifier
from pipeline.explain import Explainer

WANT = ["The minister wants a deal on {}.", "Officials plan a pact on {}.", "The envoy seeks a treaty on {}."]
CLASH = ["A dispute over {} goes on.", "Talks on {} stalled again.", "Distrust about {} divides them."]
TOPICS = "fish grain visas rail gas ports water fees".split()
X = [pattern.format(topic) for topic in TOPICS for pattern in (*WANT, *CLASH)]
Y = [label for _ in TOPICS for label in ["goal"] * 3 + ["challenge"] * 3]
ARTICLES = [topic for topic in TOPICS for _ in range(6)]


@pytest.fixture(autouse=True)
def small_lexicon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "load_lexicon", lambda: SMALL_LEXICON)


class OnNumbers(SentenceClassifier):
    """The estimator behind a reader of matrices, so that scikit-learn's checks, which make matrices, all reach it.

    A row becomes a sentence with a word for each value, rounded.
    """

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = tags.input_tags.one_d_array = False
        tags.input_tags.two_d_array = True
        return tags

    def fit(self, X: Any, y: Any, groups: Any = None) -> OnNumbers:
        X, y = sklearn.utils.validation.validate_data(self, X, y)
        super().fit(_sentences(X), y, groups)
        return self

    def decision_function(self, X: Any) -> Any:
        return super().decision_function(self._read(X))

    def predict_proba(self, X: Any) -> Any:
        return super().predict_proba(self._read(X))

    def _read(self, X: Any) -> list[str]:
        sklearn.utils.validation.check_is_fitted(self)
        return _sentences(sklearn.utils.validation.validate_data(self, X, reset=False))


def _sentences(X: Any) -> list[str]:
    steps = np.clip(np.round(np.asarray(X, dtype=float)), -99, 99).astype(int)
    return [" ".join(f"w{column}x{value + 100}" for column, value in enumerate(row)) for row in steps]


# for an estimator that takes no matrix, these are the checks of the interface; scikit-learn says that it skips the rest
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks([SentenceClassifier()])
def test_scikit_learns_checks_for_text_estimators(estimator: SentenceClassifier, check: Any) -> None:
    check(estimator)


@parametrize_with_checks([OnNumbers(min_df=1, n_splits=2)])
def test_scikit_learns_checks_for_classifiers(estimator: OnNumbers, check: Any) -> None:
    check(estimator)


def test_texts_in_and_labels_out() -> None:
    fitted = SentenceClassifier(min_df=1, n_splits=2).fit(X, Y, ARTICLES)
    assert fitted.predict(["The president wants a pact on steel.", "Distrust about steel goes on."]).tolist() == [
        "goal",
        "challenge",
    ]
    assert fitted.classes_.tolist() == ["challenge", "goal"]
    assert fitted.predict_proba(X[:3]).shape == (3, 2)
    np.testing.assert_allclose(fitted.predict_proba(X).sum(axis=1), 1)
    assert ((fitted.decision_function(X) > 0) == (fitted.predict(X) == "goal")).all()


@pytest.mark.parametrize("kind", [tuple, np.array, lambda texts: np.array(texts, dtype=object)])
def test_any_sequence_of_texts(kind: Any) -> None:
    fitted = SentenceClassifier(n_splits=2).fit(X, Y)
    assert fitted.predict(kind(X[:4])).tolist() == fitted.predict(X[:4]).tolist()


def test_it_does_not_hang_on_its_neighbours() -> None:
    fitted = SentenceClassifier(n_splits=2).fit(X, Y)
    alone = np.vstack([fitted.predict_proba([text]) for text in X[:6]])
    np.testing.assert_allclose(fitted.predict_proba(X[:6]), alone)


def test_labels_may_be_numbers() -> None:
    numbers = np.array([3 if label == "goal" else -1 for label in Y])
    fitted = SentenceClassifier(n_splits=2).fit(X, numbers)
    assert fitted.predict(X[:1]).dtype == numbers.dtype
    assert fitted.score(X, numbers) > 0.9


def test_clone_keeps_the_settings_and_nothing_else() -> None:
    fitted = SentenceClassifier(C=0.5, n_splits=2).fit(X, Y)
    copy = clone(fitted)
    assert copy.get_params() == fitted.get_params()
    assert not hasattr(copy, "classifier_")


def test_cross_validation_with_articles_as_groups() -> None:
    scores = cross_val_score(SentenceClassifier(n_splits=2), X, Y, groups=ARTICLES, cv=GroupKFold(4))
    assert len(scores) == 4
    assert scores.mean() > 0.9


def test_grid_search_routes_the_groups_to_the_splitter_and_to_fit() -> None:
    with sklearn.config_context(enable_metadata_routing=True):
        estimator = SentenceClassifier(n_splits=2, stance_weight=0.0).set_fit_request(groups=True)
        search = GridSearchCV(estimator, {"C": [0.1, 1.0], "cue_weight": [0.0, 1.0]}, cv=GroupKFold(2))
        search.fit(X, Y, groups=ARTICLES)
    assert search.best_score_ > 0.9
    assert search.predict(["The envoy wants a deal on steel."]).tolist() == ["goal"]
    names = search.best_estimator_.classifier_.pipeline_[0].get_feature_names_out()
    assert any(name.startswith("cue=") for name in names) == (search.best_params_["cue_weight"] > 0)


def test_what_is_fitted_can_be_explained() -> None:
    fitted = SentenceClassifier(n_splits=2).fit(X, Y)
    batch = batch_of_texts(X[:3])
    scores = fitted.classifier_.decision_function(batch)
    for row, one in zip(scores, Explainer(fitted.classifier_).explain(batch), strict=True):
        np.testing.assert_allclose(np.sum([term.scores for term in one.terms], axis=0), row, atol=1e-9)


@pytest.mark.parametrize(
    ("texts", "labels", "groups", "message"),
    [
        ("one text", ["a"], None, "X is a single string; give a list of texts"),
        ([["a"], ["b"]], ["a", "b"], None, "X must hold texts; element 0 is of type list"),
        (["a", 3.5], ["a", "b"], None, "X must hold texts; element 1 is of type float"),
        ([], [], None, r"Found array with 0 sample\(s\)"),
        (["a", "b"], ["x", "x"], None, "needs two classes to tell apart; y has only 1 class, 'x'"),
        (["a", "b"], ["x", "y"], ["g", "g"], "at least two groups; groups names only 1"),
        (["a", "b"], ["x"], None, "inconsistent numbers of samples"),
        (["a", "b"], ["x", "y"], ["g"], "inconsistent numbers of samples"),
        (["a", "b", "c"], [0.1, 0.2, 0.3], None, "Unknown label type"),
    ],
)
def test_errors_say_what_is_wrong(texts: Any, labels: Any, groups: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SentenceClassifier().fit(texts, labels, groups)


@pytest.mark.parametrize("labels", [["x", "y"], ["x", "y", "y"], ["x", "x", "y", "y"]])
def test_very_few_texts_are_no_error(labels: list[str]) -> None:
    texts = [X[0], X[3], X[4], X[5]][: len(labels)]
    fitted = SentenceClassifier(min_df=1).fit(texts, labels)
    assert fitted.predict_proba(texts).shape == (len(texts), 2)
