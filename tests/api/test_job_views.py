"""What a person sees of a running job, of its tasks, and of what is different between two jobs."""

import os
import pty
import re
import select
import subprocess

import pytest
from support.programs import PLAYBOOK, PROBE
from support.service import BIN, WAIT_TIMEOUT_S, Clusterm


@pytest.fixture(scope="module")
def site(module_clusterm: Clusterm) -> Clusterm:
    """A clusterm with a job that has failed."""
    module_clusterm.write_playbook("site.yml", PLAYBOOK)
    module_clusterm.write_playbook("probe.yml", PROBE)
    module_clusterm.start()
    module_clusterm.add_nodes("a-1", "b-2")
    module_clusterm.run("commission", ["a-1", "b-2"], extra_vars={"broken": True, "word": "x"})
    return module_clusterm


def test_the_commands(site: Clusterm) -> None:
    got = site.clusterctl("job", "get", "--no-logs").stdout
    assert "OUTCOME" in got
    assert "PLAY [" not in got
    _, failed = site.clusterctl("job", "tasks", "1", "--status", "failed", "--node", "b-2").stdout.splitlines()
    assert re.fullmatch(r"configure +Provision +Mount +\S+ s +failed: b-2 +\d+", failed)
    slowest = site.clusterctl("--output", "jsonl", "job", "tasks", "--slowest", "2").stdout.splitlines()
    assert len(slowest) == 2
    heading, first, second, *_, worst = site.clusterctl("job", "grid", "1").stdout.splitlines()
    assert heading.split() == ["NODE", "RESULTS"]
    assert re.fullmatch(r"b-2 +[.cirs-]*F[.cirs-]*", first)
    assert re.fullmatch(r"a-1 +[.cirs-]+", second)
    assert re.fullmatch(r"column \d+: Mount failed on 1 node", worst)
    nothing = site.clusterctl("job", "tasks", "--task", "no such")
    assert (nothing.returncode, nothing.stdout, nothing.stderr) == (0, "", "no such tasks\n")
    same = site.clusterctl("job", "diff", "1", "last")
    assert (same.returncode, same.stdout) == (0, "")
    assert same.stderr.startswith("no task fails, changes or is much slower in job 1 ")
    assert site.clusterctl("job", "diff", "1", "7").returncode == 1
    assert site.clusterctl("job", "diff", "1").returncode == 2
    assert site.clusterctl("--json", "job", "diff", "1", "1").returncode == 2
    assert '"failing": []' in site.clusterctl("job", "diff", "1", "1", "--json").stdout


def test_progress_is_shown_on_a_terminal_and_gone_before_anything_else(site: Clusterm) -> None:
    go_on = site.root / "go_on"
    job = site.begin("discover", ["127.0.3.1", "b-2"], extra_vars={"until": str(go_on), "word": "x"})
    master, slave = pty.openpty()
    command = [str(BIN / "clusterctl"), "job", "get", str(job["id"]), "--follow"]
    with subprocess.Popen(
        command, env={**os.environ, "CLUSTERM_URL": str(site.http.base_url)}, stdout=subprocess.PIPE, stderr=slave
    ) as process:
        os.close(slave)
        screen = b""
        waits = re.compile(rb"configure: Wait \(task \d( of about \d)?\), waiting for b-2, for")
        while not waits.search(screen):
            assert select.select([master], [], [], WAIT_TIMEOUT_S)[0], screen
            screen += os.read(master, 65536)
        go_on.touch()
        out, _ = process.communicate(timeout=WAIT_TIMEOUT_S)
        while select.select([master], [], [], 0)[0]:
            try:
                screen += os.read(master, 65536)
            except OSError:
                break  # Linux says so when nobody has the other end open any more
    os.close(master)
    *progress, said = screen.decode().split("\r\x1b[K")
    assert said == f"job {job['id']} ended Complete\r\n"
    assert all("\n" not in text for text in progress)
    assert b"\x1b" not in out
    assert b"PLAY RECAP" in out
