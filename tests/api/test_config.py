"""The configuration of the running service: shown, changed, kept, reloaded; and the globals beside it."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.programs import SCRIPTED
from support.service import Clusterm, wait_for

MASK = "********"


@pytest.fixture(scope="module")
def service(module_clusterm: Clusterm) -> Clusterm:
    """A service whose jobs write what they were given."""
    module_clusterm.use_program(SCRIPTED)
    return module_clusterm.start()


@pytest.fixture
def shared(service: Clusterm) -> Iterator[Clusterm]:
    """The service of all tests here that leave its file alone, set back after each."""
    before = service.get("/config")["ansible"]
    yield service
    change(service, **before)
    service.post("/globals", {"extra_vars": {}})


@pytest.fixture
def ready(new_clusterm: Clusterm) -> Clusterm:
    """A service of a test's own, whose jobs write what they were given."""
    new_clusterm.use_program(SCRIPTED)
    return new_clusterm.start()


def change(clusterm: Clusterm, **ansible: Any) -> dict[str, Any]:
    """Change the ansible section, and return it as it is shown."""
    response = clusterm.post("/config", {"config": {"ansible": ansible}})
    assert response.status_code == 200, response.text
    assert response.json() == clusterm.get("/config")
    return dict(response.json()["ansible"])


def shown(clusterm: Clusterm) -> dict[str, Any]:
    return dict(clusterm.get("/config")["ansible"])


def given_to_a_job(clusterm: Clusterm, **extra_vars: Any) -> dict[str, Any]:
    """Run a job and return what ansible-playbook was given."""
    job = clusterm.run("discover", ["127.0.9.9"], extra_vars=extra_vars)
    assert job["status"] == "Complete", job["error"]
    return clusterm.program_input(job)


def reload(clusterm: Clusterm, expected: str, **ansible: Any) -> None:
    """Write the file anew, and wait until the log says what became of it."""
    clusterm.config["ansible"].update(ansible)
    (clusterm.root / "clusterm.json").write_text(json.dumps(clusterm.config))
    hang_up(clusterm, expected)


def hang_up(clusterm: Clusterm, expected: str) -> None:
    logged = len(clusterm.log.read_text())
    assert clusterm.process is not None
    clusterm.process.send_signal(signal.SIGHUP)
    wait_for(lambda: expected in clusterm.log.read_text()[logged:], f"the log to say: {expected}")


# Shown and changed


def test_a_change_is_used_by_the_next_job(shared: Clusterm) -> None:
    before = shared.get("/config")
    changes = {"user": "ann", "configure_playbook": "other.yml", "ssh_args": "-o ConnectTimeout=1"}
    shared.write_playbook("other.yml", "")
    assert change(shared, **changes) == {**before["ansible"], **changes}
    assert {**shared.get("/config"), "ansible": before["ansible"]} == before, "nothing else changes"
    given = given_to_a_job(shared)
    assert "--user=ann" in given["arguments"]
    assert given["arguments"][-1].endswith("/other.yml")
    assert given["inventory"]["all"]["vars"]["ansible_ssh_common_args"] == "-o ConnectTimeout=1"


def test_a_running_job_keeps_what_it_started_with(shared: Clusterm, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    shared.add_nodes("node1-a")
    job = shared.begin("commission", ["node1-a"], extra_vars={"until": str(gate), "status": 1})
    wait_for(lambda: shared.job(job["id"], logs=False)["lines"], "the job to run")
    change(shared, cleanup_playbook="other-cleanup.yml", user="ann")
    gate.touch()
    job = shared.ended(job)
    assert [step["playbook"] for step in job["steps"]] == ["site.yml", "cleanup.yml"]
    assert not any("--user=ann" in line for line in job["logs"])


def test_only_ansible_may_change(shared: Clusterm) -> None:
    before = shared.get("/config")
    for section, values in before.items():
        if section != "ansible":
            same = shared.post("/config", {"config": {section: values}})
            assert (same.status_code, same.json()) == (200, before)
            for key, value in values.items():
                other = value + 1 if isinstance(value, (int, float)) else f"{value}x"
                refusal = shared.post(
                    "/config", {"config": {section: {**values, key: other}, "ansible": {"user": "eve"}}}
                )
                assert refusal.status_code == 400, (section, key)
                assert f'the section "{section}" cannot be changed over REST' in refusal.json()["detail"]
    assert shared.get("/config") == before


# Secrets


def test_secrets_are_masked_and_a_mask_sent_back_stays_what_it_hides(shared: Clusterm) -> None:
    ansible = change(shared, extra_variables=json.dumps({"vault_password": "canary", "plain": 1}))
    assert json.loads(ansible["extra_variables"]) == {"vault_password": MASK, "plain": 1}
    extra_variables = {"vault_password": MASK, "plain": 2, "token": "second canary"}
    ansible = change(shared, **{**ansible, "extra_variables": json.dumps(extra_variables)})
    assert json.loads(ansible["extra_variables"]) == {"vault_password": MASK, "plain": 2, "token": MASK}
    shared.post("/globals", {"extra_vars": {"env": {"api_token": "third canary"}, "kept": 1}})
    masked = shared.get("/info/globals")["extra_vars"]
    assert masked == {"env": {"api_token": MASK}, "kept": 1}
    shared.post("/globals", {"extra_vars": {**masked, "kept": 2}})
    assert given_to_a_job(shared)["extra_vars"] == {
        "vault_password": "canary",
        "plain": 2,
        "token": "second canary",
        "env": {"api_token": "third canary"},
        "kept": 2,
    }
    assert json.loads(change(shared, extra_variables='{"plain": 3}')["extra_variables"]) == {"plain": 3}


# Kept, and the order of extra vars


def test_a_request_overrides_the_globals_and_they_the_configuration_also_after_a_restart(ready: Clusterm) -> None:
    extra_variables = {"a": "config", "b": "config", "c": "config", "d": {"x": 1, "y": 1}}
    ansible = change(ready, user="ann", extra_variables=json.dumps(extra_variables))
    globals_ = {"extra_vars": {"b": "global", "c": "global", "d": {"x": 2}}}
    assert ready.post("/globals", globals_).status_code == 200
    ready.restart()
    assert shown(ready) == ansible
    assert ready.get("/info/globals") == globals_
    given = given_to_a_job(ready, c="own")
    assert "--user=ann" in given["arguments"]
    expected = {"a": "config", "b": "global", "c": "own", "d": {"x": 2}}
    assert given["extra_vars"] == expected, "top-level keys are replaced as a whole"
    ready.post("/globals", {"extra_vars": {}})
    assert given_to_a_job(ready)["extra_vars"] == extra_variables


# The file


def test_a_change_is_dropped_when_its_section_changes_in_the_file(ready: Clusterm) -> None:
    change(ready, user="ann")
    ready.stop()
    ready.config["retention"] = {"timeline": 500}
    ready.start()
    assert shown(ready)["user"] == "ann", "another section changed"
    ready.stop()
    ready.config["ansible"]["priv_key_file"] = "/new/key"
    ready.start()
    assert (shown(ready)["user"], shown(ready)["priv_key_file"]) == ("", "/new/key")
    ready.restart()
    assert (shown(ready)["user"], shown(ready)["priv_key_file"]) == ("", "/new/key")


def test_sighup_reads_the_file_again(ready: Clusterm) -> None:
    reload(ready, "was read again", user="ann")
    assert shown(ready)["user"] == "ann"
    assert "--user=ann" in given_to_a_job(ready)["arguments"]

    reload(ready, "the configuration is unchanged: ", user=7)
    assert shown(ready)["user"] == "ann"
    (ready.root / "clusterm.json").write_text("{")
    hang_up(ready, "the configuration is unchanged: ")
    (ready.root / "clusterm.json").unlink()
    hang_up(ready, "the configuration is unchanged: ")
    assert shown(ready)["user"] == "ann"
    assert "Traceback" not in ready.log.read_text()

    ready.config["retention"] = {"timeline": 1}
    reload(ready, "was read again", user="bob")
    assert ready.get("/config")["retention"]["timeline"] == 1
    assert shown(ready)["user"] == "bob"
    ready.add_nodes("node1-a", "node2-b")
    assert len(ready.get("/info/jobs/timeline")["items"]) == 1


def test_sighup_keeps_what_was_set_over_rest_unless_the_file_says_something_new(ready: Clusterm) -> None:
    change(ready, user="ann")
    hang_up(ready, "was read again")
    assert shown(ready)["user"] == "ann"
    reload(ready, "was read again", cleanup_playbook="other.yml")
    assert (shown(ready)["user"], shown(ready)["cleanup_playbook"]) == ("", "other.yml")
    hang_up(ready, "was read again")
    assert (shown(ready)["user"], shown(ready)["cleanup_playbook"]) == ("", "other.yml")


def test_sighup_says_what_needs_a_restart(ready: Clusterm) -> None:
    before = ready.get("/config")
    ready.config["manager"]["addr"] = "127.0.0.1:1"
    reload(ready, "changes of these sections need a restart: manager\n", user="ann")
    assert shown(ready)["user"] == "ann"
    assert ready.get("/config")["manager"] == before["manager"]
