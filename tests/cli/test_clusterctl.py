"""clusterctl and the service together: every command as a process, against a clusterm on a socket."""

import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple, Self

import httpx
import pytest
import yaml
from support.programs import SCRIPTED
from support.service import BIN, WAIT_TIMEOUT_S, Clusterm, wait_for

FAILS_ON_NODE2 = """
- hosts: all
  connection: local
  gather_facts: false
  tasks:
    - name: Look for the data disk
      ansible.builtin.fail:
        msg: "the disk /dev/sdb is missing"
      when: node_name == "node2-b"
"""

MANNERS = """
import pathlib, signal, sys
if sys.argv[-1].endswith("cleanup.yml"):
    print("cleaned up")
    sys.exit()
if "deaf" in pathlib.Path(sys.argv[sys.argv.index("--extra-vars") + 1][1:]).read_text():
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
"""
"""Before SCRIPTED: cleans up at once, and does not hear signals where the extra vars say so."""

COUNTS = """
import pathlib, time
number = 0
while not pathlib.Path("enough").exists():  # beside the playbooks
    number += 1
    print(f"line {number}", flush=True)
    time.sleep(0.01)
"""

NODE = "node1-a"
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"


@pytest.fixture(scope="module")
def clusterm(module_clusterm: Clusterm) -> Clusterm:
    """A clusterm with a history: job 1 failed on node2-b, job 2 commissioned node1-a, and job 3 retried what failed.

    Only job 1 was run by ansible. All later ones do what their extra vars say, as SCRIPTED does.
    """
    clusterm = module_clusterm
    clusterm.config["manager"]["partial_success"] = False
    clusterm.write_playbook("site.yml", FAILS_ON_NODE2)
    clusterm.start()
    clusterm.add_nodes(NODE, "node2-b")
    clusterm.run("commission", [NODE, "node2-b"])
    clusterm.use_program(MANNERS + SCRIPTED)
    executable = clusterm.config["ansible"]["executable"]
    assert clusterm.post("/config", {"config": {"ansible": {"executable": executable}}}).status_code == 200
    clusterm.run("commission", [NODE], extra_vars={"lines": 3, "api_token": "canary"})
    done(clusterm.clusterctl("job", "retry", "1", "--failed-only", "--wait"))
    assert clusterm.post("/globals", {"extra_vars": {"region": {"name": "é"}}}).status_code == 200
    return clusterm


@pytest.fixture
def node(clusterm: Clusterm) -> str:
    """A node of the test's own, not commissioned."""
    name = f"own-{len(clusterm.get('/info/nodes'))}"
    clusterm.add_nodes(name)
    return name


class BusyNode:
    """A job that has written three lines and runs until it is let go."""

    def __init__(self, clusterm: Clusterm, node: str, gate: Path, *, deaf: bool = False) -> None:
        self._clusterm = clusterm
        self._gate = gate
        extra_vars = {"lines": 2, "until": str(gate), **({"deaf": True} if deaf else {})}
        self.job = clusterm.begin("commission", [node], extra_vars=extra_vars)
        self.id = str(self.job["id"])

    def let_go(self) -> None:
        self._gate.touch()

    def __enter__(self) -> Self:
        wait_for(lambda: self._clusterm.job(self.id, logs=False)["lines"] == 3, "its lines")
        return self

    def __exit__(self, *_: object) -> None:
        self.let_go()
        self._clusterm.ended(self.job)


@pytest.fixture
def busy(clusterm: Clusterm, node: str, tmp_path: Path) -> Iterator[BusyNode]:
    """A job on the test's own node that runs until it is let go or stopped."""
    with BusyNode(clusterm, node, tmp_path / "gate") as busy:
        yield busy


@pytest.fixture
def deaf(clusterm: Clusterm, node: str, tmp_path: Path) -> Iterator[BusyNode]:
    """A job on the test's own node that runs until it is let go, also when it is to stop."""
    with BusyNode(clusterm, node, tmp_path / "gate", deaf=True) as busy:
        yield busy


def done(run: subprocess.CompletedProcess[str]) -> str:
    """Return what a command that must succeed has printed."""
    assert run.returncode == 0, run.stderr
    return run.stdout


def error_of(run: subprocess.CompletedProcess[str]) -> str:
    """Return the one line of a command that must print nothing else."""
    assert run.stdout == ""
    [line] = run.stderr.splitlines()
    assert line.startswith("clusterctl: ")
    return line


class Beside:
    """A clusterctl that runs beside the test."""

    def __init__(self, clusterm: Clusterm, directory: Path, *arguments: str) -> None:
        directory.mkdir()
        self._out, self._err = directory / "out", directory / "err"
        with self._out.open("w") as out, self._err.open("w") as err:
            environment = {**os.environ, "CLUSTERM_URL": str(clusterm.http.base_url)}
            self.process = subprocess.Popen([BIN / "clusterctl", *arguments], stdout=out, stderr=err, env=environment)

    @property
    def lines(self) -> list[str]:
        """What it has printed."""
        return self._out.read_text().splitlines()

    @property
    def notes(self) -> list[str]:
        """What it has said on stderr."""
        return self._err.read_text().splitlines()

    def ended(self) -> subprocess.CompletedProcess[str]:
        """Wait for its end, and return all that it printed."""
        self.process.wait(WAIT_TIMEOUT_S)
        return subprocess.CompletedProcess(
            self.process.args, self.process.returncode, self._out.read_text(), self._err.read_text()
        )


@pytest.fixture
def beside(tmp_path: Path) -> Iterator[Callable[..., Beside]]:
    """Starts clusterctl beside the test."""
    begun: list[Beside] = []

    def start(clusterm: Clusterm, *arguments: str) -> Beside:
        begun.append(Beside(clusterm, tmp_path / f"beside-{len(begun)}", *arguments))
        return begun[-1]

    yield start
    for each in begun:
        each.process.kill()
        each.process.wait()


def rows(text: str) -> list[list[str]]:
    """Take a table apart into its cells, without the empty ones, and with <time> and <duration> for what they are."""
    text = re.sub(rf"{TIME}|\b\d+\.\d s\b", lambda found: "<time>" if "T" in found[0] else "<duration>", text)
    return [re.split(r"  +", line) for line in text.splitlines()]


# Looking at things


@pytest.mark.parametrize(
    ("arguments", "path", "parameters"),
    [
        ("node get 127.0.1.2", "/info/node/node2-b", {}),
        ("node events node2-b -n 2", "/info/node/node2-b/events", {"limit": 2}),
        ("job list --node node2-b --limit 1", "/info/jobs", {"node": "node2-b", "limit": 1}),
        ("job list --status errored --action commission", "/info/jobs", {"status": "Errored", "action": "commission"}),
        ("timeline --node node2-b -n 2", "/info/jobs/timeline", {"node": "node2-b", "limit": 2}),
        ("global get", "/info/globals", {}),
        ("a g", "/info/nodes", {}),
        ("n g node1-a", "/info/node/node1-a", {}),
        ("j g 2", "/info/job/2", {}),
        ("g g", "/info/globals", {}),
        ("c g", "/config", {}),
    ],
)
def test_programs_get_what_the_service_answers(
    clusterm: Clusterm, arguments: str, path: str, parameters: dict[str, Any]
) -> None:
    run = clusterm.clusterctl(*arguments.split(), "--json")

    assert json.loads(done(run)) == clusterm.get(path, **parameters)


@pytest.mark.parametrize(
    ("arguments", "path", "items"),
    [
        ("nodes get", "/info/nodes", lambda answer: list(answer.values())),
        ("job list -n 1000", "/info/jobs?limit=1000", lambda answer: answer["items"]),
        ("job get 1", "/info/job/1", lambda answer: [answer]),
    ],
)
def test_other_forms_say_the_same(
    clusterm: Clusterm, arguments: str, path: str, items: Callable[[Any], list[Any]]
) -> None:
    answer = clusterm.get(path)

    assert yaml.safe_load(done(clusterm.clusterctl("-o", "yaml", *arguments.split()))) == answer
    lines = done(clusterm.clusterctl("-o", "jsonl", *arguments.split())).splitlines()
    assert [json.loads(line) for line in lines] == items(answer) != []


def test_log_lines_for_programs(clusterm: Clusterm) -> None:
    accept = {"Accept": "application/x-ndjson"}
    lines = [json.loads(line) for line in clusterm.http.get("/info/logs/1", headers=accept).text.splitlines()]
    assert lines[0]["seq"] == 1

    assert json.loads(done(clusterm.clusterctl("-o", "json", "job", "logs", "1"))) == lines
    assert [
        json.loads(line) for line in done(clusterm.clusterctl("-o", "jsonl", "job", "logs", "1")).splitlines()
    ] == lines
    assert yaml.safe_load(done(clusterm.clusterctl("-o", "yaml", "job", "logs", "1", "--tail", "2"))) == lines[-2:]


def test_the_timeline(clusterm: Clusterm) -> None:
    run = clusterm.clusterctl("timeline", "--node", "node2-b")

    assert rows(done(run)) == [
        ["TIME", "EVENT", "JOB", "REASON"],
        ["<time>", "node2-b discovered", "at 127.0.1.2"],
        [
            "<time>",
            "node2-b commissioned; result: fail",
            "1",
            "Look for the data disk: the disk /dev/sdb is missing",
        ],
        ["<time>", "node2-b commissioned; result: pass", "3"],
    ]
    assert run.stderr == ""


def test_the_timeline_is_short_unless_more_is_wanted(clusterm: Clusterm) -> None:
    last = rows(done(clusterm.clusterctl("timeline", "-n", "1", "--node", "node2-b")))

    assert last[1:] == [["<time>", "node2-b commissioned; result: pass", "3"]]
    assert done(clusterm.clusterctl("timeline", "--since", "1w", "-n", "1000")).count("discovered") >= 2
    none = clusterm.clusterctl("timeline", "--node", "nobody")
    assert (done(none), none.stderr) == ("", "no such events\n")


def test_nodes_as_tables(clusterm: Clusterm) -> None:
    heading = ["NAME", "ADDRESS", "HOST GROUP", "STATUS", "STATE", "LAST EVENT"]
    node2 = ["node2-b", "127.0.1.2", "service-master", "Allocated", "Discovered", "<time> commissioned; result: pass"]

    every = rows(done(clusterm.clusterctl("nodes", "get")))
    assert every[0] == heading
    assert node2 in every
    assert rows(done(clusterm.clusterctl("nodes", "get", "127.0.1.2"))) == [heading, node2]
    one = rows(done(clusterm.clusterctl("node", "get", "node2-b")))
    assert one[:5] == [
        ["Node", "node2-b"],
        ["Address", "127.0.1.2"],
        ["Host group", "service-master"],
        ["Status", "Allocated"],
        ["State", "Discovered"],
    ]
    events = rows(done(clusterm.clusterctl("node", "events", "node2-b")))
    assert one[-6:] == events
    assert [row[1] for row in events[1:]] == [
        "node2-b discovered",
        "node2-b commissioning",
        "node2-b commissioned; result: fail",
        "node2-b commissioning",
        "node2-b commissioned; result: pass",
    ]


def test_a_job_that_failed_says_where_and_why(clusterm: Clusterm) -> None:
    job = clusterm.job(1)
    heading, failures, recap, log = done(clusterm.clusterctl("job", "get", "1")).split("\n\n", 3)
    ansible = job["provenance"]["ansible"]

    assert rows(heading) == [
        ["Job", "1"],
        ["Action", "commission"],
        ["Nodes", "node1-a, node2-b"],
        ["Host group", "service-master"],
        ["Status", "Errored"],
        ["Playbooks", f"{clusterm.playbooks}; digest {job['provenance']['digest'][:12]}; ansible-core {ansible}"],
        ["Created", "<time>"],
        ["Duration", "<duration>"],
        ["Requested by", "127.0.0.1"],
        ["Trace", job["trace_id"]],
        ["Error", job["error"]],
        ["To retry", "clusterctl job retry 1"],
    ]
    assert rows(failures)[1][:3] == ["node2-b", "Look for the data disk", "the disk /dev/sdb is missing"]
    assert [row[:2] for row in rows(recap)[1:]] == [["node1-a", "1"], ["node2-b", "1"]]
    assert log.strip("\n") == "\n".join(job["logs"]).strip("\n")


def test_the_history_of_jobs_in_pages(clusterm: Clusterm) -> None:
    first = clusterm.clusterctl("job", "list", "--node", "node2-b", "-n", "1")
    assert rows(done(first)) == [
        ["ID", "ACTION", "NODES", "STATUS", "CREATED", "DURATION", "ERROR"],
        ["3", "commission", "node2-b", "Complete", "<time>", "<duration>"],
    ]

    cursor = first.stderr.rpartition("--cursor ")[2].strip()
    second = clusterm.clusterctl("job", "list", "--node", "node2-b", "-n", "1", "--cursor", cursor)
    assert rows(done(second))[1][:4] == ["1", "commission", "node1-a, node2-b", "Errored"]
    assert second.stderr == ""


def test_a_log_as_text(clusterm: Clusterm) -> None:
    lines = [f"{line}\n" for line in clusterm.job(2)["logs"]]
    assert lines[1:] == ["line 1\n", "line 2\n", "line 3\n"]

    assert done(clusterm.clusterctl("job", "logs", "2")) == "".join(lines)
    assert done(clusterm.clusterctl("job", "logs", "2", "--from", "3")) == "".join(lines[2:])
    assert done(clusterm.clusterctl("job", "logs", "2", "--tail", "1")) == "line 3\n"
    assert done(clusterm.clusterctl("job", "logs", "2", "--follow", "--tail", "2")) == "line 2\nline 3\n"
    stamped = done(clusterm.clusterctl("job", "logs", "2", "-t", "--from", "2")).splitlines()
    assert [re.sub(TIME, "", line) for line in stamped] == ["  line 1", "  line 2", "  line 3"]


def test_secrets_stay_hidden(clusterm: Clusterm) -> None:
    shown = done(clusterm.clusterctl("job", "get", "2")).partition("\n\n")[0]

    assert '"api_token": "********"' in shown
    assert "canary" not in shown


def test_a_reader_that_goes_away_ends_it_quietly(clusterm: Clusterm, node: str) -> None:
    clusterm.run("commission", [node], extra_vars={"lines": 20_000})
    command = [str(BIN / "clusterctl"), "--url", str(clusterm.http.base_url), "job", "logs", "last"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""

    assert process.returncode == 128 + signal.SIGPIPE


def test_where_the_service_is(clusterm: Clusterm) -> None:
    address = clusterm.http.base_url.netloc.decode()

    assert done(clusterm.clusterctl("--url", address, "timeline", "-n", "1")) != ""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # taken, but not listening
        elsewhere = f"127.0.0.1:{closed.getsockname()[1]}"
        run = clusterm.clusterctl("--url", elsewhere, "timeline")
    assert f"cannot reach clusterm at http://{elsewhere}" in error_of(run)
    assert run.returncode == 3


def test_it_loads_nothing_of_the_service(clusterm: Clusterm) -> None:
    run = subprocess.run(
        [
            sys.executable,
            "-X",
            "importtime",
            "-m",
            "clusterctl",
            "--url",
            str(clusterm.http.base_url),
            "job",
            "get",
            "2",
        ],
        capture_output=True,
        text=True,
        check=True,
    )

    loaded = {line.rpartition("|")[2].strip() for line in run.stderr.splitlines()}
    assert {"clusterctl.api.rest", "clusterm.schemas", "pydantic", "httpx"} <= loaded
    assert loaded.isdisjoint(
        {"sqlmodel", "sqlalchemy", "fastapi", "starlette", "uvicorn", "clusterm.settings", "yaml", "asyncio", "click"}
    )


# Nodes, globals and configuration


def test_a_node_is_added_once(clusterm: Clusterm) -> None:
    heading = ["NAME", "ADDRESS", "HOST GROUP", "STATUS", "STATE", "LAST EVENT"]
    add = ("node", "add", "rack", "--serial", "7", "--addr", "10.1.0.7")
    assert rows(done(clusterm.clusterctl(*add)))[:2] == [["Node", "rack-7"], ["Address", "10.1.0.7"]]
    assert json.loads(done(clusterm.clusterctl(*add, "-j"))) == clusterm.get("/info/node/rack-7")
    assert [event["event"] for event in clusterm.get("/info/node/rack-7/events")["items"]] == ["discovered"]
    done(clusterm.clusterctl("node", "add", "rack", "--addr", "2001:db8::8"))
    assert [row[0] for row in rows(done(clusterm.clusterctl("nodes", "get", "2001:db8::8")))] == [
        heading[0],
        "rack-2001-db8--8",
    ]


def test_globals_are_replaced(clusterm: Clusterm, tmp_path: Path) -> None:
    before = clusterm.get("/info/globals")
    file = tmp_path / "globals.yml"
    file.write_text("proxy: {http: 'http://proxy:8080'}\nsize: 3\n")

    assert rows(done(clusterm.clusterctl("global", "set", "-e", f"@{file}", "-e", "size=4"))) == [
        ["NAME", "VALUE"],
        ["proxy.http", "http://proxy:8080"],
        ["size", "4"],
    ]
    assert clusterm.get("/info/globals") == {"extra_vars": {"proxy": {"http": "http://proxy:8080"}, "size": "4"}}
    empty = clusterm.clusterctl("g", "s", "-e", "{}")
    assert (done(empty), empty.stderr.partition(";")[0]) == ("", "no global extra vars")
    restored = clusterm.clusterctl("global", "set", "--json", "-e", json.dumps(before["extra_vars"]))
    assert json.loads(done(restored)) == before == clusterm.get("/info/globals")


def test_the_configuration_is_read_edited_and_set(clusterm: Clusterm, tmp_path: Path) -> None:
    before = json.loads(done(clusterm.clusterctl("config", "get", "--json")))
    file = tmp_path / "config.json"
    file.write_text(json.dumps({**before, "ansible": {**before["ansible"], "user": "vagrant"}}))

    assert ["ansible.user", "vagrant"] in rows(done(clusterm.clusterctl("config", "set", str(file))))
    assert clusterm.get("/config")["ansible"]["user"] == "vagrant"
    restored = clusterm.clusterctl("c", "s", "-", "--json", input="ansible:\n  user: ''\n")
    assert json.loads(done(restored)) == before == clusterm.get("/config")
    file.write_text('{"manager": {"addr": "127.0.0.1:1"}}')
    refused = clusterm.clusterctl("config", "set", str(file))
    assert 'the section "manager" cannot be changed over REST' in error_of(refused)
    assert refused.returncode == 1


# Beginning jobs


def test_the_life_of_a_node_in_short_names(clusterm: Clusterm, node: str) -> None:
    def job(*arguments: str) -> dict[str, Any]:
        begun = json.loads(done(clusterm.clusterctl(*arguments, "--json")))
        assert begun["status"] == "Running"
        finished = clusterm.ended(begun)
        assert finished["status"] == "Complete"
        return finished

    extra_vars = ("-e", '{"a": {"b": 1}}', "-e", "c=2 d=3")
    first = job("n", "c", node, node, "--host-group", "service-master", *extra_vars)
    assert (first["action"], first["nodes"], first["host_group"]) == ("commission", [node], "service-master")
    given = json.loads(first["logs"][0])["extra_vars"]
    assert [given["a"], given["c"], given["d"]] == [{"b": 1}, "2", "3"]
    second = job("a", "u", node, "-g", "service-worker")
    assert (second["action"], second["host_group"]) == ("update", "service-worker")
    third = job("n", "d", node)
    assert (third["action"], third["logs"]) == ("decommission", ["cleaned up"])
    assert clusterm.status_of(node) == "Decommissioned"
    fourth = job("d", "10.2.0.1")
    assert (fourth["action"], fourth["nodes"]) == ("discover", ["10.2.0.1"])


def test_a_job_that_is_not_waited_for(clusterm: Clusterm) -> None:
    run = clusterm.clusterctl("discover", "10.2.0.2", "10.2.0.3")

    [heading, [job, *about]] = rows(done(run))
    assert heading == ["ID", "ACTION", "NODES", "STATUS"]
    assert about == ["discover", "10.2.0.2, 10.2.0.3", "Running"]
    assert run.stderr == f"follow it with: clusterctl job get {job} --follow\n"
    clusterm.ended({"id": job})


@pytest.mark.parametrize("status", [0, 2])
def test_a_job_that_is_waited_for(clusterm: Clusterm, node: str, status: int) -> None:
    run = clusterm.clusterctl(
        "node", "commission", node, "-g", "service-master", "-e", json.dumps({"status": status}), "-w"
    )

    job = clusterm.job("last")
    assert ["Status", job["status"]] in rows(run.stdout)
    assert run.returncode == (1 if status else 0)
    begun, end = run.stderr.splitlines()
    assert begun == f"job {job['id']} started: commission {node} as service-master"
    if status:
        assert (
            end
            == f"clusterctl: job {job['id']} ended Errored: {job['error']}; see it with: clusterctl job get {job['id']}"
        )
    else:
        assert end == f"job {job['id']} ended Complete"


@pytest.mark.parametrize("status", [0, 2])
def test_a_job_that_is_followed(clusterm: Clusterm, status: int) -> None:
    extra_vars = json.dumps({"lines": 5000, "status": status})
    run = clusterm.clusterctl("discover", "10.2.0.4", "--follow", "-e", extra_vars)

    job = clusterm.job("last")
    assert job["lines"] == 5001
    assert run.stdout.splitlines() == job["logs"]
    assert run.returncode == (1 if status else 0)
    assert len(run.stderr.splitlines()) == 2


def test_a_running_job_is_followed_line_by_line(
    clusterm: Clusterm, busy: BusyNode, beside: Callable[..., Beside]
) -> None:
    texts = clusterm.job(busy.id)["logs"]
    text = beside(clusterm, "job", "logs", "--follow")
    objects = beside(clusterm, "job", "logs", "active", "-f", "--json")
    table = beside(clusterm, "job", "get", "-f")
    whole = beside(clusterm, "job", "get", busy.id, "--follow", "--json")
    waiting = beside(clusterm, "job", "wait", busy.id)
    wait_for(lambda: text.lines == texts, "the lines so far")
    wait_for(lambda: len(objects.lines) == 3, "the lines so far")
    wait_for(lambda: table.lines[-3:] == texts, "the lines so far")
    assert [json.loads(line)["seq"] for line in objects.lines] == [1, 2, 3]
    assert rows(table.lines[0]) == [["Job", busy.id]]
    assert "Status        Running" in table.lines

    busy.let_go()

    runs = [each.ended() for each in (text, objects, table, whole, waiting)]
    assert {run.returncode for run in runs} == {0}
    assert {run.stderr for run in runs} == {f"job {busy.id} ended Complete\n"}
    assert text.lines == texts
    assert [json.loads(line)["text"] for line in objects.lines] == texts
    assert table.lines[-3:] == texts
    assert json.loads(runs[3].stdout) == clusterm.job(busy.id)
    assert ["Status", "Complete"] in rows(runs[4].stdout)


@pytest.mark.parametrize("command", [("job", "wait"), ("job", "get", "--follow"), ("job", "logs", "--follow")])
def test_ctrl_c_says_that_the_job_continues(
    clusterm: Clusterm, busy: BusyNode, beside: Callable[..., Beside], command: tuple[str, ...]
) -> None:
    before = asked(clusterm)
    waiting = beside(clusterm, *command, busy.id)
    wait_for(lambda: waiting.lines or asked(clusterm) > before + 2, "it to have found the job, and to ask again")
    waiting.process.send_signal(signal.SIGINT)
    run = waiting.ended()
    assert run.returncode == 128 + signal.SIGINT
    follow, cancel = f"clusterctl job get {busy.id} --follow", f"clusterctl job cancel {busy.id}"
    assert run.stderr == f"job {busy.id} continues; follow it with: {follow}; cancel it with: {cancel}\n"
    assert clusterm.job(busy.id, logs=False)["status"] == "Running"


def test_ctrl_c_while_a_job_is_being_cancelled(
    clusterm: Clusterm, deaf: BusyNode, beside: Callable[..., Beside]
) -> None:
    waiting = beside(clusterm, "job", "cancel", deaf.id, "--wait")
    before = asked(clusterm)
    wait_for(lambda: asked(clusterm) > before + 2, "it to wait")
    waiting.process.send_signal(signal.SIGINT)
    advice = f"wait for that with: clusterctl job wait {deaf.id}"
    assert waiting.ended().stderr == f"job {deaf.id} ends when ansible has exited; {advice}\n"


def asked(clusterm: Clusterm) -> float:
    """Return how often a job was requested."""
    counts = re.findall(
        r'clusterm_http_requests_total\{.*route="/info/job/\{job\}".*\} (.*)', clusterm.http.get("/metrics").text
    )
    return sum(map(float, counts))


def test_waiting_on_a_terminal_shows_the_progress(clusterm: Clusterm, busy: BusyNode) -> None:
    ours, its = pty.openpty()
    environment = {**os.environ, "CLUSTERM_URL": str(clusterm.http.base_url), "COLUMNS": "120"}
    command = [str(BIN / "clusterctl"), "job", "wait", busy.id]
    waiting = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=its, env=environment)
    os.close(its)
    try:
        seen = b""
        while b"configure: starting ansible, for" not in seen:
            seen += os.read(ours, 1000)
        waiting.send_signal(signal.SIGINT)
        while b"continues" not in seen:
            seen += os.read(ours, 1000)
    finally:
        waiting.kill()
        waiting.wait()
        os.close(ours)
    assert seen.rpartition(b"continues")[0].endswith(b"\r\x1b[Kjob " + busy.id.encode() + b" "), seen


def test_waiting_has_an_end(clusterm: Clusterm, busy: BusyNode) -> None:
    run = clusterm.clusterctl("job", "wait", busy.id, "--timeout", "0")

    assert f"job {busy.id} is Running after 0 s; wait longer with: clusterctl job wait {busy.id}" in error_of(run)
    assert run.returncode == 1


def test_the_timeline_is_followed(clusterm: Clusterm, node: str, beside: Callable[..., Beside]) -> None:
    timeline = beside(clusterm, "timeline", "--follow", "--node", node, "--json")
    wait_for(lambda: timeline.lines, "what has happened")
    clusterm.run("commission", [node])
    wait_for(lambda: len(timeline.lines) == 2, "what happened then")
    timeline.process.send_signal(signal.SIGINT)

    run = timeline.ended()
    assert [json.loads(line) for line in timeline.lines] == clusterm.get("/info/jobs/timeline", node=node)["items"]
    assert run.stderr == ""
    assert run.returncode == 128 + signal.SIGINT


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (
            "node get nobody",
            'no node has the name or address "nobody"; list the nodes with: clusterctl nodes',
        ),
        ("node events nobody", 'no node has the name or address "nobody"'),
        ("nodes commission nobody -g service-master", 'no node has the name or address "nobody"'),
        ("node commission node1-a", "give a host group: service-master, service-worker"),
        (
            "node commission node1-a -g service-master -f",
            "cannot commission node1-a: it is Allocated, and would have to be Unallocated or Decommissioned",
        ),
        ("discover 127.0.1.1 --wait", "other nodes have these addresses: "),
        ("discover 1.2.3", "is neither an IP address nor a host name"),
        ("node add node9 --addr 127.0.1.1", "other nodes have these addresses: "),
        ("node add /// --addr 127.0.9.9", "is no valid name"),
        ("job get active", "no job is running; list the jobs with: clusterctl job list"),
        ("job get 4711 --follow", "there is no job 4711"),
        ("job logs 4711", "there is no job 4711"),
        ("job wait 4711", "there is no job 4711"),
        ("job cancel", "no job is running"),
        ("job cancel 1 --wait", "job 1 has ended already: it is Errored"),
        ("job retry 2 --failed-only --wait", "nothing is left to do of job 2: "),
        ("job retry 4711", "there is no job 4711"),
        ("job list --cursor x", '"x" is no cursor'),
    ],
)
def test_what_the_service_refuses_is_one_line(clusterm: Clusterm, arguments: str, reason: str) -> None:
    before = clusterm.dump()
    run = clusterm.clusterctl(*arguments.split())

    assert reason in error_of(run)
    assert run.returncode == 1
    assert clusterm.dump() == before


def test_another_job_is_refused_while_one_runs(clusterm: Clusterm, busy: BusyNode) -> None:
    run = clusterm.clusterctl("discover", "10.2.0.5")

    assert f"another job has not ended: {busy.job['desc']} (" in error_of(run)
    assert run.returncode == 1


def test_a_drained_service_takes_no_jobs(clusterm: Clusterm) -> None:
    assert clusterm.post("/manager/drain").status_code == 200
    try:
        run = clusterm.clusterctl("discover", "10.2.0.6", "--queue", "--wait")
    finally:
        assert clusterm.post("/manager/undrain").status_code == 200

    assert "the service is drained" in error_of(run)
    assert run.returncode == 1


# The queue, timeouts, cancel and retry


def test_queued_jobs_are_waited_for(clusterm: Clusterm, busy: BusyNode, beside: Callable[..., Beside]) -> None:
    run = clusterm.clusterctl("discover", "10.3.0.1", "--queue")
    [_, [first, *about]] = rows(done(run))
    assert about == ["discover", "10.3.0.1", "Queued"]
    assert run.stderr == f"the job is queued; follow it with: clusterctl job get {first} --follow\n"
    second = str(int(first) + 1)
    waiting = beside(clusterm, "discover", "10.3.0.2", "--queue", "--wait")
    following = beside(clusterm, "job", "logs", first, "--follow")
    wait_for(lambda: waiting.notes == [f"job {second} is queued: discover 10.3.0.2"], "the note")
    wait_for(lambda: following.notes == [f"job {first} is queued: discover 10.3.0.1"], "the note")
    queued = rows(done(clusterm.clusterctl("job", "list", "--status", "Queued")))
    assert [row[:4] for row in queued[1:]] == [
        [second, "discover", "10.3.0.2", "Queued"],
        [first, "discover", "10.3.0.1", "Queued"],
    ]

    busy.let_go()

    assert ["Status", "Complete"] in rows(done(waiting.ended()))
    done(following.ended())
    assert following.lines == clusterm.job(first)["logs"] != []


@pytest.mark.parametrize(
    ("option", "value", "reason"),
    [
        ("--job-timeout", "0.5", "timed out: it ran longer than 0.5 s (job_timeout)"),
        ("--idle-timeout", "1s", "timed out: ansible wrote nothing for 1 s (idle_timeout)"),
    ],
)
def test_a_job_that_takes_too_long_is_stopped(clusterm: Clusterm, option: str, value: str, reason: str) -> None:
    run = clusterm.clusterctl("discover", "10.3.0.3", option, value, "--wait", "-e", "until=/nonexistent")

    assert f"ended Errored: {reason}" in run.stderr
    assert run.returncode == 1


def test_every_request_for_a_job_can_say_how_it_waits_and_ends(clusterm: Clusterm, busy: BusyNode) -> None:
    options = ("--queue", "--job-timeout", "1h30m", "--idle-timeout", "0", "--json")
    said = {"extra_vars": {}, "queue": True, "job_timeout": 5400.0, "idle_timeout": 0.0}
    with Proxy(clusterm) as proxy:
        for action, command, targets in (
            ("commission", ("nodes", "commission", NODE, "-g", "service-worker"), {"nodes": [NODE]}),
            ("update", ("nodes", "update", NODE), {"nodes": [NODE]}),
            ("decommission", ("nodes", "decommission", NODE), {"nodes": [NODE]}),
            ("discover", ("discover", "10.3.0.4"), {"addrs": ["10.3.0.4"]}),
        ):
            queued = json.loads(done(proxy.clusterctl(*command, *options)))
            assert (queued["action"], queued["status"]) == (action, "Queued")
            group = {"host_group": "service-worker"} if action == "commission" else {}
            assert json.loads(proxy.posts[-1].body) == {**said, **targets, **group}
            assert clusterm.post(f"/job/{queued['id']}/cancel").status_code == 200


def test_a_job_is_cancelled(clusterm: Clusterm, busy: BusyNode, beside: Callable[..., Beside]) -> None:
    waiting = beside(clusterm, "job", "get", "active", "--follow")
    wait_for(lambda: waiting.lines, "the heading")

    run = clusterm.clusterctl("job", "cancel", "--wait")

    shown = rows(done(run))
    job = clusterm.job(busy.id)
    assert shown[0] == ["Job", busy.id]
    assert ["Status", "Cancelled"] in shown
    assert ["Cancel requested", "by 127.0.0.1 at <time>"] in shown
    assert run.stderr == ""
    assert job["logs"][-1] == "cleaned up"
    other = waiting.ended()
    assert other.returncode == 1
    assert other.stderr.startswith(f"clusterctl: job {busy.id} ended Cancelled: cancelled by 127.0.0.1 at ")


def test_a_job_is_cancelled_and_not_cleaned_up(clusterm: Clusterm, busy: BusyNode) -> None:
    run = clusterm.clusterctl("job", "cancel", busy.id, "--no-cleanup")

    assert rows(done(run))[1] == [busy.id, "commission", busy.job["nodes"][0], "Running"]
    assert run.stderr.endswith(f"wait for that with: clusterctl job wait {busy.id}\n")
    waiting = clusterm.clusterctl("job", "wait", busy.id)
    assert waiting.returncode == 1
    assert [step["name"] for step in clusterm.job(busy.id)["steps"]] == ["configure"]


def test_a_job_that_completes_all_the_same_was_not_cancelled(
    clusterm: Clusterm, deaf: BusyNode, beside: Callable[..., Beside]
) -> None:
    cancelling = beside(clusterm, "job", "cancel", "--wait")
    wait_for(lambda: clusterm.job(deaf.id, logs=False)["cancel_requested_at"], "the request")

    deaf.let_go()

    run = cancelling.ended()
    assert ["Status", "Complete"] in rows(run.stdout)
    assert run.stderr.startswith(f"clusterctl: job {deaf.id} ended Complete before it could be cancelled; ")
    assert run.returncode == 1


def test_what_failed_is_retried(clusterm: Clusterm) -> None:
    job = clusterm.job(3)
    assert (job["retry_of"], job["nodes"], job["host_group"]) == (1, ["node2-b"], "service-master")
    assert ["Retry of", "1"] in rows(done(clusterm.clusterctl("job", "get", "3")))


def test_the_last_job_is_retried(clusterm: Clusterm) -> None:
    first = clusterm.run("discover", ["10.3.0.6"], extra_vars={"status": 3, "lines": 2})

    run = clusterm.clusterctl("job", "retry", "--follow")

    second = clusterm.job("last")
    assert second["retry_of"] == first["id"]
    assert run.stdout.splitlines() == second["logs"]
    assert second["logs"][1:] == first["logs"][1:]
    assert run.returncode == 1
    third = json.loads(done(clusterm.clusterctl("job", "retry", str(first["id"]), "--json")))
    assert (third["retry_of"], third["extra_vars"]) == (first["id"], first["extra_vars"])
    clusterm.ended(third)


def test_a_retry_can_wait_for_its_turn(clusterm: Clusterm, request: pytest.FixtureRequest) -> None:
    first = str(clusterm.run("discover", ["10.3.0.8"])["id"])
    busy: BusyNode = request.getfixturevalue("busy")

    queued = json.loads(done(clusterm.clusterctl("job", "retry", first, "--queue", "--json")))
    assert (queued["status"], str(queued["retry_of"])) == ("Queued", first)

    busy.let_go()

    done(clusterm.clusterctl("job", "wait", str(queued["id"])))


# Broken connections


@pytest.mark.parametrize("command", ["nodes commission NODE -g service-master", "discover 10.4.0.1", "job retry"])
def test_a_job_is_begun_once_also_if_its_answer_is_lost(clusterm: Clusterm, node: str, command: str) -> None:
    clusterm.run("discover", ["10.4.0.2"])
    before = clusterm.get("/info/jobs", limit=1000)["items"]
    with Proxy(clusterm, lost_answers=2) as proxy:
        run = proxy.clusterctl(*command.replace("NODE", node).split())

    job, *others = clusterm.get("/info/jobs", limit=1000)["items"]
    assert [other["id"] for other in others] == [other["id"] for other in before]
    assert rows(done(run))[1][0] == str(job["id"])
    assert run.stderr.splitlines()[:-1] == ["clusterm does not answer; trying again"]
    assert len(proxy.posts) == 3
    assert len(set(proxy.posts)) == 1
    assert clusterm.ended(job)["status"] == "Complete"


def test_a_job_is_begun_once_also_if_the_service_is_killed(clusterm: Clusterm, node: str) -> None:
    with Proxy(clusterm, lost_answers=1, meanwhile=clusterm.restart) as proxy:
        run = proxy.clusterctl("node", "commission", node, "-g", "service-master", "--wait")

    assert ["Status", "Complete"] in rows(done(run))
    assert len(proxy.posts) == 2
    assert [job["nodes"] for job in clusterm.get("/info/jobs", node=node)["items"]] == [[node]]


def test_a_cancel_whose_answer_is_lost_is_repeated(clusterm: Clusterm, deaf: BusyNode) -> None:
    with Proxy(clusterm, lost_answers=1) as proxy:
        run = proxy.clusterctl("job", "cancel", "--json")

    assert json.loads(done(run))["cancel_requested_by"] == "127.0.0.1"
    assert [request.path for request in proxy.posts] == [f"/job/{deaf.id}/cancel"] * 2


def test_followers_outlive_the_service(new_clusterm: Clusterm, beside: Callable[..., Beside]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        new_clusterm.config["manager"]["addr"] = f"127.0.0.1:{free.getsockname()[1]}"
    new_clusterm.use_program(COUNTS)
    clusterm = new_clusterm.start()
    clusterm.add_nodes(NODE)
    starter = beside(clusterm, "node", "commission", NODE, "-g", "service-master", "--follow")
    wait_for(lambda: starter.lines, "the first line")
    job_id = clusterm.job("active", logs=False)["id"]
    follower = beside(clusterm, "job", "logs", "--follow", "--json")
    timeline = beside(clusterm, "timeline", "--follow", "--json")
    next_id = clusterm.begin("discover", ["10.0.0.1"], queue=True)["id"]
    waiter = beside(clusterm, "job", "wait", str(next_id), "--json")
    wait_for(lambda: waiter.notes == [f"job {next_id} is queued: discover 10.0.0.1"], "the note")
    wait_for(lambda: timeline.lines, "the first event")

    def wait_for_lines() -> None:
        for each in (starter, follower):
            seen = len(each.lines)
            wait_for(lambda: len(each.lines) > seen + 10, "more lines")  # noqa: B023

    for end in (clusterm.kill, clusterm.stop):
        wait_for_lines()
        end()
        clusterm.start()
    wait_for_lines()
    (clusterm.playbooks / "enough").touch()

    assert [each.ended().returncode for each in (starter, follower, waiter)] == [0, 0, 0]
    for each in (starter, follower):
        assert "clusterm does not answer; trying again" in each.notes
    job = clusterm.job(job_id)
    assert job["logs"] == [f"line {number}" for number in range(1, job["lines"] + 1)]
    assert starter.lines == job["logs"]
    assert [json.loads(line)["text"] for line in follower.lines] == job["logs"]
    assert json.loads(waiter.ended().stdout) == clusterm.job(next_id, logs=False)
    wait_for(lambda: len(timeline.lines) == 3, "the last event")
    timeline.process.send_signal(signal.SIGINT)
    assert timeline.ended().returncode == 128 + signal.SIGINT
    assert [json.loads(line) for line in timeline.lines] == clusterm.get("/info/jobs/timeline")["items"]


class Sent(NamedTuple):
    """A request that a proxy has seen."""

    path: str
    key: str | None
    body: bytes


class Proxy:
    """Stands between clusterctl and a service, and breaks connections.

    Args:
        clusterm: the service.
        lost_answers: to how many POSTs the service answers and the client does not hear of it.
        meanwhile: what happens before such a connection breaks.
    """

    def __init__(
        self, clusterm: Clusterm, *, lost_answers: int = 0, meanwhile: Callable[[], object] = lambda: None
    ) -> None:
        self._clusterm = clusterm
        self.posts: list[Sent] = []
        posts = self.posts

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._pass_on(self._ask(b""))

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                posts.append(Sent(self.path, self.headers["Idempotency-Key"], body))
                answer = self._ask(body)
                if len(posts) > lost_answers:
                    self._pass_on(answer)
                else:
                    meanwhile()

            def _ask(self, body: bytes) -> httpx.Response:
                headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
                return httpx.request(
                    self.command, clusterm.http.base_url.join(self.path), headers=headers, content=body
                )

            def _pass_on(self, answer: httpx.Response) -> None:
                self.send_response(answer.status_code)
                self.send_header("Content-Type", answer.headers["Content-Type"])
                self.end_headers()
                self.wfile.write(answer.content)

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def clusterctl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run clusterctl through the proxy."""
        return self._clusterm.clusterctl("--url", f"127.0.0.1:{self._server.server_port}", *arguments)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
