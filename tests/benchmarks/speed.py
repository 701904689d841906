"""How fast and how large: the command from files to JSON Lines beside bare tokenisation and other classifiers.

Usage: python tests/benchmarks/speed.py [--sentences 200000] [--keep FOLDER]

All in one run, on the same text: articles made of the corpus, its sentences in new orders and with new numbers, written
as files. Every system runs in a process of its own; what is fitted is fitted before, in another. Systems that only
predict are given the sentences already cut, one a line, and give nothing but labels: they do less.

words/s  words of the text by the seconds on the clock. For the command these are all seconds from its start to its end;
         ``without start`` takes off what the same command takes for an article of one sentence. For the others only the
         work counts, neither imports nor loading.
of bare  by the words/s of bare tokenisation: spaCy's blank English on texts in memory, mean of first and last run.
CPU s    processor seconds of the same work, of all processes, and again the ratio to bare tokenisation: other programs
         on the machine disturb it less.
peak MB  largest resident size, of all processes of a system together (pages that they share count in each).

fastText takes part where it is installed: pip install fasttext-numpy2-wheel
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import speed_systems
from speed_systems import SEED, corpus

ROOT = Path(__file__).resolve().parents[2]
FASTTEXT = "fasttext-numpy2-wheel"
#: One thread for every library, so that a job is a core.
SINGLE = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
#: Sentences of the small run of the command: what more text adds to its memory shows beside it.
FEW = 10_000


class Text(NamedTuple):
    """What all systems read: a folder of articles, one of one sentence, a few, and the sentences, one a line."""

    articles: Path
    one: Path
    few: Path
    sentences: Path
    words: int
    units: int
    few_words: int
    few_units: int


class Measured(NamedTuple):
    """Seconds on the clock, processor seconds and megabytes of a run; of its work only, if it says so itself."""

    seconds: float
    cpu: float
    peak: float


# Text


def new_articles(sentences: int) -> Iterator[list[tuple[str, str]]]:
    """Articles as (kind, text) pairs: runs of sentences from two articles of the corpus, with new numbers."""
    draw = random.Random(SEED)
    known = corpus()
    made = 0
    while made < sentences:
        rows = [row for article in draw.sample(known, 2) for row in article if draw.random() < 0.7]
        rows = rows[: sentences - made]
        made += len(rows)
        yield [(row["kind"], re.sub(r"\d", lambda _: str(draw.randrange(1, 10)), row["text"])) for row in rows]


def layout(units: list[tuple[str, str]]) -> str:
    """An article as its file holds it: headings and bullets on lines of their own, sentences in paragraphs of three."""
    text, in_paragraph = "", 0
    for kind, unit in units:
        if kind == "sentence":
            text += (" " if in_paragraph % 3 else "\n\n") + unit
            in_paragraph += 1
        else:
            text += f"\n\n## {unit}" if kind == "heading" else f"\n- {unit}"
            in_paragraph = 0
    return text.strip() + "\n"


def write_text(folder: Path, sentences: int) -> Text:
    """Write the text that all systems read; the first articles are also among the few."""
    articles, few = folder / "articles", folder / "few"
    articles.mkdir(parents=True)
    few.mkdir()
    words = units = few_words = few_units = 0
    with (folder / "sentences.txt").open("w", encoding="utf-8") as lines:
        for number, article in enumerate(new_articles(sentences)):
            is_few = units < min(FEW, sentences / 2)
            for place in (articles, few) if is_few else (articles,):
                (place / f"{number:06}.md").write_text(layout(article), encoding="utf-8")
            for _, unit in article:
                lines.write(unit + "\n")
                words += len(unit.split())
            units += len(article)
            if is_few:
                few_words, few_units = words, units
    (folder / "one.txt").write_text("The minister wants a visa agreement signed before the spring.\n", encoding="utf-8")
    return Text(articles, folder / "one.txt", few, folder / "sentences.txt", words, units, few_words, few_units)


# Measuring


def tree(process: int) -> list[int]:
    """The process and all below it that are alive; only itself where there is no /proc."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(entry.read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
        children.setdefault(parent, []).append(int(entry.parent.name))
    found = [process]
    for one in found:
        found += children.get(one, [])
    return found


def resident(process: int) -> float:
    """Resident megabytes of a process and those below it."""
    total = 0
    for one in tree(process):
        try:
            total += int(Path(f"/proc/{one}/statm").read_text().split()[1])
        except (OSError, ValueError, IndexError):
            continue
    return total * os.sysconf("SC_PAGE_SIZE") / 2**20


def measure(command: list[str]) -> Measured:
    """Run a command to its end; its last line on standard output may be what it measured itself, as JSON."""
    paths = filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])
    environment = {**os.environ, **SINGLE, "PYTHONPATH": os.pathsep.join(paths)}
    peak, ended = 0.0, threading.Event()
    begun = time.perf_counter()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=err)

        def watch() -> None:
            nonlocal peak
            while not ended.wait(0.25):
                peak = max(peak, resident(process.pid))

        watcher = threading.Thread(target=watch)
        watcher.start()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begun
        ended.set()
        watcher.join()
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        if process.returncode:
            lines = err.read().decode(errors="replace").strip().splitlines()
            raise RuntimeError(lines[-1] if lines else f"exit code {process.returncode}")
        said = out.read().decode().strip().splitlines()
    largest = usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    work = {"seconds": wall, "cpu": usage.ru_utime + usage.ru_stime} | (json.loads(said[-1]) if said else {})
    return Measured(work["seconds"], work["cpu"], max(peak, largest))


def child(name: str, *arguments: object) -> list[str]:
    return [sys.executable, str(Path(speed_systems.__file__).resolve()), name, *map(str, arguments)]


def classify(source: Path, jobs: int, output: Path) -> list[str]:
    command = [sys.executable, "-m", "pipeline", "classify", str(source), "--jobs", str(jobs)]
    return [*command, "--output", str(output), "--force"]


# The run


class Run:
    """One run after the other, told on standard error; then the table of those that came to an end."""

    def __init__(self, text: Text, folder: Path) -> None:
        self._text = text
        self._folder = folder
        self._rows: list[tuple[str, int, Measured]] = []
        self._bare: list[Measured] = []
        self.failed = 0

    def _measure(self, name: str, command: list[str]) -> Measured | None:
        print(f"{name} ...", end=" ", file=sys.stderr, flush=True)
        try:
            found = measure(command)
        except RuntimeError as error:
            self.failed += 1
            print(f"failed: {error}", file=sys.stderr)
            return None
        print(f"{found.seconds:.1f} s", file=sys.stderr)
        return found

    def bare(self) -> None:
        name = "spaCy blank English, tokenises" + (", again" if self._bare else "")
        if found := self._measure(name, child("bare", self._text.articles)):
            self._bare.append(found)
            self._rows.append((name, self._text.words, found))

    def command(self) -> None:
        """The command, with one job and with two, on all and on few articles; what its start takes comes first."""
        text, output = self._text, self._folder / "units.jsonl"
        for jobs in (1, 2):
            title = f"communique, {jobs} job" + "s" * (jobs > 1)
            # the first start reads the libraries from the disk, which has just written much else
            starts = [self._measure(f"{title}, one sentence", classify(text.one, jobs, output)) for _ in range(2)]
            start = starts[-1]
            few_title = f"{title}, {text.few_units:,} sentences"
            few = self._measure(few_title, classify(text.few, jobs, output)) if jobs == 1 else None
            found = self._measure(title, classify(text.articles, jobs, output))
            if few:
                self._rows.append((few_title, text.few_words, few))
            if found:
                self._rows.append((title, text.words, found))
                with output.open(encoding="utf-8") as lines:
                    print(f"  {sum(1 for _ in lines):,} units written", file=sys.stderr)
            if found and start:
                rest = Measured(found.seconds - start.seconds, found.cpu - start.cpu, found.peak)
                self._rows.append((f"{title}, without start", text.words, rest))

    def fitted(self, title: str, name: str, model: str) -> None:
        """A system that is fitted in one process and predicts in another."""
        place = self._folder / model
        if self._measure(f"{title}, fits", child(f"fit_{name}", place)):
            found = self._measure(title, child(f"predict_{name}", place, self._text.sentences))
            if found:
                self._rows.append((f"{title}, labels only", self._text.words, found))

    def table(self) -> None:
        runs = len(self._bare) or float("nan")
        seconds = sum(found.seconds for found in self._bare) / runs
        cpu = sum(found.cpu for found in self._bare) / runs
        print(f"{self._text.units:,} sentences, {self._text.words:,} words")
        print(f"{'':46}{'words/s':>10}{'of bare':>9}{'seconds':>9}{'CPU s':>8}{'of bare':>9}{'peak MB':>9}")
        for name, words, found in self._rows:
            share = words / self._text.words
            print(
                f"{name:46}{words / found.seconds:>10,.0f}{share * seconds / found.seconds:>9.2f}{found.seconds:>9.1f}"
                f"{found.cpu:>8.1f}{share * cpu / found.cpu:>9.2f}{found.peak:>9.0f}"
            )


def compare(folder: Path, sentences: int) -> int:
    """Run everything in a folder; the exit code."""
    print(f"writing {sentences:,} sentences ...", file=sys.stderr, flush=True)
    run = Run(write_text(folder, sentences), folder)
    run.bare()
    run.command()
    run.fitted("scikit-learn TF-IDF + logistic", "sklearn", "sklearn.joblib")
    if importlib.util.find_spec("fasttext"):
        run.fitted("fastText", "fasttext", "fasttext.bin")
    else:
        print(f"fastText is not installed and left out: pip install {FASTTEXT}", file=sys.stderr)
    run.fitted("spaCy textcat, bag of words", "textcat", "textcat")
    run.bare()
    run.table()
    return 1 if run.failed else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sentences", type=int, default=200_000, help="how much text (default: %(default)s)")
    parser.add_argument(
        "--keep", type=Path, metavar="FOLDER", help="write text and models to this new folder, and keep it"
    )
    options = parser.parse_args()
    if options.sentences < 100:
        parser.error("--sentences: at least 100 are needed")
    if options.keep:
        options.keep.mkdir(parents=True)
        return compare(options.keep.resolve(), options.sentences)
    with tempfile.TemporaryDirectory(prefix="communique-speed-") as folder:
        return compare(Path(folder), options.sentences)


if __name__ == "__main__":
    sys.exit(main())
