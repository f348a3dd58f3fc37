"""The support bundle: complete, without secrets, and whole or not there at all."""

import io
import json
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.programs import SCRIPTED
from support.service import BIN, WAIT_TIMEOUT_S, Clusterm, wait_for

from clusterctl import archive
from clusterctl.api.models import Lines
from clusterctl.api.rest import RestClient
from clusterctl.errors import Unavailable
from clusterctl.support_bundle import Bundle

HEALTHY = {"status": "ok", "degraded": []}
CANARY = "c4n4ry"
UNKNOWN = "h1dd3n"
"""A secret that is in no variable, so that it is not masked before it is stored."""
TOP = "clusterm-support/"

TELLTALE = f"""
import sys
print('    "db_password": "{UNKNOWN}",')
print("curl -H 'Authorization: Bearer {UNKNOWN}' https://bob:{UNKNOWN}@example.org/")
print("a" * 100_000)
print('fatal: [node1-a]: FAILED! => {{"api_token": "{UNKNOWN}"}}')
sys.exit(3)
"""


def members(packed: bytes) -> dict[str, str]:
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as tar:
        return {each.name.removeprefix(TOP): tar.extractfile(each).read().decode() for each in tar}  # type: ignore[union-attr]


@pytest.fixture(scope="module")
def troubled(module_clusterm: Clusterm) -> Clusterm:
    """A service with secrets wherever they can be."""
    clusterm = module_clusterm
    clusterm.use_program(TELLTALE)
    clusterm.config["ansible"]["extra_variables"] = json.dumps({"vault_password": CANARY})
    clusterm.start()
    clusterm.add_nodes("node1-a", "node2-b")
    clusterm.post("/globals", {"extra_vars": {"env": {"http_proxy": f"http://bob:{CANARY}@proxy", "token": CANARY}}})
    clusterm.run("commission", ["node1-a"], extra_vars={"db_password": CANARY})
    clusterm.run("decommission", ["node2-b"])
    clusterm.use_program(SCRIPTED)
    return clusterm


def test_it_holds_everything_and_no_secret(troubled: Clusterm, tmp_path: Path) -> None:
    file = tmp_path / "bundle.tar.gz"
    run = troubled.clusterctl("support-bundle", str(file))
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout == f"{file}: 2 nodes, 2 jobs; review it before you share it\n"

    with tarfile.open(file) as tar:
        about = {(each.mode, each.uid, each.gid, each.uname, each.isfile()) for each in tar}
    assert about == {(0o644, 0, 0, "root", True)}
    found = members(file.read_bytes())
    assert list(found) == [
        "README.txt", "versions.json", "health.json", "drain.json", "config.json", "globals.json", "nodes.json",
        "timeline.jsonl", "timeline.txt", "service-log.txt", "nodes/node1-a.jsonl", "nodes/node2-b.jsonl",
        "jobs/2/job.json", "jobs/2/log.txt", "jobs/1/job.json", "jobs/1/log.txt", "missing.txt",
    ]  # fmt: skip
    assert found["missing.txt"] == "Nothing is missing.\n"
    for name in found.keys() - {"README.txt"}:
        kind = name if "/" not in name else f"{name.split('/')[0]}/"
        assert kind in found["README.txt"]
    versions = json.loads(found["versions.json"])
    assert versions["service"]["clusterm"] == versions["clusterctl"]
    assert versions["service"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert versions["service"]["ansible"] is None, "the program in its place has no version"
    health = json.loads(found["health.json"])
    assert health["alive"] == HEALTHY
    assert all(check["ok"] for check in health["ready"]["checks"].values())
    assert json.loads(found["drain.json"]) == {"drained": False, "running": []}
    assert json.loads(found["nodes.json"])["node1-a"]["inventory_state"]["status"] == "Unallocated"
    events = [json.loads(line) for line in found["timeline.jsonl"].splitlines()]
    told = [event["event"] for event in events if event["kind"] == "nodes"]
    assert told == ["discovered", "discovered", "commissioned", "decommissioned"]
    assert len(found["timeline.txt"].splitlines()) == len(events)
    assert "  job 1 ended; result: fail" in found["timeline.txt"]
    assert "clusterm listens on" in found["service-log.txt"]
    assert json.loads(found["jobs/1/job.json"])["status"] == "Errored"
    log = found["jobs/1/log.txt"].splitlines()
    assert len(log) == len(troubled.job(1)["logs"])
    assert log[2].endswith("a" * 100_000)

    assert [name for name, text in found.items() if CANARY in text or UNKNOWN in text] == []
    assert json.dumps(troubled.job(1)["logs"]).count(UNKNOWN) == 8, "the playbooks print them"


def test_it_is_as_large_as_wanted(troubled: Clusterm) -> None:
    def names(*options: str) -> set[str]:
        command = [str(BIN / "clusterctl"), "--url", str(troubled.http.base_url), "support-bundle", "-", *options]
        run = subprocess.run(command, capture_output=True, timeout=WAIT_TIMEOUT_S, check=True)
        assert run.stderr == b""
        return {name for name in members(run.stdout) if name.startswith("jobs/")}

    assert names("--jobs", "1") == {"jobs/2/job.json", "jobs/2/log.txt"}
    assert names("--jobs", "0") == set()
    assert names("--since", "2100-01-01T00:00:00Z") == set()


def test_nothing_is_overwritten_unless_it_is_meant(troubled: Clusterm, tmp_path: Path) -> None:
    file = tmp_path / "bundle.tar.gz"
    file.write_text("precious")
    run = troubled.clusterctl("support-bundle", str(file))
    assert (run.returncode, run.stdout) == (2, "")
    assert "--force" in run.stderr
    assert file.read_text() == "precious"
    assert troubled.clusterctl("support-bundle", str(file), "--force", "--json").returncode == 0
    assert "README.txt" in members(file.read_bytes())
    for odd in (str(tmp_path), "/dev/full"):
        run = troubled.clusterctl("support-bundle", odd, "--force")
        assert (run.returncode, run.stderr) == (2, f"clusterctl: {odd} exists: give another file\n")
    run = troubled.clusterctl("support-bundle", str(tmp_path / "absent" / "x.tar.gz"))
    assert (run.returncode, run.stderr.count("\n")) == (1, 1)
    assert list(tmp_path.iterdir()) == [file]


def test_a_service_that_dies_leaves_no_half_file(new_clusterm: Clusterm, tmp_path: Path) -> None:
    clusterm = new_clusterm
    clusterm.use_program(SCRIPTED)
    clusterm.start()
    clusterm.run("discover", ["10.0.0.1"], extra_vars={"lines": 100_000})
    directory = tmp_path / "bundles"
    directory.mkdir()
    command = [str(BIN / "clusterctl"), "--url", str(clusterm.http.base_url), "support-bundle"]
    command.append(str(directory / "bundle.tar.gz"))
    making = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: list(directory.iterdir()), "the file to be begun")
    clusterm.kill()
    out, error = making.communicate(timeout=WAIT_TIMEOUT_S)
    assert (making.returncode, out, error.count("\n")) == (3, "", 1), error
    assert list(directory.iterdir()) == []


class Failing:
    """A client of a service that has lost its database half-way."""

    def __init__(self, client: RestClient) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def globals(self) -> Any:
        raise Unavailable("the store cannot be used now")

    def node_events(self, *_: Any, **__: Any) -> Any:
        raise Unavailable("the store cannot be used now")

    def log_lines(self, job: int, _: Lines) -> Iterator[Any]:
        yield from []
        raise Unavailable(f"there is no job {job}")


def test_what_cannot_be_had_is_noted(troubled: Clusterm, tmp_path: Path) -> None:
    file = tmp_path / "x.tar.gz"
    client = RestClient(str(troubled.http.base_url), lambda _: None)
    with archive.written(str(file), force=False) as packed:
        Bundle(Failing(client), packed).collect(jobs=1, since=None)  # type: ignore[arg-type]
    client.close()
    assert members(file.read_bytes())["missing.txt"] == (
        "globals.json: the store cannot be used now\n"
        "nodes/node1-a.jsonl: the store cannot be used now\n"
        "nodes/node2-b.jsonl: the store cannot be used now\n"
        "jobs/2/log.txt: there is no job 2\n"
    )


def test_a_reader_that_goes_away_ends_it_quietly(troubled: Clusterm) -> None:
    command = [str(BIN / "clusterctl"), "--url", str(troubled.http.base_url), "support-bundle", "-"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""

    assert process.returncode == 128 + signal.SIGPIPE
