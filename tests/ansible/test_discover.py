"""Machines that a discover job has prepared become nodes: who they are, and what cannot be."""

import sys
from pathlib import Path
from typing import Any

import pytest
from support.service import Clusterm, wait_for

LOCAL = "- hosts: cluster-node\n  connection: local\n  gather_facts: {gather}\n  tasks: [{{debug: {{msg: done}}}}]\n"


@pytest.mark.parametrize("gather", ["true", "false"])
def test_a_real_machine_is_a_node_when_the_job_is_done(new_clusterm: Clusterm, gather: str) -> None:
    new_clusterm.write_playbook("site.yml", LOCAL.format(gather=gather))
    clusterm = new_clusterm.start()
    job = clusterm.run("discover", ["127.0.9.9"])
    assert (job["status"], [step["name"] for step in job["steps"]]) == ("Complete", ["configure"])
    (name,) = clusterm.get("/info/nodes")
    event = clusterm.get("/info/jobs/timeline")["items"][-1]
    assert (event["node"], event["result"], event["detail"]) == (name, "pass", "at 127.0.9.9")
    hostname = Path("/proc/sys/kernel/hostname").read_text().strip().partition(".")[0]
    assert name.startswith(f"{hostname}-")
    assert clusterm.get(f"/info/node/{name}")["monitoring_state"]["management_address"] == "127.0.9.9"
    assert clusterm.post("/discover/nodes", {"addrs": ["127.0.9.9"]}).status_code == 409
    if gather == "false":
        return

    def told_of(*addresses: str) -> tuple[Any, ...]:
        assert clusterm.run("discover", addresses)["status"] == "Complete"
        assert list(clusterm.get("/info/nodes")) == [name]
        event = clusterm.get("/info/jobs/timeline")["items"][-1]
        return event["node"], event["result"], event["detail"].partition("(")[0]

    here = "127.0.9.8: not registered: the playbook did not connect to it, but ran on clusterm's machine "
    assert told_of("127.0.9.7-8") == (None, "pass", here)
    assert clusterm.post("/config", {"config": {"ansible": {"register_discovered": False}}}).is_success
    assert told_of("127.0.9.8") == (None, "pass", "127.0.9.8")
    wait_for(lambda: not clusterm.processes(), "the job's processes to end")


def test_an_executor_that_takes_over_asks_the_machines_again(new_clusterm: Clusterm) -> None:
    gate = new_clusterm.root / "gate"
    new_clusterm.write_playbook("site.yml", LOCAL.format(gather="false"))
    program = f"""
        import os, pathlib, sys, time
        if sys.argv[-1].endswith("facts.yml"):
            pathlib.Path({str(gate)!r}).touch()
            while {str(gate)!r} and not pathlib.Path({str(gate)!r} + ".open").exists():
                time.sleep(0.01)
        program = {str(Path(sys.executable).with_name("ansible-playbook"))!r}
        os.execv(program, [program, *sys.argv[1:]])
    """
    new_clusterm.use_program(program)
    clusterm = new_clusterm.start()
    job: dict[str, Any] = clusterm.begin("discover", ["127.0.9.9"])
    wait_for(gate.exists, "ansible to be asked for facts")
    (executor,) = clusterm.executors()
    executor.kill()
    gate.with_name("gate.open").touch()
    assert clusterm.ended(job)["status"] == "Complete"
    assert len(clusterm.get("/info/nodes")) == 1
