"""Pages that start jobs: the form, the plan, the confirmation, and what each role may do."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser

import httpx
import pytest
from support.programs import SCRIPTED
from support.service import Clusterm

from clusterm.access import token_management
from clusterm.enums import TokenRole
from clusterm.store.engine import Store
from clusterm.web import changes, job_log, jobs, nodes, overview, run_pages, settings
from clusterm.web.page_routes import PageRoute

OWN = {"Sec-Fetch-Site": "same-origin"}
ROUTES = [
    route
    for part in (overview, nodes, jobs, job_log, run_pages, settings, changes)
    for route in part.routes.routes
    if isinstance(route, PageRoute)
]
PARAMETERS = {"{action}": "update", "{job}": "1", "{name}": "node1-a"}
RANKS = list(TokenRole)

ACTIONS = {
    "verify": {
        "description": "Compare with the release",
        "steps": [{"name": "compare", "playbook": "site.yml"}],
        "while": "same",
        "confirm": True,
        "vars": {
            "lines": {"type": "integer", "required": True, "max": 9, "description": "Lines to print"},
            "mode": {"type": "choice", "choices": ["quick", "full"], "default": "quick"},
            "pool": {"secret": True},
        },
    },
    "wipe": {"steps": [{"name": "wipe", "playbook": "cleanup.yml"}], "while": "same", "role": "admin"},
}


class Controls(HTMLParser):
    """The hidden fields, links, and targets of forms and buttons of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.hidden: dict[str, str] = {}
        self.links: set[str] = set()
        self.posts: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "input" and values.get("type") == "hidden":
            self.hidden[values["name"]] = values["value"]
        if tag == "a":
            self.links.add(values["href"].partition("#")[0])
        if tag == "form" and values["method"] == "post":
            self.posts.add(values["action"])
        if "formaction" in values:
            self.posts.add(values["formaction"])


@pytest.fixture(scope="module")
def service(module_clusterm: Clusterm) -> Clusterm:
    """A service that asks for tokens; its tests' own client has that of the host."""
    del module_clusterm.config["manager"]["auth"]
    module_clusterm.use_program(SCRIPTED)
    module_clusterm.config["actions"] = ACTIONS
    module_clusterm.start()
    token = (module_clusterm.state_dir / "token").read_text().strip()
    module_clusterm.http.headers["Authorization"] = f"Bearer {token}"
    module_clusterm.add_nodes("node1-a", "node2-b", *(f"rack-{number:02}" for number in range(51)))
    assert module_clusterm.run("commission", ["node1-a"])["status"] == "Complete"
    return module_clusterm


@pytest.fixture(scope="module")
def browsers(service: Clusterm) -> Iterator[dict[TokenRole, httpx.Client]]:
    """A client with a session for each role."""
    store = Store(f"sqlite:///{service.database}")
    clients = {}
    for role in TokenRole:
        clients[role] = httpx.Client(base_url=service.http.base_url, headers=OWN, timeout=60)
        token = token_management.create(store, f"test-{role}", role, None)
        assert clients[role].post("/ui/login", data={"token": token}).status_code == 303
    store.close()
    yield clients
    for client in clients.values():
        client.close()


@pytest.fixture(scope="module")
def operator(browsers: dict[TokenRole, httpx.Client]) -> httpx.Client:
    return browsers[TokenRole.OPERATOR]


def jobs_of(service: Clusterm) -> list[int]:
    return [job["id"] for job in service.get("/info/jobs")["items"]]


def plan(browser: httpx.Client, path: str, **fields: str) -> httpx.Response:
    return browser.post(f"{path}/plan", data=fields)


def test_a_plan_changes_nothing_and_its_confirmation_begins_one_job(service: Clusterm, operator: httpx.Client) -> None:
    before = jobs_of(service)
    shown = operator.get("/ui/run/update?nodes=node1-a").text
    assert ">node1-a</textarea>" in shown
    page = plan(operator, "/ui/run/update", nodes="node1-a", extra_vars='{"db_password": "hunter2", "lines": 2}')
    assert page.status_code == 200
    assert "hunter2" in Controls(page.text).hidden["extra_vars"]  # to be sent with the confirmation
    assert ">hunter2<" not in page.text
    assert "if configure fails" in page.text
    assert jobs_of(service) == before
    sent = Controls(page.text).hidden
    first, second = (operator.post("/ui/run/update", data=sent) for _ in range(2))  # a double click
    assert (first.status_code, first.headers["Location"]) == (303, second.headers["Location"])
    [begun] = set(jobs_of(service)) - set(before)
    ended = service.ended(service.job(begun))
    assert (ended["requested_by"], ended["status"]) == ("test-operator", "Complete")
    assert ended["extra_vars"] == {"db_password": "********", "lines": 2}
    assert operator.post("/ui/run/update", data=sent).headers["Location"] == f"/ui/jobs/{begun}"


def test_objections_are_shown_and_there_is_no_button_to_start(service: Clusterm, operator: httpx.Client) -> None:
    before = jobs_of(service)
    page = plan(operator, "/ui/run/commission", nodes="node1-a", host_group="service-master")
    assert (page.status_code, "is already part of the cluster" in page.text or "Allocated" in page.text) == (200, True)
    assert "It would be refused" in page.text
    assert ">Start<" not in page.text
    refused = operator.post("/ui/run/commission", data=Controls(page.text).hidden)
    assert refused.status_code == 409
    assert "It would be refused" in refused.text
    assert jobs_of(service) == before


@pytest.mark.parametrize(
    ("fields", "status", "said"),
    [
        ({}, 200, "give at least one node"),
        ({"nodes": "none-x"}, 200, "none-x"),
        ({"q": "nothing"}, 404, "no node matches"),
        ({"nodes": "node1-a", "extra_vars": "{"}, 422, "not a JSON object"),
        ({"nodes": "node1-a", "extra_vars": "lines"}, 422, "write NAME=VALUE"),
        ({"nodes": "node1-a", "extra_vars": "ansible_connection=local"}, 422, "ansible_connection"),
        ({"nodes": "node1-a", "limit_batch": "many"}, 422, "limit_batch"),
        ({"nodes": "node1-a", "job_timeout": "-1"}, 422, "job_timeout"),
        ({"status": "Broken"}, 422, "select.status"),
        ({"nodes": "<script>alert(1)</script>"}, 200, "&lt;script&gt;"),
    ],
    ids=str,
)
def test_bad_input_is_explained_and_kept(
    service: Clusterm, operator: httpx.Client, fields: dict[str, str], status: int, said: str
) -> None:
    before = jobs_of(service)
    page = plan(operator, "/ui/run/update", **fields)
    assert (page.status_code, said in page.text) == (status, True), page.text
    assert "<script>alert" not in page.text
    for value in (value for name, value in fields.items() if name != "status"):
        assert value.replace("<", "&lt;").replace(">", "&gt;") in page.text
    assert operator.post("/ui/run/update", data=fields).status_code == 422  # without a key
    assert jobs_of(service) == before


def test_the_number_of_nodes_is_typed_for_a_decommission_and_many_nodes(
    service: Clusterm, operator: httpx.Client
) -> None:
    before = jobs_of(service)
    for path, fields, number in (
        ("/ui/run/decommission", {"nodes": "node2-b"}, "1"),
        ("/ui/run/commission", {"q": "RACK-", "host_group": "service-worker"}, "51"),
    ):
        page = plan(operator, path, **fields)
        assert f"Type the number of nodes, {number}, to confirm" in page.text
        sent = Controls(page.text).hidden
        for typed in ({}, {"confirmed": "2"}, {"confirmed": "all"}):
            refused = operator.post(path, data=sent | typed)
            assert (refused.status_code, f"type the number of nodes, {number}" in refused.text) == (422, True)
        assert jobs_of(service) == before
        checked = plan(operator, path, **fields, check="true")
        assert "Type the number" not in checked.text
    started = operator.post(path, data=sent | {"confirmed": number})
    job = service.ended(service.job(int(started.headers["Location"].rpartition("/")[2])))
    assert (len(job["nodes"]), job["status"]) == (51, "Complete")


def test_other_nodes_than_planned_are_planned_again(service: Clusterm, operator: httpx.Client) -> None:
    page = plan(operator, "/ui/run/update", q="late-", all="true")
    assert page.status_code == 404
    service.add_nodes("late-a")
    sent = Controls(plan(operator, "/ui/run/decommission", q="late-", check="true").text).hidden
    service.add_nodes("late-b")
    again = operator.post("/ui/run/decommission", data=sent)
    assert (again.status_code, "this is the plan of now" in again.text) == (422, True)
    assert "late-b" in again.text


def test_a_discover_job_is_planned_and_begun(service: Clusterm, operator: httpx.Client) -> None:
    assert plan(operator, "/ui/run/discover", addrs="not an address!").status_code == 422
    page = plan(operator, "/ui/run/discover", addrs="127.0.9.1-2")
    assert "127.0.9.2" in page.text
    answer = operator.post("/ui/run/discover", data=Controls(page.text).hidden)
    job = service.job(int(answer.headers["Location"].rpartition("/")[2]))
    assert (job["action"], job["nodes"]) == ("discover", ["127.0.9.1", "127.0.9.2"])
    service.ended(job)


def test_the_form_of_an_action_of_the_site_has_its_vars(service: Clusterm, operator: httpx.Client) -> None:
    path, nodes = "/ui/run/verify", {"nodes": "node1-a"}
    assert f"{path}?" in operator.get("/ui/nodes").text
    form = operator.get(f"{path}?nodes=node1-a").text
    for part in ("Compare with the release", 'name="var.lines"', "Lines to print", "<option>full", 'type="password"'):
        assert part in form
    assert 'name="extra_vars"' not in form
    for values, said in (({}, "needs the var"), ({"var.lines": "10"}, "at most 9"), ({"var.lines": "x"}, "an integer")):
        refused = plan(operator, path, **nodes, **values)
        assert (refused.status_code, said in refused.text) == (422, True), refused.text
    page = plan(operator, path, **nodes, **{"var.lines": "2", "var.pool": "hunter2", "limit_batch": "1, 10%"})
    assert ">hunter2<" not in page.text
    assert "Type the number of nodes, 1, to confirm" in page.text
    answer = operator.post(path, data=Controls(page.text).hidden | {"confirmed": "1"})
    job = service.ended(service.job(int(answer.headers["Location"].rpartition("/")[2])))
    assert (job["action"], job["status"], job["limit_batch"]) == ("verify", "Complete", [1, "10%"])
    assert job["extra_vars"] == {"lines": 2, "mode": "quick", "pool": "********"}
    assert operator.get(f"/ui/jobs/{job['id']}/retry").status_code == 200


def test_an_action_for_admins_is_neither_offered_to_operators_nor_started(
    service: Clusterm, browsers: dict[TokenRole, httpx.Client]
) -> None:
    admin, operator = browsers[TokenRole.ADMIN], browsers[TokenRole.OPERATOR]
    offered = ["/ui/run/wipe?" in browser.get("/ui/nodes").text for browser in (operator, admin)]
    assert offered == [False, True]
    sent = Controls(plan(admin, "/ui/run/wipe", nodes="node1-a").text).hidden
    before = jobs_of(service)
    refused = operator.post("/ui/run/wipe", data=sent)
    assert (refused.status_code, "the role admin is needed" in refused.text) == (403, True)
    assert jobs_of(service) == before
    assert plan(admin, "/ui/run/nothing", nodes="node1-a").status_code == 404


def test_a_job_is_retried_on_the_nodes_that_did_not_pass(service: Clusterm, operator: httpx.Client) -> None:
    failed = service.run("update", ["node1-a"], extra_vars={"status": 2})
    assert failed["status"] == "Errored"
    path = f"/ui/jobs/{failed['id']}/retry"
    assert f"{path}?failed_only=true" in operator.get(f"/ui/jobs/{failed['id']}").text
    assert "checked" in operator.get(f"{path}?failed_only=true").text
    page = plan(operator, path, failed_only="true", extra_vars='{"status": 0}')
    answer = operator.post(path, data=Controls(page.text).hidden)
    again = service.ended(service.job(int(answer.headers["Location"].rpartition("/")[2])))
    assert (again["status"], again["retry_of"], again["nodes"]) == ("Complete", failed["id"], ["node1-a"])
    done = plan(operator, "/ui/jobs/1/retry")
    assert (done.status_code, "nothing is left to do" in done.text) == (409, True)
    assert plan(operator, "/ui/jobs/99999/retry").status_code == 404


def needed(method: str, path: str) -> TokenRole | None:
    """Return the role of the route of a path."""
    found = [route for route in ROUTES if method in (route.methods or ()) and route.path_regex.fullmatch(path)]
    return found[0].role if found else None


def walk(browser: httpx.Client) -> dict[str, Controls]:
    """Return the controls of the pages that links lead to, one page for each shape of an address."""
    to_visit, seen = {"/ui/"}, dict[str, Controls]()
    while to_visit and len(seen) < 60:
        url = to_visit.pop()
        page = browser.get(url)
        assert page.status_code == 200, url
        seen[shape(url)] = Controls(page.text)
        paths = {httpx.URL(f"http://host{url}").join(link).raw_path.decode() for link in seen[shape(url)].links}
        to_visit |= {path for path in paths if path.startswith("/ui/") and shape(path) not in seen}
    return seen


def shape(url: str) -> str:
    return re.sub(r"/nodes/[^/?]+|nodes=[^&]+|\d+", "N", url)


@pytest.mark.parametrize("role", TokenRole)
def test_pages_offer_only_what_the_role_may_do(browsers: dict[TokenRole, httpx.Client], role: TokenRole) -> None:
    pages = walk(browsers[role])
    offered = {post for page in pages.values() for post in page.posts} - {"/ui/logout"}
    for post in offered:
        target = needed("POST", post)
        assert target is not None, post
        assert RANKS.index(target) <= RANKS.index(role), post
    assert ("/ui/run/update/plan" in offered) == (role is not TokenRole.VIEWER)
    assert ("/ui/settings/drain" in offered) == (role is TokenRole.ADMIN)


@pytest.mark.parametrize("role", TokenRole)
def test_the_service_refuses_what_a_role_may_not_do_and_every_foreign_form(
    service: Clusterm, browsers: dict[TokenRole, httpx.Client], role: TokenRole
) -> None:
    before = jobs_of(service)
    for route in ROUTES:
        path = re.sub(r"{\w+}", lambda found: PARAMETERS.get(found[0], "1"), route.path)
        [method] = route.methods or {""}
        answer = browsers[role].request(method, path, follow_redirects=False)
        is_allowed = route.role is None or RANKS.index(role) >= RANKS.index(route.role)
        assert (answer.status_code != 403) == is_allowed, (method, path)
        if method == "POST":
            assert browsers[role].post(path, headers={"Sec-Fetch-Site": "same-site"}).status_code == 403, path
    assert jobs_of(service) == before
