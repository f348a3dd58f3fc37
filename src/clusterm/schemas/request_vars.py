"""Variables that clients may set: which of those with a meaning to ansible are accepted, and with which values.

Variables named `ansible_*` choose how ansible connects and which programs it runs on the manager. A client that may
set all of them can run commands as clusterm's user, whatever the playbook does. The same check therefore applies to
the extra vars of requests, to globals, host vars and imports. Variables in the configuration and in files beside the
playbooks belong to the site, and are not checked.
"""

import re
from collections.abc import Callable, Collection, Mapping
from fnmatch import fnmatchcase
from typing import Any, Final

from clusterm.errors import VariablesRefused, quote
from clusterm.schemas.base import check_address

SETTING: Final = "ansible.request_vars_allowed"
"""The setting with the names, or globs of names, of the variables that clients may set."""

RESERVED: Final = frozenset({
    "environment", "group_names", "groups", "hostvars", "inventory_dir", "inventory_file", "inventory_hostname",
    "inventory_hostname_short", "omit", "play_hosts", "playbook_dir", "role_name", "role_names", "role_path",
    "role_uuid", "vars",
})  # fmt: skip
"""Variables that ansible itself sets (ansible's "special variables" without the prefix `ansible_`)."""

_SPECIAL: Final = re.compile(r"_*ansible_")
"""Beginning of the names of variables that ansible reads: options of its plugins, facts and internals."""

_MOST_NAMES: Final = 5
"""Names in an error message."""

_INTERPRETER: Final = re.compile(
    r"/(?:[\w.+-]+/)*(?:python|pypy|platform-python)[\d.]*|auto(?:_legacy)?(?:_silent)?", re.ASCII
)
"""A Python alone: any other program could be made to execute the text of a module, which may hold variables."""

_USER: Final = re.compile(r"\w[\w.@\\+-]{0,255}")
"""Characters without a meaning to a shell, because some become plugins do not quote the name."""

_FOLDER: Final = re.compile(r"(?:~[\w.-]*|\$HOME)?(?:/[\w.+@-]*)+", re.ASCII)
_PLUGIN: Final = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*", re.ASCII)
_SWITCH: Final = re.compile(r"y|yes|n|no|on|off|true|false|t|f|0|1", re.ASCII | re.IGNORECASE)
_SHELLS: Final = re.compile(r"sh|bash|dash|ksh|zsh|csh|fish|powershell|cmd")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


def _is_address(value: Any) -> bool:
    try:
        return isinstance(value, str) and bool(check_address(value))
    except ValueError:
        return False


def _is_port(value: Any) -> bool:
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,5}", value):
        value = int(value)
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 65536


def _is_password(value: Any) -> bool:
    if isinstance(value, int) and not isinstance(value, bool):
        return True
    return isinstance(value, str) and not _CONTROL.search(value)


def _is_switch(value: Any) -> bool:
    return isinstance(value, bool) or (isinstance(value, str) and _SWITCH.fullmatch(value) is not None)


def _matches(pattern: re.Pattern[str]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and pattern.fullmatch(value) is not None


_ADDRESS: Final = (_is_address, "an IP address or a host name")
_PORT: Final = (_is_port, "a number from 1 to 65535")
_NAME: Final = (_matches(_USER), "the name of a user, without spaces and characters special to a shell")
_PASSWORD: Final = (_is_password, "text without control characters")
_PLUGIN_NAME: Final = (_matches(_PLUGIN), "the name of a plugin")

_CHECKED: Final[Mapping[str, tuple[Callable[[Any], bool], str]]] = {
    "ansible_host": _ADDRESS,
    "ansible_ssh_host": _ADDRESS,
    "ansible_port": _PORT,
    "ansible_ssh_port": _PORT,
    "ansible_user": _NAME,
    "ansible_ssh_user": _NAME,
    "ansible_password": _PASSWORD,
    "ansible_ssh_pass": _PASSWORD,
    "ansible_ssh_password": _PASSWORD,
    "ansible_become": (_is_switch, "true or false"),
    "ansible_become_user": _NAME,
    "ansible_become_method": _PLUGIN_NAME,
    "ansible_become_password": _PASSWORD,
    "ansible_become_pass": _PASSWORD,
    "ansible_python_interpreter": (_matches(_INTERPRETER), "the absolute path of a Python, or auto"),
    "ansible_shell_type": (_matches(_SHELLS), "the name of a shell, such as sh or powershell"),
    "ansible_remote_tmp": (_matches(_FOLDER), "a path that begins with /, ~ or $HOME, without spaces"),
    "ansible_network_os": _PLUGIN_NAME,
}

DEFAULT_ALLOWED: Final = tuple(_CHECKED)
"""The variables that clients may set by default, each with a checked value."""


def refusals(variables: Mapping[str, Any], allowed: Collection[str]) -> dict[str, str]:
    """Return the variables that a client may not set, each with the reason.

    Args:
        variables: variables from a client.
        allowed: names of variables, or globs of names: the setting `ansible.request_vars_allowed`. It cannot permit
            the variables that ansible itself sets. The value of a variable of `DEFAULT_ALLOWED` is always checked.
    """
    found = {}
    for name, value in variables.items():
        if name in RESERVED:
            found[name] = f"{quote(name)} is set by ansible itself"
        elif not _SPECIAL.match(name):
            continue
        elif not any(fnmatchcase(name, pattern) for pattern in allowed):
            found[name] = f"{quote(name)} is not in {SETTING}"
        elif name in _CHECKED and not _CHECKED[name][0](value):
            found[name] = f"{quote(name)} must be {_CHECKED[name][1]}"
    return found


def check_request_vars(variables: Mapping[str, Any], allowed: Collection[str], whose: str) -> None:
    """Check that a client may set variables.

    Args:
        variables: the variables.
        allowed: as for `refusals`.
        whose: what has the variables, for the error message, as in "the globals".

    Raises:
        VariablesRefused: it may not set some of them; the text names them.
    """
    found = refusals(variables, allowed)
    if not found:
        return
    reasons = list(found.values())
    more = f", and {len(reasons) - _MOST_NAMES} more" if len(reasons) > _MOST_NAMES else ""
    raise VariablesRefused(
        f"variables of {whose} are not accepted: {', '.join(reasons[:_MOST_NAMES])}{more}. Put variables that "
        "choose how ansible works into group_vars beside the playbooks, or allow them in the configuration file"
    )
