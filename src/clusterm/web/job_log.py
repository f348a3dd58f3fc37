"""The page of a job's log, its lines for the script of the page, and its download."""

import re
from typing import Annotated, Final
from urllib.parse import urlencode

from fastapi import Query, Request, Response

from clusterm.routes.dependencies import ServicesDep
from clusterm.routes.logs import get_job_log, list_log_matches
from clusterm.store import failures, log_reader, nodes
from clusterm.store import jobs as job_queries
from clusterm.store.engine import Store
from clusterm.store.log_lines import Row
from clusterm.store.log_query import LogQuery
from clusterm.web import pages
from clusterm.web.page_routes import PageRouter

routes = PageRouter()
routes.add("GET", "/ui/jobs/{job}/lines", is_page=False)(get_job_log)
routes.add("GET", "/ui/jobs/{job}/matches", is_page=False)(list_log_matches)

_LINES: Final = 1000
"""Lines on a page."""

_TEXT: Final = 1000
_MAX_NUMBER: Final = 2**62
_MAX_NODES: Final = 1000
_MAX_FAILURES: Final = 2000
_CONTROL: Final = re.compile(
    r"\x1b\[[0-9;:?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b.?"
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]"
)
"""What a terminal would execute, or would change the direction of text; the page shows the text alone.

`static/ansi.js` has the same pattern.
"""


@routes.add("GET", "/ui/jobs/{job}/log")
def get_log(
    request: Request,
    services: ServicesDep,
    job: str,
    *,
    first: Annotated[int | None, Query(alias="from", ge=1, le=_MAX_NUMBER)] = None,
    q: Annotated[str, Query(max_length=_TEXT)] = "",
    node: Annotated[str, Query(max_length=_TEXT)] = "",
    failed: bool = False,
    only: bool = False,
) -> Response:
    """Return a page of the log: by default its beginning, or its end while the job runs.

    Scripts mark the lines that contain `q` among all lines, unless `only` is set; without scripts there are no others.
    """
    with services.store.read() as session:
        found = job_queries.resolve(session, job)
        job_id, lines, status, ended = found.id, found.lines, found.status, job_queries.has_ended(found)
        names = job_queries.node_names(session, job_id, limit=_MAX_NODES + 1)
        failing = failures.lines(session, job_id, limit=_MAX_FAILURES)
        named = tuple(nodes.spellings(session, node)) if node else ()
    query = LogQuery(last=lines, nodes=named, failed=failed, grep=q or None, ignore_case=True)
    chosen = {"q": q, "node": node, "failed": "true" if failed else ""}
    chosen = {name: value for name, value in chosen.items() if value}
    start = first or (1 if ended or chosen else max(1, lines - _LINES + 1))
    rows, after = _read(services.store, job_id, query, start)

    def address(number: int) -> str:
        return f"?{urlencode({**chosen, 'from': number})}"

    return pages.render(
        request,
        "log.html",
        job=job_id,
        status=status,
        ended=ended,
        lines=lines,
        rows=[(row.seq, _CONTROL.sub("", row.text), _title(row)) for row in rows],
        nodes=names[:_MAX_NODES],
        more_nodes=len(names) > _MAX_NODES,
        failures=failing,
        chosen=chosen,
        only=only,
        before=address(max(1, start - _LINES)) if start > 1 and not chosen else "",
        beginning=address(1) if start > 1 else "",
        after=address(after) if after <= lines else "",
        end=address(max(1, lines - _LINES + 1)) if after <= lines and not chosen else "",
    )


def _read(store: Store, job_id: int, query: LogQuery, start: int) -> tuple[list[Row], int]:
    """Return the lines of a page, and the number of the line with which the next page begins."""
    rows: list[Row] = []
    while len(rows) <= _LINES:
        with store.read() as session:
            part = log_reader.read(session, job_queries.get(session, job_id), query, start)
        rows += part.rows
        start = part.next
        if part.exhausted:
            break
    return (rows[:_LINES], rows[_LINES].seq) if len(rows) > _LINES else (rows, start)


def _title(row: Row) -> str:
    """Return what wrote a line, and when."""
    at = f"{row.at:%Y-%m-%d %H:%M:%S} UTC" if row.at else ""
    return " · ".join(part for part in (at, row.node, row.play, row.task) if part)
