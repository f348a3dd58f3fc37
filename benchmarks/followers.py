"""Follow a log with many clients at once, and measure the age of each line when it arrives."""

import asyncio
import time
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Final

import psutil
from service import Broken, Clusterm

GATE: Final = "gate"
"""File beside the playbook; the printer starts when it exists."""


def follow(clusterm: Clusterm, followers: int, lines: int) -> tuple[Sequence[float], float]:
    """Run a job whose lines begin with their time, with followers that are connected before its first line.

    Args:
        clusterm: the service.
        followers: number of followers.
        lines: number of lines of the job.

    Returns:
        Delay of each line at each follower, in seconds, and the service's use of processor time, in cores.
    """
    gate = clusterm.root / GATE
    gate.unlink(missing_ok=True)
    job = clusterm.begin()
    path = f"/info/logs/{job['id']}?follow=true"
    delays, busy = asyncio.run(_follow_all(clusterm, path, followers, gate))
    for _ in clusterm.until_ended(job):
        pass
    if any(len(each) != lines for each in delays):
        raise Broken(f"{lines} lines were written, and followers got {[len(each) for each in delays]}")
    return list(chain.from_iterable(delays)), busy


async def _follow_all(
    clusterm: Clusterm, path: str, followers: int, gate: Path
) -> tuple[Sequence[Sequence[float]], float]:
    host, port = clusterm.url.host, clusterm.url.port
    connections = [await asyncio.open_connection(host, port) for _ in range(followers)]
    for reader, writer in connections:
        # HTTP/1.0, so that the cost of reading a response is small compared with the measured work.
        writer.write(f"GET {path} HTTP/1.0\r\nAuthorization: {clusterm.authorization}\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        if b" 200 " not in head:
            raise Broken(head.decode())
    began, used = time.monotonic(), _cpu_time(clusterm.pid)
    gate.touch()  # noqa: ASYNC240 -- no other coroutine is running yet
    delays = await asyncio.gather(*(_delays(reader) for reader, _ in connections))
    busy = (_cpu_time(clusterm.pid) - used) / (time.monotonic() - began)
    for _, writer in connections:
        writer.close()
    return delays, busy


async def _delays(reader: asyncio.StreamReader) -> Sequence[float]:
    delays: list[float] = []
    while line := await reader.readline():
        delays.append(time.monotonic() - float(line.split()[0]))
    return delays


def _cpu_time(pid: int) -> float:
    """Return the processor time that a process has used, in seconds."""
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system
