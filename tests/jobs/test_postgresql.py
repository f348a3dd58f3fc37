"""The service on a PostgreSQL database: the server's password, its restarts, and its absence."""

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.postgresql import PostgresqlServer, needs_postgresql
from support.service import BIN, Clusterm, wait_for

pytestmark = needs_postgresql

PASSWORD = "sEcret-of-the-database"

WRITES = """
import os, time
for number in range(1, 121):
    print(f"line {number}", flush=True)
    time.sleep(0.05)
assert PASSWORD not in "".join(os.environ.values())
""".replace("PASSWORD", repr(PASSWORD))


@pytest.fixture(scope="module")
def own_server() -> Iterator[PostgresqlServer]:
    """A server that tests may stop."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("PYTEST_DEBUG_TEMPROOT")) as directory:
        Path(directory).chmod(0o755)
        (Path(directory) / "server").mkdir()
        server = PostgresqlServer(Path(directory) / "server")
        server.start()
        server.execute(f"CREATE ROLE clusterm LOGIN PASSWORD '{PASSWORD}'")
        yield server
        server.stop("immediate")


@pytest.fixture
def on_server(new_clusterm: Clusterm, own_server: PostgresqlServer) -> Iterator[Clusterm]:
    """A service that is not started yet, whose program writes 120 lines in six seconds."""
    name = own_server.create_database()
    own_server.execute(f"ALTER DATABASE {name} OWNER TO clusterm")
    new_clusterm.config["store"] = {
        "url": own_server.url(name, "clusterm").replace("clusterm@", f"clusterm:{PASSWORD}@")
    }
    new_clusterm.use_program(WRITES)
    yield new_clusterm
    new_clusterm.destroy()
    own_server.drop_database(name)


def test_a_restart_of_the_server_loses_no_line_and_the_password_is_nowhere(
    on_server: Clusterm, own_server: PostgresqlServer
) -> None:
    service = on_server.start()
    service.add_nodes("a-1")
    job = service.begin("commission", ["a-1"])
    wait_for(lambda: service.job(job["id"])["lines"] or None, "the first lines")
    for mode in ("fast", "immediate"):
        own_server.stop(mode)
        assert service.http.get("/healthz").status_code == 200
        assert service.http.get("/readyz").status_code == 503
        refused = service.http.get("/info/nodes")
        assert refused.status_code == 503
        assert refused.headers["Retry-After"]
        assert refused.json()["code"] == "store_unavailable"
        assert "clusterm_store_up 0.0" in service.http.get("/metrics").text
        own_server.start()
        assert service.post("/globals", {"extra_vars": {"x": mode}}).status_code == 200
    ended = service.ended(job)
    assert ended["status"] == "Complete", ended
    assert [line for line in ended["logs"] if line.startswith("line ")] == [f"line {n}" for n in range(1, 121)]
    assert service.http.get("/readyz").status_code == 200

    commands = "".join(Path(f"/proc/{each.pid}/cmdline").read_text() for each in service.executors())
    texts = [commands, service.log.read_text(), service.http.get("/config").text, service.http.get("/metrics").text]
    texts += [service.http.get(path).text for path in ("/info/service-log", "/info/timeline", "/info/status")]
    assert PASSWORD not in "".join(texts)
    assert "postgresql://clusterm@/" in service.http.get("/config").text


def test_job_files_name_the_database_without_the_password(on_server: Clusterm) -> None:
    service = on_server.start()
    service.add_nodes("a-1")
    job = service.begin("commission", ["a-1"])
    spec = service.state_dir / "jobs" / str(job["id"]) / "plan.json"
    wait_for(spec.exists, "the files of the job")
    assert json.loads(spec.read_text())["store_url"].startswith("postgresql://clusterm@/")
    for file in spec.parent.rglob("*"):
        assert not file.is_file() or PASSWORD.encode() not in file.read_bytes()
    assert service.post(f"/job/{job['id']}/cancel").status_code == 200
    assert service.ended(job)["status"] == "Cancelled"


def test_a_second_service_and_a_lost_database_are_refused(
    on_server: Clusterm, own_server: PostgresqlServer, tmp_path: Path
) -> None:
    service = on_server.start()
    second = Clusterm(tmp_path / "second")
    second.config["store"] = service.config["store"]
    second.start(fails=True)
    assert "another clusterm is running on the database postgresql://clusterm@/" in second.log.read_text()
    assert PASSWORD not in second.log.read_text()

    checked = subprocess.run(
        [BIN / "clusterm", "check", "--config", service.root / "clusterm.json"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "nothing is wrong" in checked.stdout
    assert service.stop() == 0
    service.config["store"] = {"url": own_server.url(own_server.create_database())}
    service.start(fails=True)
    assert "is empty, but" in service.log.read_text()


def test_a_database_that_cannot_be_used_is_one_line_at_the_start(
    new_clusterm: Clusterm, own_server: PostgresqlServer
) -> None:
    new_clusterm.config["store"] = {"url": f"postgresql://clusterm:{PASSWORD}@/nowhere?host={own_server.directory}"}
    new_clusterm.start(fails=True)
    (line,) = new_clusterm.log.read_text().splitlines()
    assert 'database "nowhere" does not exist' in line
    assert "store.url" in line
    assert PASSWORD not in line
