"""Views of access tokens."""

from __future__ import annotations

from datetime import datetime

from clusterctl.api.models import Json, read
from clusterctl.output.output import View
from clusterctl.views.cells import block, cell, if_rows, new_table, time
from clusterm import schemas


def tokens(data: Json) -> View:
    """Return one row per token."""
    table = new_table("NAME", "ROLE", "STATUS", "CREATED", "EXPIRES", "LAST USED")
    for each in read(schemas.Page[schemas.Token], data).items:
        times = (each.created_at, each.expires_at, each.last_used_at)
        table.add_row(cell(each.name), cell(each.role), cell(each.status), *(cell(_time(at)) for at in times))
    yield from if_rows(table)


def token(data: Json) -> View:
    """Return the members of a token."""
    shown = read(schemas.Token, data)
    yield block(
        {
            "name": shown.name,
            "role": shown.role,
            "status": shown.status,
            "created": time(shown.created_at),
            "expires": _time(shown.expires_at),
            "revoked": _time(shown.revoked_at),
            "last used": _time(shown.last_used_at),
        }
    )


def me(data: Json) -> View:
    """Return who sends the requests."""
    shown = read(schemas.Me, data)
    yield block({"name": shown.name, "role": shown.role, "expires": _time(shown.expires_at) or "never"})


def _time(at: datetime | None) -> str:
    return time(at) if at else ""
