"""Log lines of a job: all or some of them, now or as they are written."""

import contextlib
import hashlib
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from http import HTTPStatus
from importlib.metadata import version
from typing import Annotated, Final

from anyio import to_thread
from fastapi import Header, Query, Request, Response
from fastapi.responses import StreamingResponse

from clusterm import schemas
from clusterm.access.principal import Principal
from clusterm.errors import NotFound
from clusterm.logs import formats
from clusterm.logs.follower import Place
from clusterm.logs.formats import Form
from clusterm.routes import negotiation
from clusterm.routes.auth import OpenStream, principal_of, while_let_in
from clusterm.routes.dependencies import JobLabel, Moment, Service, ServiceDep, problems, router
from clusterm.store import jobs as job_queries
from clusterm.store import log_query, log_reader, nodes
from clusterm.store.log_lines import Row
from clusterm.store.log_query import Selection

routes = router("jobs")

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
_COMPRESSION: Final = 1  # the fastest; log lines get six times smaller with it
_GZIP: Final = 16 + zlib.MAX_WBITS
_SMALL: Final = 16 * 1024  # bytes that take less time to compress than a thread to be found
_VERSION: Final = version("clusterm")


@routes.get(
    "/info/logs/{job}",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "Its lines, as `Accept` asks: text, an object for each line, or server-sent events.",
            "content": {
                formats.TEXT.media_type: {"schema": {"type": "string"}, "example": "PLAY [all] ****\n"},
                formats.NDJSON.media_type: _LINE,
                formats.EVENTS.media_type: {**_LINE, "example": _EVENT},
            },
        },
        **problems(400, 404, 422),
    },
    summary="Show or follow a job's log",
)
async def get_logs(
    http: Request,
    service: ServiceDep,
    job: JobLabel,
    *,
    accept: Annotated[str, Header(include_in_schema=False)] = "",
    accept_encoding: Annotated[str, Header(include_in_schema=False)] = "",
    if_none_match: Annotated[str, Header(include_in_schema=False)] = "",
    last_event_id: Annotated[
        int | None,
        Header(alias="Last-Event-ID", ge=0, le=_NUMBER, description="Number of the last line that was received."),
    ] = None,
    start: Annotated[int, Query(alias="from", ge=1, le=_NUMBER, description="Number of the first line.")] = 1,
    last: Annotated[int | None, Query(alias="to", ge=1, le=_NUMBER, description="Number of the last line.")] = None,
    since: Annotated[
        Moment | None, Query(description="Only from the first line on that is as new as this (RFC 3339).")
    ] = None,
    tail: Annotated[
        int | None, Query(ge=0, le=_NUMBER, description="Only so many of the last lines that are wanted.")
    ] = None,
    node: Annotated[
        str | None, Query(max_length=_TEXT_LENGTH, description="Only lines of this node, named as for `/info/node`.")
    ] = None,
    task: Annotated[
        str | None,
        Query(max_length=_TEXT_LENGTH, description="Only lines of tasks whose name contains this, in any case."),
    ] = None,
    failed: Annotated[
        bool,
        Query(description=f"Only lines of failed results, and the {log_query.CONTEXT} before and after each."),
    ] = False,
    grep: Annotated[
        str | None,
        Query(max_length=_TEXT_LENGTH, description="Only lines that contain this text; it is no pattern."),
    ] = None,
    ignore_case: Annotated[bool, Query(description="For `grep`: `a` is `A`, but `ä` is not `Ä`.")] = False,
    follow: Annotated[
        bool | None,
        Query(
            description="Stay until the job ends, and pass on lines as they come. Default: for `active` and for "
            "server-sent events only."
        ),
    ] = None,
) -> Response:
    """Return the lines of a job's log, those that meet every condition.

    A follower that was cut off goes on with `from`, one more than the last line it has: it misses nothing and sees
    nothing twice. Server-sent events have the line's number as id, so browsers do that by themselves, with
    `Last-Event-ID`. Once there is nothing more to come, followers get a last record, a `LogEnd`, unless they
    take text; as an event its name is `end`. An answer that stops without one was cut off.

    The log of an ended job has an `ETag`, and is 304 where `If-None-Match` names it. With `Accept-Encoding: gzip` the
    answer is compressed, also that to followers, line by line.
    """
    form = negotiation.choose(accept)
    if last_event_id is not None:
        start, tail, since = last_event_id + 1, None, None
    wanted = Selection(
        last=last,
        nodes=() if node is None else (node,),
        task=task,
        failed=failed,
        grep=grep,
        ignore_case=ignore_case,
        follow=follow if follow is not None else job == "active" or form is formats.EVENTS,
    )
    request = await to_thread.run_sync(_make_out, service, job, wanted, start, since, tail, form)
    compressed = negotiation.accepts_gzip(accept_encoding)
    headers = {"Cache-Control": "no-cache", "Vary": "Accept, Accept-Encoding", "X-Accel-Buffering": "no"}
    if request.digest is not None:
        headers["ETag"] = _etag(request, compressed=compressed)
        if headers["ETag"] in if_none_match or if_none_match.strip() == "*":
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    principal = principal_of(http) if wanted.follow else None
    pieces = _pieces(service, request.place, principal)
    if compressed:
        headers["Content-Encoding"] = "gzip"
        pieces = _compressed(pieces)
    return OpenStream(pieces, service.guard, principal, media_type=form.media_type, headers=headers)


@dataclass(frozen=True)
class _Request:
    """What is wanted of which log, made out for once and all."""

    place: Place
    digest: str | None
    """SHA-256 of a log that does not change any more; None where the answer may."""


def _make_out(
    service: Service, label: str, wanted: Selection, start: int, since: datetime | None, tail: int | None, form: Form
) -> _Request:
    """Find the job, its node, and the first line."""
    with service.store.read() as session:
        job = job_queries.labelled(session, label)
        job_id, lines, digest = job.id, job.lines, None if wanted.follow else job.sha256
        with contextlib.suppress(NotFound):  # of a discover job, or not known any more
            wanted = replace(wanted, nodes=tuple({*wanted.nodes, *(nodes.get(session, n).name for n in wanted.nodes)}))
    if not wanted.follow:
        wanted = replace(wanted, last=lines if wanted.last is None else min(wanted.last, lines))
    if since is not None:
        start = max(start, log_reader.first_since(service.store, job_id, since))
    if tail is not None:
        start = log_reader.start_of_tail(service.store, job_id, wanted, start, tail)
    return _Request(Place(job_id, start, wanted, form), digest)


async def _pieces(service: Service, place: Place, principal: Principal | None) -> AsyncIterator[bytes]:
    """Yield the lines that are wanted, and for a follower the end; stop before if its token is not good any more."""
    follower = service.metrics.followers.track_inprogress() if place.selection.follow else contextlib.nullcontext()
    with follower:
        form, following = place.form, place.selection.follow
        before: Row | None = None
        live = False
        while (
            piece := await while_let_in(service.guard, principal, partial(service.tail.read, place, live=live))
        ) is not None:
            if (piece.first or piece.end) and log_reader.is_cut_off(before, piece.first):
                yield form.newline
            if piece.data:
                yield piece.data
            elif following and not piece.end:
                yield form.ping
            before = piece.last or before
            if piece.end:
                if log_reader.is_cut_off(piece.last, None):
                    yield form.newline
                if following:
                    yield form.end(piece.end)
                return
            place, live = replace(place, start=piece.next), piece.live


async def _compressed(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Compress pieces, each so that it can be read at once."""
    compress = zlib.compressobj(_COMPRESSION, wbits=_GZIP)

    def feed(piece: bytes) -> bytes:
        return compress.compress(piece) + compress.flush(zlib.Z_SYNC_FLUSH)

    async for piece in pieces:
        yield feed(piece) if len(piece) < _SMALL else await to_thread.run_sync(feed, piece)
    yield compress.flush()


def _etag(request: _Request, *, compressed: bool) -> str:
    """Name the bytes of an answer."""
    place = request.place
    what = (request.digest, place.start, place.selection, place.form.media_type, compressed, _VERSION)
    return f'"{hashlib.sha256(repr(what).encode()).hexdigest()}"'
