"""Encode pages of events as JSON, NDJSON or CSV."""

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

from fastapi import Header, Query, Request, Response

from clusterm import schemas
from clusterm.common import csv_export
from clusterm.routes.dependencies import json_response
from clusterm.routes.negotiation import parse

Accept = Annotated[str, Header(include_in_schema=False)]
Form = Annotated[
    Literal["json", "ndjson", "csv", "text"] | None,
    Query(alias="format", description="The format, instead of `Accept`, as for a link."),
]

_JSON: Final = "application/json"
_NDJSON: Final = "application/x-ndjson"
_CSV: Final = "text/csv"
_TEXT: Final = "text/plain"
_OFFERED: Final = {"json": _JSON, "ndjson": _NDJSON, "csv": _CSV, "text": _TEXT}

EVENTS: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "Events in the format of `format` or `Accept`: a page in JSON, one JSON object per line, CSV, "
        "or, only by `format`, a line of text each. The header "
        '`Link` has the URL of the next page, relative to that of the request, with `rel="next"`.',
        "content": {
            _NDJSON: {"schema": {"$ref": f"#/components/schemas/{schemas.Event.__name__}"}},
            _CSV: {"schema": {"type": "string"}, "example": f"{','.join(schemas.Event.model_fields)}\r\n"},
            _TEXT: {"schema": {"type": "string"}, "example": "2026-11-22T07:31:02.000001Z node2-b discovered\n"},
        },
    }
}
"""OpenAPI description of the response."""


def page(found: Sequence[schemas.Event], limit: int, after: int | None) -> schemas.Page[schemas.Event]:
    """Return a page of events, whose `next` leads to older ones.

    Args:
        found: up to `limit` + 1 events, the oldest first.
        limit: the most to return.
        after: not None if they are the first ones after that event, and not the latest ones.
    """
    items = list(found[:limit] if after is not None else found[-limit:])
    older = len(found) > limit and after is None
    return schemas.Page(items=items, next=str(items[0].id) if older else None)


def events_response(
    request: Request, page: schemas.Page[schemas.Event], accept: str, form: str | None = None
) -> Response:
    """Return a page of events in the format of the parameter, else in the one that the client prefers."""
    match _OFFERED[form] if form is not None else _preferred(accept, (_JSON, _NDJSON, _CSV)):
        case "text/plain":
            text = "".join(f"{schemas.format_time(item.at)} {item}\n" for item in page.items)
            response = Response(text, media_type=f"{_TEXT}; charset=utf-8")
        case "text/csv":
            items = (item.model_dump(mode="json") for item in page.items)
            text = "".join(csv_export.rows(list(schemas.Event.model_fields), items))
            response = Response(text, media_type=f"{_CSV}; charset=utf-8; header=present")
        case "application/x-ndjson":
            response = Response("".join(f"{item.model_dump_json()}\n" for item in page.items), media_type=_NDJSON)
        case _:
            response = json_response(page)
    response.headers["Vary"] = "Accept"
    if page.next is not None:
        # Relative to the request's URL (RFC 8288, section 3.1), which only the client knows behind a proxy.
        response.headers["Link"] = f'<?{request.url.include_query_params(cursor=page.next).query}>; rel="next"'
    return response


def _preferred(accept: str, offered: tuple[str, ...]) -> str:
    """Return the offered media type that `Accept` (RFC 9110, section 12.5.1) ranks highest, else the first."""
    ranks = dict(parse(accept))

    def rank(kind: str) -> float:
        ranges = (kind, f"{kind.partition('/')[0]}/*", "*/*")
        return next((ranks[each] for each in ranges if each in ranks), 0.0)

    return max(offered, key=rank)
