"""The reason of a job that ansible's own error ended, and the log lines of failures, after real runs."""

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from support.service import BIN, Clusterm

from clusterm.ansible.command import ansible_environment, run_environment
from clusterm.common.ansible_output import final_error
from clusterm.executor.output.parser import Line, OutputParser

A, B = NODES = ["a-1", "b-2"]

PLAY = """
- hosts: all
  connection: local
  gather_facts: false
  tasks:
"""
HARMLESS_FAILURES = (
    PLAY
    + """
    - name: maybe there
      command: /bin/false
      ignore_errors: true
    - block: [{name: try, command: /bin/false}]
      rescue: [{name: try again, debug: }]
"""
)
UNDEFINED = HARMLESS_FAILURES + "\n- hosts: '{{ rack_group }}'\n  tasks: []\n"
MISSPELT = PLAY + "    - {name: x, debugg: }\n"
LOOP = (
    PLAY
    + """
    - name: quiet
      debug:
      when: false
    - name: each
      command: test {{ item }} != bad
      loop: [good, bad, worse, bad]
      when: node_name == 'b-2'
    - name: later
      command: /bin/false
"""
)


@pytest.fixture(scope="module")
def site(module_clusterm: Clusterm) -> Clusterm:
    """A service with two nodes."""
    module_clusterm.config["ansible"]["register_discovered"] = False
    module_clusterm.start()
    module_clusterm.add_nodes(*NODES)
    return module_clusterm


def run(site: Clusterm, playbook: str, config: str = "", **files: str) -> dict[str, Any]:
    """Run a playbook with a configuration of ansible and with other files, on both nodes."""
    site.write_playbook("site.yml", playbook)
    site.write_playbook("ansible.cfg", config)
    for name, text in files.items():
        site.write_playbook(f"{name}.yml", text)
    return site.run("discover", NODES)


def place(site: Clusterm, line: str) -> str:
    return f"({site.playbooks}/site.yml:{line})"


@pytest.mark.parametrize("config", ["", "[defaults]\nforce_color = 1\ncallback_result_format = yaml\n"])
def test_an_ignored_or_rescued_failure_is_not_the_reason(site: Clusterm, config: str) -> None:
    job = run(site, UNDEFINED, config)
    assert job["status"] == "Errored"
    assert job["error"].startswith("configure (site.yml) failed: ")
    assert "'rack_group' is undefined" in job["error"]
    assert place(site, "13:10") in job["error"]
    assert "\x1b" not in job["error"]


def test_the_error_that_ended_ansible_precedes_failures_of_tasks(site: Clusterm) -> None:
    failing = f"    - {{command: /bin/false, when: node_name == '{A}'}}\n"
    job = run(site, PLAY + failing + "\n- hosts: '{{ rack_group }}'\n  tasks: []\n")
    assert [failure["node"] for failure in job["failures"]] == [A]
    assert "'rack_group' is undefined" in job["error"]


NONCE = "5d0c3a2f9be84716"
OTHER_FILES = {
    "more.yml": "- debugg:\n",
    "vault.yml": "$ANSIBLE_VAULT;1.1;AES256\n33343537\n",
}
REASONS = {
    "misspelt module": (MISSPELT, "", "couldn't resolve module/action 'debugg'", "(DIR/site.yml:6:7)"),
    "in colour": (
        MISSPELT,
        "[defaults]\nforce_color = 1\n",
        "couldn't resolve module/action 'debugg'",
        "(DIR/site.yml:6:7)",
    ),
    "file included later": (PLAY + "    - include_tasks: more.yml\n", "", "couldn't resolve module", "/more.yml:1:3)"),
    "syntax": ("- hosts: all\n  tasks:\n  - debug: msg=a: b: c\n", "", "YAML parsing failed: ", "(DIR/site.yml:3:17)"),
    "role": ("- hosts: all\n  roles: [nothere]\n", "", "the role 'nothere' was not found", "(DIR/site.yml:2:11)"),
    "import": ("- import_playbook: gone.yml\n", "", "Unable to retrieve file contents. Could not find", "gone.yml'"),
    "vars": (
        HARMLESS_FAILURES + "\n- hosts: all\n  vars_files: [vault.yml]\n",
        "",
        "Invalid vars_files",
        "secrets found.",
    ),
    "strategy": (
        "- hosts: all\n  strategy: no\n  tasks: [{debug: }]\n",
        "",
        "Invalid play strategy",
        "(DIR/site.yml:1:3)",
    ),
    "no plays": ("", "", "Empty playbook, nothing to do: ", "/site.yml"),
    "configuration": (HARMLESS_FAILURES, "[defaults", "Error reading config file", "'[defaults'"),
    "forks": (HARMLESS_FAILURES, "[defaults]\nforks = many\n", "Config 'DEFAULT_FORKS' from", "'integer': 'many'"),
    "exception": ("- hosts: all\n  serial: x\n  tasks: []\n", "", "Unexpected Exception", "with base 10: 'x'"),
    "callback": (HARMLESS_FAILURES, "[defaults]\nstdout_callback = no\n", "Could not load 'no' callback", "plugin."),
}


@pytest.fixture(scope="module")
def errors(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str | None]:
    """Run all playbooks of `REASONS` with ansible alone, and return the errors in their outputs."""

    def error(name: str) -> tuple[str, str | None]:
        directory = tmp_path_factory.mktemp("reasons")
        playbook, config, *_ = REASONS[name]
        inventory = json.dumps({"all": {"hosts": {A: None}}})
        files = {"site.yml": playbook, "ansible.cfg": config, "inventory.json": inventory, **OTHER_FILES}
        for file, text in files.items():
            (directory / file).write_text(text)
        done = subprocess.run(
            [BIN / "ansible-playbook", "--inventory", "inventory.json", "site.yml"],
            cwd=directory,
            env=run_environment(ansible_environment(directory, NONCE)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        assert done.returncode not in {0, 2}
        after_records: list[str] = []
        parser = OutputParser(NONCE)
        for item in (*parser.feed(done.stdout), *parser.close()):
            after_records = [*after_records, item.text] if isinstance(item, Line) else []
        found = final_error(after_records)
        return name, found and found.message.replace(str(directory), "DIR")

    with ThreadPoolExecutor(2) as pool:
        return dict(pool.map(error, REASONS))


@pytest.mark.parametrize(("name", "start", "end"), [(name, start, end) for name, (*_, start, end) in REASONS.items()])
def test_the_whole_error_of_ansible_is_found(errors: dict[str, str | None], name: str, start: str, end: str) -> None:
    error = errors[name]
    assert error is not None
    assert error.startswith(start)
    assert error.endswith(end)
    assert not {"\n", "\x1b"}.intersection(error)


@pytest.mark.parametrize(
    ("config", "strategy"),
    [
        ("", "linear"),
        ("force_color = 1\n", "free"),
        ("display_skipped_hosts = false\n", "free"),
        ("display_ok_hosts = false\ndisplay_skipped_hosts = false\n", "linear"),
        ("stdout_callback = minimal\n", "free"),
    ],
)
def test_each_failure_has_the_line_that_reports_it(site: Clusterm, config: str, strategy: str) -> None:
    job = run(site, LOOP.replace("  tasks:", f"  strategy: {strategy}\n  tasks:"), f"[defaults]\n{config}")
    rows = log(site, job)
    assert {(failure["node"], failure["task"]) for failure in job["failures"]} == {(A, "later"), (B, "each")}
    for failure in job["failures"]:
        line = rows[failure["line"] - 1]
        assert (line["node"], line["task"]) == (failure["node"], failure["task"])
        assert any(mark in line["text"] for mark in ("[ERROR]: ", "FAILED"))
        result = [row for row in rows if (row["node"], row["task"]) == (failure["node"], failure["task"])]
        if failure["task"] == "each" and "minimal" not in config:
            assert any("(item=bad)" in row["text"] for row in result if row["seq"] >= failure["line"])
            assert not any("(item=good)" in row["text"] for row in result if row["seq"] >= failure["line"])
    assert not [row for row in rows if "TASK [" in row["text"] and row["node"] is not None]
    assert {row["task"] for row in rows if "TASK [later]" in row["text"]} <= {"later"}


def test_a_failure_without_a_line_is_reported(site: Clusterm) -> None:
    """A callback that prints nothing until the end, as `ansible.posix.json`."""
    (site.playbooks / "callback_plugins").mkdir(exist_ok=True)
    site.write_playbook("callback_plugins/at_the_end.py", AT_THE_END)
    job = run(site, LOOP, "[defaults]\nstdout_callback = at_the_end\n")
    assert [failure["line"] for failure in job["failures"]] == [None, None]
    assert job["logs"] == ["all of it"]
    shown = site.clusterctl("job", "logs", "--failed")
    assert (shown.returncode, shown.stdout) == (0, "")
    assert shown.stderr.startswith("ansible printed no line for the failures of ")
    assert shown.stderr.endswith(f"; show their messages with: clusterctl job get {job['id']} --no-logs\n")


def test_the_failed_lines_contain_the_error_of_ansible(site: Clusterm) -> None:
    job = run(site, UNDEFINED)
    shown = site.clusterctl("job", "logs", "--failed").stdout
    assert "[ERROR]: Error processing keyword 'name': 'rack_group' is undefined\n" in shown
    assert "- hosts: '{{ rack_group }}'\n" in shown
    assert len(shown.splitlines()) < len(job["logs"]) / 2


def test_the_service_may_have_a_locale_that_is_not_installed(
    new_clusterm: Clusterm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the callbacks of the site may be in a directory that a variable names."""
    (new_clusterm.root / "cb").mkdir()
    (new_clusterm.root / "cb" / "at_the_end.py").write_text(AT_THE_END)
    monkeypatch.setenv("SITEDIR", str(new_clusterm.root))
    for name in ("LC_ALL", "LANG"):
        monkeypatch.setenv(name, "xx_XX.UTF-8")
    new_clusterm.write_playbook(
        "ansible.cfg", "[defaults]\ncallback_plugins = $SITEDIR/cb\nstdout_callback = at_the_end\n"
    )
    new_clusterm.start()
    assert new_clusterm.get("/readyz")["checks"]["ansible"]["ok"]
    job = new_clusterm.run("discover", ["127.0.0.1"])
    assert (job["status"], job["error"], job["logs"]) == ("Complete", "", ["all of it"])
    assert job["recap"], "the plugin of clusterm is found, too"


AT_THE_END = """
from ansible.plugins.callback import CallbackBase
DOCUMENTATION = "{name: at_the_end, type: stdout, short_description: prints at the end}"
class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "at_the_end"
    def v2_playbook_on_stats(self, stats):
        self._display.display("all of it")
"""


def log(site: Clusterm, job: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the lines of a job's log, with their origins."""
    text = site.http.get(f"/info/logs/{job['id']}", headers={"Accept": "application/x-ndjson"}).text
    rows = map(json.loads, text.splitlines())
    return [row for row in rows if "seq" in row]
