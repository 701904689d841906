"""How much a server bears: requests a second, the 95th percentile of the time to an answer, and memory.

Usage: python tests/benchmarks/load.py [--seconds N] [--clients N,...] [--file ARTICLE] [--models DIR]

Starts `communique serve` on a free port of loopback, with the promoted model, and lets that many clients ask at once,
each for the next classification as soon as it has the last. Clients and server share the machine's cores. Needs the
extras [serve] and [test]. Linux: the peak of memory is read from /proc.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import subprocess
import sys
import time
from pathlib import Path

import httpx
import numpy as np

ROOT = Path(__file__).resolve().parents[2]


def started(models: Path) -> tuple[subprocess.Popen[str], str]:
    """A server and its address."""
    command = [sys.executable, "-m", "pipeline", "serve", "--port", "0", "--models", str(models)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stderr is not None
    for line in process.stderr:
        if found := re.search(r" at (http://[^/]+)/", line):
            return process, found[1]
    raise SystemExit("the server did not start")


async def load(url: str, text: str, clients: int, seconds: float) -> tuple[list[float], int, float]:
    """Times of all answers, how many were no 200, and how long it took."""
    times: list[float] = []
    failed = 0
    until = time.perf_counter() + seconds

    async def client(session: httpx.AsyncClient) -> None:
        nonlocal failed
        while (began := time.perf_counter()) < until:
            answer = await session.post("/v1/classify", json={"text": text})
            failed += answer.status_code != 200
            times.append(time.perf_counter() - began)

    began = time.perf_counter()
    limits = httpx.Limits(max_connections=clients, max_keepalive_connections=clients)
    async with httpx.AsyncClient(base_url=url, timeout=60, limits=limits) as session:
        await asyncio.gather(*(client(session) for _ in range(clients)))
    return times, failed, time.perf_counter() - began


def memory(process: subprocess.Popen[str], name: str) -> float:
    """Megabytes of a process: VmRSS now, VmHWM at its peak."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    found = re.search(rf"{name}:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) / 1000


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--clients", default="1,8,32")
    parser.add_argument("--file", type=Path, default=ROOT / "corpus" / "source-article.txt")
    parser.add_argument("--models", type=Path, default=ROOT / "models")
    wanted = parser.parse_args()
    text = wanted.file.read_text(encoding="utf-8")
    process, url = started(wanted.models)
    try:
        # explanations are asked for once, so that the corpus of precedents is read and counted
        while (answer := httpx.post(f"{url}/v1/explain", json={"text": text}, timeout=120)).status_code == 503:
            time.sleep(1)
        answer.raise_for_status()
        units = len(httpx.post(f"{url}/v1/classify", json={"text": text}, timeout=60).json()["documents"][0]["units"])
        print(
            f"{wanted.file.name}: {units} units, {len(text.encode()):,} bytes; start {memory(process, 'VmRSS'):.0f} MB"
        )
        print("| clients | requests a second | units a second | median | 95th percentile | failed | memory, peak |")
        print("|---|---|---|---|---|---|---|")
        for clients in map(int, wanted.clients.split(",")):
            times, failed, took = asyncio.run(load(url, text, clients, wanted.seconds))
            rate = len(times) / took
            median, late = np.percentile(times, [50, 95]) * 1000
            peak = memory(process, "VmHWM")
            print(
                f"| {clients} | {rate:.0f} | {rate * units:,.0f} | {median:.0f} ms | {late:.0f} ms | {failed} "
                f"| {peak:.0f} MB |"
            )
    finally:
        process.terminate()
        process.wait(60)


if __name__ == "__main__":
    main()
