"""Work in other processes: on this machine and on a cluster, and nothing is lost when one of them dies."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest
from conftest import EVENT, Done, clean_environment, command_path
from test_run import article, write_articles

from pipeline.chunks import Chunk, ModelSource, Task
from pipeline.records import Document, PipelineError
from pipeline.train import Training
from pipeline.workers import Backend, _Queue, ordered

Run = Callable[..., Done]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 1,500 articles, some 57,000 units. Read only."""
    return write_articles(tmp_path_factory.mktemp("archive") / "news", 1500)


@pytest.fixture(scope="module")
def expected(archive: Path, models: Path) -> bytes:
    """Its rows from one process."""
    command = [command_path(), "classify", str(archive), "--models", str(models), "--jobs", "1"]
    return subprocess.run(command, env=clean_environment(), check=True, capture_output=True).stdout


def test_what_is_out_is_bounded_and_gone_on_with() -> None:
    taken: list[int] = []

    def source() -> Iterator[Chunk]:
        for number in range(100):
            taken.append(number)
            yield Chunk(number, (Document("d", "x"),))

    queue = _Queue(source(), jobs=1)
    first = list(queue.again(alone=False))
    assert 0 < len(taken) == len(first) < 100, "all was taken at once, though nothing was consumed"
    assert [queue.consumed().number for _ in range(3)] == [0, 1, 2]
    assert [chunk.number for chunk in queue.again(alone=True)] == [3]
    again = [chunk.number for chunk in queue.again(alone=False)]
    assert again == list(range(3, 3 + len(first)))
    while not queue.finished:
        queue.consumed()
        list(queue.again(alone=False))
    assert taken == list(range(100))


def test_what_reading_raises_comes_after_the_results_before_it() -> None:
    def source() -> Iterator[Chunk]:
        yield Chunk(0, ())
        raise ValueError("unreadable")

    queue = _Queue(source(), jobs=2)
    assert [chunk.number for chunk in queue.again(alone=False)] == [0]
    assert isinstance(queue.error, ValueError)


@pytest.mark.slow
def test_a_document_on_which_processes_die_fails_alone(trained: Training) -> None:
    class Deadly(str):
        """A title that ends the process which receives it, as too little memory would."""

        def __reduce__(self) -> tuple[Callable[[int], object], tuple[int]]:
            return os._exit, (1,)

    documents = [Document(f"d{n}", EVENT, Deadly("x") if n == 2 else None) for n in range(4)]
    work = iter([Chunk(0, tuple(documents[:1])), Chunk(1, tuple(documents[1:]))])
    info = trained.info
    source = ModelSource(str(trained.folder.parent), info.id, info.sha256)
    said: list[str] = []
    found = [one for _, done in ordered(work, source, Task("jsonl"), Backend("loky", 2), said.append) for one in done]
    assert [one.name for one in found] == ["d0", "d1", "d2", "d3"]
    assert [one.failure is None for one in found] == [True, True, False, True]
    assert "a worker process ended on it" in str(found[2].failure)
    assert said
    assert all("its documents are classified again" in line for line in said)


@pytest.mark.slow
def test_a_model_that_was_replaced_is_refused(trained: Training) -> None:
    source = ModelSource(str(trained.folder.parent), trained.info.id, "another")
    work = iter([Chunk(0, (Document("d", EVENT),))])
    with pytest.raises(PipelineError, match="was replaced while it was in use"):
        list(ordered(work, source, Task("jsonl"), Backend("loky", 2)))


def workers_of(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    children = psutil.Process(process.pid).children()
    return [child for child in children if any("popen_loky" in word for word in child.cmdline())]


@pytest.mark.slow
def test_a_killed_process_loses_nothing(models: Path, archive: Path, expected: bytes) -> None:
    process = subprocess.Popen(
        [command_path(), "classify", str(archive), "--models", str(models), "--jobs", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=clean_environment(),
        bufsize=0,  # or communicate() would miss what readline() has read ahead
    )
    assert process.stdout is not None
    first = process.stdout.readline()  # it waits for us to read on, with most of the work before it
    workers_of(process)[0].kill()
    rest, said = process.communicate(timeout=300)
    assert process.returncode == 0, said.decode()
    assert first + rest == expected
    assert said.decode().splitlines() == [
        "communique: a worker process ended (it was killed, or the memory was not enough); its documents are "
        "classified again"
    ]


@pytest.mark.slow
@pytest.mark.parametrize("end", ["SIGTERM", "SIGKILL", "closed pipe"])
def test_no_process_outlives_the_run(models: Path, archive: Path, end: str) -> None:
    process = subprocess.Popen(
        [command_path(), "classify", str(archive), "--models", str(models), "--jobs", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=clean_environment(),
        start_new_session=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    workers = workers_of(process)
    assert len(workers) == 2
    if end != "closed pipe":
        process.send_signal(signal.Signals[end])
    process.stdout.close()
    code = process.wait(timeout=60)
    assert code != 0
    assert psutil.wait_procs(workers, timeout=60)[1] == []
    assert process.stderr is not None
    said = process.stderr.read()
    assert end == "SIGKILL" or said == b""  # of a killed one, Python's own watcher may say what it clears


@pytest.mark.slow
def test_a_worker_that_comes_up_after_the_main_process_is_gone_ends() -> None:
    code = "import time, pipeline.workers as w; w._attend(1 << 30); time.sleep(60)"
    done = subprocess.run([sys.executable, "-c", code], env=clean_environment(), check=False, timeout=30)
    assert done.returncode == 1


@pytest.fixture(scope="module")
def cluster() -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """A scheduler and two workers on this machine: its address, and the workers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    dask = [sys.executable, "-m", "dask"]
    local = ["--host", "127.0.0.1", "--no-dashboard"]
    with ExitStack() as stack:

        def start(*arguments: str) -> subprocess.Popen[bytes]:
            process = subprocess.Popen(
                [*dask, *arguments, *local],
                env=clean_environment(OMP_NUM_THREADS="1"),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            stack.callback(process.wait, 30)
            stack.callback(process.kill)
            return process

        start("scheduler", "--port", address.rpartition(":")[2])
        # without a nanny, which would start a killed worker again
        yield address, [start("worker", address, "--nthreads", "1", "--no-nanny") for _ in range(2)]


@pytest.mark.slow
def test_a_cluster_gives_the_same_rows_though_a_worker_is_killed(
    models: Path, archive: Path, expected: bytes, cluster: tuple[str, list[subprocess.Popen[bytes]]], tmp_path: Path
) -> None:
    address, workers = cluster
    command = ["classify", archive, "--models", models, "--backend", "dask", "--scheduler", address]
    process = subprocess.Popen(
        [command_path(), *map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=clean_environment(),
        bufsize=0,
    )
    assert process.stdout is not None
    first = process.stdout.readline()
    assert all(worker.poll() is None for worker in workers)
    workers[1].kill()
    rest, said = process.communicate(timeout=300)
    assert process.returncode == 0, said.decode()
    assert first + rest == expected


@pytest.mark.slow
def test_workers_of_a_cluster_write_their_own_parts(
    run: Run, models: Path, cluster: tuple[str, list[subprocess.Popen[bytes]]], tmp_path: Path
) -> None:
    import pyarrow.dataset

    news = tmp_path / "rows.jsonl"
    news.write_text("".join(f'{{"text": "{EVENT} {number}"}}\n' for number in range(20_000)))
    command = ["classify", news, "--models", models, "--format", "parquet"]
    assert run(*command, "--jobs", 1, "--output-dir", tmp_path / "one").code == 0
    done = run(*command, "--backend", "dask", "--scheduler", cluster[0], "--output-dir", tmp_path / "many")
    assert done.code == 0
    parts = [{path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("one", "many")]
    assert len(parts[0]) > 1
    assert parts[0] == parts[1]
    assert pyarrow.dataset.dataset(tmp_path / "many").count_rows() == 40_000


def test_no_scheduler_is_one_line(run: Run, models: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    started = time.monotonic()
    done = run("classify", "-", "--models", models, "--backend", "dask", "--scheduler", address, stdin=article(1))
    assert done.code == 1
    assert done.said == [f"communique: {address}: no Dask scheduler answers there (dask scheduler)"]
    assert time.monotonic() - started < 60
