"""One piece of a batch, in whatever process: some documents to rows, with what the sender needs to know of each."""

from __future__ import annotations

import io
import pickle
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from pipeline.chunks import Chunk, Done, ModelSource, Task, part_name
from pipeline.classify import Model, load, model_of
from pipeline.parquet_out import write_part
from pipeline.readers import Raw, document_of, write_texts
from pipeline.records import Document, Failure, PipelineError, Prediction, Result
from pipeline.render import FORMATS, rows


def do_chunk(model: Model, task: Task, chunk: Chunk) -> list[Done]:
    """What becomes of each item, in their order. Bad documents are failures; nothing is raised for them.

    Raises
    ------
    PipelineError
        What the task says to write besides the rows can't be written.
    """
    read = [document_of(item) if isinstance(item, Raw) else item for item in chunk.items]
    done = _classified(model, task, read)
    documents = [item for item in read if isinstance(item, Document)]
    if task.text_dir is not None:
        for document in documents:
            write_texts(document, Path(task.text_dir))
    if task.parts is not None and documents:
        predictions = (prediction for one in done for prediction in one.predictions)
        write_part(predictions, Path(task.parts), part_name(chunk), model.info.labels)
        done = [one._replace(predictions=()) for one in done]
    return done


def _classified(model: Model, task: Task, items: Sequence[Document | Failure]) -> list[Done]:
    """Items with what became of them; where they can't be classified together, one by one, for one to fail alone."""
    try:
        return [_done(task, result) for result in model.classify_documents(items)]
    except PipelineError:
        raise
    except Exception as error:
        if len(items) > 1:
            return [done for item in items for done in _classified(model, task, [item])]
        (item,) = items
        name = item.source if isinstance(item, Failure) else item.id
        return [Done(name, failure=Failure(name, f"can't be classified: {type(error).__name__}: {error}"))]


def _done(task: Task, result: Result | Failure) -> Done:
    if isinstance(result, Failure):
        return Done(result.source, failure=result)
    document = result.document
    keep = _chosen(task, result)
    best = result.best if keep is None else result.best[keep]
    data = b""
    predictions: tuple[Prediction, ...] = ()
    if task.form in FORMATS:
        buffer = io.BytesIO()  # of a long document, the pieces and all of it at once would be too much
        for text in rows(task.form, result, keep):
            buffer.write(text.encode("utf-8", "surrogateescape"))
        data = buffer.getvalue()
    else:
        whole = result.predictions
        predictions = whole if keep is None else tuple(whole[at] for at in np.flatnonzero(keep))
    return Done(
        document.id,
        data,
        crc32(data),
        predictions,
        document.title or document.id,
        len(result.spans),
        tuple(np.bincount(best, minlength=len(result.labels)).tolist()),
        int((result.uncertain if keep is None else result.uncertain[keep]).sum()),
        document.warnings,
    )


def _chosen(task: Task, result: Result) -> NDArray[np.bool_] | None:
    if task.labels is None and not task.min_confidence:
        return None
    keep = result.confidence >= task.min_confidence
    if task.labels is not None:
        wanted = np.array([label in task.labels for label in result.labels])
        keep &= wanted[result.best]
    return np.asarray(keep)


def do_remote(source: ModelSource, task: Task, chunk: Chunk) -> list[Done]:
    """:func:`do_chunk` in a worker process, which opens the model when it needs it first.

    Raises
    ------
    PipelineError
        The model is not the one that the sender has.
    """
    return do_chunk(_opened(source), task, chunk)


@lru_cache(maxsize=1)
def _opened(source: ModelSource) -> Model:
    pickled = source.pickled
    model = load(source.id, models=source.folder) if pickled is None else model_of(*pickle.loads(pickled))
    if model.info.sha256 != source.sha256:
        raise PipelineError("was replaced while it was in use", where=f"{source.folder}/{source.id}")
    return model
