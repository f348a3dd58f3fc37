"""The callback plugin reports what ansible decided about its hosts, in real runs of ansible-playbook."""

import os
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest
from support.callback_records import NODES, NONCE, PLUGIN, read, run

from clusterm.ansible.command import ansible_environment


class Case(NamedTuple):
    """A playbook, and what ansible decides in it."""

    playbook: str
    outcomes: tuple[str, str, str] = ("passed", "passed", "passed")
    """Of node1, node2 and node3."""
    failures: dict[tuple[str, str], str] = {}  # noqa: RUF012 -- never changed
    """By task and node: the status of each result that is not ok, changed or skipped."""
    stopped: dict[str, str] = {}  # noqa: RUF012 -- never changed
    """By node: a part of the message why it failed with another node."""
    cleared: tuple[str, ...] = ()
    handled: tuple[str, ...] = ()


def play(text: str) -> str:
    """Return a play on all nodes that can be reached, with what a text adds to it."""
    head = f"- hosts: {','.join(NODES)}\n  gather_facts: false\n"
    return head + textwrap.indent(textwrap.dedent(text), "  ")


CASES = {
    "run_once in a block with rescue": Case(
        play("""
          tasks:
            - block: [{name: bad, command: "false", run_once: true}]
              rescue: [{name: repair, debug: }]
            - {name: last, debug: }
        """),
        ("passed", "failed", "failed"),
        {("bad", "node1"): "rescued"},
        dict.fromkeys(("node2", "node3"), "failed on node1, which fails this node, too (run_once)"),
    ),
    "any_errors_fatal that all rescue": Case(
        play("""
          any_errors_fatal: true
          tasks:
            - block: [{name: bad, command: "false"}]
              rescue: [{name: repair, debug: }]
        """)
        + play("""
          tasks:
            - {name: worse, command: "false", when: inventory_hostname == "node2"}
        """),
        ("passed", "failed", "passed"),
        {**dict.fromkeys([("bad", node) for node in NODES], "rescued"), ("worse", "node2"): "failed"},
    ),
    "any_errors_fatal that one rescues, and the next play": Case(
        play("""
          any_errors_fatal: true
          tasks:
            - block: [{name: bad, command: "false", when: inventory_hostname == "node1"}]
              rescue: [{name: repair, debug: }]
        """)
        + play("""
          tasks:
            - {name: last, debug: }
        """),
        ("passed", "failed", "failed"),
        {("bad", "node1"): "rescued"},
        dict.fromkeys(("node2", "node3"), "failed on node1, which fails this node, too (any_errors_fatal)"),
    ),
    "max_fail_percentage": Case(
        play("""
          max_fail_percentage: 30
          tasks:
            - {name: bad, command: "false", when: inventory_hostname != "node2"}
            - {name: last, debug: }
        """),
        ("failed", "failed", "failed"),
        {("bad", "node1"): "failed", ("bad", "node3"): "failed"},
        {"node2": "(max_fail_percentage: 30)"},
    ),
    "end_host before another one fails": Case(
        play("""
          tasks:
            - {meta: end_host, when: inventory_hostname == "node1"}
            - {name: bad, command: "false", when: inventory_hostname == "node2"}
        """),
        ("passed", "failed", "passed"),
        {("bad", "node2"): "failed"},
    ),
    "end_play ends later batches, too": Case(
        play("""
          serial: 2
          tasks:
            - {name: bad, command: "false", when: inventory_hostname == "node1"}
            - meta: end_play
        """),
        ("failed", "passed", "passed"),
        {("bad", "node1"): "failed"},
    ),
    "a failed batch": Case(
        play("""
          serial: 1
          tasks:
            - {name: bad, command: "false", when: inventory_hostname == "node2"}
        """),
        ("passed", "failed", "unfinished"),
        {("bad", "node2"): "failed"},
    ),
    "a play that is not reached": Case(
        """
        - {hosts: node1, gather_facts: false, tasks: [{name: bad, command: "false"}]}
        - {hosts: "node2:&all", gather_facts: false, tasks: [{debug: }]}
        """,
        ("failed", "unfinished", "no play"),
        {("bad", "node1"): "failed"},
    ),
    "a play for hosts that are not known yet": Case(
        """
        - {hosts: node1, gather_facts: false, tasks: [{name: bad, command: "false"}]}
        - {hosts: "{{ later }}", gather_facts: false, tasks: [{debug: }]}
        """,
        ("failed", "unfinished", "unfinished"),
        {("bad", "node1"): "failed"},
    ),
    "a play for one, and an empty one": Case(
        """
        - {hosts: node1, gather_facts: false, tasks: [{debug: , when: false}]}
        - {hosts: node2, gather_facts: false}
        - {hosts: others, gather_facts: false, tasks: [{debug: }]}
        """,
        ("passed", "passed", "no play"),
    ),
    "clear_host_errors": Case(
        play("""
          tasks:
            - {name: bad, command: "false", when: inventory_hostname == "node1"}
            - meta: clear_host_errors
            - {name: worse, command: "false", when: inventory_hostname == "node2"}
        """)
        + play("""
          tasks: [{name: last, debug: }]
        """),
        ("passed", "failed", "passed"),
        {("bad", "node1"): "failed", ("worse", "node2"): "failed"},
        cleared=("node1",),
    ),
    "an import in a rescued block of an always section": Case(
        play("""
          tasks:
            - block: [{name: deploy, command: "false", when: inventory_hostname == "node1"}]
              always:
                - block: [{import_tasks: tasks.yml}]
                  rescue: [{name: repair, debug: }]
        """),
        ("failed", "passed", "passed"),
        {("deploy", "node1"): "failed", **dict.fromkeys([("imported", node) for node in NODES], "rescued")},
    ),
    "a handler flushed in a rescued block": Case(
        play("""
          tasks:
            - block:
                - {name: change, command: "true", notify: restart}
                - meta: flush_handlers
              rescue: [{name: repair, debug: }]
          handlers: [{name: restart, command: "false"}]
        """),
        failures=dict.fromkeys([("restart", node) for node in NODES], "rescued"),
    ),
    "a missing include in a rescued block": Case(
        play("""
          tasks:
            - block: [{name: include, include_tasks: missing.yml, when: inventory_hostname == "node1"}]
              rescue: [{name: repair, debug: }]
            - {name: bad, command: "false", when: inventory_hostname == "node2"}
        """),
        ("passed", "failed", "passed"),
        {("include", "node1"): "failed", ("bad", "node2"): "failed"},
    ),
    "a failure after a missing include that was handled, and a play for others": Case(
        play(
            """
            tasks:
              - block: [{name: include, include_tasks: missing.yml, loop: [1], when: inventory_hostname != "node3"}]
                rescue: [{name: repair, debug: }]
              - {name: bad, command: "false", when: inventory_hostname == "node1"}
            """
        )
        + play(
            """
            tasks:
              - block: [{name: worse, command: "false"}]
                always: [{name: worst, command: "false"}]
            """
        ).replace("node1,node2,", ""),
        ("failed", "failed", "failed"),  # ansible fails node2 in the second play
        {("include", "node1"): "failed", ("include", "node2"): "failed", ("bad", "node1"): "failed"}
        | {("worse", "node3"): "failed", ("worst", "node3"): "failed"},
        handled=("node1",),
    ),
    "a node that another one sends into a rescue section, in which it fails by itself": Case(
        play(
            """
            tasks:
              - block: [{name: include, include_tasks: missing.yml, run_once: true}]
                rescue: [{name: worse, command: "false", when: inventory_hostname != "node3"}]
                always: [{name: last, debug: }]
            """
        ),
        ("failed", "failed", "passed"),
        {("include", "node1"): "failed", ("worse", "node1"): "failed", ("worse", "node2"): "failed"},
        handled=("node1",),
    ),
    "a block with always that another node fails": Case(
        play("""
          any_errors_fatal: true
          tasks:
            - block: [{name: bad, command: "false", when: inventory_hostname == "node3"}]
              always: [{name: tidy, debug: }]
            - {name: last, debug: }
        """),
        ("failed", "failed", "failed"),
        {("bad", "node3"): "failed"},
        dict.fromkeys(("node1", "node2"), "failed on node3"),
    ),
    "an unreachable node that the play ignores, and one that it does not": Case(
        """
        - hosts: all
          gather_facts: false
          tasks:
            - {name: ask, ping: , ignore_unreachable: true}
            - {name: bad, command: "false", ignore_errors: true}
        """,
        failures={
            ("ask", "node4"): "ignored",
            ("bad", "node4"): "unreachable",
            **dict.fromkeys([("bad", node) for node in NODES], "ignored"),
        },
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_outcomes_are_what_ansible_decided(tmp_path: Path, case: Case) -> None:
    (tmp_path / "tasks.yml").write_text('[{name: imported, command: "false"}]')
    playbook = tmp_path / "site.yml"
    playbook.write_text(textwrap.dedent(case.playbook))
    ran = run(tmp_path, playbook)
    [outcomes] = [record["nodes"] for record in ran.records if record["event"] == "stats"]
    assert tuple(outcomes.get(node, "no play") for node in NODES) == case.outcomes
    failures = {key: status for key, (status, message) in ran.results().items() if message is not None}
    assert failures == case.failures
    stopped = {record["node"]: record["message"] for record in ran.records if record["event"] == "stopped"}
    assert stopped.keys() == case.stopped.keys()
    assert [node for node, message in stopped.items() if case.stopped[node] not in message] == []
    assert tuple(record["node"] for record in ran.records if record["event"] == "cleared") == case.cleared
    assert tuple(record["node"] for record in ran.records if record["event"] == "handled") == case.handled
    assert [record for record in ran.records if record["event"] == "error"] == []


@pytest.mark.parametrize("strategy", ["linear", "free", "host_pinned"])
def test_a_task_is_what_it_is_not_each_announcement(tmp_path: Path, strategy: str) -> None:
    playbook = tmp_path / "site.yml"
    playbook.write_text(
        play(
            f"""
            strategy: {strategy}
            tasks:
              - {{name: first, command: "sleep {{{{ 1 if inventory_hostname == 'node1' else 0 }}}}", notify: again}}
              - {{name: second, debug: }}
              - meta: flush_handlers
              - {{name: third, command: "true", notify: again, when: inventory_hostname != 'node1'}}
            handlers:
              - {{name: again, debug: }}
            """
        )
    )
    ran = run(tmp_path, playbook)
    results = [(record["number"], record["task"]) for record in ran.records if record["event"] == "result"]
    nodes = sorted((task, count) for (_, task), count in Counter(results).items())
    assert nodes == [("again", 2), ("again", 3), ("first", 3), ("second", 3), ("third", 3)]
    busy: set[tuple[int, str]] = set()
    for record in ran.records:
        if record["event"] == "start":
            assert record["node"] not in {node for _, node in busy}
            busy.add((record["number"], record["node"]))
        elif record["event"] == "result":
            busy.remove((record["number"], record["node"]))
    assert busy == set()


def test_polls_belong_to_their_task_and_names_may_be_numbers(tmp_path: Path) -> None:
    playbook = tmp_path / "site.yml"
    playbook.write_text(
        play(
            """
            tasks:
              - {name: wait, command: sleep 3, async: 60, poll: 1}
              - {name: on, debug: }
              - {name: 2024, debug: }
            """
        ).replace("- hosts", "- name: 1.5\n  hosts", 1)
    )
    ran = run(tmp_path, playbook)
    polls = [record for record in ran.records if record["event"] == "async"]
    assert len(polls) >= len(NODES)
    assert {(record["play"], record["task"]) for record in polls} == {("1.5", "wait")}
    assert {record["number"] for record in ran.records if record["event"] == "result"} == {2, 3, 4}
    assert {record["status"] for record in ran.records if record["event"] == "result"} == {"ok", "changed"}
    assert [record for record in ran.records if record["event"] == "error"] == []


def test_what_cannot_be_read_is_not_known(tmp_path: Path) -> None:
    """As with a version of ansible that has other internals."""
    program = """
import runpy, sys
from types import SimpleNamespace
plugin = runpy.run_path(sys.argv[1])["CallbackModule"]()
plugin.v2_playbook_on_start(SimpleNamespace(get_plays=list))
plugin.v2_playbook_on_stats(SimpleNamespace(processed={}))
"""
    done = subprocess.run(
        [sys.executable, "-c", program, PLUGIN],
        env={**os.environ, "CLUSTERM_NONCE": NONCE},
        capture_output=True,
        check=True,
    )
    playbook, error, stats = read(done.stdout).records
    assert playbook == {"event": "playbook"}
    assert error["event"] == "error"
    assert error["message"].startswith("the decisions of ansible cannot be read: LookupError(")
    assert stats == {"event": "stats", "recap": {}, "nodes": None}


def test_an_inventory_that_cannot_be_read_ends_the_run(tmp_path: Path) -> None:
    inventory = tmp_path / "inventory.json"
    inventory.write_text("{")
    playbook = tmp_path / "site.yml"
    playbook.write_text(play("tasks: [{debug: }]"))
    done = subprocess.run(
        [Path(sys.executable).parent / "ansible-playbook", "--inventory", inventory, playbook],
        env={**os.environ, **ansible_environment(tmp_path, NONCE)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "inventory.json" in done.stdout
