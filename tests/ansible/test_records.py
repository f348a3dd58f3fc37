"""The callback plugin in real runs of ansible-playbook."""

import functools
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.callback_records import NODES, NONCE, PLUGIN, Run, Written, read, run

PLAYBOOKS = Path(__file__).parent / "playbooks" / "records"
NO_LOG = "the output has been hidden due to the fact that 'no_log: true' was specified for this result"

CALLBACK = """
from ansible.plugins.callback import CallbackBase

DOCUMENTATION = "{{name: {name}, type: notification, short_description: says that it is there}}"

class CallbackModule(CallbackBase):
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "{name}"
    CALLBACK_NEEDS_ENABLED = {needs_enabled}

    def v2_playbook_on_stats(self, stats):
        self._display.display("This is {name}")
"""


Site = Callable[[str, int], Run]
each_callback = pytest.mark.parametrize(
    ("callback", "forks"), [("default", 1), ("default", 10), ("minimal", 10), ("oneline", 10)]
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Return what runs the big playbook with a stdout callback and a number of forks, each pair once."""

    @functools.cache
    def run_site(callback: str, forks: int) -> Run:
        directory = tmp_path_factory.mktemp("site")
        extra_vars = f"--extra-vars=directory={directory} password=hunter2"
        return run(directory, PLAYBOOKS / "site.yml", f"--forks={forks}", extra_vars, ANSIBLE_STDOUT_CALLBACK=callback)

    return run_site


@each_callback
def test_lines_belong_to_who_wrote_them(site: Site, callback: str, forks: int) -> None:
    marks = [
        (mark, line.by)
        for line in site(callback, forks).lines
        for mark in re.findall(r"MARK (.+?)\|(.+?)\|(node\d)", line.text)
    ]
    assert [mark for mark, by in marks if mark != by] == []
    tasks = {"Say hello", "Repair", "Tidy up", "Name node1", "Included", "Restart", "Finish", "Look again"}
    assert tasks <= {task for (_, task, _), _ in marks}


@each_callback
def test_results(site: Site, callback: str, forks: int) -> None:
    ran = site(callback, forks)
    on_all = dict.fromkeys(NODES, "ok")
    changed = dict.fromkeys(NODES, "changed")
    ignored = dict.fromkeys(NODES, "ignored")
    skipped = dict.fromkeys(NODES, "skipped")
    expected = {
        "Say hello": {**on_all, "node4": "ok"},
        "Connect": {**on_all, "node4": "unreachable"},
        "Format disks": {**changed, "node2": "ignored"},
        "Probe": {**changed, "node1": "rescued"},
        "Repair": {"node1": "ok"},
        "Tidy up": on_all,
        "Configure": changed,
        "Restart": on_all,
        "Set a password": ignored,
        "Name node1": {**skipped, "node1": "ok"},
        "Include": on_all,
        "Included": on_all,
        "Wait": {**skipped, "node2": "ignored"},
        "Work in the background": {**skipped, "node1": "changed"},
        "Mount": {**changed, "node3": "failed"},
        "Finish": {"node1": "ok", "node2": "ok"},
        "Look": {"node1": "ok", "node2": "ok"},
        "Look again": {"node1": "ok", "node2": "ok"},
    }
    statuses: dict[str, dict[str, str]] = {}
    for (task, node), (status, _) in ran.results().items():
        statuses.setdefault(task, {})[node] = status
    assert statuses == expected


@each_callback
def test_messages_say_why(site: Site, callback: str, forks: int) -> None:
    ran = site(callback, forks)
    messages = {key: message for key, (_, message) in ran.results().items() if message is not None}
    failed = "non-zero return code (rc 1)"
    assert "Failed to create temporary directory" in messages.pop(("Connect", "node4"))
    assert messages == {
        ("Format disks", "node2"): f"(item=vdb) {failed}: MARK Provision|Format disks|node2",
        ("Probe", "node1"): failed,
        **{("Set a password", node): NO_LOG for node in NODES},
        ("Wait", "node2"): failed,
        ("Mount", "node3"): "non-zero return code (rc 7): disk /dev/sdb is missing",
    }
    assert "hunter2" not in ran.text


@each_callback
def test_recap(site: Site, callback: str, forks: int) -> None:
    ran = site(callback, forks)
    names = ("ok", "changed", "failed", "unreachable", "skipped", "rescued", "ignored")
    assert {node: tuple(counts[name] for name in names) for node, counts in ran.recap().items()} == {
        "node1": (16, 5, 0, 0, 1, 1, 1),
        "node2": (15, 6, 0, 0, 2, 0, 3),
        "node3": (10, 4, 1, 0, 3, 0, 1),
        "node4": (1, 0, 0, 1, 0, 0, 0),
    }


@pytest.mark.parametrize("forks", [1, 10])
def test_all_that_is_between_two_banners_belongs_together(site: Site, forks: int) -> None:
    play = task = None
    seen = set()
    for line in site("default", forks).lines:
        text = line.text
        if banner := re.match(r"(PLAY RECAP|PLAY|TASK|RUNNING HANDLER)(?: \[(.+)\])? \*+", text):
            kind, name = banner.groups()
            play, task = (name, None) if kind.startswith("PLAY") else (play, name)
        if not text or text.startswith("[WARNING]"):
            continue  # a banner's empty line, and what is said before the play that it is about
        node = re.match(r"(?:ok|changed|skipping|failed|fatal|FAILED - RETRYING): \[(node\d)\]", text)
        assert line.by == (play, task, node[1] if node else line.by[2]), text
        seen.add(text.split(":")[0].split(" [")[0])
    assert seen >= {"PLAY", "TASK", "RUNNING HANDLER", "ok", "changed", "skipping", "failed", "fatal"}
    assert seen >= {"included", "FAILED - RETRYING", "ASYNC OK on node1", "...ignoring", "+++ after"}


@each_callback
def test_events(site: Site, callback: str, forks: int) -> None:
    events = {record["event"] for record in site(callback, forks).records}
    on_the_way = {"item", "retry", "async", "diff", "include"}
    assert events == {"playbook", "play", "no_hosts", "task", "start", "result", "stats"} | on_the_way


@each_callback
def test_busy_nodes_are_known(site: Site, callback: str, forks: int) -> None:
    ran = site(callback, forks)
    started = {(record["task"], record["node"]) for record in ran.records if record["event"] == "start"}
    assert started == set(ran.results())


def test_messages_of_many_kinds(tmp_path: Path) -> None:
    ran = run(tmp_path, PLAYBOOKS / "messages.yml", "--extra-vars=password=hunter2")
    last = {line.by for line in ran.lines if line.text.startswith("NO MORE HOSTS LEFT")}
    assert last == {("Messages", None, None)}
    messages = {task: message or "" for (task, _), (_, message) in ran.results().items()}
    assert "Could not find or access" in messages.pop("a file that is not there")
    assert "'no_such_variable' is undefined" in messages.pop("a variable that is not defined")
    assert "Failed to create temporary directory" in messages.pop("an unreachable node")
    assert messages.pop("a module that crashes").endswith(" (rc 1)")
    assert messages.pop("a very long line") == f"non-zero return code (rc 1): {'x' * 1970}…"
    assert messages.pop("a secret item of a loop") == NO_LOG
    assert "hunter2" not in str(ran.records)
    assert {status for status, _ in ran.results().values()} == {"ignored", "failed"}
    assert messages == {
        "a program's stderr": "non-zero return code (rc 7): disk /dev/sdb is missing",
        "a program's stdout": "non-zero return code (rc 3): no stderr but this",
        "a long output's end": "non-zero return code (rc 1): " + "\n".join(map(str, range(991, 1001))),
        "a text": "the rack is on fire",
        "an object": '{"reason": "überhitzt"}',
        "an assertion": "Assertion failed: 1 == 2",
        "a condition": "failed_when was met",
        "some items of a loop": "(item=vda) non-zero return code (rc 1): vda is broken; "
        "(item=vdc) non-zero return code (rc 1): vdc is broken",
        "a long item of a loop": f"(item={'x' * 79}…) non-zero return code (rc 1); "
        '(item=["vda", 1]) non-zero return code (rc 1)',
        "colours and control characters": "non-zero return code (rc 1): red",
    }


def test_a_playbook_cannot_forge_records_nor_see_the_nonce(tmp_path: Path) -> None:
    ran = run(tmp_path, PLAYBOOKS / "forged.yml", ANSIBLE_STDOUT_CALLBACK="minimal")
    by = ("Forge", "Print a record", "node1")
    assert Written('\x1eguess {"event":"stats","recap":{}}', by) in ran.lines
    assert Written('\x1e{"event":"stats"}', by) in ran.lines
    assert set(ran.recap()) == {"node1"}
    assert f"HOME={tmp_path}" in ran.text
    assert "CLUSTERM_NONCE" not in ran.text
    assert NONCE not in ran.text


def test_a_result_is_there_before_the_next_one(tmp_path: Path) -> None:
    ran = run(tmp_path, PLAYBOOKS / "live.yml")
    assert {status for status, _ in ran.results().values()} == {"changed"}


def test_without_a_nonce_it_writes_nothing(tmp_path: Path) -> None:
    ran = run(tmp_path, PLAYBOOKS / "forged.yml", nonce="")
    assert "changed: [node1]" in ran.text
    assert ran.records == []
    assert "\x1e" not in ran.text


def test_the_users_own_callbacks_stay(tmp_path: Path) -> None:
    for folder, name, needs_enabled in (
        ("mine", "listed", True),
        ("mine", "unlisted", True),
        ("callback_plugins", "adjacent", False),
    ):
        plugin = tmp_path / folder / f"{name}.py"
        plugin.parent.mkdir(exist_ok=True)
        plugin.write_text(CALLBACK.format(name=name, needs_enabled=needs_enabled))
    playbook = tmp_path / "site.yml"
    playbook.write_text("[{hosts: node1, gather_facts: false, tasks: [{debug: }]}]")
    config = tmp_path / "ansible.cfg"
    config.write_text("[defaults]\ncallbacks_enabled = listed\ncallback_plugins = mine\n")

    ran = run(tmp_path, playbook, ANSIBLE_CALLBACK_PLUGINS=f"{tmp_path / 'mine'}:{PLUGIN.parent}")

    assert re.findall("^This is (.+)", ran.text, re.MULTILINE) == ["adjacent", "listed"]
    assert set(ran.recap()) == {"node1"}


def test_a_callback_that_fails_does_no_harm() -> None:
    """The playbook goes on, and a record tells of it."""
    program = """
import runpy, sys
plugin = runpy.run_path(sys.argv[1])["CallbackModule"]()
plugin.v2_runner_on_ok(None)
sys.stdout.close()
plugin.v2_runner_on_ok(None)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, PLUGIN],
        env={**os.environ, "CLUSTERM_NONCE": NONCE},
        capture_output=True,
        check=True,
    )
    [record] = read(done.stdout).records
    assert record["event"] == "error"
    assert record["message"].startswith("v2_runner_on_ok: AttributeError(")
    assert done.stderr == b""
