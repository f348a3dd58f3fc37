"""Webhooks are told what happened: each message at least once and in order, whatever dies or does not answer."""

import hashlib
import hmac
import json
import socket
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.documents import DOCS, blocks
from support.programs import SCRIPTED
from support.service import BIN, WAIT_TIMEOUT_S, Clusterm, wait_for
from support.webhook_receiver import Delivery, Receiver, receiving

FAILING = """
- hosts: all
  connection: local
  gather_facts: false
  tasks:
    - name: Check that there is a data disk
      ansible.builtin.fail:
        msg: "{{ node_name }} has no /dev/sdb; api_token=canary"
"""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def tell(clusterm: Clusterm, url: str, *events: str, **members: Any) -> None:
    """Configure a webhook called ops."""
    webhook = {"name": "ops", "url": url, "events": events, **members}
    clusterm.config["notifications"] = {"webhooks": [webhook], "settle": 0}


def counted(clusterm: Clusterm, name: str) -> float:
    families = text_string_to_metric_families(clusterm.http.get("/metrics").text)
    samples = [sample for family in families for sample in family.samples]
    (value,) = [each.value for each in samples if (each.name, each.labels) == (name, {"webhook": "ops"})]
    return value


def all_sent(clusterm: Clusterm) -> None:
    wait_for(lambda: counted(clusterm, "clusterm_notifications_pending") == 0, "all to be sent")


def monitor(clusterm: Clusterm, event: str, *labels: str) -> None:
    nodes = [{"label": label, "serial": "x", "addr": f"127.0.2.{label.removeprefix('n')}"} for label in labels]
    assert clusterm.post("/monitor/event", {"monitor_event": {"name": event, "nodes": nodes}}).status_code == 200


def test_a_failed_job_is_told_with_its_first_failure_until_it_is_taken(
    new_clusterm: Clusterm, receiver: Receiver
) -> None:
    clusterm = new_clusterm
    clusterm.write_playbook("site.yml", FAILING)
    clusterm.config["manager"]["public_url"] = "https://clusterm.example.org/"
    tell(clusterm, receiver.url, "job_failed", secret="shared", headers={"X-Team": "canary"})
    receiver.answer = lambda _: 503 if len(receiver.deliveries) < 3 else 200
    clusterm.start()
    clusterm.add_nodes("node1-a", "node2-b")
    job = clusterm.run("commission", ["node1-a", "node2-b"])
    wait_for(lambda: receiver.taken, "the message")
    all_sent(clusterm)
    assert len(receiver.deliveries) == 3
    (taken,) = receiver.taken
    body = taken.body
    told = body["job"]
    failure = told.pop("first_failure")
    text = body.pop("text")
    assert {**body, "job": None} == {
        "id": taken.headers["Clusterm-Delivery"],
        "event": "job_failed",
        "at": job["finished_at"],
        "job": None,
        "url": f"https://clusterm.example.org/ui/jobs/{job['id']}",
    }
    assert told.pop("seconds") > 0
    assert told == {
        "id": job["id"],
        **{name: job[name] for name in ("action", "desc", "nodes", "host_group", "check", "status")},
        "requested_by": job["requested_by"],
        "trace_id": job["trace_id"],
        "error": job["error"].replace("canary", "********"),
        "started_at": job["started_at"],
        "finished_at": job["finished_at"],
    }
    assert failure["node"] in {"node1-a", "node2-b"}
    assert failure["task"] == "Check that there is a data disk"
    assert "has no /dev/sdb" in failure["message"]
    assert text.startswith(f"Job {job['id']} failed: commission node1-a node2-b as service-master\n{failure['node']}: ")
    assert "canary" not in taken.content.decode()
    assert taken.headers["X-Team"] == "canary"
    for delivery in receiver.deliveries:  # the message is the same one each time, and so is its signature's rule
        signed = f"{delivery.headers['Clusterm-Timestamp']}.".encode() + delivery.content
        expected = hmac.new(b"shared", signed, hashlib.sha256).hexdigest()
        assert delivery.headers["Clusterm-Signature"] == f"sha256={expected}"
        assert delivery.content == taken.content
    verify: dict[str, Any] = {}
    guide = DOCS / "how-to" / "send-notifications.md"
    (snippet,) = [block.text for block in blocks(guide) if block.language == "python"]
    exec(snippet, verify)
    assert verify["is_genuine"](taken.headers, taken.content, "shared")
    assert not verify["is_genuine"](taken.headers, taken.content, "another")
    assert counted(clusterm, "clusterm_notifications_sent_total") == 1
    (shown,) = clusterm.get("/config")["notifications"]["webhooks"]
    assert shown["secret"] == shown["headers"]["X-Team"] == "********"
    assert shown["url"] == f"{receiver.url.removesuffix('hook')}********"
    log = clusterm.log.read_text()
    assert log.count("the webhook ops cannot be notified, retrying: it answered 503 Service Unavailable") == 1
    assert "the webhook ops is notified again" in log
    assert "/hook" not in log, "the path of a URL may be a secret"


def test_whatever_is_killed_every_end_is_told_and_in_order(
    new_clusterm: Clusterm, receiver: Receiver, tmp_path: Path
) -> None:
    clusterm = new_clusterm
    clusterm.use_program(SCRIPTED)
    tell(clusterm, receiver.url, "job_ended")
    receiver.answer = lambda _: 503
    clusterm.start()
    clusterm.add_nodes("node1-a", "node2-b")
    orders = [("commission", 0), ("update", 1), ("commission", 0)]
    ended = [clusterm.run(action, ["node1-a"], extra_vars={"status": status}) for action, status in orders]
    wait_for(lambda: receiver.deliveries, "a first try")
    running = clusterm.begin("update", ["node1-a"], extra_vars={"until": str(tmp_path / "end")})
    queued = clusterm.post("/decommission/nodes", {"nodes": ["node2-b"], "queue": True}).json()
    assert clusterm.post(f"/job/{queued['id']}/cancel").json()["status"] == "Cancelled"
    clusterm.kill()
    (tmp_path / "end").touch()
    wait_for(lambda: not clusterm.executors(), "the executor to end the job")
    receiver.answer = lambda _: 200
    clusterm.start()
    all_sent(clusterm)
    jobs = [*ended, queued, running]
    told = [(delivery.body["job"]["id"], delivery.body["job"]["status"]) for delivery in receiver.taken]
    assert told == [(job["id"], clusterm.job(job["id"])["status"]) for job in jobs]
    assert [status for _, status in told] == ["Complete", "Errored", "Complete", "Cancelled", "Complete"]
    assert [delivery.body["event"] for delivery in receiver.taken] == [
        "job_failed" if status == "Errored" else "job_ended" for _, status in told
    ]

    def take_and_kill(_: Delivery) -> int:
        clusterm.kill()  # so that nobody is left to note that the message was taken
        return 200

    receiver.answer = take_and_kill
    last = clusterm.begin("update", ["node1-a"])
    wait_for(lambda: clusterm.process and clusterm.process.poll() is not None, "the service to be killed")
    receiver.answer = lambda _: 200
    clusterm.start()
    all_sent(clusterm)
    first, again = receiver.taken[-2:]
    assert first.body["job"]["id"] == last["id"]
    assert first.content == again.content


def test_a_receiver_that_says_nothing_holds_nobody_up(new_clusterm: Clusterm) -> None:
    clusterm = new_clusterm
    clusterm.use_program(SCRIPTED)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        tell(clusterm, f"http://127.0.0.1:{silent.getsockname()[1]}/", "job_ended")
        clusterm.start()
        clusterm.add_nodes("node1-a")
        clusterm.run("commission", ["node1-a"])
        connection, _ = silent.accept()  # the message is on its way, and stays there
        with connection:
            assert clusterm.run("update", ["node1-a"])["status"] == "Complete"
            wait_for(lambda: counted(clusterm, "clusterm_notifications_pending") == 2, "both messages to wait")
            assert clusterm.stop() == 0


def test_nodes_that_go_together_are_told_together_and_flapping_ones_seldom(
    new_clusterm: Clusterm, receiver: Receiver
) -> None:
    clusterm = new_clusterm
    tell(clusterm, receiver.url, "node_disappeared", "node_returned")
    clusterm.start()
    labels = [f"n{number}" for number in range(1, 13)]
    monitor(clusterm, "discovered", *labels)
    monitor(clusterm, "disappeared", *labels)
    wait_for(lambda: receiver.taken, "the message")
    body = receiver.taken[0].body
    assert body["event"] == "node_disappeared"
    assert [node["name"] for node in body["nodes"]] == [f"{label}-x" for label in labels]
    first, second, *_, last = body["text"].split("\n")
    assert (first, last) == ("12 nodes have disappeared", "and 2 more")
    assert second == "n1-x has disappeared: was at 127.0.2.1"
    monitor(clusterm, "discovered", "n1")
    wait_for(lambda: len(receiver.taken) == 2, "the second message")
    assert receiver.taken[1].body["text"] == "n1-x is back: at 127.0.2.1"
    for _ in range(5):
        monitor(clusterm, "disappeared", "n1")
        monitor(clusterm, "discovered", "n1")
    monitor(clusterm, "disappeared", "n1")
    monitor(clusterm, "discovered", "n2")  # told at once, though the other one waits
    wait_for(lambda: len(receiver.taken) == 3, "the third message")
    assert [node["name"] for node in receiver.taken[2].body["nodes"]] == ["n2-x"]
    assert rows(clusterm) == [("node_disappeared", "n1-x", 7)]


def rows(clusterm: Clusterm) -> list[tuple[str, str, int]]:
    """Return the news that wait to be told, and how often they happened."""
    with closing(sqlite3.connect(clusterm.database)) as database:
        found = database.execute("SELECT event, node, about FROM notifications WHERE node IS NOT NULL").fetchall()
    return [(event, node, json.loads(about)["times"]) for event, node, about in found]


def test_a_message_that_is_refused_lets_others_pass_and_is_given_up_when_it_is_old(
    new_clusterm: Clusterm, receiver: Receiver
) -> None:
    clusterm = new_clusterm
    clusterm.use_program(SCRIPTED)
    tell(clusterm, receiver.url, "job_ended")
    receiver.answer = lambda delivery: 422 if delivery.body["job"]["action"] == "commission" else 200
    clusterm.start()
    clusterm.add_nodes("node1-a")
    clusterm.run("commission", ["node1-a"])
    wait_for(lambda: receiver.deliveries, "a try")
    passes = clusterm.run("update", ["node1-a"])
    wait_for(lambda: receiver.taken, "the second message")
    assert receiver.taken[0].body["job"]["id"] == passes["id"]
    wait_for(lambda: counted(clusterm, "clusterm_notifications_pending") == 1, "the first one alone to wait")
    clusterm.config["notifications"]["give_up_after"] = 1e-6
    clusterm.restart()
    wait_for(lambda: counted(clusterm, "clusterm_notifications_failed_total") == 1, "the message to be given up")
    assert counted(clusterm, "clusterm_notifications_pending") == 0
    assert "dropped 1 messages to the webhook ops" in clusterm.log.read_text()


def test_what_was_taken_is_not_sent_again_where_that_cannot_be_noted(
    new_clusterm: Clusterm, receiver: Receiver
) -> None:
    clusterm = new_clusterm
    tell(clusterm, receiver.url, "node_disappeared")
    clusterm.start()
    with closing(sqlite3.connect(clusterm.database, isolation_level=None, check_same_thread=False)) as database:

        def lock(_: Delivery) -> int:
            database.execute("BEGIN IMMEDIATE")
            return 200

        receiver.answer = lock
        monitor(clusterm, "discovered", "n1")
        monitor(clusterm, "disappeared", "n1")
        failure = "cannot read or update the messages of the webhook ops"
        wait_for(lambda: failure in clusterm.log.read_text(), "the store to be missed")
        database.execute("ROLLBACK")
        wait_for(lambda: counted(clusterm, "clusterm_notifications_sent_total") == 1, "the message to be counted")
    assert len(receiver.deliveries) == 1


def test_webhooks_are_read_again_on_sighup(clusterm: Clusterm, receiver: Receiver) -> None:
    tell(clusterm, receiver.url, "node_disappeared", template="slack")
    (clusterm.root / "clusterm.json").write_text(json.dumps(clusterm.config))
    assert clusterm.process is not None
    clusterm.process.send_signal(1)
    wait_for(lambda: "clusterm_notifications_pending{" in clusterm.http.get("/metrics").text, "the webhook")
    monitor(clusterm, "discovered", "n1")
    monitor(clusterm, "disappeared", "n1")
    wait_for(lambda: receiver.taken, "the message")
    assert receiver.taken[0].body == {"text": ":warning: *n1-x has disappeared: was at 127.0.2.1*"}


@pytest.mark.parametrize(
    ("name", "status", "code", "said"),
    [
        ("ops", 200, 0, "the webhook ops took the message\n"),
        ("ops", 404, 1, "clusterm: the webhook ops did not take the message: it answered 404 Not Found\n"),
        ("ops", 307, 1, "clusterm: the webhook ops did not take the message: it answered 307 Temporary Redirect\n"),
        ("dev", 200, 1, 'clusterm: the configuration has no webhook "dev": it has ops\n'),
    ],
)
def test_a_test_message(receiver: Receiver, tmp_path: Path, name: str, status: int, code: int, said: str) -> None:
    receiver.answer = lambda _: status
    config = tmp_path / "clusterm.json"
    config.write_text(json.dumps({"notifications": {"webhooks": [{"name": "ops", "url": receiver.url}]}}))
    command: list[str | Path] = [BIN / "clusterm", "notify-test", name, "--config", config]
    done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_TIMEOUT_S, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (code, said)
    assert [(each.path, each.body["event"]) for each in receiver.deliveries] == [("/hook", "test")] * (name == "ops")
