"""The default classifier and a fine-tuned sentence encoder in one: their scores, weighted and calibrated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from pipeline.batches import Batch
from pipeline.encoder_base import DEFAULT_ENCODER, find_base, folder_with
from pipeline.model import (
    LEAST_TO_CALIBRATE,
    Floats,
    Ints,
    TemperatureScaling,
    UnitClassifier,
    grouped_folds,
    label_weights,
    lengths,
)

if TYPE_CHECKING:
    from pipeline.encoder import Encoder, Pair

#: One part in so many of the articles is held back to weigh and calibrate the two; half of the chosen ones, if any.
HELD_BACK = 5
_SHARES = np.linspace(0.0, 1.0, 21)


def pairs_of(batch: Batch) -> list[Pair]:
    """What the encoder reads of each unit: its section, and its text."""
    return [(batch.heading_texts[section], text) for section, text in zip(batch.sections, batch.texts, strict=True)]


def best_share(dense: Floats, sparse: Floats, y: Ints, n_tokens: Ints) -> tuple[float, TemperatureScaling]:
    """The encoder's share of the sum of both scores, and the calibration of that sum, by likelihood.

    ``dense`` and ``sparse`` are the scores of the encoder and of the sparse model, of shape (n, n_labels);
    ``n_tokens`` (n,) are the lengths of the units.
    """

    def loss(share: float) -> tuple[float, float, TemperatureScaling]:
        scores = share * dense + (1 - share) * sparse
        scaling = TemperatureScaling.fit(scores, y, n_tokens)
        truth = scaling(scores, n_tokens)[np.arange(len(y)), y]
        return float(-np.log(np.maximum(truth, 1e-12)).sum()), share, scaling

    _, share, scaling = min((loss(float(share)) for share in _SHARES), key=lambda found: found[:2])
    return share, scaling


def hold_back(y: Ints, groups: Ints, chosen: NDArray[np.bool_], seed: int) -> tuple[Ints, Ints]:
    """Rows to fit on and rows to calibrate on, which share no group.

    Calibrated is on half of the groups of the ``chosen`` rows where that makes enough of them, else on a fifth of all.
    """
    rows = np.flatnonzero(chosen)
    if chosen.all() or len(rows) < 2 * LEAST_TO_CALIBRATE or len(np.unique(groups[rows])) < 2:
        return grouped_folds(y, groups, HELD_BACK, seed)[0]
    half = grouped_folds(y[rows], groups[rows], 2, seed)[0][1]
    back = rows[half]
    return np.flatnonzero(~np.isin(groups, groups[back])), back


class CombinedClassifier(UnitClassifier):
    """:class:`~pipeline.model.UnitClassifier` together with a sentence encoder fine-tuned on the same units.

    The last layers of the encoder and a head are fitted without the articles that :func:`hold_back` takes; on those
    the two are weighed against each other and calibrated; then both are fitted on everything.

    Parameters
    ----------
    labels, C, features, balance, precision, n_splits, n_jobs, random_state
        As in UnitClassifier; the folds of ``n_splits`` are not made here.
    encoder : str
        Name or folder of the base encoder. Its weights are not saved with the model.
    layers, epochs : int
        How many of the last layers are fitted, and in how many passes over the units.
    learning_rate : float
        The highest rate, after the warm-up.

    Attributes
    ----------
    base_ : encoder_base.Base
        The base encoder that was fitted on, with its SHA-256.
    learnt_ : encoder.Learnt
        What fine-tuning changed.
    share_ : float
        The encoder's share of the sum of the scores; the rest is the sparse model's.
    """

    def __init__(
        self,
        labels: Sequence[str],
        *,
        encoder: str = DEFAULT_ENCODER,
        layers: int = 3,
        epochs: int = 3,
        learning_rate: float = 1.5e-4,
        C: float = 0.2,
        features: Mapping[str, Any] | None = None,
        balance: float = 0.25,
        precision: float = 0.7,
        n_splits: int = 5,
        n_jobs: int = 1,
        random_state: int = 0,
    ) -> None:
        super().__init__(
            labels,
            C=C,
            features=features,
            balance=balance,
            precision=precision,
            n_splits=n_splits,
            n_jobs=n_jobs,
            random_state=random_state,
        )
        self.encoder = encoder
        self.layers = layers
        self.epochs = epochs
        self.learning_rate = learning_rate

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()
        return {name: value for name, value in state.items() if name != "_opened"}

    def fit(
        self,
        batch: Batch,
        y: Sequence[str],
        groups: ArrayLike | None = None,
        calibrate_on: ArrayLike | None = None,
        *,
        progress: Callable[[str], None] = lambda _: None,
    ) -> CombinedClassifier:
        """Fit on labelled units, as UnitClassifier does; ``progress`` is told each step.

        ``calibrate_on``, an array of n bool, says which units are most like the text that will be classified.

        Raises
        ------
        PipelineError
            The extra is not installed, or there is no such encoder on this machine.
        """
        from pipeline.encoder import Encoder, Schedule

        target = self._encode(y)
        weight = label_weights(target, self.balance)
        self.base_, folder = find_base(self.encoder)
        encoder = Encoder(folder, len(self.labels), self.layers)
        schedule = Schedule(self.layers, self.epochs, self.learning_rate, self.random_state)
        pairs = pairs_of(batch)
        progress(f"reading {len(pairs)} units with the encoder {self.encoder}")
        states = encoder.states(pairs)
        articles = batch.documents if groups is None else np.asarray(groups)
        chosen = np.ones(len(target), dtype=bool) if calibrate_on is None else np.asarray(calibrate_on, dtype=bool)
        train, back = hold_back(target, articles, chosen, self.random_state)
        sparse = self._fit_fold(batch, target, train, back)
        encoder.fit([states[row] for row in train], target[train], weight[train], schedule, progress)
        dense = encoder.scores([pairs[row] for row in back])
        n_tokens = lengths(batch)[back]
        self.share_, self.scaling_ = best_share(dense, sparse, target[back], n_tokens)
        self.thresholds_ = self._thresholds(self.scaling_(self._sum(dense, sparse), n_tokens), target[back])
        self.pipeline_ = self._fit_pipeline(batch, target)
        self.learnt_ = encoder.fit(states, target, weight, schedule, progress)
        self._opened = encoder
        self.classes_ = np.array(self.labels)
        return self

    def open_encoder(self) -> Encoder:
        """The encoder with what was learnt, opened once.

        Raises
        ------
        PipelineError
            The extra is not installed, or the base weights on this machine are not those that were fitted on.
        """
        check_is_fitted(self, "learnt_")
        opened: Encoder | None = getattr(self, "_opened", None)
        if opened is None:
            folder = folder_with(self.base_)
            from pipeline.encoder import Encoder

            opened = Encoder(folder, len(self.labels), self.learnt_.layers)
            opened.use(self.learnt_)
            self._opened = opened
        return opened

    def manifest(self) -> dict[str, Any]:
        """What the manifest says of the encoder, with the versions that are installed here."""
        versions = {name: version(name) for name in ("torch", "transformers")}
        return {
            **asdict(self.base_),
            "layers": self.learnt_.layers,
            "epochs": self.epochs,
            "share": round(self.share_, 3),
            "versions": versions,
        }

    def decision_function(self, batch: Batch) -> Floats:
        """Scores of shape (n_units, n_labels): the weighted sum of the encoder's and the sparse model's."""
        return self._sum(self.open_encoder().scores(pairs_of(batch)), self._scores(self.pipeline_, batch))

    def linear(self) -> tuple[Floats, Floats]:
        """Weights and intercepts of the sparse model's part of the score."""
        weights, base = super().linear()
        return (1 - self.share_) * weights, (1 - self.share_) * base

    def other_scores(self, batch: Batch) -> dict[str, Floats]:
        """The encoder's part of the score, which can't be taken apart into words."""
        return {"sentence encoder": self.share_ * self.open_encoder().scores(pairs_of(batch))}

    def _sum(self, dense: Floats, sparse: Floats) -> Floats:
        return self.share_ * dense + (1 - self.share_) * sparse
