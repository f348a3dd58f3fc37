"""Job specifications: input of the executor, written to the job's directory before the job starts."""

import contextlib
import json
import os
import secrets
import shutil
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel

from clusterm.ansible import ssh
from clusterm.ansible.command import (
    CannotRun,
    ansible_environment,
    ansible_options,
    check_readable_file,
    configured_value,
    find_executable,
    forks_option,
)
from clusterm.ansible.inventory import inventory, merge_vars
from clusterm.common import stop_file, umask
from clusterm.common.actions import ACTIONS, ActionSpec, StepSpec
from clusterm.common.database_url import split_password
from clusterm.common.files import sync_directory
from clusterm.common.redaction import secrets_in
from clusterm.enums import DEFAULT_HOST_GROUPS, Role
from clusterm.schemas import Job, Node
from clusterm.schemas.request_vars import check_request_vars
from clusterm.settings import AnsibleSettings, RetentionSettings

if TYPE_CHECKING:
    from clusterm.settings import Settings

FACTS: Final = "facts"
"""Name, in a job's directory, of the directory with facts of discovered machines."""

_NO_ID: Final = 0
_SPEC_FILE: Final = "plan.json"
_ANSIBLE_DEFAULT_SSH_ARGS: Final = "-C -o ControlMaster=auto -o ControlPersist=60s"


class JobSpec(BaseModel):
    """The specification of one job."""

    job_id: int
    accepted_at: datetime | None = None
    """When the job was accepted: after a restore, another job may have its id. None for a draft."""
    action: str
    definition: ActionSpec | None = None
    """None for a job that was prepared before definitions were kept."""
    check: bool = False
    store_url: str
    retention: RetentionSettings
    location: Path
    playbooks: dict[str, str]
    executable: str
    options: list[str]
    environment: dict[str, str]
    nonce: str
    key_file: str
    agent: str = ""
    become_password_file: str = ""
    vault_password_file: str = ""
    secrets: list[str] = []
    """Texts to mask in the log."""
    job_timeout: float
    idle_timeout: float
    stop_grace: float
    umask: int = 0o022
    """File mode creation mask of ansible."""
    registers: bool = False
    """Whether the job registers the machines that it discovers."""
    host_groups: dict[str, Role] = dict(DEFAULT_HOST_GROUPS)
    every_node_needs_a_play: bool = False
    """False for a job that was prepared before this setting existed."""
    syntax_check: bool = False
    """Whether ansible checks the playbooks before the first step. False for a job from before this setting existed."""

    @classmethod
    def load(cls, directory: Path) -> "JobSpec":
        """Read the specification in a job's directory.

        Raises:
            OSError: the file cannot be read.
            ValueError: the file is damaged.
        """
        return cls.model_validate_json((directory / _SPEC_FILE).read_bytes())

    @property
    def spec(self) -> ActionSpec:
        """The definition of the job's action."""
        return self.definition or ACTIONS[self.action]

    def steps(self) -> list[str]:
        """Return the steps that the job may run."""
        return [step.name for step in self.spec.all_steps(check=self.check)]

    def syntax_check_command(self) -> list[str]:
        """Return the command line that checks the syntax of the playbooks of all steps that the job may run.

        Raises:
            CannotRun: a file that a step needs is missing or cannot be read.
        """
        commands = [self.command(step, None) for step in self.steps()]
        executable, *options, _ = commands[0]
        return [executable, "--syntax-check", *options, *dict.fromkeys(command[-1] for command in commands)]

    def problems(self) -> dict[str, str]:
        """Return, for each step that cannot be run, the file that it lacks and what to do."""
        found = {}
        for step in self.steps():
            try:
                self.command(step, None)
            except CannotRun as reason:
                found[step] = str(reason)
        return found

    def command(self, step: str, limit: Path | None) -> list[str]:
        """Return the command line of a step.

        Args:
            step: the step.
            limit: file with the names of the nodes to run on; None for all.

        Raises:
            CannotRun: a file that the command needs is missing or cannot be read.
        """
        if not self.location.is_dir():
            raise CannotRun(f"the playbook directory {self.location} doesn't exist: check ansible.playbook_location")
        playbook = self.location / self.playbooks[step]
        definition = self.step(step)
        if not playbook.is_file():
            problem = "is a directory, not a file" if playbook.is_dir() else "doesn't exist"
            setting = f"ansible.{step}_playbook" if definition.playbook_setting else f"actions.{self.action}"
            raise CannotRun(f"the playbook {playbook} {problem}: check ansible.playbook_location and {setting}")
        if not os.access(playbook, os.R_OK):
            raise CannotRun(f"the playbook {playbook} can't be read: check its permissions")
        check_readable_file("ssh key", self.key_file, "priv_key_file")
        check_readable_file("socket of the ssh agent", self.agent, "ssh_agent")
        check_readable_file("password file", self.become_password_file, "become_password_file")
        check_readable_file("vault password", self.vault_password_file, "vault_password_file")
        executable = find_executable(self.executable)
        if executable is None:
            raise CannotRun(f"{self.executable} was not found: install ansible-core, or set ansible.executable")
        options = [*self.options, *_tag_options(self.spec, definition)]
        return [executable, *options, *([f"--limit=@{limit}"] if limit else []), str(playbook)]

    def step(self, name: str) -> StepSpec:
        """Return the definition of a step."""
        return next(step for step in self.spec.all_steps() if step.name == name)

    def wait_before(self, name: str, attempt: int) -> float:
        """Return the seconds to wait before an attempt of a step."""
        step = self.step(name)
        return step.settle if attempt == 1 else step.delay


def prepare(
    settings: "Settings",
    job: Job,
    action: ActionSpec,
    nodes: Sequence[Node],
    global_vars: Mapping[str, Any],
    own: Mapping[str, Any],
    host_keys: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> Path:
    """Write the directory of a job atomically.

    Args:
        settings: the configuration.
        job: the job.
        action: the definition of its action.
        nodes: the job's nodes; empty for a discover job, whose addresses are in `job.nodes`.
        global_vars: the globals.
        own: the request's extra vars.
        host_keys: trusted host keys, by node or address.

    Returns:
        The directory.

    Raises:
        OSError: the directory cannot be written.
        VariablesRefused: the settings do not allow some of the variables any more.
    """
    ansible = settings.ansible
    for whose, variables in [
        ("the globals", global_vars),
        (f"job {job.id}", own),
        *((f"node {node.inventory_state.name}", node.configuration_state.inventory_vars) for node in nodes),
    ]:
        check_request_vars(variables, ansible.request_vars_allowed, whose)
    directory = settings.jobs_dir / str(job.id)
    spec = draft(settings, job.id, action, directory, check=job.check)
    spec.accepted_at = job.created_at
    spec.secrets = sorted(_secrets(settings, nodes, global_vars, own))
    extra_vars = merge_vars(ansible, _from_users(global_vars, ansible), _from_users(own, ansible))
    made = inventory([] if action.on_nodes else job.nodes, nodes, ansible, host_group=job.host_group)
    ssh_args, _ = configured_value(spec.environment, "ANSIBLE_SSH_ARGS", "ssh_connection", "ssh_args")
    control_path, _ = configured_value(spec.environment, "ANSIBLE_SSH_CONTROL_PATH", "ssh_connection", "control_path")
    ssh_args = _ANSIBLE_DEFAULT_SSH_ARGS if ssh_args is None else ssh_args
    ssh.connect(made, ansible, host_keys, directory, ssh_args, control_path)
    for group in made["all"]["children"].values():
        group["hosts"] = {name: _from_users(host_vars, ansible) for name, host_vars in group["hosts"].items()}
    unfinished = settings.jobs_dir / f"{job.id}.new"
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        settings.jobs_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        unfinished.mkdir(mode=0o700)
        if spec.registers:
            (unfinished / FACTS).mkdir()
        from clusterm.ansible.variables import dump  # noqa: PLC0415 -- with yaml, which the executor does not need

        _write(unfinished / "inventory.json", dump(made))
        _write(unfinished / ssh.KNOWN, ssh.known_hosts(host_keys))
        _write(unfinished / "extra_vars.json", dump(extra_vars))
        _write(unfinished / _SPEC_FILE, spec.model_dump_json())
        stop_file.reserve(unfinished)
        sync_directory(unfinished)
        unfinished.rename(directory)
        sync_directory(settings.jobs_dir)
    except OSError:
        shutil.rmtree(unfinished, ignore_errors=True)  # on a full disk, recording the job's end needs the space
        raise
    return directory


def trial(settings: "Settings", action: ActionSpec, *, check: bool) -> JobSpec:
    """Create the specification of a job that has not been accepted."""
    return draft(settings, _NO_ID, action, settings.jobs_dir / str(_NO_ID), check=check)


def draft(settings: "Settings", job_id: int, action: ActionSpec, directory: Path, *, check: bool) -> JobSpec:
    """Create the specification of a job without writing files."""
    ansible = settings.ansible
    nonce = secrets.token_hex(16)
    environment = ansible_environment(ansible.playbook_dir, nonce)
    registers = not action.on_nodes and ansible.register_discovered and not settings.serf.addr
    if registers:
        environment["CLUSTERM_FACTS"] = str(directory / FACTS)
    if ansible.ssh_agent:
        environment["SSH_AUTH_SOCK"] = ansible.ssh_agent
    return JobSpec(
        job_id=job_id,
        action=action.name,
        definition=action,
        check=check,
        store_url=split_password(settings.store_url)[0],
        retention=settings.retention,
        location=ansible.playbook_dir,
        playbooks={step.name: _playbook(step, ansible) for step in action.all_steps()},
        executable=ansible.executable,
        options=[
            *ansible_options(ansible, directory, check=check),
            *([f"--forks={action.forks}"] if action.forks else forks_option(ansible, environment)),
        ],
        environment=environment,
        nonce=nonce,
        key_file=ansible.priv_key_file,
        agent=ansible.ssh_agent,
        become_password_file=ansible.become_password_file,
        vault_password_file=ansible.vault_password_file,
        job_timeout=ansible.job_timeout,
        idle_timeout=ansible.idle_timeout,
        stop_grace=ansible.stop_grace,
        umask=umask.inherited(),
        registers=registers,
        host_groups=ansible.host_groups,
        every_node_needs_a_play=ansible.every_node_needs_a_play,
        syntax_check=ansible.syntax_check,
    )


def _playbook(step: StepSpec, ansible: AnsibleSettings) -> str:
    """Return the playbook of a step, relative to the directory of the playbooks."""
    return step.playbook or str(getattr(ansible, step.playbook_setting))


def _tag_options(action: ActionSpec, step: StepSpec) -> list[str]:
    """Return the options for the tags of an action and its step."""
    tags, left_out = [*action.tags, *step.tags], [*action.skip_tags, *step.skip_tags]
    return [f"--tags={','.join(tags)}"] * bool(tags) + [f"--skip-tags={','.join(left_out)}"] * bool(left_out)


def _from_users(variables: Mapping[str, Any], ansible: AnsibleSettings) -> dict[str, Any]:
    """Return variables of users, marked unsafe unless the configuration allows templates in them."""
    from clusterm.ansible.variables import mark_unsafe  # noqa: PLC0415 -- as above

    return dict(variables) if ansible.allow_templates_in_vars else dict(mark_unsafe(variables))


def _secrets(
    settings: "Settings", nodes: Sequence[Node], global_vars: Mapping[str, Any], own: Mapping[str, Any]
) -> set[str]:
    """Return all secrets to mask in a job's log."""
    ansible = settings.ansible
    of_nodes = [node.configuration_state for node in nodes]
    variables = [
        json.loads(ansible.extra_variables),
        dict(global_vars),
        dict(own),
        *(n.inventory_vars for n in of_nodes),
    ]
    found = set(secrets_in(variables, settings.secret_names)) | {settings.serf.auth_key.get_secret_value()}
    for configuration in of_nodes:
        marked = [configuration.inventory_vars.get(name) for name in configuration.secret_vars]
        found |= set(secrets_in(marked, settings.secret_names, secret=True))
    return found | _passwords_in(ansible.vault_password_file, ansible.become_password_file)


def _passwords_in(*files: str) -> set[str]:
    """Return the contents of password files, except executable files, which are programs that ansible runs itself."""
    found = set()
    for file in map(Path, filter(None, files)):
        with contextlib.suppress(OSError, UnicodeDecodeError):
            if file.is_file() and not os.access(file, os.X_OK):
                found.add(file.read_text(encoding="utf-8"))
    return found


def _write(file: Path, text: str) -> None:
    """Write a file that only its owner can read."""
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as opened:
        opened.write(text)
        opened.flush()
        os.fsync(opened.fileno())  # a job that is begun needs its files, even after a power cut
