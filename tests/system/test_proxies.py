"""Real reverse proxies in front of the service: nginx below a path and with TLS, and HAProxy."""

import os
import re
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme
from playwright.sync_api import sync_playwright
from support.programs import SCRIPTED
from support.requirements import path_of, requires
from support.service import Clusterm, wait_for

NGINX = """
daemon off; worker_processes 1; pid {root}/nginx.pid; error_log {root}/error.log;
events {{}}
http {{
    access_log off; client_body_temp_path {root}/body; proxy_temp_path {root}/proxy; fastcgi_temp_path {root}/f;
    uwsgi_temp_path {root}/u; scgi_temp_path {root}/s;
    upstream clusterm {{ server {address}; keepalive 8; }}
    ssl_certificate {root}/nginx.pem; ssl_certificate_key {root}/nginx.pem;
    proxy_http_version 1.1; proxy_set_header Connection "";
    server {{
        listen 127.0.0.1:{port} ssl;
        location /plain/ {{ proxy_pass http://clusterm/; proxy_set_header Host localhost; }}
        location /whole/ {{ proxy_pass http://clusterm; proxy_set_header Host localhost;
            proxy_set_header X-Forwarded-Prefix /whole; }}
        location /clusterm/ {{
            proxy_pass http://clusterm/; proxy_buffering off;
            proxy_set_header Host $http_host; proxy_set_header X-Forwarded-Host $http_host;
            proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Forwarded-For "192.0.2.7, $remote_addr";
            proxy_set_header X-Forwarded-Prefix /clusterm;
        }}
    }}
}}
"""
HAPROXY = """
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout check 10s
frontend in
    bind 127.0.0.1:{port}
    default_backend clusterm
backend clusterm
    option httpchk
    server options {address} check inter 200ms
    http-response set-header X-Server %s
frontend status
    bind 127.0.0.1:{status_port}
    stats enable
    stats uri /
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def service(module_clusterm: Clusterm) -> Clusterm:
    module_clusterm.config["manager"]["trusted_proxies"] = ["127.0.0.0/8"]
    module_clusterm.config["manager"]["allowed_hosts"] = ["manager.example.org"]
    module_clusterm.use_program(SCRIPTED)
    module_clusterm.start()
    module_clusterm.add_nodes("node1-a")
    module_clusterm.run("discover", ["127.0.9.9"], extra_vars={"lines": 3})
    for rack in range(3):
        module_clusterm.post("/node/node1-a/set", {"vars": {"rack": rack}})
    return module_clusterm


def start_proxy(command: list[str], port: int) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(command, start_new_session=True)

    def listens() -> bool:
        assert process.poll() is None
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    wait_for(listens, f"{command[0]} to listen")
    return process


def stop_proxy(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.fixture(scope="module")
def nginx(service: Clusterm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The URL of nginx, and the CA of its certificate."""
    root, port = tmp_path_factory.mktemp("nginx"), free_port()
    authority = trustme.CA()
    authority.cert_pem.write_to_path(root / "ca.pem")
    authority.issue_cert("localhost", "127.0.0.1").private_key_and_cert_chain_pem.write_to_path(root / "nginx.pem")
    address = f"{service.http.base_url.host}:{service.http.base_url.port}"
    (root / "nginx.conf").write_text(NGINX.format(root=root, port=port, address=address))
    process = start_proxy(
        [path_of("nginx"), "-p", str(root), "-e", str(root / "error.log"), "-c", str(root / "nginx.conf")], port
    )
    yield f"https://localhost:{port}", root / "ca.pem"
    stop_proxy(process)


@pytest.fixture(scope="module")
def browsing(nginx: tuple[str, Path]) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=nginx[0], verify=ssl.create_default_context(cafile=nginx[1])) as client:
        yield client


def home(client: httpx.Client) -> str:
    return str(client.base_url).rstrip("/")


PATHS = ["/clusterm", "/plain", "/whole"]


@requires("nginx")
@pytest.mark.parametrize("path", PATHS)
def test_links_and_redirects_lead_back_through_the_proxy(browsing: httpx.Client, path: str) -> None:
    found: list[dict[str, Any]] = []
    url = f"{path}/info/node/node1-a/events?limit=1"
    while url:
        response = browsing.get(url)
        assert response.status_code == 200, url
        found = response.json()["items"] + found
        link = response.links.get("next", {}).get("url")
        url = str(response.url.join(link)) if link else ""
        assert not url or url.startswith(f"{home(browsing)}{path}/info/node/node1-a/events?")
    assert len(found) > 3
    redirected = browsing.get(f"{path}/info/nodes/?limit=1", follow_redirects=True)
    assert (redirected.status_code, str(redirected.url)) == (
        200,
        f"{home(browsing)}{path}/info/nodes?limit=1",
    )


@requires("nginx")
def test_what_a_trusted_proxy_reports_is_used(service: Clusterm, browsing: httpx.Client) -> None:
    assert browsing.get("/clusterm/info/status").json()["url"] == f"{home(browsing)}/clusterm"
    body = {"nodes": ["node1-a"]}
    answer = browsing.post("/clusterm/decommission/nodes", json=body, headers={"X-Forwarded-For": "10.1.1.1"})
    assert answer.status_code == 200, answer.text
    assert service.ended(answer.json())["requested_by"] == "192.0.2.7"
    foreign = browsing.get("/clusterm/info/nodes", headers={"Host": "evil.example"})
    assert foreign.status_code == 421
    assert browsing.get("/clusterm/info/nodes", headers={"Host": "manager.example.org"}).status_code == 200
    page = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    assert browsing.post("/clusterm/manager/drain", headers=page).status_code == 403
    own = {"Origin": home(browsing)}
    assert browsing.post("/clusterm/globals", json={"extra_vars": {}}, headers=own).status_code == 200


@requires("nginx")
@pytest.mark.parametrize("path", PATHS)
def test_clusterctl_takes_a_url_with_a_path(service: Clusterm, nginx: tuple[str, Path], path: str) -> None:
    url, authority = nginx
    options = ("--url", f"{url}{path}/", "--cacert", str(authority))
    shown = service.clusterctl(*options, "nodes", "get")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "node1-a" in shown.stdout
    done = service.clusterctl(*options, "job", "logs", "1", "--follow")
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["line 3"]), done.stderr


@requires("nginx", "chromium")
def test_the_docs_page_below_a_path(nginx: tuple[str, Path], tmp_path: Path) -> None:
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    flags.append("--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1 , EXCLUDE localhost")
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            tmp_path / "profile",
            executable_path=path_of("chromium"),
            args=flags,
            headless=True,
            ignore_https_errors=True,
        )
        page, failed = context.pages[0], list[str]()
        page.on("response", lambda response: failed.append(response.url) if response.status >= 400 else None)
        page.on("pageerror", lambda error: failed.append(str(error)))
        for path in PATHS:
            page.goto(f"{nginx[0]}{path}/docs")
            operation = page.locator(".opblock", has=page.locator('[data-path="/v1/info/drain"]')).first
            operation.locator(".opblock-summary-control").click()
            operation.get_by_role("button", name="Try it out").click()
            operation.get_by_role("button", name="Execute").click()
            live = operation.locator(".live-responses-table .response")
            assert live.locator(".response-col_status").inner_text().strip() == "200"
            shown = operation.locator(".request-url").inner_text()
            assert shown.endswith(f"\n{nginx[0]}{path}/v1/info/drain")
        assert failed == []
        context.close()


@requires("haproxy")
def test_haproxy_finds_the_service_healthy(service: Clusterm, tmp_path: Path) -> None:
    port, status_port = free_port(), free_port()
    address = f"{service.http.base_url.host}:{service.http.base_url.port}"
    config = tmp_path / "haproxy.cfg"
    config.write_text(HAPROXY.format(port=port, status_port=status_port, address=address))
    process = start_proxy([path_of("haproxy"), "-f", str(config)], port)
    try:

        def check() -> str:
            table = httpx.get(f"http://127.0.0.1:{status_port}/;csv").text.splitlines()
            columns = table[0].removeprefix("# ").split(",")
            row = next(line for line in table if line.startswith("clusterm,options,")).split(",")
            status = dict(zip(columns, row, strict=False))
            return (
                f"{status['status']} {status['check_status']} {status['check_code']}" if status["check_status"] else ""
            )

        assert re.fullmatch(r"UP L7OK 204", wait_for(check, "a health check"))
        assert httpx.get(f"http://127.0.0.1:{port}/info/nodes").json()["node1-a"]
    finally:
        stop_proxy(process)
