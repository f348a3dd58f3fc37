"""What the how-to guides promise."""

import subprocess

from support.documents import DOCS, blocks
from support.service import BIN, WAIT_TIMEOUT_S, Clusterm, wait_for

HELD = """
- hosts: all
  connection: local
  gather_facts: false
  tasks:
    - name: Say that it runs
      ansible.builtin.shell: echo run >> {runs}
    - name: Wait until it may go on
      ansible.builtin.wait_for:
        path: {go}
"""


def test_a_backup_made_while_a_job_runs_can_be_restored(new_clusterm: Clusterm) -> None:
    clusterm = new_clusterm
    runs, go = clusterm.root / "runs", clusterm.root / "go"
    clusterm.write_playbook("site.yml", HELD.format(runs=runs, go=go))
    backup = clusterm.root / "backup.db"
    (command,) = (
        block.text for block in blocks(DOCS / "how-to" / "back-up.md") if block.text.startswith("python3 -c ")
    )
    for written, present in {"/var/lib/clusterm": clusterm.state_dir, "/backup/clusterm.db": backup}.items():
        command = command.replace(written, str(present))

    clusterm.start()
    clusterm.add_nodes("node1-a", "node2-b")
    clusterm.run("decommission", ["node2-b"])
    job = clusterm.begin("commission", ["node1-a"])
    wait_for(runs.exists, "the playbook")
    subprocess.run(["sh", "-c", command], check=True, timeout=WAIT_TIMEOUT_S)
    clusterm.stop()  # the job goes on
    (steps,) = (block.text for block in blocks(DOCS / "how-to" / "back-up.md") if " restore /backup/" in block.text)
    (command,) = (line for line in steps.splitlines() if " restore " in line)
    command = command.replace("runuser -u clusterm -- clusterm", str(BIN / "clusterm"))
    command = command.replace("/backup/clusterm.db", str(backup))
    command = command.replace("/etc/clusterm/clusterm.toml", str(clusterm.root / "clusterm.json"))
    subprocess.run(["sh", "-c", command], check=True, timeout=WAIT_TIMEOUT_S)
    assert clusterm.processes() == []
    go.touch()
    clusterm.start()
    restored = clusterm.ended(job)
    assert restored["status"] == "Errored"
    assert "interrupted" in restored["error"]
    assert runs.read_text() == "run\n", "the playbook was run once more"
    assert clusterm.timeline() == ["node2-b decommissioned pass", "node1-a commissioned fail"]
