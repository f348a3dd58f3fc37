"""Pages of nodes: the list, and a node with its explanation and history."""

from typing import Annotated, Final
from urllib.parse import urlencode

from fastapi import Query, Request, Response

from clusterm.enums import State, Status
from clusterm.routes.dependencies import ServicesDep
from clusterm.routes.nodes import read_explanation
from clusterm.store import events, nodes
from clusterm.store import jobs as job_queries
from clusterm.web import changes, pages
from clusterm.web.page_routes import UNCHOSEN, PageRouter
from clusterm.web.runs import contains

routes = PageRouter()

_PAGE: Final = 100
_EVENTS: Final = 50
_JOBS: Final = 20
_TEXT: Final = 200


@routes.add("GET", "/ui/nodes")
def get_nodes(
    request: Request,
    services: ServicesDep,
    q: Annotated[str, Query(max_length=_TEXT)] = "",
    status: Annotated[Status | None, UNCHOSEN] = None,
    state: Annotated[State | None, UNCHOSEN] = None,
    group: Annotated[str, Query(max_length=_TEXT)] = "",
    after: Annotated[str, Query(max_length=_TEXT)] = "",
) -> Response:
    """Return a page of the list. `q` is part of a name or address."""
    text = q.strip()
    with services.store.read() as session:
        live = changes.state(session)
        everything = nodes.candidates(session)
        found = [
            node.name
            for node in everything
            if contains(node, text)
            and status in {None, node.status}
            and state in {None, node.state}
            and group in {"", node.host_group}
        ]
        later = [name for name in found if name > after]
        shown = [node for _, node in nodes.listed(session, later[:_PAGE])]
    chosen = {"q": q, "status": status, "state": state, "group": group}
    chosen = {name: value for name, value in chosen.items() if value}
    more = f"?{urlencode({**chosen, 'after': later[_PAGE - 1]})}" if len(later) > _PAGE else ""
    return pages.render(
        request,
        "nodes.html",
        live=live,
        nodes=shown,
        found=len(found),
        total=len(everything),
        chosen=chosen,
        more=more,
        run_query=urlencode(chosen or {"all": "true"}),
        statuses=list(Status),
        states=list(State),
        groups=sorted({node.host_group for node in everything if node.host_group}),
    )


@routes.add("GET", "/ui/nodes/{name}")
def get_node(request: Request, services: ServicesDep, name: str) -> Response:
    """Return the page of a node, by its name or address."""
    explanation = read_explanation(services, name)
    with services.store.read() as session:
        node = nodes.to_wire(nodes.get(session, explanation.node), [])
        bound = services.live_settings.current.retention.node_events
        past = events.of_node(session, explanation.node, bound, limit=_EVENTS)
        jobs = job_queries.history(session, limit=_JOBS, nodes=[explanation.node])
        shown = [(job.id, job.action, job.status, job.started_at, job.seconds, job.error) for job in jobs]
    return pages.render(request, "node.html", node=node, about=explanation, events=past[::-1], jobs=shown)
