"""Log lines of a job, whole or as they are written."""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import nullcontext
from typing import Annotated, Any, Final

import orjson
from fastapi import Header, Query, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from clusterm import schemas
from clusterm.routes.service import JobLabel, Service, ServiceDep, problems, router
from clusterm.store import jobs, tables
from clusterm.store.logs import Row

routes = router("jobs")

_NDJSON: Final = "application/x-ndjson"
_TEXT: Final = "text/plain"


@routes.get(
    "/info/logs/{job}",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "Its lines, as `Accept` asks: text, or an object for each line.",
            "content": {
                _TEXT: {"schema": {"type": "string"}, "example": "PLAY [all] ****\n"},
                _NDJSON: {"schema": {"$ref": f"#/components/schemas/{schemas.LogLine.__name__}"}},
            },
        },
        **problems(400, 404, 422),
    },
    summary="Show or follow a job's log",
)
async def get_logs(
    service: ServiceDep,
    job: JobLabel,
    accept: Annotated[str, Header(include_in_schema=False)] = _TEXT,
    start: Annotated[int, Query(alias="from", ge=1, le=2**62, description="Number of the first line.")] = 1,
    tail: Annotated[int | None, Query(ge=0, le=2**62, description="Only so many of the last lines.")] = None,
    node: Annotated[str | None, Query(description="Only lines that this node wrote.")] = None,
    follow: Annotated[
        bool | None,
        Query(description="Stay until the job ends, and pass on lines as they come. Default: for `active` only."),
    ] = None,
) -> Response:
    """Return the lines of a job's log.

    A follower that was cut off goes on with `from`, one more than the last line it has: it misses nothing and sees
    nothing twice.
    """
    row = await run_in_threadpool(_find, service, job)
    if tail is not None:
        start = max(start, row.lines - tail + 1)
    follow = job == "active" if follow is None else follow
    encode = _as_ndjson if _NDJSON in accept or "application/json" in accept else _as_text
    media_type = _NDJSON if encode is _as_ndjson else f"{_TEXT}; charset=utf-8"
    pieces = _pieces(service, row.id, start, None if follow else row.lines, node, encode)
    return StreamingResponse(pieces, media_type=media_type)


def _find(service: Service, job: str) -> tables.Job:
    with service.store.read() as session:
        return jobs.labelled(session, job)


async def _pieces(
    service: Service,
    job_id: int,
    start: int,
    last: int | None,
    node: str | None,
    encode: Callable[[Iterable[Row]], bytes],
) -> AsyncIterator[bytes]:
    """Yield the lines from `start` on: up to `last`, or up to the job's end if that is None."""
    with service.metrics.followers.track_inprogress() if last is None else nullcontext():
        while last is None or start <= last:
            piece = await service.tail.read(job_id, start)
            if rows := [row for row in piece.rows if node in (None, row.node) and (last is None or row.seq <= last)]:
                yield encode(rows)
            if piece.rows:
                start = piece.rows[-1].seq + 1
            elif not piece.complete and not await service.tail.pause():
                return
            if piece.complete:
                return


def _as_text(rows: Iterable[Row]) -> bytes:
    return "".join(row.text if row.partial else f"{row.text}\n" for row in rows).encode()


def _as_ndjson(rows: Iterable[Row]) -> bytes:
    return b"".join(orjson.dumps(_line(row), option=orjson.OPT_APPEND_NEWLINE) for row in rows)


def _line(row: Row) -> dict[str, Any]:
    return {**row._asdict(), "at": schemas.format_time(row.at)}
