"""Section `ansible`."""

import json
import re
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    field_validator,
)

from clusterm.common.redaction import SECRET_PATTERN, check_pattern
from clusterm.enums import DEFAULT_HOST_GROUPS, DISCOVER_GROUP, HostKeyChecking, Role
from clusterm.schemas import ExtraVars
from clusterm.schemas.request_vars import DEFAULT_ALLOWED
from clusterm.settings.base import Section, absolute


def _from_switch(value: Any) -> Any:
    """Map ansible's booleans to modes: true to `accept-new`, false to `off`."""
    switch = {"true": HostKeyChecking.ACCEPT_NEW, "false": HostKeyChecking.OFF}
    return switch.get(str(value).lower(), value)


_TAKEN_GROUPS: Final = frozenset({"all", "ungrouped", DISCOVER_GROUP})
"""Inventory groups reserved by ansible or clusterm."""


FIXED_OVER_REST: Final = "fixed_over_rest"
"""Mark of a setting that only the configuration file and the environment can change."""


class AnsibleSettings(Section):
    """How ansible is run. Can be changed while the service runs; a job keeps the settings it started with."""

    playbook_location: str = Field(
        default="/etc/clusterm/playbooks",
        description="Directory of the playbooks. ansible runs in it and reads its `ansible.cfg`. A relative path is "
        "relative to the service's working directory; `~` is the home directory of the service's user.",
    )
    configure_playbook: str = Field(default="site.yml", description="Playbook of commission, update and discover.")
    cleanup_playbook: str = Field(
        default="cleanup.yml",
        description="Playbook of decommission; also runs before an update and after a failed configure.",
    )
    upgrade_playbook: str = Field(default="rolling-upgrade.yml", description="Accepted for contiv's clients; not used.")
    syntax_check: bool = Field(
        default=True,
        description="Whether `ansible-playbook --syntax-check` must accept the playbooks of a job, with the inventory, "
        "variables and vault of the job, before its first step begins. It takes about a second.",
    )
    every_node_needs_a_play: bool = Field(
        default=True,
        description="Whether a node passes a step only if a play of the playbook is for it, that is, if the `hosts` of "
        "the play match it. Set false for playbooks that work on their nodes from plays on `localhost` alone.",
    )
    forks: int = Field(
        default=0,
        ge=0,
        le=1000,
        description="Number of nodes on which ansible runs a task at once. 0: that of `ansible.cfg` or "
        "`ANSIBLE_FORKS`, and 20 if neither sets it.",
    )
    user: str = Field(
        default="", description="User to log in as on the nodes. Empty: ansible's default.", examples=["vagrant"]
    )
    priv_key_file: str = Field(default="", description="File with the private ssh key. Empty: ssh's default.")
    ssh_agent: str = Field(
        default="",
        description="Socket of an ssh agent. Empty: the `SSH_AUTH_SOCK` of the service, if set.",
        examples=["/run/clusterm-agent/socket"],
    )
    host_key_checking: Annotated[HostKeyChecking, BeforeValidator(_from_switch)] = Field(
        default=HostKeyChecking.ACCEPT_NEW,
        description="How host keys of nodes are checked. `strict`: a node needs a trusted key. `accept-new`, or true: "
        "the first key of a node without a trusted key is accepted and trusted. `off`, or false: no check.",
    )
    become: bool = Field(
        default=False, description="Whether tasks run as another user, unless the playbook overrides it."
    )
    become_user: str = Field(default="", description="User that tasks run as. Empty: ansible's default, root.")
    become_method: str = Field(default="", description="Method to become that user. Empty: ansible's default, sudo.")
    become_password_file: str = Field(
        default="", description="File with the password for that method. Empty: no password."
    )
    extra_variables: str = Field(
        default="{}",
        description="JSON object of extra vars for every job. Globals and then the request's extra vars override "
        "them by key.",
    )
    executable: str = Field(
        default="ansible-playbook",
        description="Program to run: a path, or a name that is looked up beside clusterm's own Python, then in PATH.",
    )
    register_discovered: bool = Field(
        default=True,
        description="Whether a discover job registers the machines that it prepared as nodes, named after host name "
        "and serial. Ignored if `serf.addr` is set, because Serf reports them. Set false if another monitor does.",
    )
    host_groups: dict[str, Role] = Field(
        default=dict(DEFAULT_HOST_GROUPS),
        description="The site's host groups, which are groups of ansible's inventory, with the role that the lifecycle "
        "rules apply to each. New nodes are in the first group of masters.",
        examples=[{"control": "master", "compute": "worker", "storage": "worker"}],
    )
    ssh_args: str = Field(
        default="-o ConnectTimeout=10 -o ServerAliveInterval=5 -o ServerAliveCountMax=3",
        description="Options for ssh. The default detects a broken connection within about 15 seconds.",
    )
    vault_password_file: str = Field(
        default="",
        description="File with the password of ansible vault, or a program that prints it. Empty: ansible's default.",
    )
    allow_templates_in_vars: bool = Field(
        default=False,
        description="Whether ansible evaluates templates in globals, host vars and a request's extra vars. "
        "If false, templates stay text. Templates in `extra_variables` are always evaluated.",
    )
    request_vars_allowed: list[str] = Field(
        default=list(DEFAULT_ALLOWED),
        description="Names, or globs of names, of the variables named `ansible_*` that requests, globals, host vars "
        "and imports may set. Such variables choose how ansible connects and what it executes: a client that may set "
        "`ansible_connection` or `ansible_ssh_common_args`, for example, can run commands as clusterm's user. The "
        "values of the default ones are checked. Cannot be changed over REST.",
        examples=[["ansible_port", "ansible_user", "ansible_winrm_*"]],
        json_schema_extra={FIXED_OVER_REST: True},
    )
    secret_pattern: str = Field(
        default=SECRET_PATTERN,
        description="Regular expression for the names of secrets, case-insensitive, matched anywhere in a name. "
        "Secrets are masked in responses and logs, and encrypted in the database. Empty: only `secret_vars` apply. "
        "A repetition inside a repetition, as in `(a+)+`, is rejected, because it can take hours.",
    )
    secret_vars: list[str] = Field(
        default=[], description="Additional names of secrets, in full.", examples=[["license", "snmp_community"]]
    )

    job_timeout: float = Field(
        default=0, ge=0, description="Seconds after which a job is stopped. 0 disables the limit. Requests override it."
    )
    idle_timeout: float = Field(
        default=0, ge=0, description="Seconds without output after which a job is stopped. 0 disables the limit."
    )
    stop_grace: float = Field(
        default=10,
        gt=0,
        description="Seconds between SIGINT and SIGTERM, and between SIGTERM and SIGKILL, when a job is stopped.",
    )

    @property
    def playbook_dir(self) -> Path:
        """The absolute path of `playbook_location`."""
        return absolute(Path(self.playbook_location))

    @field_validator("playbook_location")
    @classmethod
    def _check_playbook_location(cls, value: str) -> str:
        absolute(Path(value))
        return value

    @field_validator("extra_variables", mode="before")
    @classmethod
    def _check_extra_variables(cls, value: Any) -> Any:
        holder = _ExtraVarsHolder.model_validate({"extra_vars": value})
        return json.dumps(holder.extra_vars)

    @field_validator("secret_pattern")
    @classmethod
    def _check_secret_pattern(cls, value: str) -> str:
        check_pattern(value)
        return value

    @field_validator("request_vars_allowed")
    @classmethod
    def _check_request_vars_allowed(cls, value: list[str]) -> list[str]:
        for pattern in value:
            if not re.fullmatch(r"[\w*?\[\]!-]{1,128}", pattern):
                raise ValueError(f"{pattern[:80]!r} is not the name of a variable, or a glob such as ansible_winrm_*")
        return value

    @classmethod
    def fixed_over_rest(cls) -> list[str]:
        """Return the names of the settings that a request cannot change."""
        declared = {name: field.json_schema_extra for name, field in cls.model_fields.items()}
        return [name for name, extra in declared.items() if isinstance(extra, dict) and extra.get(FIXED_OVER_REST)]

    @field_validator("host_groups")
    @classmethod
    def _check_host_groups(cls, value: dict[str, Role]) -> dict[str, Role]:
        for name in value:
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]{0,63}", name) or name in _TAKEN_GROUPS:
                raise ValueError(f"{name[:80]!r} cannot be the name of a host group")
        if Role.MASTER not in value.values():
            raise ValueError("at least one host group has to be of masters")
        return value

    @field_validator("ssh_args")
    @classmethod
    def _check_ssh_args(cls, value: str) -> str:
        if "{{" in value or "{%" in value:
            raise ValueError("{{ and {% are not allowed: ansible would evaluate them as a template")
        return value


class _ExtraVarsHolder(BaseModel):
    extra_vars: ExtraVars
