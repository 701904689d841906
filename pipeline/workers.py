"""Chunks to results in their order, on the cores of this machine (joblib's loky) or on a Dask cluster.

Nothing is lost with a process: what was sent and has not come back is sent again, and if it was one document that
ended the processes, that document is a failure and all others are done.
"""

from __future__ import annotations

import os
import signal
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from pipeline.chunks import Chunk, Done, ModelSource, Task, name_of, size_of
from pipeline.records import Failure, PipelineError

#: Chunks that may be out or waiting to be written, for each process; bounds memory where writing is slow.
WAITING_CHUNKS = 16
#: Characters or bytes of the same.
WAITING_SIZE = 2**26
#: How often a chunk that is worked on alone may end its process.
TRIES = 2
_EXTRA = "pip install 'communique[cluster]'"

Results = Generator[tuple[Chunk, list[Done]], None, None]


class Backend(NamedTuple):
    """Where the work is done: ``loky`` on this machine in ``jobs`` processes, or ``dask`` at ``scheduler``."""

    name: str
    jobs: int
    scheduler: str | None = None


class _LostError(Exception):
    """A process ended before it gave its result."""


def ordered(
    chunks: Iterator[Chunk],
    source: ModelSource,
    task: Task,
    backend: Backend,
    on_loss: Callable[[str], None] | None = None,
) -> Results:
    """The results of chunks, in their order, each with its chunk. Chunks are taken as there is room for them.

    ``on_loss`` is told when processes have ended and their work is given to others.

    Raises
    ------
    PipelineError
        The cluster can't be reached, or a process says that it can't work at all.
    """
    queue = _Queue(chunks, backend.jobs)
    alone = False
    tries = 0
    while not queue.finished:
        try:
            with _pool(backend, source) as pool:
                while not queue.finished:
                    for chunk, done in _pass(pool, queue, source, task, alone):
                        tries, alone = 0, False
                        yield chunk, done
        except _LostError as loss:
            if on_loss is not None:
                on_loss(f"a worker process ended ({loss}); its documents are classified again")
            if alone and (tries := tries + 1) >= TRIES:
                yield queue.out[0], _apart(queue.out[0], source, task, backend)
                queue.consumed()
                tries = 0
            alone = not queue.empty


def _apart(chunk: Chunk, source: ModelSource, task: Task, backend: Backend) -> list[Done]:
    """A chunk document by document; one on which the process ends is a failure."""
    done: list[Done] = []
    for item in chunk.items:
        single = _Queue(iter([Chunk(chunk.number, (item,))]), 1)
        try:
            with _pool(backend, source) as pool:
                done += next(result for _, result in _pass(pool, single, source, task, alone=False))
        except _LostError as loss:
            reason = f"a worker process ended on it ({loss}): too little memory?"
            done.append(Done(name_of(item), failure=Failure(name_of(item), reason)))
    return done


class _Queue:
    """Chunks on their way: those that are out, in their order, until their results have been consumed.

    joblib asks for more whenever a process is free, from a thread of its own, however slowly results are
    consumed. So a pass ends when too much is waiting, and the next one goes on from there.
    """

    def __init__(self, chunks: Iterator[Chunk], jobs: int) -> None:
        self._chunks = chunks
        self._limit = WAITING_CHUNKS * jobs
        self._size = 0
        self._ended = False
        self.out: deque[Chunk] = deque()
        self.error: BaseException | None = None

    @property
    def empty(self) -> bool:
        return not self.out

    @property
    def finished(self) -> bool:
        return self._ended and not self.out

    def again(self, alone: bool) -> Iterator[Chunk]:
        """What is out once more, then new chunks while there is room; ``alone`` gives only the first."""
        yield from list(self.out)[: 1 if alone else None]
        while not alone and len(self.out) < self._limit and self._size < WAITING_SIZE:
            try:
                chunk = next(self._chunks, None)
            except BaseException as error:  # raised again where the results are consumed, in the main thread
                self.error, chunk = error, None
            if chunk is None:
                self._ended = True
                return
            self.out.append(chunk)
            self._size += _size(chunk)
            yield chunk

    def consumed(self) -> Chunk:
        """The result of the first chunk has come."""
        chunk = self.out.popleft()
        self._size -= _size(chunk)
        return chunk


def _size(chunk: Chunk) -> int:
    return sum(map(size_of, chunk.items))


def _pass(pool: Any, queue: _Queue, source: ModelSource, task: Task, alone: bool) -> Results:
    """One call of joblib: results until the chunks are at an end or too much is waiting."""
    from joblib import delayed

    with _losses():
        calls = (delayed(_do_remote)(source, task, chunk) for chunk in queue.again(alone))
        results = pool(calls)
        try:
            for done in results:
                yield queue.consumed(), done
        finally:
            with warnings.catch_warnings():  # joblib warns of tasks given up, which is what leaving early means
                warnings.simplefilter("ignore", UserWarning)
                results.close()
    if queue.error is not None and queue.empty:
        raise queue.error


def _do_remote(source: ModelSource, task: Task, chunk: Chunk) -> list[Done]:
    """:func:`pipeline.work.do_remote`, imported by the process that works: the main one need not wait for it."""
    from pipeline.work import do_remote

    return do_remote(source, task, chunk)


@contextmanager
def _losses() -> Iterator[None]:
    """What joblib raises when a process has ended, as one error."""
    from joblib.externals.loky.process_executor import BrokenProcessPool

    try:
        yield
    except BrokenProcessPool as error:  # TerminatedWorkerError is one
        raise _LostError("it was killed, or the memory was not enough") from error
    except Exception as error:
        if type(error).__name__ in ("KilledWorker", "CancelledError", "FutureCancelledError"):
            raise _LostError(type(error).__name__) from error
        raise


@contextmanager
def _pool(backend: Backend, source: ModelSource) -> Iterator[Any]:
    """joblib's Parallel on the backend; on a cluster every worker has the model once."""
    from joblib import Parallel, parallel_config

    def parallel(jobs: int) -> Any:
        return Parallel(n_jobs=jobs, return_as="generator", batch_size=1, pre_dispatch="2 * n_jobs")

    if backend.name == "loky":
        # threads of numpy would fight the processes for the cores
        with parallel_config(backend="loky", inner_max_num_threads=1, initializer=_attend, initargs=(os.getpid(),)):
            pool = parallel(backend.jobs)
        yield pool
        return
    with _client(backend.scheduler) as client:
        with parallel_config(backend="dask", client=client, scatter=[source]):
            pool = parallel(-1)  # as many as the cluster has
        yield pool


def _attend(main: int) -> None:
    """In a worker of the process ``main``: leave Ctrl-C to that one, who ends its workers, and end when it is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it reaches the whole group of processes

    def watch() -> None:
        while os.getppid() == main:
            time.sleep(1)
        os._exit(1)  # killed: nobody waits for a result, and loky would wait for work for minutes

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def _client(scheduler: str | None) -> Iterator[Any]:
    """A connection to the cluster, with at least one worker on it."""
    try:
        from distributed import Client
    except ImportError as error:
        raise PipelineError("a Dask cluster needs the package distributed", remedy=_EXTRA) from error
    where = str(scheduler)
    try:
        client: Any = Client(where, timeout="10s", set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise PipelineError("no Dask scheduler answers there", where=where, remedy="dask scheduler") from error
    with client:
        try:
            client.wait_for_workers(1, timeout=30)
        except (OSError, TimeoutError) as error:
            remedy = f"dask worker {where} --nthreads 1 --nworkers {os.cpu_count()}"
            raise PipelineError("the scheduler has no workers", where=where, remedy=remedy) from error
        yield client
