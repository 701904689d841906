"""The verb `classify` for batches of any size: sources to rows in a file, a folder or a stream, and a summary."""

from __future__ import annotations

import json
import pickle
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing
from importlib.metadata import version
from itertools import chain
from typing import TYPE_CHECKING, Any, TextIO

from joblib import cpu_count

from pipeline import registry
from pipeline.chunks import (
    CHUNK_SIZE,
    PART_SIZE,
    Chunk,
    Done,
    Item,
    ModelSource,
    Shelved,
    Task,
    chunks,
    key_of,
    name_of,
    size_of,
)
from pipeline.folders import FolderSink, Sink
from pipeline.journal import Entry
from pipeline.render import header
from pipeline.sinks import FileSink
from pipeline.summary import Reporter, Summary
from pipeline.workers import Backend, ordered

if TYPE_CHECKING:
    from pipeline.classify import Model

#: Characters or bytes that one process has read before others are started, where the number of jobs is open:
#: less work than it takes to start them (2.5 s each, measured on two cores).
SMALL = 4 * 2**20


def classify_to(
    sink: Sink,
    items: Iterable[Item | None],
    model: Model | Shelved,
    task: Task,
    *,
    backend: Backend | None = None,
    errors: TextIO | None = None,
    reporter: Reporter | None = None,
) -> Summary:
    """Classify documents in order and write their rows to a sink.

    Parameters
    ----------
    sink : of :mod:`pipeline.sinks` or :mod:`pipeline.folders`
        Finished on return. Where an error ends the run, the caller calls its ``abort``.
    items : iterable of Raw, Document or Failure
        As :func:`pipeline.readers.fetch` gives them. Read lazily; memory does not grow with their number. None
        stands for "nothing more at the moment" (:func:`pipeline.chunks.as_they_come`).
    model : Model or Shelved
        Opening one takes seconds, most of them to import the libraries. Where all work is done by other processes, one
        that is only shelved lets them begin at once.
    task : Task
        What is written, and which rows.
    backend : Backend, optional
        Where the work is done. Without it one process does small work and all cores of this machine more.
    errors : text file, optional
        Gets a JSON object a line for every failure: ``document, line, reason``.
    reporter : Reporter, optional

    Returns
    -------
    Summary

    Raises
    ------
    PipelineError
        The output can't be written, the cluster can't be reached, the model can't be opened, or the interrupted run
        that ``sink`` goes on with was of another model or other options.
    """
    reporter = reporter or Reporter()
    labels = model.info.labels
    summary = Summary(dict.fromkeys(labels, 0))
    sink.begin(header(task.form, labels), _settings(model, task), model.info)
    work = chunks(items, size=PART_SIZE if task.parts else CHUNK_SIZE)
    if isinstance(sink, FileSink | FolderSink):
        work = _resumed(sink, work, summary, reporter, errors)
    source = ModelSource(str(model.folder or ""), model.info.id, model.info.sha256)
    with closing(_classified(work, model, source, task, backend, reporter)) as results:
        for chunk, done in results:
            # failures are said first: the reader of a pipe may be gone
            for one in done:
                _tell(one, reporter, errors)
            keys = [key_of(item) for item in chunk.items] if isinstance(sink, FileSink | FolderSink) else []
            sink.add(chunk, keys, done)
            for item, one in zip(chunk.items, done, strict=True):
                summary.size += size_of(item)
                summary.count(one)
            summary.tick()
            reporter.progress(summary)
    sink.finish()
    summary.tick()
    return summary


def _settings(model: Model | Shelved, task: Task) -> Mapping[str, Any]:
    """What the rows depend on besides the documents, as it stands in the journal."""
    return {
        "communique": version("communique"),
        "model": model.info.id,
        "sha256": model.info.sha256,
        "labels": list(model.info.labels),
        "format": task.form,
        "only": sorted(task.labels) if task.labels is not None else None,
        "min-confidence": task.min_confidence,
    }


def _classified(
    work: Iterator[Chunk],
    model: Model | Shelved,
    source: ModelSource,
    task: Task,
    backend: Backend | None,
    reporter: Reporter,
) -> Generator[tuple[Chunk, list[Done]], None, None]:
    """Chunks with what became of them: in this process, in others, or first in this one and then in others."""
    if backend is not None and backend.name == "dask":
        source = source._replace(pickled=_pickled(model))
    elif backend is None or backend.jobs == 1:
        from pipeline.work import do_chunk

        here = _opened(model)
        jobs = backend.jobs if backend is not None else cpu_count()
        done = 0
        for chunk in work:
            if jobs > 1 and done >= SMALL:
                work = chain([chunk], work)
                break
            yield chunk, do_chunk(here, task, chunk)
            done += sum(map(size_of, chunk.items))
        else:
            return
        backend = Backend("loky", jobs)
    if model.folder is None and source.pickled is None:
        source = source._replace(pickled=_pickled(model))
    yield from ordered(work, source, task, backend, reporter.note)


def _opened(model: Model | Shelved) -> Model:
    if isinstance(model, Shelved):
        from pipeline.classify import load

        return load(model.info.id, models=model.folder)
    return model


def _pickled(model: Model | Shelved) -> bytes:
    """The model for processes that don't see its folder; its encoder, if it has one, is opened where it is used."""
    if model.folder is not None:
        return pickle.dumps(registry.load_model(model.folder, model.info.id))
    assert not isinstance(model, Shelved), "it has a folder"
    return pickle.dumps((model.classifier, model.info))


def _tell(one: Done | Entry, reporter: Reporter, errors: TextIO | None) -> None:
    failure = one.failed() if isinstance(one, Entry) else one.failure
    if failure is not None:
        reporter.failure(failure)
        if errors is not None:
            row = {"document": failure.source, "line": failure.line, "reason": failure.reason}
            errors.write(json.dumps(row, ensure_ascii=False) + "\n")
    elif isinstance(one, Done):
        for warning in one.warnings:
            reporter.warning(one.name, warning)


def _resumed(
    sink: FileSink | FolderSink, work: Iterator[Chunk], summary: Summary, reporter: Reporter, errors: TextIO | None
) -> Iterator[Chunk]:
    """The chunks without those documents at the beginning that an interrupted run has done.

    They are read again, for their content, but not classified. From the first on that is not as it was, all are
    done again: so the output is that of a run without interruption.
    """
    rest: list[Chunk] = []
    with closing(_Lockstep(sink)) as kept:
        for chunk in work:
            entries = kept.of(chunk)
            for entry in entries:
                summary.count(entry)
                _tell(entry, reporter, errors)
            summary.resumed += len(entries)
            summary.size += sum(map(size_of, chunk.items[: len(entries)]))
            if len(entries) < len(chunk.items):
                rest = [chunk._replace(items=chunk.items[len(entries) :])]
                break
    if kept.why:
        reporter.note(f"{kept.why}; going on from there ({summary.resumed:,} documents kept)")
    sink.go_on(summary.resumed)
    return chain(rest, work)


class _Lockstep:
    """The entries of a journal beside the documents of this run."""

    def __init__(self, sink: FileSink | FolderSink) -> None:
        self._sink = sink
        self._entries = sink.entries()
        self.why = ""  # not everything was kept

    def close(self) -> None:
        """Let go of the journal."""
        if not self.why and next(iter(self._entries), None) is not None:
            self.why = "documents that the interrupted run had are gone"
        self._entries.close()

    def of(self, chunk: Chunk) -> list[Entry]:
        """Entries for the first items of a chunk: all of them, or as many as are as they were."""
        entries: list[Entry] = []
        for item in chunk.items:
            if (entry := next(self._entries, None)) is None:
                break
            if entry.key != key_of(item):
                self.why = f"{name_of(item)} is not the document that the interrupted run read there"
                break
            if not self._sink.keeps(entry, chunk, item):
                self.why = f"what the interrupted run wrote of {name_of(item)} has been altered"
                break
            entries.append(entry)
        if self._sink.whole_chunks and len(entries) < len(chunk.items):
            return []
        return entries
