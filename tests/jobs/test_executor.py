"""Jobs on the real thing: what they leave behind, and what happens to them when processes die."""

import json
import os
import subprocess
import sys

from support.programs import PASSING
from support.service import Clusterm, wait_for

FAILING = """
- hosts: all
  connection: local
  gather_facts: false
  tasks:
    - name: Mount the data disk
      ansible.builtin.fail:
        msg: "no such disk"
"""

COUNTING = """
import pathlib, sys, time
number = 0
while not pathlib.Path("enough").exists():  # beside the playbooks
    number += 1
    print(f"line {number}", flush=True)
    time.sleep(0.005)
"""


def test_it_loads_no_library_that_only_the_service_needs() -> None:
    code = "import sys, clusterm.executor.job; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()

    assert "sqlmodel" in loaded
    assert {"fastapi", "uvicorn", "httpx", "alembic", "rich", "pydantic_settings", "dotenv", "yaml"}.isdisjoint(loaded)


def test_commission_runs_ansible_and_keeps_its_output(clusterm: Clusterm) -> None:
    clusterm.add_nodes("node1-a")
    job = clusterm.run("commission", ["node1-a"])
    assert job["status"] == "Complete"
    assert job["error"] == ""
    assert [step["name"] for step in job["steps"]] == ["configure"]
    assert any("hello from node1-a" in line for line in job["logs"])
    assert job["recap"]["node1-a"]["ok"] == 1
    assert clusterm.status_of("node1-a") == "Allocated"
    assert clusterm.timeline() == ["node1-a commissioned pass"]
    wait_for(lambda: not clusterm.processes(), "the job's processes to end")
    wait_for(lambda: not list((clusterm.state_dir / "jobs").iterdir()), "the job's directory to go")


def test_failed_commission_is_cleaned_up_and_says_why(clusterm: Clusterm) -> None:
    clusterm.write_playbook("site.yml", FAILING)
    clusterm.add_nodes("node1-a")
    job = clusterm.run("commission", ["node1-a"])
    assert job["status"] == "Errored"
    assert "node1-a" in job["error"]
    assert "no such disk" in job["error"]
    assert [step["name"] for step in job["steps"]] == ["configure", "cleanup"]
    failure = job["failures"][0]
    assert (failure["node"], failure["task"], failure["message"]) == ("node1-a", "Mount the data disk", "no such disk")
    assert any("no such disk" in line for line in job["logs"][failure["line"] - 1 :])
    assert clusterm.status_of("node1-a") == "Unallocated"
    event = clusterm.get("/info/jobs/timeline")["items"][-1]
    assert (event["event"], event["result"], event["job"]) == ("commissioned", "fail", job["id"])
    assert event["detail"] == "Mount the data disk: no such disk"


def test_ansible_sees_inventory_vars_and_environment(new_clusterm: Clusterm) -> None:
    clusterm = new_clusterm
    configured = dict.fromkeys(("first", "second", "third"), "config")
    clusterm.config["ansible"]["extra_variables"] = json.dumps(
        {"ansible_python_interpreter": sys.executable} | configured
    )
    clusterm.write_playbook("ansible.cfg", "[defaults]\nstdout_callback = minimal\n")
    clusterm.write_playbook(
        "site.yml",
        """
        - hosts: service-worker
          connection: local
          gather_facts: false
          tasks:
            - ansible.builtin.debug:
                msg: "vars {{ first }} {{ second }} {{ third }} {{ node_name }} {{ node_addr }} {{ ansible_host }}"
            - ansible.builtin.command: env
              changed_when: false
        """,
    )
    clusterm.start()
    clusterm.add_nodes("node1-a", "node2-b")
    clusterm.write_playbook("master.yml", PASSING)
    assert clusterm.post("/config", {"config": {"ansible": {"configure_playbook": "master.yml"}}}).status_code == 200
    assert clusterm.run("commission", ["node1-a"])["status"] == "Complete"
    assert clusterm.post("/config", {"config": {"ansible": {"configure_playbook": "site.yml"}}}).status_code == 200
    clusterm.post("/globals", {"extra_vars": {"second": "global", "third": "global"}})
    job = clusterm.run("commission", ["node2-b"], host_group="service-worker", extra_vars='{"third": "own"}')
    log = "\n".join(job["logs"])
    assert "vars config global own node2-b 127.0.1.2 127.0.1.2" in log
    assert "TASK [" not in log, "the ansible.cfg beside the playbooks chooses another callback"
    assert f"HOME={os.environ['HOME']}" in log
    assert "PATH=" in log
    assert "CLUSTERM_NONCE" not in log


def test_service_killed_in_mid_job_loses_nothing(new_clusterm: Clusterm) -> None:
    new_clusterm.use_program(COUNTING)
    clusterm = new_clusterm.start()
    clusterm.add_nodes("node1-a")
    job = clusterm.begin("commission", ["node1-a"])
    for _ in range(3):
        seen = clusterm.job(job["id"], logs=False)["lines"]
        clusterm.restart()
        wait_for(lambda: clusterm.job(job["id"], logs=False)["lines"] > seen, "more lines")  # noqa: B023
    (clusterm.playbooks / "enough").touch()
    job = clusterm.ended(job)
    assert job["status"] == "Complete"
    assert job["logs"] == [f"line {number}" for number in range(1, job["lines"] + 1)]
    assert clusterm.timeline() == ["node1-a commissioned pass"]


def test_job_that_ends_while_the_service_is_down_has_its_true_result(new_clusterm: Clusterm) -> None:
    new_clusterm.use_program(COUNTING + "sys.exit(3)\n")
    clusterm = new_clusterm.start()
    clusterm.add_nodes("node1-a")
    job = clusterm.begin("decommission", ["node1-a"])
    wait_for(clusterm.executors, "the executor")
    clusterm.kill()
    (clusterm.playbooks / "enough").touch()
    wait_for(lambda: not clusterm.processes(), "the end of the job")
    clusterm.start()
    job = clusterm.job(job["id"])
    assert job["status"] == "Errored"
    assert job["steps"][0]["exit_status"] == 3
    assert job["logs"] == [f"line {number}" for number in range(1, job["lines"] + 1)]


def test_executor_killed_in_mid_job_is_followed_by_another(new_clusterm: Clusterm) -> None:
    new_clusterm.use_program(COUNTING)
    clusterm = new_clusterm.start()
    clusterm.add_nodes("node1-a")
    job = clusterm.begin("commission", ["node1-a"])
    for _ in range(3):
        seen = clusterm.job(job["id"], logs=False)["lines"]
        (executor,) = wait_for(clusterm.executors, "an executor")
        executor.kill()
        wait_for(lambda: clusterm.job(job["id"], logs=False)["lines"] > seen, "more lines")  # noqa: B023
    (clusterm.playbooks / "enough").touch()
    job = clusterm.ended(job)
    assert job["status"] == "Complete"
    assert job["logs"] == [f"line {number}" for number in range(1, job["lines"] + 1)]


def test_all_processes_killed_ends_the_job_as_interrupted(new_clusterm: Clusterm) -> None:
    new_clusterm.use_program(COUNTING)
    clusterm = new_clusterm.start()
    clusterm.add_nodes("node1-a")
    job = clusterm.begin("commission", ["node1-a"])
    wait_for(lambda: clusterm.job(job["id"], logs=False)["lines"] > 5, "some lines")
    clusterm.kill()
    (executor,) = clusterm.executors()
    executor.kill()
    (output,) = (clusterm.state_dir / "jobs").glob("*/*/output")
    size = output.stat().st_size
    wait_for(lambda: output.stat().st_size > size + 100, "output that no executor has read")
    for process in clusterm.processes():
        process.kill()
    written = output.read_text().splitlines()
    clusterm.start()
    job = clusterm.ended(job)
    assert job["status"] == "Errored"
    assert job["error"].startswith(f"interrupted in its configure step after its log line {len(written)} at 20")
    assert job["steps"][0]["error"] == job["error"]
    assert job["logs"] == written == [f"line {number}" for number in range(1, len(written) + 1)]
    assert clusterm.status_of("node1-a") == "Unallocated"
    assert clusterm.timeline() == ["node1-a commissioned fail"]
    assert clusterm.begin("commission", ["node1-a"])["status"] == "Running"


def test_extra_vars_are_in_no_command_line_and_in_private_files(new_clusterm: Clusterm) -> None:
    new_clusterm.use_program("import time\ntime.sleep(60)")
    clusterm = new_clusterm.start()
    clusterm.add_nodes("node1-a")
    clusterm.begin("commission", ["node1-a"], extra_vars={"db_password": "canary-1"})
    wait_for(lambda: len(clusterm.processes()) >= 3, "executor, wrapper and playbook")
    lines = subprocess.run(["ps", "axeww"], capture_output=True, text=True, check=True).stdout
    assert "canary-1" not in lines
    (file,) = (clusterm.state_dir / "jobs").glob("*/extra_vars.json")
    assert "canary-1" in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert clusterm.job("active")["extra_vars"] == {"db_password": "********"}
