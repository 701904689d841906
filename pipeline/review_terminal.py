"""A review without a browser: the unit between its neighbours, and one key for each decision."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from pipeline.review import Review, Task

#: Units before and after that are shown.
_BEFORE, _AFTER = 2, 1
_HELP = "s skip, u undo, n note, m what the model says, q quit"


def review_in_terminal(review: Review, annotator: str, keys: TextIO, out: TextIO) -> int:
    """Ask unit by unit until the queue is done, ``q``, or the end of the keys; returns how many decisions were taken.

    Parameters
    ----------
    review : Review
    annotator : str
    keys : text stream
        A terminal, where one key is enough, or a pipe, where line feeds between the keys are passed over.
    out : text stream
    """
    labels = review.material.labels.names
    choices = {str(number): label for number, label in enumerate(labels, start=1)}
    taken = 0
    told = set()
    task = review.next(annotator)
    with _single_keys(keys) as read_key:
        while task is not None:
            _show(review, task, annotator, out)
            out.write("  ".join(f"{key} {label}" for key, label in choices.items()) + f"\n{_HELP}\n> ")
            out.flush()
            note: str | None = None
            while True:
                key = read_key()
                if key == "n":
                    out.write("note: ")
                    out.flush()
                    note = keys.readline().strip() or None
                elif key == "m":
                    _show_model(review, task, out)
                else:
                    break
                out.write("> ")
                out.flush()
            if key in ("", "q", "\x04"):
                out.write("\n")
                break
            if key in choices or key == "s":
                review.decide(task.unit.id, choices.get(key), annotator, note)
                out.write(f"{choices.get(key, 'skipped')}\n\n")
                taken += 1
                task = review.next(annotator)
            elif key == "u":
                undone = review.undo(annotator)
                out.write(f"taken back: {undone.label or 'skipped'}\n\n" if undone else "nothing to take back\n\n")
                if undone is not None and undone.unit.id in review.material.units:
                    task = review.task(undone.unit.id)
            else:
                out.write(f"{key!r} is no key here\n")
            for warning in review.warnings():
                if warning not in told:
                    told.add(warning)
                    out.write(f"! {warning}\n")
    if task is None:
        out.write("All done: nothing is left in this queue.\n")
    return taken


def _show(review: Review, task: Task, annotator: str, out: TextIO) -> None:
    number, index = review.material.place[task.unit.id]
    predictions = review.material.results[number].predictions
    progress = review.progress(annotator)
    out.write(f"{task.unit.title} [{task.reason}] {progress.mine} by you, {progress.left} left\n")
    for at in range(max(0, index - _BEFORE), min(len(predictions), index + _AFTER + 1)):
        mark = ">>" if at == index else "  "
        out.write(f"{mark} {_printable(predictions[at].unit.text)}\n")


def _show_model(review: Review, task: Task, out: TextIO) -> None:
    if task.unit.known:
        out.write(f"in the corpus: {task.unit.known[0].label}\n")
    chances = review.material.prediction(task.unit.id).probabilities
    out.write(", ".join(f"{label} {chance:.2f}" for label, chance in chances.items()) + "\n")


def _printable(text: str) -> str:
    """No control sequence of an article reaches the terminal."""
    return "".join(sign if sign.isprintable() else " " for sign in text)


@contextmanager
def _single_keys(keys: TextIO) -> Iterator[Callable[[], str]]:
    """A function that gives the next key; on a terminal without waiting for Enter."""

    def next_sign() -> str:
        while (sign := keys.read(1)) and sign.isspace():
            pass
        return sign

    if not keys.isatty():
        yield next_sign
        return
    try:
        import termios
        import tty
    except ImportError:  # Windows: a key and Enter
        yield next_sign
        return
    before = termios.tcgetattr(keys)

    def one_key() -> str:
        # only while a key is awaited: a note is typed and corrected on a line as usual
        tty.setcbreak(keys)
        try:
            return next_sign()
        finally:
            termios.tcsetattr(keys, termios.TCSADRAIN, before)

    yield one_key
