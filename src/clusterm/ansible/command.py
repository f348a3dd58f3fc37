"""Build the command line and environment of ansible-playbook."""

import configparser
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from clusterm.settings import AnsibleSettings

PLUGINS: Final = Path(__file__).parent / "callback_plugins"
"""Directory of the callback plugins that report to clusterm."""

_ANSIBLE_DEFAULT_PLUGINS: Final = "~/.ansible/plugins/callback:/usr/share/ansible/plugins/callback"


class CannotRun(Exception):
    """A playbook cannot be run; the text has the reason."""


def find_executable(name: str) -> str | None:
    """Find a program: a path is used unchanged, a name is looked up beside this Python, then in PATH."""
    beside = Path(sys.executable).parent / name
    return shutil.which(name if "/" in name else str(beside)) or shutil.which(name)


def clean_environment() -> dict[str, str]:
    """Return the service's environment without the service's own settings."""
    return {name: value for name, value in os.environ.items() if not name.startswith("CLUSTERM_")}


def ansible_options(ansible: AnsibleSettings, directory: Path, *, check: bool) -> list[str]:
    """Return the options of ansible-playbook that do not depend on the step."""
    options = ["--inventory", str(directory / "inventory.json"), "--extra-vars", f"@{directory / 'extra_vars.json'}"]
    if check:
        options += ["--check", "--diff"]
    if ansible.user:
        options.append(f"--user={ansible.user}")
    if ansible.priv_key_file:
        options.append(f"--private-key={ansible.priv_key_file}")
    if ansible.become:
        options.append("--become")
    if ansible.become_user:
        options.append(f"--become-user={ansible.become_user}")
    if ansible.become_method:
        options.append(f"--become-method={ansible.become_method}")
    if ansible.become_password_file:
        options.append(f"--become-password-file={ansible.become_password_file}")
    if ansible.vault_password_file:
        options.append(f"--vault-password-file={ansible.vault_password_file}")
    return options


def check_readable_file(what: str, file: str, setting: str) -> None:
    """Check that a file can be read.

    Raises:
        CannotRun: the file cannot be read.
    """
    if file and not os.access(file, os.R_OK):
        why = "can't be read: check its permissions" if Path(file).exists() else "doesn't exist"
        raise CannotRun(f"the {what} {file} {why} (ansible.{setting})")


def ansible_environment(location: Path, nonce: str) -> dict[str, str]:
    """Return the variables that ansible's environment needs in addition to the service's own."""
    environment = {
        "ANSIBLE_TRANSFORM_INVALID_GROUP_CHARS": "ignore",  # host groups may contain dashes, as in contiv
        # The job's own inventory is read, or the job ends, whatever ansible.cfg says about inventories.
        "ANSIBLE_INVENTORY_ENABLED": "ansible.builtin.yaml",
        "ANSIBLE_INVENTORY_PLUGIN_EXTS": ".yaml,.yml,.json",
        "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "true",
        "CLUSTERM_NONCE": nonce,
    }
    locale = os.environ.get("LC_ALL") or os.environ.get("LC_CTYPE") or os.environ.get("LANG") or ""
    if locale and "utf" not in locale.lower():
        environment["LC_ALL"] = "C.UTF-8"  # ansible refuses to run in any other encoding
    config = location / "ansible.cfg"
    if "ANSIBLE_CONFIG" not in os.environ and config.is_file():
        environment["ANSIBLE_CONFIG"] = str(config)  # ansible itself ignores it in a world-writable directory
    return environment


def run_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the whole environment of an ansible process that starts now.

    Args:
        environment: result of `ansible_environment` when the job was accepted. It does not contain the plugin's path,
            because an upgrade of clusterm between two steps may move the plugin.
    """
    plugins = f"{_callback_path(environment)}:{PLUGINS}"
    return clean_environment() | dict(environment) | {"ANSIBLE_CALLBACK_PLUGINS": plugins}


def _callback_path(environment: Mapping[str, str]) -> str:
    """Return ansible's configured search path of callback plugins."""
    path, folder = configured_value(environment, "ANSIBLE_CALLBACK_PLUGINS", "defaults", "callback_plugins")
    if not path or folder is None:
        return path or _ANSIBLE_DEFAULT_PLUGINS
    return ":".join(str(folder / Path(part).expanduser()) for part in path.split(":"))


def configured_value(
    environment: Mapping[str, str], variable: str, section: str, key: str
) -> tuple[str | None, Path | None]:
    """Return an ansible setting from the environment or its configuration file, and that file's folder."""
    if variable in os.environ:
        return os.environ[variable], None
    config = environment.get("ANSIBLE_CONFIG", os.environ.get("ANSIBLE_CONFIG"))
    candidates = [config] if config else ["~/.ansible.cfg", "/etc/ansible/ansible.cfg"]
    for candidate in map(Path, candidates):
        file = candidate.expanduser()
        parser = configparser.ConfigParser(interpolation=None, inline_comment_prefixes=(";",), strict=False)
        try:
            found = parser.read(file)
        except (configparser.Error, UnicodeDecodeError):
            break  # ansible itself reports the error
        if found:
            return parser.get(section, key, fallback=None), file.parent
    return None, None
