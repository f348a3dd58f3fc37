"""The service over TLS, with certificates of a test's own CA."""

import contextlib
import json
import os
import signal
import socket
import ssl
import subprocess
import tarfile
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509 import load_pem_x509_certificate
from prometheus_client.parser import text_string_to_metric_families
from pydantic import ValidationError
from support.programs import SCRIPTED
from support.service import BIN, WAIT_TIMEOUT_S, Clusterm, wait_for

from clusterm.errors import StartupError
from clusterm.server.tls import Tls
from clusterm.settings import ManagerSettings

HOST = "127.0.0.1"


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    """The CA of service and clients."""
    return trustme.CA()


@pytest.fixture(scope="module")
def files(ca: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with certificates, each with its key in the same file."""
    directory = tmp_path_factory.mktemp("certificates")
    ca.cert_pem.write_to_path(directory / "ca.pem")
    trustme.CA().cert_pem.write_to_path(directory / "other-ca.pem")
    ca.issue_cert("ops@example.org").private_key_and_cert_chain_pem.write_to_path(directory / "client.pem")
    stranger = trustme.CA().issue_cert("ops@example.org")
    stranger.private_key_and_cert_chain_pem.write_to_path(directory / "stranger.pem")
    return directory


def serve_tls(clusterm: Clusterm, ca: trustme.CA, files: Path, **settings: Any) -> Clusterm:
    """Start a service with a certificate for HOST."""
    put(ca.issue_cert(HOST), clusterm)
    pair = {"tls_cert": str(clusterm.root / "cert.pem"), "tls_key": str(clusterm.root / "key.pem")}
    clusterm.config["manager"] |= {**pair, **settings}
    clusterm.http = httpx.Client(verify=trusting(files))
    clusterm.use_program(SCRIPTED)
    return clusterm


def put(certificate: trustme.LeafCert, clusterm: Clusterm) -> None:
    """Put a certificate and its key where the service reads them."""
    certificate.private_key_pem.write_to_path(clusterm.root / "key.pem")
    (clusterm.root / "cert.pem").write_bytes(b"".join(pem.bytes() for pem in certificate.cert_chain_pems))


def trusting(files: Path, certificate: str | None = None) -> ssl.SSLContext:
    """Return what a client needs for the service."""
    context = ssl.create_default_context(cafile=files / "ca.pem")
    if certificate:
        context.load_cert_chain(files / certificate)
    return context


def reload(clusterm: Clusterm) -> str:
    """Have the files read again, and return what the service says of it."""
    assert clusterm.process is not None
    before = clusterm.log.stat().st_size
    clusterm.process.send_signal(signal.SIGHUP)

    def look() -> str | None:
        said = clusterm.log.read_text()[before:]
        return said if "the certificate" in said else None

    return wait_for(look, "the service to read its files again")


def fails(done: subprocess.CompletedProcess[str], *reasons: str) -> None:
    """Check that clusterctl could not reach the service, and said so in a line."""
    assert done.returncode == 3, done
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    assert "trying again" not in done.stderr
    for reason in reasons:
        assert reason in done.stderr


@pytest.fixture(scope="module")
def encrypted(module_clusterm: Clusterm, ca: trustme.CA, files: Path) -> Clusterm:
    """A service that speaks TLS."""
    service = serve_tls(module_clusterm, ca, files, max_connections_per_address=60).start()
    service.add_nodes("node1-a")
    return service


def test_clusterctl_does_its_work_over_tls(
    encrypted: Clusterm, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert str(encrypted.http.base_url).startswith(f"https://{HOST}:")
    monkeypatch.setenv("CLUSTERM_CACERT", str(files / "ca.pem"))
    followed = encrypted.clusterctl("node", "decommission", "node1-a", "--follow", "-e", '{"lines": 2000}')
    assert followed.returncode == 0, followed.stderr
    assert followed.stdout.splitlines()[-1] == "line 2000"
    bundle = tmp_path / "bundle.tar.gz"
    assert encrypted.clusterctl("support-bundle", str(bundle)).returncode == 0
    with tarfile.open(bundle) as archive:
        missing = archive.extractfile("clusterm-support/missing.txt")
        assert missing is not None
        assert missing.read() == b"Nothing is missing.\n"
    monkeypatch.setenv("_CLUSTERCTL_COMPLETE", "complete_bash")
    for options in ("", f"--cacert {files / 'ca.pem'} "):
        monkeypatch.setenv("COMP_WORDS", f"clusterctl {options}node get ")
        monkeypatch.setenv("COMP_CWORD", str(3 + 2 * bool(options)))
        assert encrypted.clusterctl().stdout.strip() == "node1-a"
        monkeypatch.delenv("CLUSTERM_CACERT", raising=False)


def test_the_service_s_own_certificate_can_stand_for_its_ca(encrypted: Clusterm) -> None:
    done = encrypted.clusterctl("--cacert", str(encrypted.root / "cert.pem"), "nodes", "get")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", [["nodes", "get"], ["node", "decommission", "node1-a"]])
def test_why_a_service_is_not_trusted_is_said_at_once(encrypted: Clusterm, files: Path, command: list[str]) -> None:
    fails(encrypted.clusterctl(*command), "a CA that is not known here", "--cacert")
    fails(encrypted.clusterctl("--cacert", str(files / "other-ca.pem"), *command), "a CA that is not known here")
    url = str(encrypted.http.base_url).rstrip("/")
    options = ["--cacert", str(files / "ca.pem"), "--url", url.replace(HOST, "localhost")]
    fails(encrypted.clusterctl(*options, *command), "for another name", "'localhost'")
    fails(encrypted.clusterctl("--url", url.replace("https:", "http:"), *command), "speaks TLS", "https://")


class _Plain(BaseHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- http.server calls it so
        pass


def test_a_service_without_tls(new_clusterm: Clusterm) -> None:
    with HTTPServer((HOST, 0), _Plain) as plain:
        threading.Thread(target=plain.serve_forever, daemon=True).start()
        fails(
            new_clusterm.clusterctl("--url", f"https://{HOST}:{plain.server_port}", "nodes", "get"), "no TLS", "http://"
        )
        plain.shutdown()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--cacert", "absent"], "cannot read --cacert absent: No such file or directory"),
        (["--cacert", os.devnull], "--cacert /dev/null holds no certificate in PEM"),
        (["--cert", os.devnull], "--cert /dev/null is no certificate with its key in PEM"),
        (["--key", os.devnull], "give --cert, too"),
    ],
)
def test_files_of_a_client_that_are_no_certificates(new_clusterm: Clusterm, options: list[str], reason: str) -> None:
    done = new_clusterm.clusterctl("--url", f"https://{HOST}:1", *options, "nodes", "get")
    assert (done.returncode, done.stdout) == (2, "")
    assert reason in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_new_certificate_is_used_without_a_restart(new_clusterm: Clusterm, ca: trustme.CA, files: Path) -> None:
    service = serve_tls(new_clusterm, ca, files).start()
    service.add_nodes("node1-a")
    go = service.root / "go"
    job = service.begin("decommission", ["node1-a"], extra_vars={"lines": 2, "until": str(go)})
    path = f"/info/logs/{job['id']}?follow=true"
    with service.http.stream("GET", path, timeout=WAIT_TIMEOUT_S) as following:
        lines = following.iter_lines()
        first = [next(lines) for _ in range(3)]

        for broken in (b"", (files / "client.pem").read_bytes()):
            (service.root / "cert.pem").write_bytes(broken)
            assert "the certificate is unchanged" in reload(service)
            assert httpx.get(f"{service.http.base_url}/healthz", verify=trusting(files)).is_success
        other = trustme.CA()
        put(other.issue_cert(HOST), service)
        assert "the certificate was read again" in reload(service)
        fails(service.clusterctl("--cacert", str(files / "ca.pem"), "nodes", "get"), "a CA that is not known here")
        put(valid_for(ca, timedelta(days=-1)), service)
        assert "the certificate is unchanged: the certificate in" in reload(service)
        fails(service.clusterctl("--cacert", str(files / "ca.pem"), "nodes", "get"), "a CA that is not known here")

        go.touch()
        assert [*first, *lines][1:] == ["line 1", "line 2"]
    assert service.stop() == 0


def valid_for(ca: trustme.CA, time: timedelta) -> trustme.LeafCert:
    """Return a certificate for HOST that expires after some time."""
    expiry = datetime.now(UTC) + time
    return ca.issue_cert(HOST, not_before=expiry - timedelta(days=90), not_after=expiry)


def test_the_expiry_of_the_certificate_is_reported(new_clusterm: Clusterm, ca: trustme.CA, files: Path) -> None:
    service = serve_tls(new_clusterm, ca, files)
    service.http = httpx.Client(verify=False)

    def checked() -> dict[str, Any]:
        return dict(service.http.get("/readyz").json()["checks"]["certificate"])

    put(valid_for(ca, timedelta(days=-1)), service)
    service.start()
    expired = f"the certificate in {service.root / 'cert.pem'} has expired at "
    assert f"ERROR {expired}" in " ".join(service.log.read_text().split())
    response = service.http.get("/readyz")
    assert response.status_code == 503
    assert response.json()["detail"].startswith(expired)
    fails(service.clusterctl("--cacert", str(files / "ca.pem"), "nodes", "get"), "has expired", "SIGHUP")

    soon = valid_for(ca, timedelta(days=29))
    put(soon, service)
    assert checked()["why"].endswith("UTC; the file has a renewed one: send the service SIGHUP")
    assert "the certificate was read again" in reload(service)
    assert (checked()["ok"], checked()["needed"]) == (False, False)
    assert f"cert.pem expires at {datetime.now(UTC) + timedelta(days=29):%Y-%m-%d}" in checked()["why"]
    (degraded,) = service.http.get("/readyz").json()["degraded"]
    shown = service.clusterctl("--cacert", str(files / "ca.pem"), "status")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert f"certificate: {degraded}" in " ".join(shown.stdout.split())
    leaf = load_pem_x509_certificate(soon.cert_chain_pems[0].bytes())
    families = text_string_to_metric_families(service.http.get("/metrics").text)
    (family,) = [each for each in families if each.name == "clusterm_certificate_expiry_timestamp_seconds"]
    assert family.samples[0].value == leaf.not_valid_after_utc.timestamp()

    put(valid_for(ca, timedelta(days=31)), service)
    reload(service)
    assert checked() == {"ok": True, "needed": False, "why": None}


def test_a_client_ca_that_expires_soon_is_reported(tmp_path: Path) -> None:
    ca = trustme.CA()
    now = datetime.now(UTC)
    client = valid_for(ca, timedelta(days=1)).cert_chain_pems[0].bytes()
    (tmp_path / "clients.pem").write_bytes(ca.cert_pem.bytes() + client)
    ca.issue_cert(HOST).private_key_and_cert_chain_pem.write_to_path(tmp_path / "cert.pem")
    manager = {"tls_cert": str(tmp_path / "cert.pem"), "tls_client_ca": str(tmp_path / "clients.pem")}
    found = Tls(ManagerSettings.model_validate(manager)).check()
    assert (found.ok, found.needed) == (False, False)
    expiry = f"{now + timedelta(days=1):%Y-%m-%d}"
    assert str(found.why).startswith(f"the CA of clients in {tmp_path / 'clients.pem'} expires at {expiry}")


def test_mutual_tls(new_clusterm: Clusterm, ca: trustme.CA, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clients = new_clusterm.root / "clients.pem"
    ca.cert_pem.write_to_path(clients)
    service = serve_tls(new_clusterm, ca, files, tls_client_ca=str(clients))
    service.http = httpx.Client(verify=trusting(files, "client.pem"))
    service.start()
    monkeypatch.setenv("CLUSTERM_CACERT", str(files / "ca.pem"))

    done = service.clusterctl("--cert", str(files / "client.pem"), "nodes", "get")
    assert done.returncode == 0, done.stderr
    for command in (["nodes", "get"], ["discover", "127.0.0.9"]):
        fails(service.clusterctl(*command), "requires a client certificate", "--cert")
        fails(service.clusterctl("--cert", str(files / "stranger.pem"), *command), "rejects the client certificate")
    old = trusting(files)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError), socket.create_connection((HOST, service.http.base_url.port or 0)) as plain:
        old.wrap_socket(plain, server_hostname=HOST)

    config = service.root / "clusterm.json"
    values = json.loads(config.read_text())
    values["manager"]["addr"] = f"{HOST}:{service.http.base_url.port}"
    config.write_text(json.dumps(values))
    for options in ([], ["--cert", files / "client.pem"]):
        healthy: list[str | Path] = [BIN / "clusterm", "healthcheck", "--config", str(config), *map(str, options)]
        assert subprocess.run(healthy, capture_output=True, text=True, check=True).stdout == "ok\n"

    trustme.CA().cert_pem.write_to_path(clients)
    reload(service)
    fails(service.clusterctl("--cert", str(files / "client.pem"), "nodes", "get"), "rejects the client certificate")


@pytest.mark.parametrize(
    ("settings", "reasons"),
    [
        ({"tls_cert": "absent"}, ["cannot read manager.tls_cert", "absent: No such file"]),
        ({"tls_cert": "fifo"}, ["cannot read manager.tls_cert", "fifo: it is not a regular file"]),
        ({"tls_cert": "empty"}, ["manager.tls_cert", "no certificate with its key"]),
        ({"tls_cert": "ca.pem", "tls_key": "client.pem"}, ["manager.tls_key", "key values mismatch"]),
        ({"tls_cert": "client.pem", "tls_client_ca": "empty"}, ["manager.tls_client_ca", "no certificate in PEM"]),
        ({"tls_cert": "ca.pem", "tls_key": "encrypted"}, ["encrypted", "decrypt it"]),
        ({"tls_key": "client.pem"}, ["TLS needs tls_cert"]),
        ({"tls_cert": "client.pem", "addr": "unix:/tmp/x"}, ["a unix socket has no TLS"]),
    ],
    ids=str,
)
def test_files_that_the_service_cannot_use(files: Path, settings: dict[str, str], reasons: list[str]) -> None:
    (files / "empty").touch()
    if not (files / "fifo").exists():
        os.mkfifo(files / "fifo")
    key = load_pem_private_key((files / "client.pem").read_bytes(), None)
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
    (files / "encrypted").write_bytes(locked)
    named = {name: value if name == "addr" else str(files / value) for name, value in settings.items()}
    with pytest.raises((StartupError, ValidationError)) as raised:
        Tls(ManagerSettings.model_validate(named))
    for reason in reasons:
        assert reason in str(raised.value)


def test_the_service_does_not_start_without_its_certificate(new_clusterm: Clusterm) -> None:
    new_clusterm.config["manager"]["tls_cert"] = "absent"
    new_clusterm.start(fails=True)
    said = new_clusterm.log.read_text()
    assert said.count("\n") == 1, said
    assert said.startswith("clusterm: cannot read manager.tls_cert ")


def test_a_client_that_does_not_finish_its_handshake_holds_nobody_up(encrypted: Clusterm) -> None:
    port = encrypted.http.base_url.port or 0
    with contextlib.ExitStack() as stack:
        for _ in range(50):
            stack.enter_context(socket.create_connection((HOST, port))).sendall(b"\x16\x03\x01")
        assert encrypted.get("/healthz")["status"] == "ok"


def test_too_many_connections_are_closed_before_the_handshake(encrypted: Clusterm, files: Path) -> None:
    """An answer would cost a handshake, which is the most expensive part of a connection."""
    port = encrypted.http.base_url.port or 0
    with contextlib.ExitStack() as stack:

        def connect() -> socket.socket:
            return stack.enter_context(socket.create_connection((HOST, port), WAIT_TIMEOUT_S))

        for _ in range(60):
            connect()
        before = encrypted.log.stat().st_size
        for _ in range(30):
            with pytest.raises((ssl.SSLError, ConnectionError)):
                trusting(files).wrap_socket(connect(), server_hostname=HOST)
        assert 0 < encrypted.log.stat().st_size - before < 3000
        assert "manager.max_connections_per_address" in encrypted.log.read_text()
        done = encrypted.clusterctl("--cacert", str(files / "ca.pem"), "nodes", "get")
        assert (done.returncode, done.stderr.count("\n")) == (3, 1)
        assert done.stderr.startswith(f"clusterctl: cannot reach clusterm at {encrypted.http.base_url}")
