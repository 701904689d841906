"""The sentence encoder: fine-tunes the last layers of a BERT-like model and reads units with it.

The only module that imports PyTorch, and only once an encoder is opened. What was learnt leaves it as numpy
arrays (the change of each weight in 8 bits, the few biases and norms whole), so that a model on the shelf
is small and is opened without PyTorch.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.records import PipelineError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
#: The section and the text of a unit.
Pair = tuple[str, str]

#: Word pieces that are read of a unit and its section, and characters of the section.
LONGEST, SECTION = 112, 80
#: Units side by side, and how many of these batches are sorted by length together while fitting.
BATCH, SORTED = 32, 20
_FAMILIES = ("bert", "roberta", "xlm-roberta", "electra", "camembert")
#: Steps in which the rate rises (at most a tenth of all), label smoothing, weight decay, the rate of the head.
_WARM_UP, _SMOOTHING, _DECAY, _HEAD_RATE = 100, 0.05, 0.01, 1e-3


class Change(NamedTuple):
    """What fitting added to a matrix: ``steps * scale[:, None]``."""

    steps: NDArray[np.int8]
    scale: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Learnt:
    """What fitting changed: matrices of the last ``layers`` layers, and whole values of all that is small."""

    layers: int
    changes: dict[str, Change]
    values: dict[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Schedule:
    """How an encoder is fitted: layers from the last one down, passes over the units, the rate, the seed."""

    layers: int
    epochs: int
    learning_rate: float
    seed: int


def change_of(after: NDArray[np.float32], before: NDArray[np.float32]) -> Change:
    """The change of a matrix of shape (n, m) in 127 steps up and down, with a scale for each row."""
    change = after - before
    scale = (np.abs(change).max(axis=1) / 127).astype(np.float32)
    steps = np.divide(change, scale[:, None], out=np.zeros_like(change), where=scale[:, None] > 0)
    return Change(np.rint(steps).astype(np.int8), scale)


def by_length(pairs: Sequence[Pair], rows: Sequence[int]) -> list[list[int]]:
    """Rows in batches of about the same length, the longest first: little is read that is only padding."""
    ordered = sorted(rows, key=lambda row: -len(pairs[row][0][:SECTION]) - len(pairs[row][1]))
    return [ordered[at : at + BATCH] for at in range(0, len(ordered), BATCH)]


class Encoder:
    """An opened base encoder with a head for ``n_labels`` labels. It is never pickled.

    Parameters
    ----------
    folder : Path
        The base encoder, in the layout of transformers with ``model.safetensors``.
    n_labels : int
    layers : int
        How many of the last layers are fitted; those under them and the word embeddings stay as they are.

    Raises
    ------
    PipelineError
        The folder can't be opened, or is of a family whose layers are laid out in another way.
    """

    def __init__(self, folder: Path, n_labels: int, layers: int) -> None:
        import torch
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging

        self._torch: Any = torch
        level = logging.get_verbosity()
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            model: Any = AutoModel.from_pretrained(folder, local_files_only=True, use_safetensors=True)
        except (OSError, ValueError, ImportError) as error:
            raise PipelineError(f"the encoder can't be opened: {error}", where=str(folder)) from error
        finally:
            logging.set_verbosity(level)
        family = model.config.model_type
        if family not in _FAMILIES:
            raise PipelineError(
                f"an encoder of the family '{family}'; allowed are {', '.join(_FAMILIES)}", where=str(folder)
            )
        depth = len(model.encoder.layer)
        self.layers = min(layers, depth)
        self._upper: Any = model.encoder.layer[depth - self.layers :].float()
        model.encoder.layer = model.encoder.layer[: depth - self.layers]
        self._lower: Any = model.float().eval().requires_grad_(False)
        self._head: Any = torch.nn.Linear(model.config.hidden_size, n_labels)
        self._base = {name: value.clone() for name, value in self._upper.state_dict().items()}
        self._upper.eval()

    def states(self, pairs: Sequence[Pair]) -> list[Any]:
        """What the layers that stay as they are make of each unit: (n_pieces, size) tensors in half precision."""
        torch = self._torch
        found: list[Any] = [None] * len(pairs)
        with torch.inference_mode():
            for rows in by_length(pairs, range(len(pairs))):
                hidden, mask = self._below([pairs[row] for row in rows])
                for row, state, length in zip(rows, hidden, mask.sum(dim=1).tolist(), strict=True):
                    found[row] = state[:length].half()
        return [state.clone() for state in found]  # tensors of inference can't be fitted on

    def fit(
        self,
        states: Sequence[Any],
        y: Ints,
        weight: Floats,
        schedule: Schedule,
        progress: Callable[[str], None] = lambda _: None,
    ) -> Learnt:
        """Fit the last layers and the head from their base on, and leave them in use.

        Parameters
        ----------
        states : n tensors from :meth:`states`
        y, weight : arrays of shape (n,)
            Label numbers, and a weight for each unit.
        schedule : Schedule
        progress : callable
            Is told each pass, in words.
        """
        torch = self._torch
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(schedule.seed)
            self._restart()
            shuffle = random.Random(schedule.seed)
            parameters = list(self._upper.parameters())
            groups = [
                {"params": parameters, "lr": schedule.learning_rate},
                {"params": list(self._head.parameters()), "lr": _HEAD_RATE},
            ]
            optimiser = torch.optim.AdamW(groups, weight_decay=_DECAY)
            steps = schedule.epochs * -(-len(states) // BATCH)
            warm_up = max(1, min(_WARM_UP, steps // 10))
            rate = torch.optim.lr_scheduler.LambdaLR(
                optimiser, lambda step: min(1.0, (step + 1) / warm_up) * max(0.0, (steps - step) / steps)
            )
            target, scale = torch.from_numpy(y), torch.from_numpy(weight / weight.mean()).float()
            self._upper.train()
            for epoch in range(schedule.epochs):
                progress(f"fine-tuning the encoder: pass {epoch + 1} of {schedule.epochs} over {len(states)} units")
                for rows in self._batches(states, shuffle):
                    with self._half_precision():
                        scores = self._above(*self._padded([states[row] for row in rows]))
                    losses = torch.nn.functional.cross_entropy(
                        scores.float(), target[rows], reduction="none", label_smoothing=_SMOOTHING
                    )
                    (losses * scale[rows]).mean().backward()
                    torch.nn.utils.clip_grad_norm_(parameters, 1.0)
                    optimiser.step()
                    rate.step()
                    optimiser.zero_grad()
            self._upper.eval()
        learnt = self._learnt()
        self.use(learnt)  # what is measured from here on is what will be saved, rounding and all
        return learnt

    def use(self, learnt: Learnt) -> None:
        """Take over what was learnt."""
        torch = self._torch
        state = {name: torch.from_numpy(value.copy()) for name, value in learnt.values.items()}
        for name, change in learnt.changes.items():
            added = change.steps.astype(np.float32) * change.scale[:, None]
            state[name] = self._base[name] + torch.from_numpy(added)
        self._head.load_state_dict({name: state.pop(f"head.{name}") for name in ("weight", "bias")})
        self._upper.load_state_dict(state)

    def scores(self, pairs: Sequence[Pair]) -> Floats:
        """Log-probabilities of shape (n, n_labels), not calibrated."""
        scores = np.zeros((len(pairs), self._head.out_features))
        with self._torch.inference_mode():
            for rows in by_length(pairs, range(len(pairs))):
                logits = self._above(*self._below([pairs[row] for row in rows]))
                scores[rows] = self._torch.log_softmax(logits, dim=1).numpy()
        return scores

    def _below(self, pairs: Sequence[Pair]) -> tuple[Any, Any]:
        pieces = self._tokenizer(
            [section[:SECTION] for section, _ in pairs],
            [text for _, text in pairs],
            padding=True,
            truncation=True,
            max_length=LONGEST,
            return_tensors="pt",
        )
        return self._lower(**pieces).last_hidden_state, pieces["attention_mask"].bool()

    def _above(self, hidden: Any, mask: Any) -> Any:
        """Scores from the states under the last layers: through them, the mean over the pieces, and the head."""
        blocked = self._torch.zeros(mask.shape).masked_fill(~mask, -1e4)[:, None, None, :]
        for layer in self._upper:
            hidden = layer(hidden, attention_mask=blocked.to(hidden.dtype))
            hidden = hidden[0] if isinstance(hidden, tuple) else hidden
        shown = mask.unsqueeze(-1).to(hidden.dtype)
        return self._head((hidden * shown).sum(dim=1) / shown.sum(dim=1))

    def _padded(self, states: Sequence[Any]) -> tuple[Any, Any]:
        torch = self._torch
        lengths = torch.tensor([len(state) for state in states])
        hidden = torch.nn.utils.rnn.pad_sequence([state.float() for state in states], batch_first=True)
        return hidden, torch.arange(hidden.shape[1])[None, :] < lengths[:, None]

    def _restart(self) -> None:
        self._upper.load_state_dict(self._base)
        self._head.reset_parameters()

    def _learnt(self) -> Learnt:
        changes, values = {}, {}
        for name, value in self._upper.state_dict().items():
            if value.dim() == 2:
                changes[name] = change_of(value.numpy(), self._base[name].numpy())
            else:
                values[name] = value.numpy().copy()
        values |= {f"head.{name}": value.numpy().copy() for name, value in self._head.state_dict().items()}
        return Learnt(self.layers, changes, values)

    def _half_precision(self) -> AbstractContextManager[Any]:
        """bfloat16 where the processor computes with it, which halves the time; else nothing."""
        able: dict[str, bool] = getattr(self._torch.cpu, "get_capabilities", dict)()
        if able.get("avx512_bf16") or able.get("amx_bf16"):
            context: AbstractContextManager[Any] = self._torch.autocast("cpu", dtype=self._torch.bfloat16)
            return context
        return nullcontext()

    @staticmethod
    def _batches(states: Sequence[Any], shuffle: random.Random) -> list[list[int]]:
        """All rows once, in batches of about the same length, in random order."""
        rows = list(range(len(states)))
        shuffle.shuffle(rows)
        size = BATCH * SORTED
        parts = [sorted(rows[at : at + size], key=lambda row: len(states[row])) for at in range(0, len(rows), size)]
        batches = [part[at : at + BATCH] for part in parts for at in range(0, len(part), BATCH)]
        shuffle.shuffle(batches)
        return batches
