"""Events for programs: as NDJSON and CSV, and followed without loss."""

import csv
import io
import json
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml
from support.programs import SCRIPTED
from support.service import BIN, WAIT_TIMEOUT_S, Clusterm, wait_for

from clusterctl.api.rest import RestClient
from clusterctl.commands import node as node_commands
from clusterm.schemas import Event

# Of a service


@pytest.fixture(scope="module")
def busy(module_clusterm: Clusterm) -> Clusterm:
    """A service with a past of more than a page, and with a name that a spreadsheet would run."""
    module_clusterm.config["retention"] = {"timeline": 10_000, "node_events": 10_000}
    module_clusterm.use_program(SCRIPTED)
    module_clusterm.start()
    module_clusterm.add_nodes("node1-a", "node2-b")
    for number in range(1, 40):
        report(module_clusterm, "node1-a", "discovered", f"10.0.0.{number}")
    report(module_clusterm, "node1-a", "discovered")
    module_clusterm.run("commission", ["node1-a"], extra_vars={"status": 3})
    return module_clusterm


def report(clusterm: Clusterm, node: str, event: str, addr: str = "127.0.1.1") -> None:
    label, serial = node.split("-")
    news = [{"label": label, "serial": serial, "addr": addr}]
    response = clusterm.post("/monitor/event", {"monitor_event": {"name": event, "nodes": news}})
    assert response.status_code == 200, response.text


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


def as_row(event: dict[str, Any]) -> dict[str, str]:
    """Return an event as it reads from CSV, none of these being a formula."""
    return {name: "" if v is None else v if isinstance(v, str) else json.dumps(v) for name, v in event.items()}


@pytest.mark.parametrize("path", ["/info/jobs/timeline", "/info/node/node1-a/events"])
def test_events_come_in_other_forms(busy: Clusterm, path: str) -> None:
    page = busy.http.get(path, params={"limit": 7})
    assert page.headers["vary"] == "Accept, Authorization"
    items = page.json()["items"]
    assert len(items) == 7

    lines = busy.http.get(path, params={"limit": 7}, headers={"Accept": "application/x-ndjson"})
    assert lines.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line) for line in lines.text.splitlines()] == items

    table = busy.http.get(path, params={"limit": 7}, headers={"Accept": "text/csv"})
    assert table.headers["content-type"] == "text/csv; charset=utf-8; header=present"
    assert table.content.count(b"\r\n") == 8
    assert table.text.splitlines()[0].split(",") == list(Event.model_fields)
    assert rows(table.text) == [as_row(item) for item in items]


def test_pages_are_linked_in_every_form(busy: Clusterm) -> None:
    every = busy.get("/info/node/node1-a/events", limit=1000)["items"]
    found: list[dict[str, Any]] = []
    url = "/info/node/node1-a/events?limit=30"
    while url:
        response = busy.http.get(url, headers={"Accept": "application/x-ndjson"})
        found = [json.loads(line) for line in response.text.splitlines()] + found
        link = response.links.get("next", {}).get("url", "")
        url = str(response.url.join(link)) if link else ""
    assert found == every
    assert len(every) > 30


def test_forms_of_a_time(busy: Clusterm) -> None:
    def events(since: str) -> list[Any]:
        response = busy.http.get(f"/info/jobs/timeline?limit=1000&since={since}")
        assert response.status_code == 200, response.text
        return list(response.json()["items"])

    at = datetime.fromisoformat(busy.get("/info/jobs/timeline", limit=10)["items"][0]["at"])
    east = at.astimezone(timezone(timedelta(hours=2))).isoformat()
    expected = events(f"{at:%Y-%m-%dT%H:%M:%S.%fZ}")
    assert 10 <= len(expected) < len(events(f"{at - timedelta(hours=12):%Y-%m-%d}"))
    assert events(quote(east)) == expected
    assert east.endswith("+02:00")
    assert events(east) == expected, "a plus sign that is not encoded"
    refused = busy.http.get("/info/jobs/timeline", params={"since": f"{at:%Y-%m-%dT%H:%M:%S}"})
    assert refused.status_code == 422
    assert "give the time with its zone, as 2026-11-22T07:31:02Z" in refused.json()["detail"]


def test_events_after_one_come_first_things_first(busy: Clusterm) -> None:
    for path in ("/info/jobs/timeline", "/info/node/node1-a/events"):
        every = busy.get(path, limit=1000)["items"]
        after = every[4]["id"]
        assert busy.get(path, limit=3, after=after) == {"items": every[5:8], "next": None}
        assert busy.get(path, limit=1000, after=every[-1]["id"])["items"] == []
        assert busy.http.get(path, params={"after": -1}).status_code == 422
    since = busy.get("/info/node/node1-a/events", limit=1)["items"][0]["at"]
    assert len(busy.get("/info/node/node1-a/events", since=since)["items"]) == 1


def test_the_commands_print_every_form(busy: Clusterm) -> None:
    for arguments, path, parameters in (
        ("timeline -n 35", "/info/jobs/timeline", {"limit": 35}),
        ("node events 127.0.1.1 -n 35", "/info/node/node1-a/events", {"limit": 35}),
        ("timeline --node 127.0.1.1", "/info/jobs/timeline", {"node": "node1-a"}),
    ):
        page = busy.get(path, **parameters)
        printed = {}
        for encoding in ("json", "jsonl", "yaml", "csv"):
            run = busy.clusterctl(*arguments.split(), "--output", encoding)
            assert run.returncode == 0, run.stderr
            printed[encoding] = run.stdout
        assert busy.clusterctl("-o", "csv", *arguments.split()).stdout == printed["csv"], "before the command, too"
        assert json.loads(printed["json"]) == page == yaml.safe_load(printed["yaml"])
        assert [json.loads(line) for line in printed["jsonl"].splitlines()] == page["items"]
        assert rows(printed["csv"]) == [as_row(item) for item in page["items"]]


@pytest.mark.parametrize("arguments", ["nodes get", "node commission node2-b -g service-master", "job logs --follow"])
def test_csv_elsewhere_is_wrong_usage_and_does_nothing(busy: Clusterm, arguments: str) -> None:
    before = busy.dump()
    run = busy.clusterctl("-o", "csv", *arguments.split())
    assert (run.returncode, run.stdout) == (2, "")
    assert "-o json, jsonl or yaml" in run.stderr
    assert run.stderr.count("\n") == 1
    assert busy.dump() == before


def test_node_events_of_many_pages(busy: Clusterm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_commands, "_LARGEST_PAGE", 4)
    client = RestClient(str(busy.http.base_url), lambda _: None)
    every = busy.get("/info/node/node1-a/events", limit=1000)["items"]
    for limit in (1, 4, 5, 8, 29):
        page = node_commands._newest(partial(client.node_events, "node1-a"), limit, cursor=None)
        assert page["items"] == every[-limit:]
        assert page["next"] == str(every[-limit]["id"])
    assert node_commands._newest(partial(client.node_events, "node1-a"), 999, cursor=None) == {
        "items": every,
        "next": None,
    }
    client.close()


# Followed


class Follower:
    """A clusterctl that follows events, and what it has printed so far."""

    def __init__(self, clusterm: Clusterm, file: Path, encoding: str, *arguments: str) -> None:
        self.encoding = encoding
        self.file = file
        command = [
            str(BIN / "clusterctl"),
            "--url",
            str(clusterm.http.base_url),
            "-o",
            encoding,
            *arguments,
            "--follow",
        ]
        with self.file.open("wb") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=subprocess.PIPE)

    def names(self) -> list[str]:
        """Return the names of the nodes whose events were printed, as far as lines are whole."""
        assert self.process.poll() is None, self.process.communicate()[1]
        text = self.file.read_bytes().decode()
        text = text[: text.rfind("\n") + 1]
        match self.encoding:
            case "table":
                return [line.split()[1] for line in text.splitlines()]
            case "yaml":
                return re.findall(r"^  node: (\S+)$", text, re.MULTILINE)
            case "csv":
                return [row["node"] for row in rows(text)]
            case _:
                return [json.loads(line)["node"] for line in text.splitlines()]

    def end(self) -> str:
        self.process.send_signal(signal.SIGINT)
        return self.process.communicate(timeout=WAIT_TIMEOUT_S)[1].decode()


@pytest.fixture
def follow(tmp_path: Path) -> Iterator[Callable[..., Follower]]:
    begun: list[Follower] = []

    def start(clusterm: Clusterm, *arguments: str) -> Follower:
        begun.append(Follower(clusterm, tmp_path / str(len(begun)), *arguments))
        return begun[-1]

    yield start
    for each in begun:
        each.process.kill()
        each.process.communicate()


def test_followers_lose_nothing_in_a_burst_or_over_restarts(
    new_clusterm: Clusterm, follow: Callable[..., Follower]
) -> None:
    clusterm = new_clusterm
    clusterm.config["retention"] = {"timeline": 10_000, "node_events": 10_000}
    clusterm.start()
    clusterm.config["manager"]["addr"] = str(clusterm.http.base_url).partition("://")[2].strip("/")
    clusterm.add_nodes("node1-a")
    followers = [follow(clusterm, encoding, "timeline") for encoding in ("table", "yaml", "csv")]
    of_node = follow(clusterm, "jsonl", "node", "events", "node1-a", "--since", "1h")
    for each in (*followers, of_node):
        wait_for(each.names, "the first event")

    addresses = [f"10.0.{number // 250}.{number % 250 + 1}" for number in range(2500)]
    new = [{"label": f"n{number}", "serial": "x", "addr": addr} for number, addr in enumerate(addresses)]
    burst = {"monitor_event": {"name": "discovered", "nodes": new}}
    response = clusterm.post("/monitor/event", burst, timeout=WAIT_TIMEOUT_S)
    assert response.status_code == 200, response.text
    clusterm.kill()
    clusterm.start()
    report(clusterm, "node1-a", "disappeared")
    clusterm.stop()
    clusterm.start()
    report(clusterm, "node1-a", "discovered")

    every = [event["node"] for event in clusterm.get("/info/jobs/timeline", limit=10_000)["items"]]
    assert len(every) == 2503
    for each, expected in (*((each, every) for each in followers), (of_node, ["node1-a"] * 3)):
        wait_for(lambda each=each, expected=expected: len(each.names()) >= len(expected), "all events")  # type: ignore[misc]
        assert each.names() == expected
        assert "clusterm does not answer; trying again\n" in each.end()
