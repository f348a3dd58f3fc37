"""Which playbooks a job ran, with the real ansible and git."""

import json
import os
import subprocess
from importlib.metadata import version

from support.requirements import requires
from support.service import Clusterm, kill_all, wait_for

SITE = """
- hosts: all
  connection: local
  gather_facts: false
  tasks:
    - name: Say hello
      ansible.builtin.command: "{program}"
"""


def write_collection(clusterm: Clusterm, number: str) -> None:
    """Write a collection of a version beside the playbooks."""
    folder = clusterm.playbooks / "collections/ansible_collections/site/tools"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "MANIFEST.json").write_text(json.dumps({"collection_info": {"version": number}}))


def commit(clusterm: Clusterm) -> str:
    """Commit the playbooks, and return the commit."""
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    who = ["-c", "user.name=ann", "-c", "user.email=ann@example.org", "-c", "init.defaultBranch=main"]
    for arguments in (["init"], ["add", "."], ["commit", "-m", "first"], ["rev-parse", "HEAD"]):
        done = subprocess.run(
            ["git", *who, *arguments],
            cwd=clusterm.playbooks,
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        )
    return done.stdout.strip()


@requires("git")
def test_what_changed_since_the_last_good_job(new_clusterm: Clusterm) -> None:
    clusterm = new_clusterm
    clusterm.write_playbook("site.yml", SITE.format(program="true"))
    write_collection(clusterm, "1.0.0")
    head = commit(clusterm)
    clusterm.start()
    clusterm.add_nodes("a-1", "b-2")
    assert clusterm.http.get("/info/job/good").status_code == 404
    good = clusterm.run("commission", ["a-1"], extra_vars={"release": "9.3", "api_token": "first-token"})
    found = good["provenance"]
    assert (good["status"], good["warnings"]) == ("Complete", [])
    assert (found["commit"], found["branch"], found["dirty"], found["changed"]) == (head, "main", False, [])
    assert (found["path"], found["files"], found["reason"]) == (str(clusterm.playbooks), 3, None)
    assert (found["ansible"], found["collections"]["site.tools"]) == (version("ansible-core"), "1.0.0")

    clusterm.write_playbook("site.yml", SITE.format(program="false"))
    clusterm.write_playbook("new.yml", "")
    write_collection(clusterm, "1.1.0")
    bad = clusterm.run("commission", ["b-2"], extra_vars={"release": "9.4", "api_token": "second-token"})
    assert (bad["status"], clusterm.job("good")["id"]) == ("Errored", good["id"])
    manifest = "collections/ansible_collections/site/tools/MANIFEST.json"
    assert bad["provenance"]["dirty"] is True
    assert set(bad["provenance"]["changed"]) == {"site.yml", "new.yml", manifest}

    diff = clusterm.get("/info/job/good/diff/last")
    assert (diff["before"], diff["after"]) == (good["id"], bad["id"])
    playbooks = diff["playbooks"]
    assert (playbooks["added"], playbooks["changed"], playbooks["removed"]) == (["new.yml"], [manifest, "site.yml"], [])
    assert diff["versions"] == [{"name": "site.tools", "before": "1.0.0", "after": "1.1.0"}]
    release, token = diff["vars"]
    assert release == {"name": "release", "before": "9.3", "after": "9.4"}
    assert token["name"] == "api_token"
    assert token["before"] == token["after"]
    shown = clusterm.clusterctl("job", "diff", "good", "last").stdout
    assert "-token" not in json.dumps(diff) + shown
    assert f"playbooks: main {head[:12]} -> main {head[:12]} with changes: " in shown
    assert "\n  changed  site.yml\n" in shown
    assert '\nvars: release "9.3" -> "9.4"\n' in shown
    assert "\nversions: site.tools 1.0.0 -> 1.1.0\n" in shown
    heading = clusterm.clusterctl("job", "get", "good", "--no-logs").stdout
    assert f"main {head[:12]}; digest {found['digest'][:12]}; ansible-core {found['ansible']}" in heading
    same = clusterm.get(f"/info/job/{good['id']}/diff/good")
    assert (same["vars"], same["versions"], same["playbooks"]["changed"]) == ([], [], [])
    assert clusterm.http.get("/info/job/good/diff/good").status_code == 404


def test_a_change_while_a_job_runs_is_a_warning_that_names_step_and_files(new_clusterm: Clusterm) -> None:
    new_clusterm.use_program("""
        import pathlib
        if "cleanup" in sys.argv[-1]:
            pathlib.Path("site.yml").write_text("changed")
            pathlib.Path("more.yml").touch()
    """)
    clusterm = new_clusterm.start()
    clusterm.add_nodes("a-1")
    unchanged = clusterm.run("commission", ["a-1"])
    assert not [warning for warning in unchanged["warnings"] if "changed" in warning]
    assert (unchanged["provenance"]["commit"], unchanged["provenance"]["ansible"]) == (None, None)
    job = clusterm.run("update", ["a-1"])
    expected = "the playbooks changed while the job ran, before step 2 (configure): added more.yml; changed site.yml"
    assert expected in job["warnings"]
    assert job["provenance"]["changed_before"] == ["2 (configure)"]
    again = clusterm.run("update", ["a-1"])
    assert again["provenance"]["changed_before"] == []


def test_an_executor_that_takes_over_notices_a_change_since_the_job_began(new_clusterm: Clusterm) -> None:
    new_clusterm.use_program("""
        import pathlib, time
        while "cleanup" in sys.argv[-1] and not pathlib.Path("../go").exists():
            time.sleep(0.01)
    """)
    clusterm = new_clusterm.start()
    clusterm.add_nodes("a-1")
    clusterm.run("commission", ["a-1"])
    job = clusterm.begin("update", ["a-1"])
    wait_for(clusterm.programs, "the cleanup playbook")
    kill_all(clusterm.executors())
    clusterm.write_playbook("site.yml", "changed")
    (clusterm.root / "go").touch()
    ended = clusterm.ended(job)
    assert ended["status"] == "Complete"
    assert ended["provenance"]["changed_before"] == ["2 (configure)"]
    assert "the playbooks changed while the job ran, before step 2 (configure): changed site.yml" in ended["warnings"]


def test_a_directory_of_many_files_does_not_keep_a_job_from_running(new_clusterm: Clusterm) -> None:
    files = 10_000
    new_clusterm.use_program("")
    for number in range(files):
        folder = new_clusterm.playbooks / f"roles/role{number % 100}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"file{number}.yml").write_text(str(number))
    (new_clusterm.playbooks / "loop").symlink_to(new_clusterm.playbooks)
    os.mkfifo(new_clusterm.playbooks / "pipe")
    clusterm = new_clusterm.start()
    clusterm.add_nodes("a-1")
    job = clusterm.run("commission", ["a-1"])
    assert job["status"] == "Complete"
    found = job["provenance"]
    if found["digest"] is None:  # on a machine that is that slow
        assert found["reason"] == "it could not be read within 5 s"
    else:
        assert found["files"] == files + 4  # two playbooks, a link and a pipe
