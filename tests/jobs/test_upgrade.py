"""An upgrade while a job runs: its executor is replaced, and the steps of the new version are attributed."""

import json

from support.service import Clusterm, wait_for

WAITING = """
- hosts: all
  connection: local
  gather_facts: false
  tasks:
    - name: Wait
      ansible.builtin.wait_for:
        path: "{{ gate }}"
      when: gate is defined
"""


def test_an_executor_of_another_version_is_replaced_and_the_job_ends_as_it_should(new_clusterm: Clusterm) -> None:
    new_clusterm.write_playbook("cleanup.yml", WAITING)
    new_clusterm.start()
    new_clusterm.add_nodes("a-1")
    new_clusterm.run("commission", ["a-1"])
    gate = new_clusterm.root / "gate"
    job = new_clusterm.begin("update", ["a-1"], extra_vars={"gate": str(gate)})
    wait_for(lambda: any("TASK [Wait" in line for line in new_clusterm.job(job["id"])["logs"]), "the first step")
    [executor], [wrapper] = new_clusterm.executors(), new_clusterm.wrappers()
    new_clusterm.kill()
    # As 0.1.0 left them: a lock without a version, and the path of a plugin that the new version has moved.
    directory = new_clusterm.state_dir / "jobs" / str(job["id"])
    (directory / "lock").write_text("")
    spec = json.loads((directory / "plan.json").read_text())
    spec["environment"]["ANSIBLE_CALLBACK_PLUGINS"] = "/nowhere/callback_plugins"
    (directory / "plan.json").write_text(json.dumps(spec))

    new_clusterm.start()
    wait_for(lambda: new_clusterm.executors() and new_clusterm.executors() != [executor], "another executor")
    assert new_clusterm.wrappers() == [wrapper], "ansible runs on"
    gate.touch()
    ended = new_clusterm.ended(job)

    assert (ended["status"], ended["error"], ended["outcomes"]) == ("Complete", "", {"a-1": "passed"})
    assert [(step["name"], step["exit_status"]) for step in ended["steps"]] == [("cleanup", 0), ("configure", 0)]
    assert ended["recap"]["a-1"]["ok"] == 2, "one task in each step"
    response = new_clusterm.http.get(f"/info/logs/{job['id']}", headers={"Accept": "application/x-ndjson"})
    lines = [json.loads(line) for line in response.text.splitlines()]
    attributed = [(line["task"], line["node"]) for line in lines if line.get("text", "").startswith("ok: [a-1]")]
    assert attributed == [("Wait", "a-1"), ("Say hello", "a-1")]
    assert "its executor is of another version" in new_clusterm.log.read_text()
