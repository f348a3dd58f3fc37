"""Which variables clients may set: names with a meaning to ansible, and the values of the harmless ones."""

import re
from pathlib import Path
from typing import Any

import ansible
import pytest
import yaml
from ansible import constants  # type: ignore[attr-defined]

from clusterm.errors import VariablesRefused
from clusterm.schemas.request_vars import DEFAULT_ALLOWED, RESERVED, check_request_vars, refusals

HARMLESS: dict[str, list[Any]] = {
    "ansible_host": ["10.0.0.1", "2001:db8::1", "web1.example.org"],
    "ansible_port": [22, 1, 65535, "2222"],
    "ansible_user": ["root", "DOMAIN\\ann", "ann@EXAMPLE.ORG", "svc_clusterm-1", "jörg"],
    "ansible_password": ["", "a b", "{{ pass }}", "$(id)", 12345, "pass'word\""],
    "ansible_become": [True, False, "yes", "False", "0"],
    "ansible_become_user": ["postgres", "_apt"],
    "ansible_become_method": ["sudo", "community.general.doas"],
    "ansible_python_interpreter": [
        "/usr/bin/python3", "/opt/py-3.12/bin/python3.12", "/usr/libexec/platform-python", "auto_silent",
    ],
    "ansible_shell_type": ["sh", "powershell"],
    "ansible_remote_tmp": ["/var/tmp/ansible", "~/.ansible/tmp", "$HOME/.ansible/tmp"],
    "ansible_network_os": ["cisco.ios.ios"],
    **{name: ["lookup('pipe', 'id')", None] for name in ("x", "ansible", "my_ansible_host", "node_label", "port")},
}  # fmt: skip

_NO_USERS: list[Any] = [
    "-oProxyCommand=id", "a b", "root; id", "$(id)", "`id`", "a\n", "{{ x }}", "%u", "${USER}", "a|id", "a&id", "a>f",
    "#0", "", "'", '"', "*", 0, None, ["root"],
]  # fmt: skip
_NOT_ALLOWED = (
    "ansible_connection", "ansible_ssh_common_args", "ansible_ssh_args", "ansible_ssh_extra_args",
    "ansible_ssh_executable", "ansible_shell_executable", "ansible_become_exe", "ansible_become_flags",
    "ansible_ssh_private_key_file", "ansible_perl_interpreter", "ansible_facts", "ansible_host_key_checking",
    "_ansible_no_log", "__ansible_x", "ansible_", "ansible_host ", "ansible_{{ x }}", "environment", "vars", "hostvars",
    "groups", "omit",
)  # fmt: skip

HOSTILE: dict[str, list[Any]] = {
    "ansible_host": [
        "-oProxyCommand=id", "a b", "a\nb", "$(id)", "{{ x }}", "a;id", "fe80::1%$(id)", "%h", "", 1, ["10.0.0.1"],
        {"a": 1}, True, None,
    ],
    "ansible_port": [0, 65536, -1, 22.5, True, "22 -oProxyCommand=id", "0x16", "", None, [22]],
    "ansible_user": _NO_USERS,
    "ansible_ssh_user": _NO_USERS,
    "ansible_become_user": _NO_USERS,
    "ansible_password": ["a\nb", "a\x00", "\x1b", True, None, ["a"], {"__ansible_vault": "x"}],
    "ansible_become": ["{{ true }}", 2, [], None, "maybe"],
    "ansible_become_method": ["../evil", "sudo -n", "", "a..b", None, ["sudo"]],
    "ansible_python_interpreter": [
        "/bin/sh", "python3", "/usr/bin/env python3", "/usr/bin/python3 -c x", "/bin/sh\n/python", "{{ x }}",
        "/tmp/python3;id", "$HOME/python", "~/python3", "/usr/bin/pythonx", "", None, ["/usr/bin/python3"],
    ],
    "ansible_shell_type": ["evil", "../sh", "", None],
    "ansible_remote_tmp": ["/tmp/$(id)", "/tmp/`id`", '/tmp/"x', "/tmp/a b", "tmp", "{{ x }}", "/tmp\n", "$HOMEX/", ""],
    "ansible_network_os": ["a/b", "", "{{ x }}", None],
    **{name: ["local", None, {}, ["x"], "********"] for name in _NOT_ALLOWED},
}  # fmt: skip


def pairs(values: dict[str, list[Any]]) -> list[tuple[str, Any]]:
    """Return each name with each of its values."""
    return [(name, value) for name, listed in values.items() for value in listed]


@pytest.mark.parametrize(("name", "value"), pairs(HARMLESS))
def test_a_harmless_variable_is_accepted(name: str, value: Any) -> None:
    assert refusals({name: value}, DEFAULT_ALLOWED) == {}


@pytest.mark.parametrize(("name", "value"), pairs(HOSTILE))
def test_a_variable_that_could_run_a_command_on_the_manager_is_refused(name: str, value: Any) -> None:
    assert list(refusals({"x": "y", name: value}, DEFAULT_ALLOWED)) == [name]


def test_a_site_allows_more_or_less() -> None:
    variables = {"ansible_connection": "local", "ansible_winrm_scheme": "https", "ansible_port": 22, "hostvars": {}}
    allowed = ["ansible_connection", "ansible_winrm_*"]
    assert set(refusals(variables, allowed)) == {"ansible_port", "hostvars"}
    assert set(refusals(variables, [])) == set(variables)
    assert set(refusals({"ansible_host": "-x", "hostvars": 1}, ["*"])) == {"ansible_host", "hostvars"}


def test_the_error_names_the_variables_and_the_setting() -> None:
    variables = {"ansible_ssh_args": "x", "ansible_port": "a", **{f"ansible_x{number}": 1 for number in range(9)}}
    with pytest.raises(VariablesRefused) as refused:
        check_request_vars(variables, DEFAULT_ALLOWED, "the globals")
    text = str(refused.value)
    assert 'of the globals are not accepted: "ansible_ssh_args" is not in ansible.request_vars_allowed' in text
    assert '"ansible_port" must be a number from 1 to 65535' in text
    assert "and 6 more" in text
    assert "\n" not in text


def test_every_variable_that_ansible_reads_is_refused_or_has_a_checked_value() -> None:
    """The options of ansible's own plugins, its settings and its special variables, as this version declares them."""
    read = set(constants.INTERNAL_STATIC_VARS)
    root = Path(ansible.__file__).parent
    for definition in yaml.safe_load((root / "config" / "base.yml").read_text()).values():
        read |= {variable["name"] for variable in definition.get("vars") or []}
    for file in (root / "plugins").rglob("*.py"):
        for listed in re.findall(r"\bvars:\s*\n((?:\s+(?:-|version_added:|name:).*\n)+)", file.read_text()):
            read |= set(re.findall(r"name: *['\"]?(\w+)", listed))
    assert len(read) > 150
    accepted = read - set(refusals(dict.fromkeys(read, "-o x\n"), DEFAULT_ALLOWED))
    assert accepted <= {"_z_test_entry", "delegated_vars"}, "an example in ansible's settings, an expression"
    assert {name for name in constants.INTERNAL_STATIC_VARS if not name.startswith("ansible_")} <= RESERVED
