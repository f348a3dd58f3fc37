"""Route of a job's log: read or follow all of its lines or a selection."""

import contextlib
import hashlib
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from http import HTTPStatus
from importlib.metadata import version
from itertools import pairwise
from typing import Annotated, Final, Literal

from anyio import to_thread
from fastapi import Header, Query, Request, Response
from fastapi.responses import StreamingResponse

from clusterm import schemas
from clusterm.access.principal import Principal
from clusterm.logs import formats
from clusterm.logs.follower import Position
from clusterm.logs.formats import LogEncoding
from clusterm.routes import negotiation
from clusterm.routes.auth import LimitedStream, principal_of, read_while_authorized
from clusterm.routes.dependencies import (
    JobLabel,
    Moment,
    Router,
    Services,
    ServicesDep,
    json_response,
    problem_responses,
)
from clusterm.store import jobs as job_queries
from clusterm.store import log_query, log_reader, nodes
from clusterm.store.log_lines import Row
from clusterm.store.log_query import LogQuery

routes = Router("jobs")

_NUMBER: Final = 2**62
_TEXT_LENGTH: Final = 1000
_LINE: Final = {
    "schema": {
        "anyOf": [{"$ref": f"#/components/schemas/{kind.__name__}"} for kind in (schemas.LogLine, schemas.LogEnd)]
    }
}
_EVENT: Final = (
    'id: 1\ndata: {"seq":1,"at":"2026-11-22T07:31:02.000001Z","text":"PLAY [all] ****","partial":false,'
    '"play":null,"task":null,"node":null}\n\n'
)
_COMPRESSION: Final = 1  # the fastest level; it makes log lines six times smaller
_GZIP: Final = 16 + zlib.MAX_WBITS
_SMALL: Final = 16 * 1024  # bytes that compress faster than a thread is scheduled
_VERSION: Final = version("clusterm")

OfNode = Annotated[
    str | None, Query(max_length=_TEXT_LENGTH, description="Only lines of this node, named as for `/info/node`.")
]
OfTask = Annotated[
    str | None,
    Query(max_length=_TEXT_LENGTH, description="Only lines of tasks whose name contains this text, case-insensitive."),
]
Failed = Annotated[
    bool,
    Query(
        description="Only lines of failed results and of the error of ansible itself, "
        f"and the {log_query.CONTEXT} before and after each."
    ),
]
Grep = Annotated[
    str | None, Query(max_length=_TEXT_LENGTH, description="Only lines that contain this text; not a pattern.")
]
IgnoreCase = Annotated[bool, Query(description="For `grep`: ignore the case of ASCII letters.")]
LogFormatName = Literal["text", "ndjson", "events"]


@routes.get(
    "/info/logs/{job}",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "Lines in the format of `Accept`: text, one JSON object per line, or server-sent events.",
            "content": {
                formats.TEXT.media_type: {"schema": {"type": "string"}, "example": "PLAY [all] ****\n"},
                formats.NDJSON.media_type: _LINE,
                formats.EVENTS.media_type: {**_LINE, "example": _EVENT},
            },
        },
        **problem_responses(400, 404, 422),
    },
    summary="Show or follow a job's log",
)
async def get_job_log(
    http: Request,
    services: ServicesDep,
    job: JobLabel,
    *,
    accept: Annotated[str, Header(include_in_schema=False)] = "",
    accept_encoding: Annotated[str, Header(include_in_schema=False)] = "",
    if_none_match: Annotated[str, Header(include_in_schema=False)] = "",
    last_event_id: Annotated[
        int | None,
        Header(alias="Last-Event-ID", ge=0, le=_NUMBER, description="Number of the last line received."),
    ] = None,
    start: Annotated[int, Query(alias="from", ge=1, le=_NUMBER, description="Number of the first line.")] = 1,
    last: Annotated[int | None, Query(alias="to", ge=1, le=_NUMBER, description="Number of the last line.")] = None,
    since: Annotated[
        Moment | None, Query(description="Start at the first line at or after this time (RFC 3339).")
    ] = None,
    tail: Annotated[
        int | None, Query(ge=0, le=_NUMBER, description="Only the last lines of the selection, up to this number.")
    ] = None,
    node: OfNode = None,
    task: OfTask = None,
    failed: Failed = False,
    grep: Grep = None,
    ignore_case: IgnoreCase = False,
    form: Annotated[
        LogFormatName | None, Query(alias="format", description="The format, instead of `Accept`, as for a link.")
    ] = None,
    follow: Annotated[
        bool | None,
        Query(
            description="Keep the response open until the job ends, and send new lines as they are written. Default: "
            "true for `active` and for server-sent events, else false."
        ),
    ] = None,
) -> Response:
    """Return the lines of a job's log that meet all conditions.

    A disconnected follower resumes with `from`, one more than its last line, without missing or repeating a line.
    Server-sent events have the line's number as id, so that browsers resume automatically, with `Last-Event-ID`. The
    last record for followers is a `LogEnd`, except in text; as an event its name is `end`. Without this record, the
    response is incomplete.

    The log of an ended job has an `ETag`; the response is 304 if `If-None-Match` contains it. With
    `Accept-Encoding: gzip` the response is compressed, for followers line by line.
    """
    encoding = formats.NAMES[form] if form is not None else negotiation.choose(accept)
    if last_event_id is not None:
        start, tail, since = last_event_id + 1, None, None
    wanted = LogQuery(
        last=last,
        nodes=() if node is None else (node,),
        task=task,
        failed=failed,
        grep=grep,
        ignore_case=ignore_case,
        follow=follow if follow is not None else job == "active" or encoding is formats.EVENTS,
    )
    request = await to_thread.run_sync(_resolve, services, job, wanted, start, since, tail, encoding)
    compressed = negotiation.accepts_gzip(accept_encoding)
    headers = {"Cache-Control": "no-cache", "Vary": "Accept, Accept-Encoding", "X-Accel-Buffering": "no"}
    if request.digest is not None:
        headers["ETag"] = _etag(request, compressed=compressed)
        if headers["ETag"] in if_none_match or if_none_match.strip() == "*":
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    principal = principal_of(http) if wanted.follow else None
    chunks = _chunks(services, request.position, principal)
    if compressed:
        headers["Content-Encoding"] = "gzip"
        chunks = _compressed(chunks)
    return LimitedStream(chunks, services.authenticator, principal, media_type=encoding.media_type, headers=headers)


@routes.get(
    "/info/logs/{job}/matches",
    response_model=schemas.LogMatches,
    responses=problem_responses(400, 404, 422),
    summary="List the lines of a log that match",
)
def list_log_matches(
    services: ServicesDep,
    job: JobLabel,
    *,
    after: Annotated[int, Query(ge=0, le=_NUMBER, description="Only lines with a greater number.")] = 0,
    limit: Annotated[int, Query(ge=1, le=200_000, description="Maximum number of lines.")] = 50_000,
    node: OfNode = None,
    task: OfTask = None,
    failed: Failed = False,
    grep: Grep = None,
    ignore_case: IgnoreCase = False,
) -> Response:
    """Return the numbers of the lines of a job's log that meet all conditions, to count them or to go to one of them.

    The conditions are those of `GET /info/logs/{job}`.
    """
    with services.store.read() as session:
        found = job_queries.resolve(session, job)
        job_id, lines = found.id, found.lines
        named = () if node is None else tuple(nodes.spellings(session, node))
    query = LogQuery(last=lines, nodes=named, task=task, failed=failed, grep=grep, ignore_case=ignore_case)
    numbers, more = log_reader.matches(services.store, job_id, query, after, limit)
    gaps = [number - before for before, number in pairwise([after, *numbers])]
    return json_response(schemas.LogMatches.model_construct(job=job_id, lines=lines, gaps=gaps, more=more))


@dataclass(frozen=True)
class _Request:
    """A request for log lines, with job, nodes and first line resolved."""

    position: Position
    digest: str | None
    """SHA-256 of the log of an ended job; None while the response can still change."""


def _resolve(
    services: Services,
    label: str,
    wanted: LogQuery,
    start: int,
    since: datetime | None,
    tail: int | None,
    encoding: LogEncoding,
) -> _Request:
    """Resolve the job's label, the node's name and the first line."""
    with services.store.read() as session:
        job = job_queries.resolve(session, label)
        job_id, lines, digest = job.id, job.lines, None if wanted.follow else job.sha256
        named = {name for node in wanted.nodes for name in nodes.spellings(session, node)}
        wanted = replace(wanted, nodes=tuple(named))
    if not wanted.follow:
        wanted = replace(wanted, last=lines if wanted.last is None else min(wanted.last, lines))
    if since is not None:
        start = max(start, log_reader.first_since(services.store, job_id, since))
    if tail is not None:
        start = log_reader.start_of_tail(services.store, job_id, wanted, start, tail)
    return _Request(Position(job_id, start, wanted, encoding), digest)


async def _chunks(services: Services, position: Position, principal: Principal | None) -> AsyncIterator[bytes]:
    """Yield encoded lines, and the end record for a follower; stop when the follower's token becomes invalid."""
    follower = services.metrics.followers.track_inprogress() if position.query.follow else contextlib.nullcontext()
    with follower:
        encoding, following = position.encoding, position.query.follow
        before: Row | None = None
        live, calls = False, 0
        while (
            chunk := await read_while_authorized(
                services.authenticator, principal, partial(services.follower.read, position, live=live, calls=calls)
            )
        ) is not None:
            if (chunk.first or chunk.end) and log_reader.is_cut_off(before, chunk.first):
                yield encoding.newline
            if chunk.data:
                yield chunk.data
            elif following and not chunk.end:
                yield encoding.ping
            before = chunk.last or before
            if chunk.end:
                if log_reader.is_cut_off(chunk.last, None):
                    yield encoding.newline
                if following:
                    yield encoding.end(chunk.end)
                return
            position, live, calls = replace(position, start=chunk.next), chunk.live, chunk.calls


async def _compressed(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Compress chunks, and flush each so that the client can read it immediately."""
    compress = zlib.compressobj(_COMPRESSION, wbits=_GZIP)

    def feed(chunk: bytes) -> bytes:
        return compress.compress(chunk) + compress.flush(zlib.Z_SYNC_FLUSH)

    async for chunk in chunks:
        yield feed(chunk) if len(chunk) < _SMALL else await to_thread.run_sync(feed, chunk)
    yield compress.flush()


def _etag(request: _Request, *, compressed: bool) -> str:
    """Return the ETag of a response."""
    position = request.position
    identity = (request.digest, position.start, position.query, position.encoding.media_type, compressed, _VERSION)
    return f'"{hashlib.sha256(repr(identity).encode()).hexdigest()}"'
