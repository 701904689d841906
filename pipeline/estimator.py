"""A scikit-learn estimator over raw texts: lists of sentences in, labels out, for grid searches and pipelines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import Tags
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, check_is_fitted, column_or_1d

from pipeline.batches import Batch, batch_of_examples
from pipeline.model import Floats, UnitClassifier
from pipeline.records import Example


class SentenceClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """The classifier of `communique train` over raw texts, each read alone: no heading, no sentence before it.

    Sentences of one article belong together: give their articles as ``groups``, to ``fit`` (with metadata routing, or
    directly) and to the splitter of a cross-validation, or scores flatter.

    Parameters
    ----------
    C : float, default=0.2
        Inverse strength of the penalty of the support vector machines.
    balance : float, default=0.25
        How far fitting evens out the labels: 0 takes them as they are, 1 makes all weigh the same.
    n_splits : int, default=5
        Folds for calibration.
    min_df : int, default=2
        Words and word pairs found in fewer texts are left out.
    ngram_weight, cue_weight, stance_weight, structure_weight : float
        Scale of each block of features, as in :class:`~pipeline.features.UnitFeatures`; 0 leaves it out.
    random_state : int, default=0
        Seed of the folds.

    Attributes
    ----------
    classes_ : array of shape (n_classes,)
    classifier_ : UnitClassifier
        What was fitted; ``explain.Explainer(classifier_)`` takes its scores apart.
    """

    def __init__(
        self,
        *,
        C: float = 0.2,
        balance: float = 0.25,
        n_splits: int = 5,
        min_df: int = 2,
        ngram_weight: float = 3.0,
        cue_weight: float = 1.0,
        stance_weight: float = 0.5,
        structure_weight: float = 0.15,
        random_state: int = 0,
    ) -> None:
        self.C = C
        self.balance = balance
        self.n_splits = n_splits
        self.min_df = min_df
        self.ngram_weight = ngram_weight
        self.cue_weight = cue_weight
        self.stance_weight = stance_weight
        self.structure_weight = structure_weight
        self.random_state = random_state

    def __sklearn_tags__(self) -> Tags:
        """Texts in one dimension, and no numbers."""
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        return tags

    def fit(self, X: Sequence[str], y: ArrayLike, groups: ArrayLike | None = None) -> SentenceClassifier:
        """Fit on texts.

        Parameters
        ----------
        X : sequence of n str
        y : n labels of any kind that scikit-learn takes for classes
        groups : array of n, default every text its own
            The article of each text; the folds of the calibration cut none.

        Raises
        ------
        ValueError
            X holds something other than texts, lengths differ, or there are fewer than two classes or two groups.
        """
        texts = _texts(X)
        target = column_or_1d(y, warn=True)
        check_classification_targets(target)
        check_consistent_length(texts, target)
        self.classes_, number = np.unique(target, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"needs two classes to tell apart; y has only 1 class, '{self.classes_[0]}'")
        articles = np.arange(len(texts)) if groups is None else column_or_1d(groups)
        check_consistent_length(texts, articles)
        articles = np.unique(articles, return_inverse=True)[1]
        if articles.max() < 1:
            raise ValueError("needs texts of at least two groups; groups names only 1")
        features = {
            name: value for name, value in self.get_params(deep=False).items() if name.endswith(("weight", "min_df"))
        }
        names = [str(index) for index in range(len(self.classes_))]
        self.classifier_ = UnitClassifier(
            names,
            C=self.C,
            features={**features, "context_weight": 0.0},
            balance=self.balance,
            n_splits=self.n_splits,
            random_state=self.random_state,
        )
        self.classifier_.fit(_batch(texts), [names[index] for index in number], articles)
        return self

    def decision_function(self, X: Sequence[str]) -> Floats:
        """Scores of shape (n, n_classes); of two classes only the second one's, of shape (n,)."""
        scores = self._fitted().decision_function(_batch(_texts(X)))
        return np.asarray(scores[:, 1]) if len(self.classes_) == 2 else scores

    def predict_proba(self, X: Sequence[str]) -> Floats:
        """Calibrated probabilities of shape (n, n_classes), in the order of ``classes_``."""
        return self._fitted().predict_proba(_batch(_texts(X)))

    def predict(self, X: Sequence[str]) -> NDArray[Any]:
        """The most probable class of each text."""
        best = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[best])

    def _fitted(self) -> UnitClassifier:
        check_is_fitted(self)
        classifier: UnitClassifier = self.classifier_
        return classifier


def _texts(X: Any) -> list[str]:
    """The texts of any sequence of them."""
    if isinstance(X, str):
        raise ValueError("X is a single string; give a list of texts")
    texts = list(X)
    wrong = next((number for number, text in enumerate(texts) if not isinstance(text, str)), None)
    if wrong is not None:
        raise ValueError(f"X must hold texts; element {wrong} is of type {type(texts[wrong]).__name__}")
    if not texts:
        raise ValueError("Found array with 0 sample(s); at least one text is needed")
    return [str(text) for text in texts]


def _batch(texts: Sequence[str]) -> Batch:
    """Each text the only unit of its document."""
    return batch_of_examples(
        [Example(str(number), "", "", None, "sentence", text, "") for number, text in enumerate(texts)]
    )
