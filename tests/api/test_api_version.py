"""The paths of version 1, which are those without a version in every respect."""

import httpx
import pytest
from support.programs import SCRIPTED
from support.service import Clusterm


@pytest.fixture(scope="module")
def service(module_clusterm: Clusterm) -> Clusterm:
    module_clusterm.use_program(SCRIPTED)
    service = module_clusterm.start()
    service.add_nodes("node1-a", "node2-b")
    service.run("commission", ["node1-a"])
    return service


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/info/nodes", 200),
        ("/nodes?limit=1", 200),
        ("/info/node/node1-a/events?limit=1", 200),
        ("/healthz", 200),
        ("/info/job/first", 400),
    ],
)
def test_a_path_with_the_version_is_the_same(service: Clusterm, path: str, status: int) -> None:
    plain, versioned = service.http.get(path), service.http.get(f"/v1{path}")
    assert plain.status_code == versioned.status_code == status
    assert plain.content == versioned.content
    assert plain.headers.get("link") == versioned.headers.get("link")


@pytest.mark.parametrize("path", ["/v1", "/v1/v1/info/nodes", "/v2/info/nodes", "/v1info/nodes", "/v1/docs"])
def test_no_other_path_is_a_route(service: Clusterm, path: str) -> None:
    assert service.http.get(path).status_code == 404


def test_links_and_redirects_keep_the_version(service: Clusterm) -> None:
    redirected = service.http.get("/v1/info/node/node1-a/events/?limit=1")
    assert redirected.status_code == 307
    url = redirected.url.join(redirected.headers["location"])
    assert url.raw_path == b"/v1/info/node/node1-a/events?limit=1"
    following = service.http.get(url).links["next"]["url"]
    older = service.http.get(url.join(following))
    assert (older.url.path, older.status_code) == ("/v1/info/node/node1-a/events", 200)


def test_an_idempotency_key_is_the_same_for_both_paths(service: Clusterm) -> None:
    def send(path: str) -> httpx.Response:
        return service.post(path, {"addrs": ["127.0.9.9"]}, headers={"Idempotency-Key": "once"})

    first, second = send("/discover/nodes"), send("/v1/discover/nodes")
    assert (first.status_code, second.status_code) == (200, 200)
    assert first.json()["id"] == second.json()["id"]
    service.ended(first.json())


def test_metrics_and_the_log_name_both_paths_as_one(service: Clusterm) -> None:
    service.http.get("/v1/info/version")
    service.post("/v1/update/nodes", {"nodes": ["nobody-x"]})
    metrics = service.http.get("/v1/metrics").text
    assert 'route="/info/version"' in metrics
    assert 'route="/v1' not in metrics
    assert "POST /update/nodes from" in service.log.read_text()
