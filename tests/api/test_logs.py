"""Reading logs: which lines, in which form, whole or as they are written, and proof that they are what they were."""

import hashlib
import json
import sqlite3
import subprocess
import zlib
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.programs import SCRIPTED
from support.rows import BEGAN, add_logged_job, add_result
from support.service import WAIT_TIMEOUT_S, Clusterm, wait_for

from clusterm.enums import JobStatus, StepName, TaskStatus
from clusterm.schemas import Failure, LogEnd, LogLine
from clusterm.store import failures, tables
from clusterm.store.engine import Store

NDJSON = {"Accept": "application/x-ndjson"}
EVENTS = {"Accept": "text/event-stream"}


@pytest.fixture(scope="module")
def service(module_clusterm: Clusterm) -> Clusterm:
    module_clusterm.use_program(SCRIPTED)
    module_clusterm.config["retention"] = {"job_log_bytes": 64 * 1024}
    clusterm = module_clusterm.start()
    clusterm.add_nodes("node1-a", "node2-b")
    return clusterm


@pytest.fixture(scope="module")
def served(service: Clusterm) -> Iterator[Store]:
    """The service's own store."""
    store = Store(f"sqlite:///{service.database}")
    yield store
    store.close()


@pytest.fixture(scope="module")
def job(served: Store) -> int:
    """A job with a log of 60 lines that no test changes; lines 21 to 23 and 52 belong to failed results."""
    job_id = add_logged_job(served, LINES)
    results = [(TaskStatus.OK, 1, 2), (TaskStatus.FAILED, 21, 23), (TaskStatus.IGNORED, 30, 31)]
    for number, (status, first, last) in enumerate([*results, (TaskStatus.UNREACHABLE, 52, 52)], start=1):
        add_result(served, job_id, number, status, first, last)
    return job_id


def get(service: Clusterm, job_id: int, headers: dict[str, str] | None = None, **parameters: Any) -> httpx.Response:
    url = f"{service.http.base_url}/info/logs/{job_id}"
    response = httpx.get(url, params=parameters, headers={"Accept-Encoding": "identity"} | (headers or {}))
    assert response.status_code in {200, 304}, response.text
    return response


def numbers(service: Clusterm, job_id: int, **parameters: Any) -> list[int]:
    """Return the numbers of the lines, which must be the same in both forms."""
    found = [LogLine.model_validate_json(each) for each in get(service, job_id, NDJSON, **parameters).iter_lines()]
    assert get(service, job_id, **parameters).text == "".join(f"{line.text}\n" for line in found)
    return [line.seq for line in found]


LINES = 60

# Which lines


ODD = [*range(1, LINES + 1, 2)]
EVEN = [*range(2, LINES + 1, 2)]


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, [*range(1, 61)]),
        ({"from": 20, "to": 22}, [20, 21, 22]),
        ({"from": 22, "to": 20}, []),
        ({"to": 10**15, "tail": 2}, [59, 60]),
        ({"to": 10, "tail": 2}, [9, 10]),
        ({"from": 10, "to": 10, "tail": 2}, [10]),
        ({"node": "node2-b"}, ODD),
        ({"node": "127.0.1.1"}, EVEN),
        ({"node": "node"}, []),
        ({"task": "docker"}, [*range(11, 21)]),
        ({"task": "ETCD"}, [*range(1, 11), *range(31, 41)]),
        ({"task": "role : Install vim"}, [*range(41, 51)]),
        ({"task": "%"}, []),
        ({"task": ""}, [*range(1, 61)]),
        ({"failed": True}, [*range(18, 27), *range(49, 56)]),
        ({"failed": True, "from": 25, "to": 50}, [25, 26, 49, 50]),
        ({"failed": True, "tail": 8}, [26, *range(49, 56)]),
        ({"failed": False, "to": 1}, [1]),
        ({"grep": "Error: [Straße] 100%"}, [7, 44]),
        ({"grep": "error"}, []),
        ({"grep": "eRROR", "ignore_case": True}, [7, 44]),
        ({"grep": "line .*"}, []),
        ({"grep": "line 1", "tail": 3}, [17, 18, 19]),
        ({"node": "node1-a", "tail": 0}, []),
        ({"node": "node1-a", "tail": 100}, EVEN),
        ({"node": "node1-a", "task": "etcd", "from": 5, "tail": 6}, [10, 32, 34, 36, 38, 40]),
        ({"node": "node1-a", "failed": True, "grep": "5"}, [50, 52, 54]),
        ({"since": "2026-11-22T07:58:00Z", "to": 60}, [*range(58, 61)]),
        ({"since": "2026-11-22T07:57:00.000001Z", "to": 60}, [*range(58, 61)]),
        ({"since": "2026-11-22T09:58:00+02:00", "from": 59}, [59, 60]),
        ({"since": "2000-01-01T00:00:00Z", "to": 2}, [1, 2]),
        ({"since": "2100-01-01T00:00:00Z"}, []),
    ],
)
def test_lines_are_selected(service: Clusterm, job: int, parameters: dict[str, Any], expected: list[int]) -> None:
    assert numbers(service, job, **parameters) == expected


def test_the_lines_of_failures_are_found_also_where_no_results_are_kept(service: Clusterm, served: Store) -> None:
    job_id = add_logged_job(served, LINES)
    about = {"node": "node1-a", "step": StepName.CONFIGURE, "play": None, "task": "etcd", "message": ""}
    with served.write() as session:  # lines 33 to 35 are of one node and task
        failures.add(session, job_id, [Failure(**about, line=line) for line in (33, None, 900)])
        session.get_one(tables.LogLine, (job_id, 34)).node = "node2-b"
    assert numbers(service, job_id, failed=True) == [*range(30, 39)]


def test_a_long_log_is_read_in_parts(service: Clusterm, served: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """More lines than one read returns, or looks at."""
    total = 45_000
    job_id = add_logged_job(served, total)
    assert numbers(service, job_id, node="node1-a") == [*range(2, total + 1, 2)]
    assert numbers(service, job_id, grep="Error") == [7, 44]
    assert numbers(service, job_id, grep="Error", tail=1) == [44]
    assert numbers(service, job_id, node="node1-a", tail=20_000) == [*range(total - 39_998, total + 1, 2)]
    since = BEGAN + timedelta(minutes=31_234)
    assert numbers(service, job_id, since=since.isoformat(), to=31_236) == [31_234, 31_235, 31_236]


def test_a_part_of_a_line_ends_where_its_next_part_is_not_wanted(service: Clusterm, served: Store) -> None:
    job_id = add_logged_job(served, 6)
    with served.write() as session:
        for seq in (2, 3, 5):
            session.get_one(tables.LogLine, (job_id, seq)).partial = True
    assert get(service, job_id).text == "line 1\nline 2line 3line 4\nline 5line 6\n"
    assert get(service, job_id, to=2).text == "line 1\nline 2\n"
    assert get(service, job_id, node="node1-a").text == "line 2\nline 4\nline 6\n"
    assert get(service, job_id, node="node2-b").text == "line 1\nline 3\nline 5\n"
    conditions: list[dict[str, Any]] = [{}, {"to": 2}, {"node": "node2-b"}]
    for each in conditions:
        options = [f"--{name}={value}" for name, value in each.items()]
        assert ctl(service, "logs", job_id, *options).stdout == get(service, job_id, **each).text


@pytest.mark.parametrize(
    "parameters",
    [{"from": 0}, {"to": 0}, {"tail": -1}, {"since": "yesterday"}, {"since": "2026-11-22T07:58:00"}, {"failed": "x"}],
)
def test_conditions_that_make_no_sense_are_refused(service: Clusterm, job: int, parameters: dict[str, Any]) -> None:
    response = service.http.get(f"/info/logs/{job}", params=parameters)
    assert (response.status_code, response.headers["content-type"]) == (422, "application/problem+json")


# In which form


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("", "text/plain"),
        ("*/*", "text/plain"),
        ("image/png, */*;q=0.1", "text/plain"),
        ("application/x-ndjson", "application/x-ndjson"),
        ("text/plain;q=0.5, application/json", "application/x-ndjson"),
        ("application/x-ndjson;q=0, text/plain;q=0.1", "text/plain"),
        ("Text/Event-Stream", "text/event-stream"),
        ("application/x-ndjson;q=nonsense", "text/plain"),
    ],
)
def test_accept_chooses_the_form(service: Clusterm, job: int, accept: str, media_type: str) -> None:
    answer = get(service, job, {"Accept": accept}, tail=1)
    assert answer.headers["content-type"].partition(";")[0] == media_type
    assert {name.strip() for name in answer.headers["vary"].split(",")} == {
        "Accept",
        "Accept-Encoding",
        "Authorization",
    }


def events(text: str) -> list[dict[str, str]]:
    """Take a stream of events apart."""
    assert text.endswith("\n\n")
    return [dict(field.split(": ", 1) for field in each.split("\n")) for each in text.split("\n\n")[:-1]]


def test_events_have_the_numbers_of_lines_as_ids_and_can_be_resumed(service: Clusterm, job: int) -> None:
    *lines, end = events(get(service, job, EVENTS, tail=3).text)
    assert [int(event["id"]) for event in lines] == [58, 59, 60]
    assert [LogLine.model_validate_json(event["data"]).text for event in lines] == ["line 58", "line 59", "line 60"]
    assert end.keys() == {"event", "data"}
    assert end["event"] == "end"
    assert LogEnd.model_validate_json(end["data"]).lines == 60
    resumed = events(get(service, job, EVENTS | {"Last-Event-ID": "58"}, tail=3).text)
    assert [event.get("id") for event in resumed] == ["59", "60", None]
    resumed = events(get(service, job, EVENTS | {"Last-Event-ID": "60"}, **{"from": 2}).text)
    assert [event.get("id") for event in resumed] == [None]


def test_the_last_record_tells_a_follower_that_it_has_everything(service: Clusterm, served: Store) -> None:
    digest = {"bytes": 500, "sha256": "a" * 64, "incomplete": True}
    job_id = add_logged_job(served, LINES, status=JobStatus.ERRORED, **digest)
    for conditions in ({}, {"grep": "line 2"}, {"to": 5}, {"from": 61}):
        *lines, end = get(service, job_id, NDJSON, follow=True, **conditions).text.splitlines()
        assert all("type" not in json.loads(each) for each in lines)
        assert json.loads(end) == {
            "type": "end",
            "job": job_id,
            "status": "Errored",
            "lines": LINES,
            "log_incomplete": True,
            "log_bytes": 500,
            "log_sha256": "a" * 64,
        }
    assert "end" not in get(service, job_id, NDJSON).text
    assert get(service, job_id, follow=True).text == get(service, job_id).text


@pytest.mark.parametrize("headers", [{}, NDJSON, EVENTS])
def test_answers_are_compressed_for_those_who_ask(service: Clusterm, job: int, headers: dict[str, str]) -> None:
    plain = get(service, job, headers)
    for coding in ("gzip", "br, GZIP;q=0.5", "deflate, gzip"):
        compressed = get(service, job, headers | {"Accept-Encoding": coding})
        assert compressed.headers["content-encoding"] == "gzip"
        assert compressed.content == plain.content
    for coding in ("identity", "gzip;q=0", "br"):
        assert "content-encoding" not in get(service, job, headers | {"Accept-Encoding": coding}).headers


def test_followers_get_compressed_lines_at_once(service: Clusterm, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    job = service.begin("discover", ["127.0.9.9"], extra_vars={"lines": 5, "until": str(gate)})
    url = f"{service.http.base_url}/info/logs/{job['id']}?follow=true"
    unpacker, text = zlib.decompressobj(wbits=31), ""
    with httpx.stream("GET", url, headers={"Accept-Encoding": "gzip"}, timeout=WAIT_TIMEOUT_S) as response:
        for data in response.iter_raw():
            text += unpacker.decompress(data).decode()
            if text.endswith("line 5\n"):
                gate.touch()
    assert unpacker.eof
    assert text.splitlines() == service.ended(job)["logs"]


def test_the_log_of_an_ended_job_is_sent_once(service: Clusterm, served: Store, tmp_path: Path) -> None:
    job_id = add_logged_job(served, LINES, sha256="a" * 64)
    variants: list[tuple[dict[str, str], dict[str, Any]]] = [
        ({}, {}),
        (NDJSON, {}),
        ({"Accept-Encoding": "gzip"}, {}),
        ({}, {"tail": 3}),
        ({}, {"grep": "a"}),
    ]
    tags = [get(service, job_id, headers, **conditions).headers["etag"] for headers, conditions in variants]
    assert len(set(tags)) == len(tags)
    assert tags == [get(service, job_id, headers, **conditions).headers["etag"] for headers, conditions in variants]
    for known in (tags[0], f'"other", W/{tags[0]}', "*"):
        answer = get(service, job_id, {"If-None-Match": known})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tags[0])
    assert get(service, job_id, {"If-None-Match": tags[1]}).status_code == 200
    assert "etag" not in get(service, job_id, follow=True).headers

    gate = tmp_path / "gate"
    running = service.begin("discover", ["127.0.9.9"], extra_vars={"until": str(gate)})
    try:
        assert "etag" not in get(service, running["id"]).headers
    finally:
        gate.touch()
        service.ended(running)


# The command


def ctl(service: Clusterm, *arguments: object) -> subprocess.CompletedProcess[str]:
    return service.clusterctl("job", *map(str, arguments))


@pytest.mark.parametrize(
    ("options", "parameters"),
    [
        ("--node node1-a --task etcd --tail 3", {"node": "node1-a", "task": "etcd", "tail": 3}),
        ("--failed --from 20 --to 50", {"failed": True, "from": 20, "to": 50}),
        ("--grep ERROR -i", {"grep": "ERROR", "ignore_case": True}),
        ("--since 2026-11-22T07:58:00Z", {"from": 58}),
        ("--since 1h --follow", {"from": 61}),
        ("--grep 1 --tail 2 --follow", {"grep": "1", "tail": 2}),
    ],
)
def test_the_command_selects_lines(service: Clusterm, job: int, options: str, parameters: dict[str, Any]) -> None:
    run = ctl(service, "logs", job, *options.split())
    assert (run.returncode, run.stdout) == (0, get(service, job, **parameters).text)
    run = ctl(service, "logs", job, *options.split(), "--output", "jsonl")
    assert (run.returncode, run.stdout) == (0, get(service, job, NDJSON, **parameters).text)


def test_where_there_are_no_such_lines_it_is_said(service: Clusterm, job: int) -> None:
    run = ctl(service, "logs", job, "--node", "nobody")
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "no such lines\n")


def test_text_is_another_word_for_tables(service: Clusterm, job: int) -> None:
    text = get(service, job).text
    assert ctl(service, "logs", job, "-o", "text").stdout == text
    assert service.clusterctl("-o", "text", "job", "logs", str(job)).stdout == text
    assert service.clusterctl("-o", "text", "timeline").stdout == service.clusterctl("timeline").stdout
    assert json.loads(ctl(service, "logs", job, "-o", "json").stdout)[59]["seq"] == 60


# What it was


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_an_ended_job_knows_its_log_by_size_and_digest(service: Clusterm) -> None:
    job = service.run("discover", ["127.0.9.9"], extra_vars={"lines": 300, "status": 3})
    text = get(service, job["id"]).text
    assert text == "".join(f"{line}\n" for line in job["logs"])
    assert (job["lines"], job["log_bytes"], job["log_sha256"]) == (301, len(text.encode()), sha256(text))
    run = ctl(service, "verify")
    assert run.returncode == 0, run.stderr
    assert run.stdout == (
        f"the log of job {job['id']} is what it was when the job ended: 301 lines, {len(text)} bytes, "
        f"SHA-256 {sha256(text)}\n"
    )
    assert json.loads(ctl(service, "verify", job["id"], "--json").stdout) == {
        "job": job["id"],
        "verified": True,
        "lines": 301,
        "bytes": len(text),
        "sha256": sha256(text),
        "log_incomplete": False,
    }
    assert sha256(ctl(service, "logs", job["id"]).stdout) == job["log_sha256"], "as by hand"


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("UPDATE log_lines SET text = 'lIne 5' WHERE job_id = ? AND seq = 6", ["as sha256"]),
        ("DELETE FROM log_lines WHERE job_id = ? AND seq = 6", ["as bytes", "as sha256"]),
        ("DELETE FROM log_lines WHERE job_id = ? AND seq > 6", ["6 instead of 9 as lines", "as bytes", "as sha256"]),
    ],
)
def test_a_log_that_was_changed_is_found_out(service: Clusterm, damage: str, said: Sequence[str]) -> None:
    job = service.run("discover", ["127.0.9.9"], extra_vars={"lines": 8})
    database = sqlite3.connect(service.database)
    with database:
        assert database.execute(damage, (job["id"],)).rowcount
    database.close()
    run = ctl(service, "verify", job["id"])
    assert (run.returncode, run.stdout) == (1, "")
    assert all(each in run.stderr for each in said)
    assert run.stderr.count(" instead of ") == len(said)
    assert len(run.stderr.splitlines()) == 1
    run = ctl(service, "verify", job["id"], "--json")
    assert run.returncode == 1
    assert json.loads(run.stdout)["verified"] is False


def test_a_log_that_was_too_large_is_verified_as_it_was_kept(service: Clusterm) -> None:
    job = service.run("discover", ["127.0.9.9"], extra_vars={"lines": 20_000})
    assert job["log_incomplete"] is True
    run = ctl(service, "verify", job["id"])
    assert run.returncode == 0, run.stderr
    assert "some lines were dropped while the job ran" in run.stdout
    assert len(get(service, job["id"], tail=10_000).text.splitlines()) == len(job["logs"])
    rest = len(job["logs"]) - 4  # over the gap
    assert get(service, job["id"], tail=rest).text.splitlines() == job["logs"][-rest:]


def test_a_job_that_was_cut_off_knows_its_log(new_clusterm: Clusterm) -> None:
    """Whoever ends a job records its log: here an executor that comes after another, and the one who cancels."""
    new_clusterm.use_program(SCRIPTED)
    clusterm = new_clusterm.start()
    gate = clusterm.root / "gate"
    job = clusterm.begin("discover", ["127.0.9.9"], extra_vars={"lines": 50, "until": str(gate)})
    queued = clusterm.begin("discover", ["127.0.9.8"], queue=True)
    wait_for(lambda: clusterm.job(job["id"], logs=False)["lines"] == 51, "its lines")
    verify = ctl(clusterm, "verify", job["id"])
    assert verify.returncode == 1
    assert f"it has not ended; wait for that with: clusterctl job wait {job['id']}" in verify.stderr
    assert ctl(clusterm, "cancel", queued["id"]).returncode == 0
    for process in [*clusterm.executors(), *clusterm.wrappers(), *clusterm.programs()]:
        process.kill()
    ended = clusterm.ended(job)
    assert ended["status"] == "Errored"
    assert ended["log_sha256"] == sha256(get(clusterm, job["id"]).text)
    assert ctl(clusterm, "verify", job["id"]).returncode == 0
    assert clusterm.job(queued["id"])["log_sha256"] == sha256("")
    assert ctl(clusterm, "verify", queued["id"]).returncode == 0


@pytest.mark.parametrize(
    ("incomplete", "reason"),
    [(True, "its log is being deleted"), (False, "it ended under a version of clusterm that recorded no size")],
)
def test_where_nothing_was_recorded_it_is_said_why(
    service: Clusterm, served: Store, incomplete: bool, reason: str
) -> None:
    run = ctl(service, "verify", add_logged_job(served, 3, incomplete=incomplete))
    assert (run.returncode, run.stdout) == (1, "")
    assert reason in run.stderr
