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

from clusterm.common.redaction import SECRET_PATTERN, SecretNames
from clusterm.enums import DEFAULT_HOST_GROUPS, DISCOVER_GROUP, HostKeyChecking, Role
from clusterm.schemas import ExtraVars
from clusterm.settings.base import AbsolutePath, Section


def _from_switch(value: Any) -> Any:
    """Take true and false for on and off, as ansible has them."""
    switch = {"true": HostKeyChecking.ACCEPT_NEW, "false": HostKeyChecking.OFF}
    return switch.get(str(value).lower(), value)


_TAKEN_GROUPS: Final = frozenset({"all", "ungrouped", DISCOVER_GROUP})
"""Inventory groups with a meaning of their own."""


class AnsibleSettings(Section):
    """How ansible is run. May be changed while the service runs; a job keeps what it started with."""

    playbook_location: AbsolutePath = Field(
        default=Path("/etc/clusterm/playbooks"),
        description="Directory of the playbooks. ansible runs in it, and an `ansible.cfg` in it is honoured.",
    )
    configure_playbook: str = Field(default="site.yml", description="Run to commission, update and discover.")
    cleanup_playbook: str = Field(
        default="cleanup.yml", description="Run to decommission, before an update, and after a failed configure."
    )
    upgrade_playbook: str = Field(default="rolling-upgrade.yml", description="Kept for contiv's clients; not run yet.")
    user: str = Field(
        default="", description="User to log in as on the nodes. Empty: as ansible decides.", examples=["vagrant"]
    )
    priv_key_file: str = Field(default="", description="Private ssh key. Empty: as ssh decides.")
    ssh_agent: str = Field(
        default="",
        description="Socket of an ssh agent. Empty: that in the service's `SSH_AUTH_SOCK`, if there is one.",
        examples=["/run/clusterm-agent/socket"],
    )
    host_key_checking: Annotated[HostKeyChecking, BeforeValidator(_from_switch)] = Field(
        default=HostKeyChecking.ACCEPT_NEW,
        description="Whether a node must have the host key that is known of it. `accept-new`, or true: one of which "
        "none is known is trusted at its first use. `strict`: not so. `off`, or false: nothing is checked.",
    )
    become: bool = Field(
        default=False, description="Whether tasks run as another user, unless the playbook says otherwise."
    )
    become_user: str = Field(default="", description="That user. Empty: as ansible decides, which is root.")
    become_method: str = Field(default="", description="How to become it. Empty: as ansible decides, which is sudo.")
    become_password_file: str = Field(
        default="", description="File with the password for that. Empty: there is none to give."
    )
    extra_variables: str = Field(
        default="{}",
        description="A JSON object of extra vars for every job. Globals, then a request's own, override them by key.",
    )
    executable: str = Field(
        default="ansible-playbook",
        description="The program to run: a path, or a name looked up beside clusterm's own Python, then in PATH.",
    )
    register_discovered: bool = Field(
        default=True,
        description="Whether a machine that a discover job has prepared becomes a node when the job is done, called as "
        "its host name and serial. Not where `serf.addr` is set: Serf announces it. False where another monitor does.",
    )
    host_groups: dict[str, Role] = Field(
        default=dict(DEFAULT_HOST_GROUPS),
        description="The site's host groups, the groups of ansible's inventory that nodes are in, and whether each "
        "is of masters or of workers for the rules. New nodes are in the first group of masters.",
        examples=[{"control": "master", "compute": "worker", "storage": "worker"}],
    )
    ssh_args: str = Field(
        default="-o ConnectTimeout=10 -o ServerAliveInterval=5 -o ServerAliveCountMax=3",
        description="Options for ssh. The default notices within about 15 seconds that a link was cut.",
    )
    vault_password_file: str = Field(
        default="",
        description="File with the password of ansible vault, or a program that prints it. Empty: as ansible decides.",
    )
    allow_templates_in_vars: bool = Field(
        default=False,
        description="Whether ansible evaluates templates in globals, host vars and a request's extra vars. "
        "If not, they stay text. Those in `extra_variables` are always evaluated.",
    )
    secret_pattern: str = Field(
        default=SECRET_PATTERN,
        description="Regular expression for the names of secrets, in upper or lower case, found anywhere in a name. "
        "Their values are masked in answers and logs, and encrypted in the database. Empty: only `secret_vars` are.",
    )
    secret_vars: list[str] = Field(
        default=[], description="Further names of secrets, in full.", examples=[["license", "snmp_community"]]
    )

    job_timeout: float = Field(
        default=0, ge=0, description="Seconds after which a job is stopped. 0: never. A request may say otherwise."
    )
    idle_timeout: float = Field(
        default=0, ge=0, description="Seconds without output after which a job is stopped. 0: never."
    )
    stop_grace: float = Field(
        default=10,
        gt=0,
        description="Seconds that ansible has to end after SIGINT, and again after SIGTERM, before SIGKILL.",
    )

    @field_validator("extra_variables", mode="before")
    @classmethod
    def _check_extra_variables(cls, value: Any) -> Any:
        holder = _ExtraVarsHolder.model_validate({"extra_vars": value})
        return json.dumps(holder.extra_vars)

    @field_validator("secret_pattern")
    @classmethod
    def _check_secret_pattern(cls, value: str) -> str:
        try:
            SecretNames(value)
        except (re.error, RecursionError, OverflowError) as error:
            raise ValueError(f"{value[:80]!r} is not a regular expression: {error}") from None
        return value

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
            raise ValueError("ansible would take {{ and {% for a template")
        return value


class _ExtraVarsHolder(BaseModel):
    extra_vars: ExtraVars
