"""Run a playbook as a job of a real service, and with bare ansible-playbook; the recorder is in both."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from unittest import mock

import yaml
from differential.account import Recorded, Stored, read_job, read_record
from support.service import BIN, Clusterm

PLAYBOOKS: Final = Path(__file__).parent / "playbooks"
"""The playbooks of the repository."""

NODES: Final[Mapping[str, Mapping[str, Any]]] = {
    "a-0": {"group": "service-master"},
    "b-0": {"group": "service-master"},
    "c-0": {"group": "service-worker"},
}
"""The nodes of a folder without a file `nodes.yml`."""

_PLUGINS: Final = Path(__file__).parent / "plugins"
_EXTRA_VARS: Final = {"ansible_python_interpreter": sys.executable, "ansible_connection": "local"}


@dataclass
class Case:
    """A playbook with what it needs.

    Args:
        playbook: name of the file in the folder of playbooks.
        extra_vars: extra vars.
        check: whether to run it in check mode.
        config: text of its `ansible.cfg`; None for that of the folder, if it has one.
    """

    playbook: str
    extra_vars: dict[str, Any] = field(default_factory=dict)
    check: bool = False
    config: str | None = None

    @property
    def name(self) -> str:
        """The name of the playbook's file, without its suffix."""
        return Path(self.playbook).stem


class Bare:
    """A run of ansible-playbook without clusterm, which starts at once.

    Args:
        site: the site.
        case: the playbook.
    """

    def __init__(self, site: "Site", case: Case) -> None:
        self._site = site
        directory = Path(tempfile.mkdtemp(dir=site.root))
        self._records, self._output = directory / "records", directory / "output"
        self._records.mkdir()
        inventory, variables = directory / "inventory.json", directory / "vars.json"
        inventory.write_text(json.dumps(site.inventory()))
        variables.write_text(json.dumps({**_EXTRA_VARS, **case.extra_vars, "scratch": str(directory)}))
        environment = {
            **os.environ,
            "ANSIBLE_CALLBACK_PLUGINS": str(_PLUGINS),
            "ANSIBLE_CONFIG": str(site.playbooks / "ansible.cfg"),
            "ANSIBLE_TRANSFORM_INVALID_GROUP_CHARS": "ignore",
            "DIFFERENTIAL_RECORDS": str(self._records),
            "LC_ALL": "C.UTF-8",
        }
        options = ["--check", "--diff"] if case.check else []
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                [
                    BIN / "ansible-playbook",
                    f"--inventory={inventory}",
                    f"--extra-vars=@{variables}",
                    *options,
                    site.playbooks / case.playbook,
                ],
                cwd=site.playbooks,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def ended(self) -> tuple[int, Recorded, list[str]]:
        """Wait for its end, and return the exit status, the account of the recorder, and the output."""
        status = self._process.wait()
        lines = self._output.read_text(encoding="utf-8", errors="replace").splitlines()
        return status, read_record(self._records, list(self._site.nodes)), lines


class Site:
    """A running service whose playbooks are a copy of a folder, and whose nodes are this machine.

    Args:
        root: a directory for everything.
        folder: the folder with the playbooks.
    """

    def __init__(self, root: Path, folder: Path) -> None:
        self.root = root
        self._records = root / "records"
        self._records.mkdir(parents=True)
        self._clusterm = Clusterm(root / "clusterm")
        self.playbooks = self._clusterm.playbooks
        shutil.copytree(folder, self.playbooks, dirs_exist_ok=True)
        file = folder / "nodes.yml"
        self._config = self.playbooks / "ansible.cfg"
        self._folders_config = self._config.read_text() if self._config.is_file() else ""
        self.nodes: Mapping[str, Mapping[str, Any]] = yaml.safe_load(file.read_text()) if file.is_file() else NODES
        self._addresses: dict[str, str] = {}

    def start(self) -> None:
        """Start the service."""
        config = self._clusterm.config
        config["manager"]["partial_success"] = True
        config["ansible"]["extra_variables"] = json.dumps(_EXTRA_VARS)
        groups = {node["group"]: "master" for node in self.nodes.values()}
        config["ansible"]["host_groups"] = {"service-master": "master", "service-worker": "worker", **groups}
        config["retention"] = {"timeline": 100_000}
        recorder = {"ANSIBLE_CALLBACK_PLUGINS": str(_PLUGINS), "DIFFERENTIAL_RECORDS": str(self._records)}
        with mock.patch.dict(os.environ, recorder):
            self._clusterm.start()

    def destroy(self) -> None:
        """Kill the service and its jobs."""
        self._clusterm.destroy()

    def inventory(self) -> dict[str, Any]:
        """Return the inventory that a job on all nodes has."""
        groups: dict[str, Any] = {}
        for name, node in self.nodes.items():
            address = self._addresses[name]
            variables = {"ansible_host": address, "node_name": name, "node_addr": address, **node.get("vars", {})}
            groups.setdefault(node["group"], {"hosts": {}})["hosts"][name] = variables
        return {"all": {"children": groups}}

    def run(self, case: Case) -> tuple[Recorded, Stored]:
        """Run a playbook as a job on all nodes, and return both accounts of it."""
        self.prepare(case)
        shutil.rmtree(self._records)
        self._records.mkdir()
        clusterm = self._clusterm
        settings = {"ansible": {"cleanup_playbook": case.playbook}}
        response = clusterm.post("/config", {"config": settings})
        assert response.status_code == 200, response.text
        scratch = tempfile.mkdtemp(dir=self.root)
        # The job is a decommission: it has a single step, whatever the outcome, and any node may be decommissioned.
        extra_vars = {**case.extra_vars, "scratch": scratch}
        job = clusterm.begin("decommission", list(self.nodes), extra_vars=extra_vars, check=case.check)
        stored = read_job(clusterm, job["id"])
        return read_record(self._records, list(self.nodes)), stored

    def prepare(self, case: Case) -> None:
        """Write the `ansible.cfg` of a playbook, and add the nodes again, so that they have no past."""
        self._config.write_text(self._folders_config if case.config is None else case.config)
        clusterm = self._clusterm
        for name in clusterm.get("/info/nodes"):
            clusterm.post(f"/node/{name}/remove", {"force": True}).raise_for_status()
        clusterm.add_nodes(*self.nodes)
        for name, node in self.nodes.items():
            body = {"host_group": node["group"], "vars": node.get("vars", {})}
            clusterm.post(f"/node/{name}/set", body).raise_for_status()
        found = clusterm.get("/info/nodes")
        self._addresses = {name: found[name]["configuration_state"]["ssh_address"] for name in self.nodes}


@contextmanager
def running_site(root: Path, folder: Path) -> Iterator[Site]:
    """Run a service for the playbooks of a folder."""
    site = Site(root, folder)
    try:
        site.start()
        yield site
    finally:
        site.destroy()


def cases(folder: Path) -> list[Case]:
    """Return the playbooks of a folder: the files `*.yml` that hold plays.

    Beside the playbook `NAME.yml` may be `NAME.job.yml`, with the members `extra_vars` and `check` of its job, and
    `NAME.cfg`, its `ansible.cfg`.
    """
    found = []
    for file in sorted(folder.glob("*.yml")):
        if _is_playbook(file):
            job, config = file.with_suffix(".job.yml"), file.with_suffix(".cfg")
            options = yaml.safe_load(job.read_text()) if job.is_file() else {}
            found.append(Case(file.name, **options, config=config.read_text() if config.is_file() else None))
    return found


def _is_playbook(file: Path) -> bool:
    plays = yaml.load(file.read_text(encoding="utf-8"), _AnyTag)
    kinds = ("hosts", "import_playbook", "ansible.builtin.import_playbook")
    return isinstance(plays, list) and all(isinstance(p, dict) and any(kind in p for kind in kinds) for p in plays)


class _AnyTag(yaml.SafeLoader):
    """Reads YAML with tags of ansible, such as `!vault`."""


_AnyTag.add_multi_constructor("!", lambda *_: None)
