"""Follows a log as many clients at once, and measures how old each line is when it arrives."""

import asyncio
import time
from collections.abc import Sequence
from itertools import chain

import httpx
from service import Broken, Clusterm


def follow(clusterm: Clusterm, followers: int, lines: int) -> Sequence[float]:
    """Run a job whose lines begin with their time, and return how many seconds each took to each follower.

    Args:
        clusterm: runs it.
        followers: how many there are.
        lines: how many lines the job has.
    """
    job = clusterm.begin()
    delays = asyncio.run(_follow_all(f"{clusterm.url}/info/logs/{job['id']}", followers, lines))
    for _ in clusterm.until_ended(job):
        pass
    return delays


async def _follow_all(url: str, followers: int, lines: int) -> Sequence[float]:
    async with httpx.AsyncClient(timeout=None) as client:
        every = await asyncio.gather(*(_follow(client, url) for _ in range(followers)))
    if any(len(delays) != lines for delays in every):
        raise Broken(f"{lines} lines were written, and followers got {[len(delays) for delays in every]}")
    return list(chain.from_iterable(every))


async def _follow(client: httpx.AsyncClient, url: str) -> list[float]:
    delays: list[float] = []
    rest = b""
    async with client.stream("GET", url, params={"follow": "true"}) as response:
        attached = time.monotonic()
        async for data in response.aiter_bytes():
            now = time.monotonic()
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                printed = float(line.split()[0])
                if printed < attached:
                    raise Broken("a line was printed before its follower was there")
                delays.append(now - printed)
    return delays
