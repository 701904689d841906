"""The model of a running server: opened once, and exchanged when another is promoted, without a failed request."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from pipeline.classify import Model, load
from pipeline.manifest import REBUILD
from pipeline.places import models_folder
from pipeline.reasons import Reasoner
from pipeline.records import PipelineError
from pipeline.shelf import CURRENT_FILE, current_id


class Loaded:
    """A model, when it was opened (seconds since 1970), and its reasoner once somebody asks for reasons."""

    def __init__(self, model: Model, corpus: Path | None = None) -> None:
        self.model = model
        self.opened = time.time()
        self._corpus = corpus
        self._reasoner: Reasoner | None = None
        self._making = threading.Lock()

    def reasoner(self) -> Reasoner:
        """What explains the model; made at the first call, which takes seconds: it reads the corpus for precedents."""
        with self._making:
            if self._reasoner is None:
                self._reasoner = Reasoner(self.model, self._corpus)
            return self._reasoner


class ModelKeeper:
    """Holds the model in use, and watches ``models/current``.

    Parameters
    ----------
    models : Path, optional
        The models folder; default as for :func:`pipeline.classify.load`.
    model_id : str, optional
        Stay with this one, whatever is promoted.
    first : Model, optional
        The model to begin with, where it is open already.
    corpus : Path, optional
        Where precedents come from.
    explaining : bool
        Whether reasons are made ready before a model is used, so that nobody waits for the corpus to be read.
    said : callable, optional
        Is told when the model changes, or can't.
    """

    def __init__(
        self,
        models: Path | None = None,
        model_id: str | None = None,
        *,
        first: Model | None = None,
        corpus: Path | None = None,
        explaining: bool = True,
        said: Callable[[str], None] | None = None,
    ) -> None:
        self.folder = models_folder(models)
        self.reloads = {"done": 0, "failed": 0}
        self.problem: str | None = None
        self._fixed = model_id
        self._corpus = corpus
        self._explaining = explaining
        self._say = said or (lambda _: None)
        self._seen = self._mark()
        self.current = Loaded(_probed(first), corpus) if first is not None else self._open(model_id)
        self._stop = threading.Event()
        self._watcher: threading.Thread | None = None

    def watch(self, every: float = 1.0) -> None:
        """Look for another promoted model from time to time, in a thread of its own, until :meth:`close`."""

        def run() -> None:
            if self._explaining:
                self.current.reasoner()
            while not self._stop.wait(every):
                self.refresh()

        self._watcher = threading.Thread(target=run, name="models", daemon=True)
        self._watcher.start()

    def close(self) -> None:
        """Stop watching."""
        self._stop.set()

    def refresh(self) -> bool:
        """Take the promoted model if it is another; whether it was. One that can't be opened changes nothing."""
        mark = self._mark()
        if self._fixed is not None or mark == self._seen:
            return False
        self._seen = mark
        try:
            chosen = current_id(self.folder)
            if chosen is None or chosen == self.current.model.info.id:
                return False
            loaded = self._open(chosen)
            if self._explaining:
                loaded.reasoner()
        except PipelineError as error:
            self.problem = str(error)
            self.reloads["failed"] += 1
            self._say(f"the promoted model can't be used, {self.current.model.info.id} stays: {error}")
            return False
        self.current = loaded  # one assignment: a request has the old model or the new, never half
        self.problem = None
        self.reloads["done"] += 1
        self._say(f"model {loaded.model.info.id} is in use")
        return True

    def _open(self, model_id: str | None) -> Loaded:
        return Loaded(_probed(load(model_id, models=self.folder)), self._corpus)

    def _mark(self) -> tuple[int, int, int] | None:
        """What changes when another model is promoted; the file is replaced, so that its inode is another."""
        try:
            found = (self.folder / CURRENT_FILE).stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino, found.st_size


def _probed(model: Model) -> Model:
    """A model that has classified a sentence: one that opens and then fails must not take a good one's place."""
    try:
        model.classify("The two sides will meet again.")
    except Exception as error:
        reason = f"opens, but can't classify: {type(error).__name__}: {error}"
        raise PipelineError(reason, where=model.info.id, remedy=REBUILD) from error
    return model
