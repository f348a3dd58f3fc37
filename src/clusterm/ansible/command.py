"""Build the command line and environment of ansible-playbook."""

import configparser
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from clusterm.common.utf8_locale import utf8_locale
from clusterm.settings import AnsibleSettings

PLUGINS: Final = Path(__file__).parent / "callback_plugins"
"""Directory of the callback plugins that report to clusterm."""

_DEFAULT_FORKS: Final = 20
"""ansible's own default, 5, keeps most nodes of a job waiting."""


class CannotRun(Exception):
    """A playbook cannot be run; the text has the reason."""


def find_executable(name: str) -> str | None:
    """Find a program: a path is used unchanged, a name is looked up beside this Python, then in PATH."""
    beside = Path(sys.executable).parent / name
    return shutil.which(name if "/" in name else str(beside)) or shutil.which(name)


def clean_environment() -> dict[str, str]:
    """Return the service's environment for ansible: in a locale that ansible accepts, without the service's settings.

    Raises:
        OSError: the check of the locale cannot be run.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CLUSTERM_")}
    return environment | utf8_locale(environment)


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


def forks_option(ansible: AnsibleSettings, environment: Mapping[str, str]) -> list[str]:
    """Return the option for the number of nodes that ansible works on at once; none if ansible itself is configured.

    Args:
        ansible: the settings.
        environment: result of `ansible_environment`.
    """
    own, _ = configured_value(environment, "ANSIBLE_FORKS", "defaults", "forks")
    forks = ansible.forks or (_DEFAULT_FORKS if own is None else 0)
    return [f"--forks={forks}"] if forks else []


def check_readable_file(what: str, file: str, setting: str) -> None:
    """Check that a file can be read.

    Raises:
        CannotRun: the file cannot be read.
    """
    if file and not os.access(file, os.R_OK):
        why = "can't be read: check its permissions" if Path(file).exists() else "doesn't exist"
        raise CannotRun(f"the {what} {file} {why} (ansible.{setting})")


def ansible_environment(location: Path, nonce: str) -> dict[str, str]:
    """Return the variables that ansible's environment needs in addition to the service's own.

    Args:
        location: the directory of the playbooks, in which ansible runs.
        nonce: the nonce of ansible's records.
    """
    environment = {
        "ANSIBLE_TRANSFORM_INVALID_GROUP_CHARS": "ignore",  # host groups may contain dashes, as in contiv
        # The job's own inventory is read, or the job ends, whatever ansible.cfg says about inventories.
        "ANSIBLE_INVENTORY_ENABLED": "ansible.builtin.yaml",
        "ANSIBLE_INVENTORY_PLUGIN_EXTS": ".yaml,.yml,.json",
        "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "true",
        "CLUSTERM_NONCE": nonce,
    }
    named = resolved(os.environ.get("ANSIBLE_CONFIG", ""), location)
    # ansible itself ignores the second one in a world-writable directory.
    for config in (named / "ansible.cfg" if named.is_dir() else named, location / "ansible.cfg"):
        if config.is_file() and os.access(config, os.R_OK):
            environment["ANSIBLE_CONFIG"] = str(config)
            break
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
    """Return ansible's search path of callback plugins without clusterm; ansible resolves relative paths in it."""
    path, folder = configured_value(environment, "ANSIBLE_CALLBACK_PLUGINS", "defaults", "callback_plugins")
    if path is None:
        home, folder = configured_value(environment, "ANSIBLE_HOME", "defaults", "home")
        path = f"{home or '~/.ansible'}/plugins/callback:/usr/share/ansible/plugins/callback"
    if folder is None:
        return path
    return ":".join(part if part.startswith("{{CWD}}") else str(resolved(part, folder)) for part in path.split(":"))


def configured_value(
    environment: Mapping[str, str], variable: str, section: str, key: str
) -> tuple[str | None, Path | None]:
    """Return an ansible setting as ansible reads it, and the folder of the configuration file that it is from.

    Args:
        environment: result of `ansible_environment`.
        variable: the environment variable of the setting, which takes precedence.
        section: its section in the configuration file.
        key: its name in the configuration file.

    Returns:
        The value, None if it is not configured; the folder, None unless the value is from the file.
    """
    if variable in os.environ:
        return os.environ[variable], None
    config = environment.get("ANSIBLE_CONFIG", os.environ.get("ANSIBLE_CONFIG", ""))
    candidates = [resolved(path, Path()) for path in (config, "~/.ansible.cfg", "/etc/ansible/ansible.cfg")]
    file = next((path for path in candidates if path.is_file() and os.access(path, os.R_OK)), None)
    if file is None:
        return None, None
    parser = configparser.ConfigParser(interpolation=None, inline_comment_prefixes=(";",), strict=False)
    try:
        parser.read(file, encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError):
        return None, None  # ansible itself reports the error
    value = parser.get(section, key, fallback=None)
    return (None, None) if value is None else (_unquoted(value), file.parent)


def resolved(path: str, folder: Path) -> Path:
    """Return a path of ansible's configuration with variables and `~` expanded, relative to a folder."""
    return folder / os.path.expanduser(os.path.expandvars(path))  # noqa: PTH111 -- keeps ~ if there is no home


def _unquoted(value: str) -> str:
    """Remove the quotes around a value, as ansible does."""
    quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\"" and value[-2] != "\\"
    return value[1:-1] if quoted else value
