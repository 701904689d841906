"""A real server for the tests: the installed command in a process of its own, on any free port of loopback."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
from types import TracebackType
from typing import Any

import httpx
from conftest import ROOT, clean_environment, command_path


class Server:
    """``communique serve`` or ``communique review``, until the end of a with statement.

    ``url`` is where it listens, ``said`` what it has written to standard error so far.
    """

    def __init__(self, *arguments: object, env: dict[str, str] | None = None, patience: float = 90) -> None:
        self.said: list[str] = []
        self.process = subprocess.Popen(
            [command_path(), *map(str, arguments), "--port", "0"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=clean_environment(OMP_NUM_THREADS="1", **(env or {})),
            cwd=ROOT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.url = self._wait_for_url(patience)

    def _read(self) -> None:
        assert self.process.stderr is not None
        self.said.extend(line.rstrip("\n") for line in iter(self.process.stderr.readline, ""))

    def _wait_for_url(self, patience: float) -> str:
        until = time.monotonic() + patience
        while time.monotonic() < until:
            found = [match[1] for line in list(self.said) if (match := re.search(r" at (http://[^/]+)/", line))]
            if found:
                return found[0]
            if self.process.poll() is not None:
                self._reader.join(5)
                break
            time.sleep(0.05)
        raise AssertionError(f"no server came up: {self.said}")

    def post(self, path: str, json: Any = None, **more: Any) -> httpx.Response:
        return httpx.post(self.url + path, json=json, timeout=60, **more)

    def get(self, path: str, **more: Any) -> httpx.Response:
        return httpx.get(self.url + path, timeout=60, **more)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal, and wait; the exit code."""
        if self.process.poll() is None:
            os.kill(self.process.pid, number)
        code = self.process.wait(60)
        self._reader.join(5)
        return code

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop(signal.SIGKILL)
