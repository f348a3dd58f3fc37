"""Secrets are nowhere but where they are needed: tried with canaries in every place that a secret can come from."""

import base64
import json
import signal
import sqlite3
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from cryptography.fernet import Fernet
from support.service import Clusterm, wait_for

from clusterm.common.redaction import MASK

CANARY = "cAnArY"
"""In every secret."""

TALKATIVE = """
- hosts: all
  connection: local
  gather_facts: false
  tasks:
    - name: Say {{ api_token }}
      ansible.builtin.debug:
        msg: "{{ [db, api_token, config_secret, licence, lookup('file', vault_file), plain] }}"
    - name: Encode
      ansible.builtin.debug:
        msg: "{{ db.password | b64encode }} {{ db.password | urlencode }} {{ db.password | to_json | to_json }}"
    - name: Write
      ansible.builtin.copy:
        content: "{{ db.private_key }} {{ licence }}"
        dest: "{{ playbook_dir }}/written"
        mode: "0600"
      diff: true
      delegate_to: localhost
      run_once: true
    - name: Loop
      ansible.builtin.debug:
        msg: item
      loop: "{{ [db.password * 5] }}"
    - name: Wait
      ansible.builtin.wait_for:
        path: "{{ playbook_dir }}/gate"
        timeout: 60
    - name: Fail
      ansible.builtin.fail:
        msg: "{{ db.password }} was not taken {{ db }}"
      when: inventory_hostname == 'a-1' and (playbook_dir ~ '/boom') is file
"""

PRIVATE_KEY = (
    f"-----BEGIN {CANARY} KEY-----\n{CANARY}AAAAb3BlbnNzaC1rZXktdjEA\n{CANARY}BBBB=\n-----END {CANARY} KEY-----\n"
)
PASSWORD = f"pä\"{CANARY}'s/ \\ +%"


IN_BASE64 = [base64.b64encode(b"-" * before + CANARY.encode())[start:end] for before, start, end in
             ((0, 0, 8), (1, 2, 8), (2, 3, 10))]  # fmt: skip
"""What is always the same of it, wherever it begins."""


def secret_in(data: bytes) -> bytes:
    """Return a canary in some bytes, with what stands around it; also one in base64."""
    places = [place for encoding in (CANARY.encode(), *IN_BASE64) if (place := data.find(encoding)) >= 0]
    return data[max(0, places[0] - 200) : places[0] + 100] if places else b""


def job_processes(clusterm: Clusterm) -> list[psutil.Process]:
    """Return all processes of jobs, and all that come of them."""
    found = set(clusterm.processes())
    for process in list(found):
        found.update(process.children(recursive=True))
    return list(found)


def files_with_secrets(clusterm: Clusterm) -> list[Path]:
    return [file for file in clusterm.state_dir.rglob("*") if file.is_file() and secret_in(file.read_bytes())]


@pytest.fixture(scope="module")
def service(module_clusterm: Clusterm) -> Clusterm:
    """A clusterm with canaries in its configuration, its globals and a node, and a playbook that tells them all."""
    clusterm = module_clusterm
    vault_file = clusterm.root / "vault-password"
    vault_file.write_text(f"{CANARY}-vault\n")
    clusterm.config["ansible"].update(
        vault_password_file=str(vault_file),
        secret_vars=["licence"],
        extra_variables=json.dumps(
            {
                "ansible_python_interpreter": sys.executable,
                "config_secret": f"{CANARY}-config",
                "vault_file": str(vault_file),
            }
        ),
    )
    clusterm.config["serf"] = {"addr": "127.0.0.1:1", "auth_key": f"{CANARY}-serf"}
    clusterm.write_playbook("site.yml", TALKATIVE)
    clusterm.write_playbook("cleanup.yml", TALKATIVE.replace("wait_for", "debug").partition("    - name: Wait")[0])
    clusterm.write_playbook("ansible.cfg", "[defaults]\nverbosity = 3\n")
    clusterm.options = ["--echo-job-logs", "--log-level", "debug"]
    clusterm.start()
    clusterm.add_nodes("a-1", "b-1")
    assert clusterm.post("/globals", {"extra_vars": {"api_token": f"{CANARY}-globals"}}).status_code == 200
    assert clusterm.post("/node/a-1/set", {"vars": {"licence": f"{CANARY}-host", "rack": "r1"}}).status_code == 200
    assert clusterm.post("/node/b-1/set", {"vars": {"licence": f"{CANARY}-other"}}).status_code == 200
    return clusterm


@pytest.fixture(scope="module")
def history(service: Clusterm) -> list[dict[str, Any]]:
    """A job that failed and whose executor was killed, its retry, and one that was cancelled."""
    gate, boom = service.playbooks / "gate", service.playbooks / "boom"
    boom.touch()
    extra_vars = {"db": {"password": PASSWORD, "private_key": PRIVATE_KEY}, "plain": "plain-value"}
    first = service.begin("commission", ["a-1", "b-1"], extra_vars=extra_vars)
    wait_for(lambda: "Wait" in str(service.job(first["id"])["logs"]), "the gate")
    for process in job_processes(service):
        try:
            told = str([process.cmdline(), process.environ()])
        except psutil.NoSuchProcess:
            continue
        assert not secret_in(told.encode()), told
    spool = [file for file in files_with_secrets(service) if file.parent.name == str(first["id"])]
    assert {file.name for file in spool} >= {"extra_vars.json", "inventory.json", "plan.json"}
    for file in service.state_dir.glob(f"jobs/{first['id']}/*"):
        assert file.stat().st_mode & 0o077 == 0 or file.parent.stat().st_mode & 0o077 == 0
    for executor in service.executors():
        executor.send_signal(signal.SIGKILL)
    gate.touch()
    failed = service.ended(first)
    boom.unlink()
    retried = service.ended(service.post(f"/job/{first['id']}/retry").json())
    gate.unlink()
    cancelled = service.begin("update", ["a-1"], extra_vars=extra_vars)
    wait_for(lambda: "TASK [Wait]" in str(service.job(cancelled["id"])["logs"]), "the gate")
    service.post(f"/job/{cancelled['id']}/cancel", {"cleanup": False})
    jobs = [failed, retried, service.ended(cancelled)]
    wait_for(lambda: not list((service.state_dir / "jobs").iterdir()), "the spool to go")
    return jobs


def test_jobs_had_the_secrets_and_masked_them(service: Clusterm, history: list[dict[str, Any]]) -> None:
    assert [job["status"] for job in history] == ["Errored", "Complete", "Cancelled"], [job["error"] for job in history]
    failed, retried, _ = history
    assert retried["extra_vars"] == {"db": {"password": MASK, "private_key": MASK}, "plain": "plain-value"}
    assert f"TASK [Say {MASK}]" in "\n".join(retried["logs"])
    assert '"plain-value"' in "\n".join(retried["logs"])
    assert failed["failures"][0]["message"].startswith(f"{MASK} was not taken")
    assert (service.playbooks / "written").read_text() == f"{PRIVATE_KEY} {CANARY}-host"
    assert service.get("/info/node/a-1")["configuration_state"]["inventory_vars"]["licence"] == MASK
    assert service.get("/info/node/a-1")["configuration_state"]["inventory_vars"]["rack"] == "r1"


def test_no_answer_tells_a_secret(service: Clusterm, history: list[dict[str, Any]]) -> None:
    asked = set()
    for path, about in service.get("/openapi.json")["paths"].items():
        if "get" not in about:
            continue
        for job in history:
            for name in ("a-1", "b-1"):
                filled = path.format(name=name, job=job["id"], later=history[-1]["id"], task=1, seq=1, action="update")
                for accept in ("*/*", "application/x-ndjson", "text/event-stream", "text/csv"):
                    if (filled, accept) in asked:
                        continue
                    asked.add((filled, accept))
                    answer = service.http.get(filled, headers={"Accept": accept})
                    assert secret_in(answer.content) == b"", (filled, accept)
    assert len(asked) > 60


def test_no_file_or_log_keeps_a_secret(service: Clusterm, history: list[dict[str, Any]], tmp_path: Path) -> None:
    assert MASK in service.log.read_text()
    assert not secret_in(service.log.read_bytes())
    assert files_with_secrets(service) == []
    assert (service.state_dir / "secret.key").stat().st_mode & 0o777 == 0o600
    bundle = tmp_path / "bundle.tar.gz"
    assert service.clusterctl("support-bundle", str(bundle)).returncode == 0
    with tarfile.open(bundle) as archive:
        for member in archive.getmembers():
            content = archive.extractfile(member)
            assert content is None or not secret_in(content.read()), member.name


def test_vars_that_become_secret_are_masked_and_encrypted_where_they_are(service: Clusterm) -> None:
    service.post("/globals", {"extra_vars": {"api_token": f"{CANARY}-globals", "community": f"{CANARY}-plain"}})
    assert service.get("/info/globals")["extra_vars"]["community"] == f"{CANARY}-plain"
    change = {"secret_vars": ["licence", "community"], "extra_variables": json.dumps({"token": f"{CANARY}-new"})}
    assert service.post("/config", {"config": {"ansible": change}}).status_code == 200
    assert service.get("/info/globals")["extra_vars"] == {"api_token": MASK, "community": MASK}
    assert service.stop() == 0
    assert files_with_secrets(service) == []
    service.start()
    assert json.loads(service.get("/config")["ansible"]["extra_variables"]) == {"token": MASK}
    refused = service.post("/config", {"config": {"ansible": {"secret_pattern": "a("}}})
    assert refused.status_code == 400
    assert "'a(' is not a regular expression" in refused.json()["detail"]


# The key


@pytest.fixture
def keeping(new_clusterm: Clusterm) -> Iterator[Clusterm]:
    """A clusterm whose jobs write down what they are given."""
    new_clusterm.use_program(
        """
        import pathlib, sys, time
        with open("given", "a") as given:
            for option in ("--inventory", "--extra-vars"):
                file = pathlib.Path(sys.argv[sys.argv.index(option) + 1].lstrip("@"))
                print(file.read_text(), file=given)
        while pathlib.Path("closed").exists():
            time.sleep(0.01)
        """
    )
    new_clusterm.start().add_nodes("a-1", "b-1")
    yield new_clusterm


def test_secrets_whose_key_is_lost(keeping: Clusterm) -> None:
    first = keeping.run("commission", ["a-1"], extra_vars={"password": f"{CANARY}-1"})
    plain = keeping.run("decommission", ["a-1"])
    keeping.post("/globals", {"extra_vars": {"token": f"{CANARY}-2"}})
    (keeping.playbooks / "closed").touch()
    running = keeping.begin("commission", ["a-1"])
    wait_for(keeping.programs, "the running job to have what it needs")
    queued = keeping.begin("commission", ["b-1"], extra_vars={"password": f"{CANARY}-3"}, queue=True)
    keeping.kill()
    key = keeping.state_dir / "secret.key"
    old, new = key.read_bytes(), Fernet.generate_key()
    key.write_bytes(new)
    keeping.start()
    (keeping.playbooks / "closed").unlink()
    assert keeping.ended(running)["status"] == "Complete"
    ended = keeping.ended(queued)
    lost = f"the secrets of job {queued['id']} cannot be decrypted: {key} is not the key"
    assert (ended["status"], lost in ended["error"]) == ("Errored", True), ended["error"]
    assert keeping.job(first["id"])["extra_vars"] == {"password": MASK}
    refused = keeping.post("/globals", {"extra_vars": {"token": MASK}})
    assert (refused.status_code, "the globals cannot be decrypted" in refused.json()["detail"]) == (503, True)
    assert keeping.post("/globals", {"extra_vars": {"token": "anew"}}).status_code == 200
    assert keeping.ended(keeping.post(f"/job/{plain['id']}/retry").json())["status"] == "Complete"
    refused = keeping.post(f"/job/{first['id']}/retry")
    assert (refused.status_code, "cannot be decrypted" in refused.json()["detail"]) == (409, True)
    key.write_bytes(new + b"\n" + old)
    assert keeping.ended(keeping.post(f"/job/{first['id']}/retry").json())["status"] == "Complete"
    given = (keeping.playbooks / "given").read_text()
    assert given.count(f"{CANARY}-1") == 2
    assert "not the one that the secrets of job" in keeping.log.read_text()


def test_a_database_of_an_older_version_is_encrypted_at_the_first_start(keeping: Clusterm) -> None:
    first = keeping.run("commission", ["a-1"])
    keeping.run("decommission", ["a-1"])
    keeping.stop()
    with sqlite3.connect(keeping.database) as connection:
        secrets = json.dumps({"password": f"{CANARY}-old", "a": 1})
        connection.execute("UPDATE jobs SET extra_vars = ?, encrypted = NULL", (secrets,))
        connection.execute("UPDATE nodes SET inventory_vars = ?, encrypted = NULL", (secrets,))
        connection.execute("INSERT INTO settings (name, value) VALUES ('globals', ?)", (secrets,))
        ansible = keeping.config["ansible"]
        change = {"base": {}, "ansible": {"extra_variables": secrets, "executable": ansible["executable"]}}
        connection.execute("INSERT INTO settings (name, value) VALUES ('config', ?)", (json.dumps(change),))
    connection.close()
    (keeping.state_dir / "secret.key").unlink()
    assert files_with_secrets(keeping) != []
    keeping.start()
    assert files_with_secrets(keeping) == []
    assert keeping.job(first["id"])["extra_vars"] == {"password": MASK, "a": 1}
    assert keeping.ended(keeping.post(f"/job/{first['id']}/retry").json())["status"] == "Complete"
    assert (keeping.playbooks / "given").read_text().count(f"{CANARY}-old") == 2


# Templates


ATTACK = "{{ lookup('pipe', 'touch %s') }}"


def test_templates_in_vars_stay_text(new_clusterm: Clusterm) -> None:
    touched = new_clusterm.root / "touched"
    attack = ATTACK % touched
    new_clusterm.config["ansible"]["extra_variables"] = json.dumps(
        {"ansible_python_interpreter": sys.executable, "sum": "{{ 1 + 1 }}-evaluated"}
    )
    new_clusterm.write_playbook(
        "site.yml",
        """
        - hosts: all
          connection: local
          gather_facts: false
          tasks:
            - ansible.builtin.set_fact:
                names: "{{ nested.keys() | list }}"
                copied: "{{ text }}"
                joined: "{{ opening }}{{ rest }}"
            - ansible.builtin.debug:
                msg: "{{ [text, nested, of_globals, of_host, names, copied, joined, sum, number] }}"
        """,
    )
    clusterm = new_clusterm.start()
    clusterm.add_nodes("a-1")
    clusterm.post("/globals", {"extra_vars": {"of_globals": [attack], "number": 1e22}})
    clusterm.post("/node/a-1/set", {"vars": {"of_host": {"deep": [attack]}}})
    extra_vars = {
        "text": attack,
        "nested": {attack: [{attack: attack}], "__ansible_vault": "no vault"},
        "opening": "{",
        "rest": attack[1:],
    }
    job = clusterm.run("commission", ["a-1"], extra_vars=extra_vars)
    assert job["status"] == "Complete", job["error"]
    assert not touched.exists()
    log = "\n".join(job["logs"])
    assert log.count(attack) == 9
    assert "2-evaluated" in log
    assert "1e+22" in log
    assert clusterm.job(job["id"])["extra_vars"] == extra_vars
    clusterm.post("/config", {"config": {"ansible": {"allow_templates_in_vars": True}}})
    job = clusterm.run("update", ["a-1"], extra_vars={**extra_vars, "nested": {}})
    assert job["status"] == "Complete", job["error"]
    assert touched.exists()


def test_a_vault_password_file_that_is_not_there_is_said(new_clusterm: Clusterm) -> None:
    new_clusterm.config["ansible"]["vault_password_file"] = "/no/such/file"
    clusterm = new_clusterm.start()
    clusterm.add_nodes("a-1")
    refused = clusterm.post("/commission/nodes", {"nodes": ["a-1"], "host_group": "service-master"})
    assert refused.status_code == 409
    assert refused.json()["detail"] == "the vault password /no/such/file doesn't exist (ansible.vault_password_file)"
