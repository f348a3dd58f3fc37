"""Follows a log as many clients at once, and measures how old each line is when it arrives."""

import asyncio
import time
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Final

import psutil
from service import Broken, Clusterm

GATE: Final = "gate"
"""The file beside the playbook that the printer waits for."""


def follow(clusterm: Clusterm, followers: int, lines: int) -> tuple[Sequence[float], float]:
    """Run a job whose lines begin with their time, with followers that are there before its first line.

    Args:
        clusterm: runs it.
        followers: how many there are.
        lines: how many lines the job has.

    Returns:
        How many seconds each line took to each follower, and how many cores the service was busy with it.
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
        # As a client that takes an answer as it comes, in HTTP/1.0, for that costs less than what is measured.
        writer.write(f"GET {path} HTTP/1.0\r\nAuthorization: {clusterm.authorization}\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        if b" 200 " not in head:
            raise Broken(head.decode())
    began, used = time.monotonic(), _cpu_time(clusterm.pid)
    gate.touch()  # noqa: ASYNC240 -- nothing else is going on yet
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
    """Return the seconds that a process was busy so far."""
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system
