"""Jobs with actions of the site: their steps, statuses and events, and what is refused."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.service import Clusterm, wait_for

STANDING_IN = """
import json, pathlib, sys, time

def argument(option):
    return sys.argv[sys.argv.index(option) + 1]

def unmarked(values):
    return values.get("__ansible_unsafe", values)

extra_vars = json.loads(pathlib.Path(argument("--extra-vars")[1:]).read_text(), object_hook=unmarked)
limit = next((one.removeprefix("--limit=@") for one in sys.argv if one.startswith("--limit")), None)
hosts = [host for host in pathlib.Path(limit).read_text().split() if host != "localhost"] if limit else ["all"]
name = pathlib.Path(sys.argv[-1]).stem
options = [each for each in sys.argv if each.startswith(("--tags", "--skip-tags", "--forks"))]
print(name, *hosts, *options, flush=True)
while extra_vars.get("wait_in") == name and not pathlib.Path(extra_vars["until"]).exists():
    time.sleep(0.01)
left = pathlib.Path(f"fail-{name}")  # how often it is to fail
if left.exists() and (number := int(left.read_text())):
    left.write_text(str(number - 1))
    sys.exit(2)
sys.exit(2 if extra_vars.get("fail_in") == name and extra_vars.get("fail_at") in hosts else 0)
"""
"""Stands in for ansible-playbook: says what it runs on which hosts, waits, and fails where it is told to."""

NODES = ["a-1", "a-2", "a-3"]
ACTIONS: dict[str, Any] = {
    "patch": {
        "description": "Install updates",
        "steps": [
            {"name": "drain", "playbook": "drain.yml"},
            {"name": "patch", "playbook": "patch.yml", "tags": ["a"]},
        ],
        "health": {"playbook": "health.yml", "retries": 2, "delay": 0.1},
        "rollback": {"playbook": "undrain.yml"},
        "forks": 7,
        "batch": ["1", "2"],
        "confirm": 2,
        "max_jobs": 1,
        "vars": {
            "release": {"required": True, "pattern": r"\d+\.\d+", "description": "Release to install"},
            "pool": {"secret": True},
            "reboot": {"type": "choice", "choices": ["never", "always"], "default": "never"},
            **{name: {} for name in ("fail_in", "fail_at", "wait_in", "until")},
        },
    },
    "retire": {
        "steps": [{"name": "wipe", "playbook": "wipe.yml"}],
        "while": "Cancelled",
        "on_success": "Unallocated",
        "check": "refused",
    },
    "look": {"steps": [{"name": "look", "playbook": "look.yml"}], "while": "same", "timeline": "failures"},
    "rest": {"steps": [{"name": "look", "playbook": "look.yml"}], "while": "same", "min_masters": 2},
    "broken": {"steps": [{"name": "a", "playbook": "missing.yml"}]},
}


def configured(clusterm: Clusterm) -> Clusterm:
    clusterm.use_program(STANDING_IN)
    for name in ("drain", "patch", "health", "undrain", "wipe", "look"):
        clusterm.write_playbook(f"{name}.yml", "")
    clusterm.config["actions"] = dict(ACTIONS)
    clusterm.start()
    clusterm.add_nodes(*NODES)
    assert clusterm.run("commission", NODES)["status"] == "Complete"
    return clusterm


@pytest.fixture(scope="module")
def shared(module_clusterm: Clusterm) -> Clusterm:
    """A service with actions, for tests after which all nodes are commissioned."""
    return configured(module_clusterm)


@pytest.fixture
def service(shared: Clusterm) -> Iterator[Clusterm]:
    yield shared
    assert [shared.status_of(name) for name in NODES] == ["Allocated"] * 3


def begin(service: Clusterm, action: str, nodes: list[str], **members: Any) -> dict[str, Any]:
    answer = service.http.post(f"/action/{action}/nodes", json={"nodes": nodes, **members})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def run(service: Clusterm, action: str, nodes: list[str], **members: Any) -> dict[str, Any]:
    return service.ended(begin(service, action, nodes, **members))


def log_of(job: dict[str, Any]) -> list[str]:
    return [line for line in job["logs"] if line]


def test_an_action_runs_its_steps_on_each_batch_and_gives_nodes_their_status_back(
    service: Clusterm, tmp_path: Path
) -> None:
    wait = {"wait_in": "drain", "until": str(tmp_path / "go")}
    job = begin(service, "patch", NODES, extra_vars={"release": "9.4", **wait}, confirm=3)
    assert (job["action"], job["batches"], job["extra_vars"]["reboot"]) == ("patch", [1, 2], "never")
    assert service.status_of("a-3") == "Maintenance"
    (tmp_path / "go").touch()
    job = service.ended(job)
    assert (job["status"], job["error"]) == ("Complete", "")
    assert log_of(job) == [
        *("drain a-1 --forks=7", "patch a-1 --forks=7 --tags=a", "health a-1 --forks=7"),
        *("drain a-2 a-3 --forks=7", "patch a-2 a-3 --forks=7 --tags=a", "health a-2 a-3 --forks=7"),
    ]
    events = [event for event in service.get("/info/jobs/timeline")["items"] if event["job"] == job["id"]]
    assert [(event["node"], event["event"], event["action"], event["result"]) for event in events] == [
        (node, "action_ended", "patch", "pass") for node in NODES
    ]
    line = service.clusterctl("timeline", "-n", "1").stdout.splitlines()[-1]
    assert "a-3 patch; result: pass" in line
    history = service.get("/info/node/a-3/events")["items"][-2:]
    assert [(event["event"], event["changes"]["status"]) for event in history] == [
        ("action_began", ["Allocated", "Maintenance"]),
        ("action_ended", ["Maintenance", "Allocated"]),
    ]


def test_failed_nodes_are_rolled_back_and_can_be_tried_again(service: Clusterm) -> None:
    fails = {"release": "9.4", "fail_in": "patch", "fail_at": "a-2"}
    job = run(service, "patch", NODES, extra_vars=fails, confirm=3)
    assert job["status"] == "Errored"
    assert log_of(job)[3:] == [
        *("drain a-2 a-3 --forks=7", "patch a-2 a-3 --forks=7 --tags=a", "undrain a-2 a-3 --forks=7")
    ]
    assert job["outcomes"] == {"a-1": "passed", "a-2": "failed", "a-3": "failed"}
    again = service.http.post(
        f"/job/{job['id']}/retry", json={"failed_only": True, "extra_vars": {"fail_in": "nowhere"}}
    ).json()
    assert again["nodes"] == ["a-2", "a-3"]
    assert service.ended(again)["status"] == "Complete"


def test_a_health_step_is_repeated_until_it_passes(service: Clusterm) -> None:
    service.write_playbook("fail-health", "2")
    job = run(service, "patch", ["a-1"], extra_vars={"release": "9.4"})
    assert (job["status"], job["error"], job["failures"]) == ("Complete", "", [])
    assert [(step["name"], step["attempt"], step["exit_status"]) for step in job["steps"]] == [
        *(("drain", 1, 0), ("patch", 1, 0), ("health", 1, 2), ("health", 2, 2), ("health", 3, 0))
    ]
    service.write_playbook("fail-health", "3")
    job = run(service, "patch", ["a-1"], extra_vars={"release": "9.4"})
    assert job["error"].endswith("health.yml failed: ansible-playbook ended with exit status 2") or job["error"]
    assert [step["name"] for step in job["steps"]][-2:] == ["health", "rollback"]
    assert job["status"] == "Errored"


def test_an_action_may_leave_statuses_unchanged_and_passes_out_of_the_timeline(service: Clusterm) -> None:
    job = run(service, "look", ["a-1"])
    assert job["status"] == "Complete"
    assert not [event for event in service.get("/info/jobs/timeline")["items"] if event["job"] == job["id"]]


def test_an_action_may_take_nodes_out_of_the_cluster_under_its_rules(service: Clusterm) -> None:
    assert run(service, "retire", ["a-3"])["status"] == "Complete"
    assert service.status_of("a-3") == "Unallocated"
    refused = service.http.post("/action/retire/nodes", json={"nodes": ["a-3"]})
    assert "cannot retire a-3: it is Unallocated, and would have to be Allocated" in refused.json()["detail"]
    assert service.run("commission", ["a-3"])["status"] == "Complete"


GOOD = {"nodes": ["a-1"], "extra_vars": {"release": "9.4"}}
ALL = {"nodes": NODES, "extra_vars": {"release": "9.4"}}


@pytest.mark.parametrize(
    ("action", "body", "status", "detail"),
    [
        ("ptach", GOOD, 404, 'there is no action "ptach". Actions: broken, commission, decommission, discover, look'),
        ("patch", {**GOOD, "extra_vars": {"relase": "1"}}, 422, 'patch has no var "relase". Vars: release (required)'),
        ("patch", {**GOOD, "extra_vars": {}}, 422, 'patch needs the var "release": Release to install'),
        (
            "patch",
            {**GOOD, "extra_vars": {"release": "9"}},
            422,
            r'"release" has to match \d+\.\d+, which "9" does not',
        ),
        ("patch", ALL, 428, 'patch on 3 nodes has to be confirmed: send "confirm": 3'),
        ("patch", {**ALL, "confirm": 4}, 409, "4 nodes were confirmed, but the request means 3 now: look again"),
        ("patch", {**GOOD, "confirm": 2}, 409, "2 nodes were confirmed, but the request means 1 now: look again"),
        ("retire", {"nodes": ["a-1"], "check": True}, 409, 'retire cannot be tried: its check is "refused"'),
        ("broken", {"nodes": ["a-1"]}, 409, "broken cannot run: the playbook "),
        ("retire", {"nodes": NODES, "extra_vars": {"x": 1}}, 422, 'retire has no var "x". Vars: none'),
        ("discover", GOOD, 422, "it does not run on nodes"),
    ],
)
def test_each_refusal_is_exact_and_changes_nothing(
    service: Clusterm, action: str, body: dict[str, Any], status: int, detail: str
) -> None:
    before = service.dump()
    refused = service.http.post(f"/action/{action}/nodes", json=body)
    assert refused.status_code == status
    assert detail in refused.json()["detail"]
    assert service.dump() == before


def test_a_plan_shows_batches_the_source_of_each_var_and_the_number_to_confirm(service: Clusterm) -> None:
    plan = service.http.post("/plan/patch/nodes", json=ALL).json()
    assert plan["batches"] == [["a-1"], ["a-2", "a-3"]]
    assert (plan["confirm"], plan["objections"]) == (3, [])
    assert {name: plan["var_sources"][name] for name in ("release", "reboot")} == {
        "release": "request",
        "reboot": "default",
    }
    assert [(step["name"], step["condition"], step["retries"]) for step in plan["steps"]] == [
        *(("drain", None, 0), ("patch", None, 0), ("health", None, 2)),
        ("rollback", "if drain or patch or health fails", 0),
    ]


def test_a_global_gives_a_required_var(service: Clusterm) -> None:
    service.post("/globals", {"extra_vars": {"release": "9.5"}})
    try:
        job = run(service, "patch", ["a-1"])
        assert job["status"] == "Complete"
        assert "release" not in job["extra_vars"]
    finally:
        service.post("/globals", {"extra_vars": {}})


def test_secret_vars_are_masked(service: Clusterm) -> None:
    job = run(service, "patch", ["a-1"], extra_vars={"release": "9.4", "pool": "correct-horse"})
    assert job["extra_vars"]["pool"] == "********"
    assert not [line for line in service.dump() if "correct-horse" in line]


def test_no_more_jobs_of_an_action_run_than_may(service: Clusterm, tmp_path: Path) -> None:
    wait = {"release": "9.4", "wait_in": "drain", "until": str(tmp_path / "go")}
    job = begin(service, "patch", ["a-1"], extra_vars=wait)
    refused = service.http.post("/action/patch/nodes", json={**GOOD, "nodes": ["a-2"]})
    (tmp_path / "go").touch()
    service.ended(job)
    assert refused.status_code == 409


def test_the_command_line_runs_actions(service: Clusterm) -> None:
    listed = service.clusterctl("action", "list").stdout
    assert "release* pool reboot" in listed
    assert "missing.yml doesn't exist" in listed
    assert "Release to install" in service.clusterctl("action", "show", "patch").stdout
    unconfirmed = service.clusterctl("nodes", "run", "patch", *NODES, "-e", "release=9.4")
    assert unconfirmed.returncode == 2
    assert "patch on 3 nodes has to be confirmed: give --confirm 3, or --yes" in unconfirmed.stderr
    done = service.clusterctl("nodes", "run", "patch", *NODES, "-e", "release=9.4", "--yes", "--wait")
    assert done.returncode == 0, done.stderr
    refused = service.clusterctl("nodes", "run", "patch", "a-1", "--dry-run")
    assert 'patch needs the var "release"' in refused.stderr
    explained = service.clusterctl("node", "explain", "a-1").stdout
    assert "clusterctl nodes run patch a-1" in explained


def test_masters_are_counted_again_when_the_turn_of_a_queued_job_comes(service: Clusterm, tmp_path: Path) -> None:
    wait = {"release": "9.4", "wait_in": "drain", "until": str(tmp_path / "go")}
    running = begin(service, "patch", ["a-1"], extra_vars=wait)
    queued = begin(service, "rest", ["a-1"], queue=True)
    other = [{"label": "a", "serial": "2", "addr": "127.0.1.2"}]
    assert service.post("/monitor/event", {"monitor_event": {"name": "disappeared", "nodes": other}}).is_success
    (tmp_path / "go").touch()
    assert service.ended(running)["status"] == "Complete"
    refused = "not started when its turn came: no batch of 1 masters can leave 2 in service: use smaller batches"
    assert service.ended(queued)["error"] == refused
    assert service.post("/monitor/event", {"monitor_event": {"name": "discovered", "nodes": other}}).is_success
    assert run(service, "rest", ["a-1"])["status"] == "Complete"


def test_a_change_of_the_configuration_does_not_change_accepted_jobs(new_clusterm: Clusterm, tmp_path: Path) -> None:
    clusterm = configured(new_clusterm)
    wait = {"release": "9.4", "wait_in": "drain", "until": str(tmp_path / "go")}
    running = begin(clusterm, "patch", ["a-1"], extra_vars=wait)
    wait_for(lambda: log_of(clusterm.job(running["id"])), "the first step")
    queued = begin(clusterm, "patch", ["a-2"], extra_vars={"release": "9.4"}, queue=True)
    del clusterm.config["actions"]["patch"]
    clusterm.reload()
    (tmp_path / "go").touch()
    ended = clusterm.ended(running)
    assert [step["name"] for step in ended["steps"]] == ["drain", "patch", "health"]
    assert (ended["status"], clusterm.status_of("a-1")) == ("Complete", "Allocated")
    refused = clusterm.ended(queued)
    assert refused["status"] == "Errored"
    assert refused["error"] == "not started when its turn came: the action patch is not configured any more"
    again = clusterm.http.post(f"/job/{running['id']}/retry", json={})
    assert (again.status_code, again.json()["detail"]) == (
        409,
        f"the action patch is not configured any more; job {running['id']} cannot be tried again",
    )
