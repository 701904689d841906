"""The classifier: features, linear support vector machines, calibration on article-grouped folds, abstention."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.svm import LinearSVC
from sklearn.utils.validation import check_is_fitted
from threadpoolctl import threadpool_limits

from pipeline.batches import Batch
from pipeline.familiarity import Familiarity
from pipeline.features import UnitFeatures
from pipeline.records import BACKGROUND, PipelineError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
#: Margin of a label that was not among the training data; real ones lie between about -3 and 3.
_UNSEEN = -20.0
#: Tokens of a unit whose temperature is the plain one; about the mean of news.
_USUAL_LENGTH = 20.0
#: Fewer units than this say too little about five labels' probabilities.
LEAST_TO_CALIBRATE = 500


def grouped_folds(y: ArrayLike, groups: ArrayLike, n_splits: int, seed: int) -> list[tuple[Ints, Ints]]:
    """Train and test rows of each fold; a group is never cut, and labels are spread evenly.

    Rows keep their order, so that neighbours stay neighbours. There are no more folds than groups.

    Raises
    ------
    PipelineError
        There are fewer than two groups.
    """
    n_groups = len(np.unique(groups))
    if n_groups < 2:
        raise PipelineError(
            "a model needs units of at least two articles that share no near-duplicates",
            remedy="add corpus files of other articles",
        )
    if n_groups < 4 * n_splits:  # with few groups, stratifying may leave a fold without any
        splitter = GroupKFold(n_splits=min(n_splits, n_groups))
    else:
        splitter = StratifiedGroupKFold(n_splits=n_splits, shuffle=True, random_state=seed)
    with warnings.catch_warnings():  # a label rarer than the folds is no mistake of the user's
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        return [(train, test) for train, test in splitter.split(np.zeros(len(np.asarray(y))), y, groups)]


class TemperatureScaling:
    """Calibration of class scores by a temperature: ``softmax(scores / (temperature * (n_tokens / 20) ** slope))``.

    Guo et al. (2017), "On calibration of modern neural networks", with a temperature that grows with the length
    of the unit, as far as the data show it: the same score is less certain in a longer sentence. The order of the
    labels stays as it is.
    """

    def __init__(self, temperature: float = 1.0, slope: float = 0.0) -> None:
        self.temperature = temperature
        self.slope = slope

    @classmethod
    def fit(cls, scores: Floats, y: Ints, n_tokens: Ints) -> TemperatureScaling:
        """Fit by likelihood on held-out scores of shape (n, n_classes), class numbers ``y``, and lengths (n,)."""
        length = np.log(np.maximum(n_tokens, 1) / _USUAL_LENGTH)

        def loss(parameters: Floats) -> float:
            shrunk = scores * np.exp(-parameters[0] - parameters[1] * length)[:, None]
            return -float(log_softmax(shrunk, axis=1)[np.arange(len(y)), y].mean())

        # the bounds keep scores that say nothing, or everything, from growing or shrinking without end
        found = minimize(loss, np.zeros(2), method="L-BFGS-B", bounds=[(-4.0, 4.0), (-1.0, 1.0)])
        return cls(float(np.exp(found.x[0])), float(found.x[1]))

    def __call__(self, scores: Floats, n_tokens: Ints) -> Floats:
        """Probabilities of shape (n, n_classes); every row sums to 1."""
        temperature = self.temperature * (np.maximum(n_tokens, 1) / _USUAL_LENGTH) ** self.slope
        return np.asarray(softmax(scores / temperature[:, None], axis=1))


def lengths(batch: Batch) -> Ints:
    """Tokens of each unit."""
    return np.diff(batch.tokens.starts)


def label_weights(y: Ints, balance: float) -> Floats:
    """A weight for each unit: its label's frequency to the power of ``-balance``, scaled to a mean of 1.

    0 leaves the labels as frequent as they are, 1 makes them weigh the same.
    """
    weight = np.bincount(y)[y].astype(np.float64) ** -balance
    return np.asarray(weight / weight.mean())


def precision_threshold(confidence: Floats, right: NDArray[np.bool_], target: float) -> float:
    """The lowest confidence from which on the precision is at least ``target``.

    Where no cut reaches the target, the confidence with the best precision over at least 20 units.
    """
    order = np.argsort(-confidence, kind="stable")
    precision = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    # a cut takes all units of one confidence, or none of them
    last_of_tie = np.append(np.diff(confidence[order]) != 0, True)
    enough = last_of_tie & (np.arange(len(order)) >= min(19, len(order) - 1))
    good = np.flatnonzero((precision >= target) & enough)
    if len(good):
        return float(confidence[order[good[-1]]])
    candidates = np.flatnonzero(enough)
    return float(confidence[order[candidates[np.argmax(precision[candidates])]]])


class UnitClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Classify units of news documents.

    A scikit-learn pipeline (sparse features, one linear support vector machine a label), whose scores are
    calibrated on article-grouped out-of-fold predictions.

    Parameters
    ----------
    labels : sequence of str
        The label names, in the order of the output.
    C : float
        Inverse strength of the penalty of the support vector machines.
    features : dict or None
        Parameters of :class:`~pipeline.features.UnitFeatures`.
    balance : float
        In fitting, a unit weighs its label's frequency to the power of ``-balance``: 0 takes the corpus as it is,
        1 makes all labels weigh the same. Calibration and thresholds are not weighted.
    precision : float
        A label's threshold is the lowest confidence at which its out-of-fold precision is at least this.
    unfamiliar : float
        The share of the corpus whose words may count as unfamiliar (see :mod:`pipeline.familiarity`): what has no
        more of the corpus's words than that is not taken for more than background with confidence.
    n_splits : int
        Number of article-grouped folds for calibration and thresholds.
    n_jobs, random_state : int
        Processes for the folds, and the seed of their draw.

    Attributes
    ----------
    classes_ : array of str
    thresholds_ : dict of label to float
        Under its label's threshold a prediction is uncertain.
    familiarity_ : Familiarity
        Where the text is unfamiliar, every label but background is uncertain.
    """

    def __init__(
        self,
        labels: Sequence[str],
        *,
        C: float = 0.2,
        features: Mapping[str, Any] | None = None,
        balance: float = 0.25,
        precision: float = 0.7,
        unfamiliar: float = 0.01,
        n_splits: int = 5,
        n_jobs: int = 1,
        random_state: int = 0,
    ) -> None:
        self.labels = labels
        self.C = C
        self.features = features
        self.balance = balance
        self.precision = precision
        self.unfamiliar = unfamiliar
        self.n_splits = n_splits
        self.n_jobs = n_jobs
        self.random_state = random_state

    def _pipeline(self) -> Pipeline:
        svm = LinearSVC(C=self.C, max_iter=10_000, random_state=self.random_state)
        return make_pipeline(UnitFeatures(**(self.features or {})), svm)

    def _encode(self, y: Sequence[str]) -> Ints:
        number = {label: index for index, label in enumerate(self.labels)}
        unknown = sorted(set(y) - set(number))
        if unknown:
            raise ValueError(f"unknown labels {unknown}; the labels are {list(self.labels)}")
        return np.array([number[label] for label in y], dtype=np.int64)

    def _scores(self, pipeline: Pipeline, batch: Batch) -> Floats:
        """Margins of every label; a label that the fold never saw gets a very low one."""
        scores = np.full((len(batch), len(self.labels)), _UNSEEN)
        if not len(batch):  # scikit-learn predicts no empty matrix
            return scores
        margins = pipeline.decision_function(batch)
        if margins.ndim == 1:  # of two labels, the second one's
            margins = np.stack([-margins, margins], axis=1)
        scores[:, pipeline[-1].classes_] = margins
        return scores

    def _fit_pipeline(self, batch: Batch, y: Ints) -> Pipeline:
        pipeline = self._pipeline()
        # BLAS threads have too little to do here: on a busy machine they wait for each other ten times
        # as long as they work, and their number would show in the last digits of the coefficients
        # weights go to a step by name, whatever a caller who routes metadata has switched on
        with threadpool_limits(1), config_context(enable_metadata_routing=False):
            return pipeline.fit(batch, y, linearsvc__sample_weight=label_weights(y, self.balance))

    def _fit_fold(self, batch: Batch, y: Ints, train: Ints, test: Ints) -> Floats:
        if (y[train] == y[train[0]]).all():  # a fold that saw one label can only say that
            scores = np.full((len(test), len(self.labels)), _UNSEEN)
            scores[:, y[train[0]]] = 0.0
            return scores
        return self._scores(self._fit_pipeline(batch.take(train), y[train]), batch.take(test))

    def fit(
        self,
        batch: Batch,
        y: Sequence[str],
        groups: ArrayLike | None = None,
        calibrate_on: ArrayLike | None = None,
    ) -> UnitClassifier:
        """Fit on labelled units.

        Parameters
        ----------
        batch : Batch of n units
        y : n label names
        groups : array of n group numbers, default the batch's documents
            No calibration fold cuts a group: articles, or better whole sources, whose scores then are those on text
            of a source that was not learnt from.
        calibrate_on : array of n bool, default all
            Units whose out-of-fold scores give the calibration and the thresholds: those that are most like
            the text that will be classified. All are used where fewer than ``LEAST_TO_CALIBRATE`` are chosen.
        """
        target = self._encode(y)
        chosen = np.ones(len(target), dtype=bool) if calibrate_on is None else np.asarray(calibrate_on, dtype=bool)
        if chosen.sum() < LEAST_TO_CALIBRATE:
            chosen = np.ones_like(chosen)
        folds = grouped_folds(target, batch.documents if groups is None else groups, self.n_splits, self.random_state)
        scores = np.zeros((len(target), len(self.labels)))
        for (_, test), part in zip(folds, self.fold_scores(batch, y, folds), strict=True):
            scores[test] = part
        scores, known, n_tokens = scores[chosen], target[chosen], lengths(batch)[chosen]
        self.scaling_ = TemperatureScaling.fit(scores, known, n_tokens)
        self.thresholds_ = self._thresholds(self.scaling_(scores, n_tokens), known)
        plain = chosen & (np.array(self.labels)[target] == BACKGROUND)
        self.familiarity_ = Familiarity.fit(batch, plain, folds, chosen, self.unfamiliar)
        self.pipeline_ = self._fit_pipeline(batch, target)
        self.classes_ = np.array(self.labels)
        return self

    def fold_scores(self, batch: Batch, y: Sequence[str], folds: Sequence[tuple[Ints, Ints]]) -> list[Floats]:
        """Margins of the test rows of each fold, each of shape (n_test, n_labels), by a fit on its train rows alone.

        They are not calibrated: ``argmax`` is the label, ``TemperatureScaling`` makes probabilities.
        """
        target = self._encode(y)
        return list(
            Parallel(n_jobs=self.n_jobs)(
                delayed(clone(self)._fit_fold)(batch, target, train, test) for train, test in folds
            )
        )

    def _thresholds(self, probabilities: Floats, target: Ints) -> dict[str, float]:
        guess = probabilities.argmax(axis=1)
        confidence = probabilities.max(axis=1)
        thresholds = {}
        for index, label in enumerate(self.labels):
            said = guess == index
            right = target[said] == index
            thresholds[label] = precision_threshold(confidence[said], right, self.precision) if said.any() else 1.0
        return thresholds

    def decision_function(self, batch: Batch) -> Floats:
        """Scores of shape (n_units, n_labels), in the order of ``classes_``, before calibration."""
        check_is_fitted(self, "pipeline_")
        return self._scores(self.pipeline_, batch)

    def linear(self) -> tuple[Floats, Floats]:
        """Weights of shape (n_labels, n_features) and intercepts of shape (n_labels,).

        ``features @ weights.T + intercepts``, plus what ``other_scores`` gives, is ``decision_function``.
        """
        check_is_fitted(self, "pipeline_")
        svm = self.pipeline_[-1]
        coef, intercept = svm.coef_, svm.intercept_
        if len(coef) == 1:  # of two labels, the second one's
            coef, intercept = np.vstack([-coef, coef]), np.concatenate([-intercept, intercept])
        weights = np.zeros((len(self.labels), coef.shape[1]))
        base = np.full(len(self.labels), _UNSEEN)
        weights[svm.classes_], base[svm.classes_] = coef, intercept
        return weights, base

    def other_scores(self, batch: Batch) -> dict[str, Floats]:
        """Parts of ``decision_function`` that no feature explains: name to array of shape (n_units, n_labels)."""
        return {}

    def predict_proba(self, batch: Batch) -> Floats:
        """Calibrated probabilities of shape (n_units, n_labels), in the order of ``classes_``."""
        scores = self.decision_function(batch)
        return self.scaling_(scores, lengths(batch))

    def uncertain(self, batch: Batch, probabilities: Floats) -> NDArray[np.bool_]:
        """Which units' best labels are uncertain, given their probabilities of shape (n_units, n_labels).

        Those under their label's threshold, and every label but background where the text is unfamiliar.
        """
        best = probabilities.argmax(axis=1)
        thresholds = np.array([self.thresholds_[label] for label in self.labels])
        foreign = self.familiarity_.unfamiliar(batch) & (np.array(self.labels)[best] != BACKGROUND)
        return np.asarray((probabilities.max(axis=1) < thresholds[best]) | foreign)

    def predict(self, batch: Batch) -> NDArray[np.str_]:
        """The most probable label of each unit."""
        best = self.predict_proba(batch).argmax(axis=1)
        return np.asarray(self.classes_[best])
