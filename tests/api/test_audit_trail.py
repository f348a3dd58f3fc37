"""The timeline as audit trail: what happened to jobs, and who changed what in the service."""

import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from support.programs import SCRIPTED
from support.service import BIN, Clusterm, wait_for


@pytest.fixture
def clusterm(new_clusterm: Clusterm) -> Clusterm:
    """A service with two nodes, whose jobs do what their vars say."""
    new_clusterm.use_program(SCRIPTED)
    new_clusterm.config["retention"] = {"jobs": 6}
    new_clusterm.start().add_nodes("n-1", "n-2")
    return new_clusterm


def told(clusterm: Clusterm, *kinds: str, **terms: Any) -> list[tuple[str, str | None, str | None]]:
    """Return name, requester and detail of events."""
    items = clusterm.get("/info/jobs/timeline", kind=list(kinds), limit=1000, **terms)["items"]
    return [(each["event"], each["by"], each["detail"]) for each in items]


def test_the_events_of_jobs(clusterm: Clusterm, tmp_path: Path) -> None:
    go_on = tmp_path / "go_on"
    first = clusterm.begin("commission", ["n-1"], extra_vars={"until": str(go_on), "status": 3})
    queued = clusterm.begin("commission", ["n-1", "n-2"], queue=True)
    refused = clusterm.begin("update", ["n-1"], queue=True)
    assert clusterm.post(f"/job/{queued['id']}/cancel").is_success
    go_on.touch()
    clusterm.ended(first)
    assert clusterm.ended(refused)["status"] == "Errored"
    again = clusterm.ended(clusterm.post(f"/job/{first['id']}/retry", {"extra_vars": {"status": 0}}).json())
    stopped = clusterm.begin("update", ["n-1"], extra_vars={"until": str(tmp_path / "never")})
    wait_for(clusterm.programs, "the job to run")
    assert clusterm.post(f"/job/{stopped['id']}/cancel").is_success
    clusterm.ended(stopped)

    items = clusterm.get("/info/jobs/timeline", kind="jobs")["items"]
    assert {(each["node"], each["cause"], each["by"], each["kind"]) for each in items} == {
        (None, "job", "127.0.0.1", "jobs")
    }
    assert [(each["job"], each["event"], each["result"]) for each in items] == [
        (1, "started", None),
        (2, "queued", None),
        (3, "queued", None),
        (2, "ended", "fail"),
        (1, "ended", "fail"),
        (3, "refused", "fail"),
        (4, "started", None),
        (4, "ended", "pass"),
        (5, "started", None),
        (5, "stopping", None),
        (5, "ended", "fail"),
    ]
    details = {(each["job"], each["event"]): each["detail"] for each in items}
    assert details[2, "queued"] == "commission n-1 n-2 as service-master"
    assert details[4, "started"] == "commission n-1 as service-master, as a retry of job 1"
    assert details[3, "refused"].startswith("not started when its turn came: ")
    assert details[5, "stopping"].startswith("cancelled by 127.0.0.1 at ")
    ended = {each["job"]: each["changes"]["status"] for each in items if each["result"]}
    assert ended[2] == ["Queued", "Cancelled"]
    assert ended[again["id"]] == ["Running", "Complete"]
    of_job = told(clusterm, "jobs", "nodes", job=3)
    assert [name for name, _, _ in of_job] == ["queued", "refused", "skipped"]


def test_the_events_of_the_service(clusterm: Clusterm) -> None:
    assert clusterm.post("/globals", {"extra_vars": {"password": "seven", "size": 1}}).is_success
    assert clusterm.post("/globals", {"extra_vars": {"password": "eight", "size": 1}}).is_success
    assert clusterm.post("/globals", {"extra_vars": {"password": "eight", "size": 1}}).is_success
    assert clusterm.post("/config", {"config": {"ansible": {"user": "ann"}}}).is_success
    assert clusterm.post("/config", {"config": {"ansible": {"user": "ann"}}}).is_success
    for path in ("drain", "drain", "undrain"):
        assert clusterm.post(f"/manager/{path}").is_success
    clusterm.config["retention"]["jobs"] = 7
    clusterm.reload()
    clusterm.stop()
    clusterm.config["retention"]["jobs"] = 8
    clusterm.start()
    clusterm.restart()

    started, *rest = told(clusterm, "admin")
    assert started[0] == "service_started"
    assert started[2] is not None
    assert "without a stop" not in started[2]
    version = started[2]
    by = "127.0.0.1"
    assert rest == [
        ("globals_changed", by, "password none → ********, size none → 1"),
        ("globals_changed", by, "password ******** → ********"),
        ("configured", by, 'ansible.user "" → ann'),
        ("drained", by, None),
        ("undrained", by, None),
        ("configured", None, "retention.jobs 6 → 7"),
        ("service_stopped", None, None),
        ("configured", None, "retention.jobs 7 → 8"),
        ("service_started", None, version),
        ("service_started", None, f"{version}; the last service ended without a stop"),
    ]
    assert "seven" not in "".join(clusterm.dump())
    for command in (["create", "--name", "ann", "--role", "viewer", "--expires", "1d"], ["revoke", "ann"]):
        config = ["--config", str(clusterm.root / "clusterm.json")]
        subprocess.run([BIN / "clusterm", "token", *command, *config], check=True, capture_output=True)
    created, revoked = told(clusterm, "admin")[-2:]
    assert (created[0], revoked[0]) == ("token_created", "token_revoked")
    assert created[1] is not None
    assert created[1].startswith("user ")
    assert created[2] is not None
    assert created[2].startswith("ann, viewer, until ")
    assert revoked[2] == "ann, viewer"


def test_a_start_names_the_jobs_that_still_run(clusterm: Clusterm, tmp_path: Path) -> None:
    job = clusterm.begin("commission", ["n-1"], extra_vars={"until": str(tmp_path / "go_on")})
    wait_for(clusterm.programs, "the job to run")
    clusterm.restart()
    assert str(told(clusterm, "admin")[-1][2]).endswith(
        f"the last service ended without a stop; running: job {job['id']}"
    )
    (tmp_path / "go_on").touch()
    clusterm.ended(job)


def test_the_timeline_in_clusterctl(clusterm: Clusterm) -> None:
    clusterm.run("commission", ["n-1"])
    clusterm.run("update", ["n-1"], extra_vars={"status": 3})
    default = clusterm.clusterctl("timeline").stdout.splitlines()
    assert default[0].split() == ["TIME", "EVENT", "JOB", "REASON"]
    assert [line.split()[1] for line in default[1:]] == ["n-1", "n-2", "n-1", "n-1"]
    trail = clusterm.clusterctl("timeline", "--kind", "all", "--since", "1h", "--job", "2").stdout.splitlines()
    assert trail[0].split() == ["TIME", "EVENT", "JOB", "BY", "DETAIL"]
    assert [" ".join(line.split()[1:4]) for line in trail[1:]] == [
        "job 2 started",
        "job 2 ended;",
        "n-1 updated; result:",
    ]
    cut = clusterm.clusterctl("timeline", "-k", "jobs", "-n", "1")
    assert cut.stderr == "older events are not shown; --limit shows more\n"
    assert len(cut.stdout.splitlines()) == 2
    whole = clusterm.clusterctl("timeline", "-k", "jobs", "--by", "127.0.0.1", "--failed")
    assert (len(whole.stdout.splitlines()), whole.stderr) == (2, "")
    none = clusterm.clusterctl("timeline", "--by", "ben")
    assert (none.stdout, none.stderr, none.returncode) == ("", "no such events\n", 0)
    page = clusterm.get("/info/jobs/timeline", kind=["nodes", "jobs"], limit=3)
    older = clusterm.get("/info/jobs/timeline", kind=["nodes", "jobs"], limit=1000, cursor=page["next"])
    assert [each["id"] for each in older["items"] + page["items"]] == [
        each["id"] for each in clusterm.get("/info/jobs/timeline", kind=["nodes", "jobs"], limit=1000)["items"]
    ]
    assert older["next"] is None
    assert clusterm.clusterctl("timeline", "--until", "1h", "--follow").returncode == 2


def test_the_report(clusterm: Clusterm, tmp_path: Path) -> None:
    go_on = tmp_path / "go_on"
    clusterm.run("commission", ["n-1"], extra_vars={"status": 3})
    clusterm.post("/manager/drain")
    clusterm.post("/manager/undrain")
    running = clusterm.begin("commission", ["n-2"], extra_vars={"until": str(go_on)})
    queued = clusterm.begin("update", ["n-2"], queue=True)
    report = clusterm.clusterctl("report", "--since", "1h").stdout
    lines = report.splitlines()
    assert lines[0].startswith("# clusterm from ")
    for title in ("## Running now", "## Waiting now", "## Jobs", "## Nodes", "## Service and settings"):
        assert title in lines, report
    assert f"- **Job {running['id']}**: commission n-2 as service-master, since " in report
    assert f"- **Job {queued['id']}**: update n-2, since " in report
    assert "place 1 of 1, job 2 has not ended on n-2" in report
    assert "| 1 | commission n-1 as service-master | 127.0.0.1 | " in report
    assert "| Errored: 1 failed |" in report
    assert "### Job 1: commission n-1 as service-master: Errored" in lines
    assert "n-1 discovered: at 127.0.1.1" in report.replace("\\", "")
    assert any(line.endswith("drained by 127.0.0.1") for line in lines)
    go_on.touch()
    clusterm.ended(queued)

    data = json.loads(clusterm.clusterctl("report", "--since", "1h", "--json").stdout)
    assert [job["id"] for job in data["jobs"]] == [1, 2, 3]
    assert set(data) == {"since", "until", "status", "jobs", "events"}
    later = datetime.now(UTC).isoformat()
    quiet = clusterm.clusterctl("report", "--since", later, "--until", "2999-01-01T00:00:00Z").stdout
    assert "No job ran." in quiet
    assert clusterm.clusterctl("report", "--since", "1h", "--until", "2h").returncode == 2
