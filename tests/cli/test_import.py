"""Imports of real ansible inventories: `clusterctl node import`, with the real ansible."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support.programs import SCRIPTED
from support.service import BIN, Clusterm

INVENTORIES = Path(__file__).parent / "inventories"


@pytest.fixture(scope="module")
def service(module_clusterm: Clusterm) -> Clusterm:
    module_clusterm.use_program(SCRIPTED)
    return module_clusterm.start()


def import_(service: Clusterm, inventory: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return service.clusterctl("node", "import", str(inventory), *options)


def outcomes(service: Clusterm, inventory: Path, *options: str) -> dict[str, dict[str, Any]]:
    run = import_(service, inventory, "--json", *options)
    assert run.returncode == 0, run.stderr
    return {outcome["host"]: outcome for outcome in json.loads(run.stdout)["nodes"]}


def host_vars(service: Clusterm, node: str) -> dict[str, Any]:
    return dict(service.get(f"/info/node/{node}")["configuration_state"]["inventory_vars"])


def write(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def vault(directory: Path, *arguments: str) -> str:
    password = write(directory / "password", "open sesame")
    command = [str(BIN / "ansible-vault"), *arguments, f"--vault-password-file={password}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_kubespray(service: Clusterm) -> None:
    run = import_(
        service,
        INVENTORIES / "kubespray" / "inventory.ini",
        "--map=kube_control_plane=service-master",
        "--map=k8s_cluster=service-worker",
        "--json",
    )
    assert run.returncode == 0, run.stderr
    assert {outcome["host"]: outcome["host_group"] for outcome in json.loads(run.stdout)["nodes"]} == {
        "node1": "service-master",
        "node2": "service-master",
        "node3": "service-worker",
        "bastion": "service-master",
    }
    first = host_vars(service, "node1-10.20.0.11")
    assert first["kube_cert_dir"] == "/etc/kubernetes/ssl"
    assert first["access_ip"] == "10.30.0.11"
    assert first["kubelet_secure_addresses"] == "10.30.0.11 10.30.0.12"
    warnings = [line for line in run.stderr.splitlines() if "stays a template" in line]
    assert warnings[:2] == [
        (
            "warning: node_hostname of node1, node2, node3, bastion stays a template: "
            "it depends on facts, which only a playbook has"
        ),
        (
            "warning: kube_encrypt_token of node1, node2, node3 stays a template: the lookup password is not run by an "
            "import"
        ),
    ]
    assert "kube_apiserver_ip of node1, node2, node3 stays a template" in warnings[2]
    assert not (INVENTORIES / "kubespray" / "credentials").exists()


def test_ceph_ansible(service: Clusterm) -> None:
    done = outcomes(service, INVENTORIES / "ceph" / "hosts", "--map=mons=service-master", "--map=all=service-worker")
    assert {host: outcome["host_group"] for host, outcome in done.items()} == {
        "ceph01.example.org": "service-master",
        "ceph02.example.org": "service-master",
        "ceph03.example.org": "service-master",
        "ceph04.example.org": "service-worker",
        "client.example.org": "service-worker",
    }
    storage = host_vars(service, done["ceph04.example.org"]["node"])
    assert storage["devices"] == ["/dev/sdb", "/dev/sdc"]
    assert storage["dmcrypt"] is True
    assert storage["ceph_conf_overrides"]["global"]["mon host"].startswith("ceph01.example.org,ceph02")
    client = host_vars(service, done["client.example.org"]["node"])
    assert (client["ansible_user"], client["ansible_port"]) == ("admin", 2222)
    assert "ansible_ssh_port" not in client


def test_openstack_ansible(service: Clusterm) -> None:
    done = outcomes(service, INVENTORIES / "openstack" / "dynamic_inventory.py")
    container = done["infra1_galera_container-5b1f8bcd"]
    assert container["node"] == "infra1_galera_container-5b1f8bcd-172.29.239.60"
    assert all(outcome["imported"] for outcome in done.values())
    assert host_vars(service, container["node"])["properties"] == {"service_name": "galera"}


def test_k3s_ansible(service: Clusterm) -> None:
    done = outcomes(
        service, INVENTORIES / "k3s" / "inventory.yml", "--map=server=service-master", "--map=agent=service-worker"
    )
    assert [outcome["host_group"] for outcome in done.values()] == ["service-master", *["service-worker"] * 2]
    agent = host_vars(service, "192.16.35.12-192.16.35.12")
    assert (agent["api_endpoint"], agent["token"]) == ("192.16.35.11", "********")


def test_encrypted_values_are_kept_encrypted(service: Clusterm, tmp_path: Path) -> None:
    inline = vault(tmp_path, "encrypt_string", "inline-canary").partition("\n")[2]
    hosts = "all:\n  hosts:\n    vaulted:\n      ansible_host: 10.22.0.1\n      motd: !vault |\n"
    inventory = tmp_path / "site"
    nested = "      accounts:\n        admin: !vault |\n"
    write(inventory / "hosts.yml", hosts + inline.rstrip("\n") + "\n" + nested + inline)
    write(inventory / "group_vars/all/vars.yml", 'dsn: "postgres://app:{{ vault_db }}@db"\nmanaged_by: file-canary')
    secrets = write(inventory / "group_vars/all/vault.yml", "vault_db: file-canary-2\nother: file-canary-3\n")
    vault(tmp_path, "encrypt", str(secrets))

    before = service.dump()
    run = import_(service, inventory)
    assert (run.returncode, run.stdout, len(run.stderr.splitlines())) == (2, "", 1)
    assert "--vault-password-file FILE" in run.stderr
    wrong = import_(service, inventory, f"--vault-password-file={write(tmp_path / 'wrong', 'x')}")
    assert (wrong.returncode, len(wrong.stderr.splitlines())) == (2, 1)
    assert "--vault-password-file FILE" in wrong.stderr
    assert service.dump() == before

    run = import_(service, inventory, f"--vault-password-file={tmp_path / 'password'}")
    assert run.returncode == 0, run.stderr
    assert run.stderr == "1 of 1 hosts imported\n"
    shown = service.get("/info/node/vaulted-10.22.0.1")["configuration_state"]
    masked = dict.fromkeys(["accounts", "dsn", "motd", "other", "vault_db"], "********")
    assert shown["inventory_vars"] == masked | {
        "node_name": "vaulted-10.22.0.1",
        "node_addr": "10.22.0.1",
        "managed_by": "file-canary",
    }
    assert shown["secret_vars"] == sorted(masked)
    service.restart()  # encrypts secrets that are stored as text; their names tell nothing
    assert not any("canary-" in row or "inline" in row for row in service.dump())
    assert service.post("/node/vaulted-10.22.0.1/set", {"vars": {"motd": "********", "other": None}}).is_success

    job = service.run("commission", ["vaulted-10.22.0.1"])
    given = service.program_input(job)["inventory"]["all"]["children"]["service-master"]["hosts"]["vaulted-10.22.0.1"]
    assert (given["motd"], given["dsn"]) == ("inline-canary", "postgres://app:file-canary-2@db")
    assert given["accounts"] == {"admin": "inline-canary"}
    log = "".join(service.job(job["id"])["logs"])
    assert "file-canary" in log
    assert "inline-canary" not in log
    assert "canary-2" not in log


def test_templates_are_evaluated_where_that_needs_no_playbook(service: Clusterm, tmp_path: Path) -> None:
    inventory = write(
        tmp_path / "hosts.ini",
        """
[dc1]
t1 ansible_host="{{ inventory_hostname }}.dc1.example.org"
t2 ansible_host="{{ ansible_default_ipv6.address }}"
t3 ansible_host="t3.dc1.example.org" data_dir=/other
[dc1:vars]
base=/srv
data_dir={{ base }}/data
peers={{ groups['dc1'] | join(' ') }}
proxy={{ proxy_of_site | default(omit) }}
missing={{ nowhere }}/x
effect={{ lookup('pipe', 'touch FILE') }}
""".replace("FILE", str(tmp_path / "run")),
    )
    run = import_(service, inventory)
    assert run.returncode == 0, run.stderr
    first = host_vars(service, "t1-t1.dc1.example.org")
    assert (first["data_dir"], first["peers"]) == ("/srv/data", "t1 t2 t3")
    assert (first["missing"], "proxy" in first) == ("{{ nowhere }}/x", False)
    assert host_vars(service, "t3-t3.dc1.example.org")["data_dir"] == "/other"
    skipped = next(line for line in run.stdout.splitlines() if line.startswith("t2"))
    assert "is a template that cannot be evaluated without a playbook" in skipped
    assert "warning: missing of t1, t2, t3 stays a template: 'nowhere' is undefined" in run.stderr
    assert "warning: effect of t1, t2, t3 stays a template: the lookup pipe is not run by an import" in run.stderr
    assert "data_dir" not in run.stderr
    assert not (tmp_path / "run").exists()


def test_yaml_values_are_those_of_ansible(service: Clusterm, tmp_path: Path) -> None:
    inventory = write(
        tmp_path / "hosts.yml",
        """
all:
  hosts:
    typed:
      ansible_host: 10.22.1.1
      released: 2024-01-31
      at: 2024-01-31 10:00:00
      big: 20261126000000000001
      limit: .inf
      raw: !unsafe "{{ text }}"
      ports: {80: http}
    named.example.org: {ansible_host: }
""",
    )
    run = import_(service, inventory)
    assert "warning: limit of typed is not imported: inf cannot be written as JSON" in run.stderr
    values = host_vars(service, "typed-10.22.1.1")
    assert (values["released"], values["at"]) == ("2024-01-31", "2024-01-31 10:00:00")
    assert values["raw"] == "{{ text }}"
    assert values["ports"] == {"80": "http"}
    assert "limit" not in values
    assert values["big"] == 20261126000000000001
    assert host_vars(service, "named.example.org-named.example.org")["node_addr"] == "named.example.org"


def test_one_bad_source_does_not_hide_the_others(service: Clusterm, tmp_path: Path) -> None:
    write(tmp_path / "site" / "bad.ini", "[web\n")
    write(tmp_path / "site" / "good.ini", "good ansible_host=10.22.2.1\n")
    run = import_(service, tmp_path / "site")
    assert run.returncode == 0, run.stderr
    assert "good-10.22.2.1" in run.stdout
    *warnings, count = run.stderr.splitlines()
    assert count == "1 of 1 hosts imported"
    assert warnings
    assert all(line.startswith("warning: ") for line in warnings)
    assert any("bad.ini" in line for line in warnings)


def test_a_name_that_is_no_label_is_made_one(service: Clusterm, tmp_path: Path) -> None:
    inventory = write(
        tmp_path / "hosts.yml",
        """
all:
  hosts:
    "2001:db8::13": {ansible_host: "[2001:db8::11]"}
    db_master_: {ansible_host: 10.22.3.1}
    "rack 1/web": {ansible_host: 10.22.3.2}
    "rack-1-web": {ansible_host: 10.22.3.2, ansible_port: 2222}
    "\\u5317": {ansible_host: 10.22.3.3}
    "\\u5317\\u4eac": {ansible_host: 10.22.3.4}
""",
    )
    run = import_(service, inventory, "--label=北京=beijing", "--json")
    done = {outcome["host"]: outcome for outcome in json.loads(run.stdout)["nodes"]}
    assert {host: outcome["node"] for host, outcome in done.items() if outcome["imported"]} == {
        "2001:db8::13": "2001-db8-13-2001-db8--11",
        "db_master_": "db_master-10.22.3.1",
        "rack 1/web": "rack-1-web-10.22.3.2",
        "rack-1-web": "rack-1-web-10.22.3.2-2222",
        "北京": "beijing-10.22.3.4",
    }
    assert done["2001:db8::13"]["address"] == "2001:db8::11"
    assert done["北"]["reason"].endswith("give --label 北=LABEL")
    again = import_(service, inventory, "--label=北=north", "--label=db_master_=db2", "--label=typo=x")
    assert (again.returncode, again.stdout) == (2, "")
    assert "the inventory has no host 'typo'" in again.stderr


def test_two_hosts_with_one_name_are_told(service: Clusterm, tmp_path: Path) -> None:
    inventory = write(
        tmp_path / "hosts.yml",
        'all: {hosts: {"same name": {ansible_host: 10.22.4.1}, "same-name": {ansible_host: 10.22.4.1}}}',
    )
    run = import_(service, inventory)
    skipped = next(line for line in run.stdout.splitlines() if "skipped" in line)
    assert '"same name" has the same node name' in skipped
    assert "--label same-name=LABEL" in skipped


def test_the_first_mapping_that_applies_decides(service: Clusterm, tmp_path: Path) -> None:
    inventory = write(
        tmp_path / "hosts.ini",
        "[db]\nboth ansible_host=10.22.5.1\n[web]\nboth\nweb ansible_host=10.22.5.2\n"
        "[service-master]\nmixed ansible_host=10.22.5.3\n[service-worker]\nmixed\n",
    )
    dry = ("--dry-run", "--json")
    one = outcomes(service, inventory, "--map=web=service-worker", "--map=db=service-master", *dry)
    other = outcomes(service, inventory, "--map=db=service-master", "--map=web=service-worker", *dry)
    assert (one["both"]["host_group"], other["both"]["host_group"]) == ("service-worker", "service-master")
    assert "give the one that decides, as --map service-master=service-master" in one["mixed"]["reason"]
    chosen = outcomes(service, inventory, "--map=service-worker=service-worker", *dry)
    assert chosen["mixed"]["host_group"] == "service-worker"
    typo = import_(service, inventory, "--map=wbe=service-worker")
    assert (typo.returncode, typo.stdout) == (2, "")
    assert "--map: the inventory has no group 'wbe'; it has all, db, service-master" in typo.stderr


def test_old_names_of_variables_become_the_new_ones(service: Clusterm, tmp_path: Path) -> None:
    inventory = write(
        tmp_path / "hosts.ini",
        "old1 ansible_ssh_host=10.22.6.1 ansible_ssh_port=2022 ansible_ssh_user=me ansible_ssh_pass=canary\n"
        "old2 ansible_host=10.22.6.9 ansible_ssh_host=10.22.6.2\n",
    )
    done = outcomes(service, inventory)
    assert done["old1"]["address"] == "10.22.6.1"
    assert done["old2"]["address"] == "10.22.6.2", "ansible prefers the old name"
    values = host_vars(service, done["old1"]["node"])
    assert values["ansible_port"] == 2022
    assert values["ansible_user"] == "me"
    assert values["ansible_password"] == "********"


def test_variables_that_clients_may_not_set_are_told(service: Clusterm, tmp_path: Path) -> None:
    inventory = write(
        tmp_path / "hosts.ini",
        "[all]\nlocal1 ansible_host=10.22.9.1 rack=a1\nlocal2 ansible_host=10.22.9.2\n"
        "[all:vars]\nansible_connection=local\nansible_ssh_common_args='-o ProxyCommand=x'\n",
    )
    run = import_(service, inventory)
    assert run.returncode == 0
    assert [line.partition(": ")[0] for line in run.stderr.splitlines()] == [
        "ansible_connection of local1, local2 not imported",
        "ansible_ssh_common_args of local1, local2 not imported",
        "2 of 2 hosts imported",
    ]
    assert "without ansible_connection, ansible_ssh_common_args" in run.stdout
    assert set(host_vars(service, "local1-10.22.9.1")) == {"node_name", "node_addr", "rack"}


def test_exit_status_is_1_if_nothing_was_imported(service: Clusterm, tmp_path: Path) -> None:
    bad = write(tmp_path / "bad.ini", "no_address ansible_host=10.22.7\n")
    run = import_(service, bad)
    assert (run.returncode, run.stderr) == (1, "clusterctl: 0 of 1 hosts imported\n")
    assert import_(service, bad, "--dry-run").returncode == 1
    good = write(tmp_path / "good.ini", "there ansible_host=10.22.7.1\n")
    assert import_(service, good).returncode == 0
    again = import_(service, good)
    assert (again.returncode, again.stderr) == (0, "0 of 1 hosts imported, 1 exist already\n")
    empty = write(tmp_path / "empty.ini", "# none\n")
    assert import_(service, empty).stderr == f"{empty} has no hosts\n"


def test_variables_can_be_left_out(service: Clusterm, tmp_path: Path) -> None:
    inventory = write(tmp_path / "hosts.ini", f"large ansible_host=10.22.8.1 rack=a1 cert_ca={'x' * 65536}\n")
    assert "larger than 64 KiB: import fewer with --without-vars GLOB" in import_(service, inventory).stdout
    assert outcomes(service, inventory, "--without-vars=cert_*")["large"]["imported"]
    assert host_vars(service, "large-10.22.8.1")["rack"] == "a1"


def test_vagrant(service: Clusterm) -> None:
    done = outcomes(service, INVENTORIES / "vagrant")
    assert {host: (outcome["node"], outcome["address"]) for host, outcome in done.items()} == {
        "web": ("web-127.0.0.1-2222", "127.0.0.1"),
        "db_master_": ("db_master-127.0.0.1-2200", "127.0.0.1"),
    }
    assert all(outcome["imported"] for outcome in done.values())
    assert all("ansible_private_key_file" in outcome["left_out"] for outcome in done.values())
    values = host_vars(service, "db_master-127.0.0.1-2200")
    assert (values["ansible_port"], values["ansible_user"]) == (2200, "vagrant")
    twin = import_(service, INVENTORIES / "vagrant", "--label=web=other")
    assert "other nodes have these addresses: web-127.0.0.1-2222 (127.0.0.1:2222)" in twin.stdout
