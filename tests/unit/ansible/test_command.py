"""The environment of ansible-playbook: its configuration is read as ansible itself reads it."""

import os
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from ansible.config.manager import ConfigManager, find_ini_config_file  # type: ignore[import-untyped]

from clusterm.ansible.command import (
    PLUGINS,
    ansible_environment,
    clean_environment,
    configured_value,
    forks_option,
    run_environment,
)
from clusterm.common.utf8_locale import utf8_locale
from clusterm.settings import AnsibleSettings


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of playbooks; the home directory and the working directory are others."""
    for name in ("home", "site", "elsewhere"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SITEDIR", str(tmp_path / "elsewhere"))
    monkeypatch.chdir(tmp_path / "elsewhere")
    for name in os.environ:
        if name.startswith("ANSIBLE_"):
            monkeypatch.delenv(name)
    return tmp_path / "site"


@cache
def manager() -> ConfigManager:
    """Return ansible's reader of its configuration; it takes half a second to begin."""
    return ConfigManager()


def setting(name: str, location: Path, environment: dict[str, str]) -> Any:
    """Return a setting as ansible reads it in the directory of the playbooks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(location)
        for variable, value in environment.items():
            patch.setenv(variable, value)
        config = manager()
        config._config_file = find_ini_config_file()
        return config.get_config_value(name, variables={"ANSIBLE_HOME": config.get_config_value("ANSIBLE_HOME")})


PATH = "DEFAULT_CALLBACK_PLUGIN_PATH"
CONFIGURATIONS = [
    "",
    "callback_plugins =",
    "callback_plugins = $SITEDIR/cb:${SITEDIR}/more:~/cb:$NOTHING/cb",
    "callback_plugins = {{CWD}}/cb:{{ANSIBLE_HOME}}/cb",
    "callback_plugins = cb:../cb:./x/../cb:/cb",
    "callback_plugins = /cb ; of the site",
    "home = $SITEDIR/ansible",
    "home = ansible",
]


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_the_search_path_of_callbacks_is_that_of_ansible_and_the_plugin(site: Path, configuration: str) -> None:
    (site / "ansible.cfg").write_text(f"[defaults]\n{configuration}\n")
    alone = setting(PATH, site, {})
    assert setting(PATH, site, run_environment(ansible_environment(site, "nonce"))) == [*alone, str(PLUGINS)]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ANSIBLE_CALLBACK_PLUGINS", "$SITEDIR/cb:cb:{{CWD}}/x"),
        ("ANSIBLE_HOME", "$SITEDIR/ansible"),
        ("ANSIBLE_HOME", "ansible"),
        ("ANSIBLE_CONFIG", "../elsewhere"),
        ("ANSIBLE_CONFIG", "$SITEDIR/ansible.cfg"),
        ("ANSIBLE_CONFIG", "/does/not/exist.cfg"),
    ],
)
@pytest.mark.parametrize("of_site", [True, False])
def test_the_environment_takes_precedence_as_it_does_for_ansible(
    site: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, *, of_site: bool
) -> None:
    for directory in ("home/.", "elsewhere/") + (("site/",) if of_site else ()):
        (site.parent / f"{directory}ansible.cfg").write_text("[defaults]\ncallback_plugins = cb\n")
    monkeypatch.setenv(variable, value)
    alone = setting(PATH, site, {})
    assert setting(PATH, site, run_environment(ansible_environment(site, "nonce"))) == [*alone, str(PLUGINS)]


def test_quotes_around_a_setting_are_not_part_of_it(site: Path) -> None:
    (site / "ansible.cfg").write_text('[ssh_connection]\nssh_args = "-o A=b -o C=d"\ncontrol_path = "x\'\n')
    environment = ansible_environment(site, "nonce")
    assert configured_value(environment, "ANSIBLE_SSH_ARGS", "ssh_connection", "ssh_args")[0] == "-o A=b -o C=d"
    assert configured_value(environment, "ANSIBLE_SSH_CONTROL_PATH", "ssh_connection", "control_path")[0] == "\"x'"


@pytest.mark.parametrize(
    ("setting_value", "variable", "configured", "option"),
    [
        (0, None, "", ["--forks=20"]),
        (0, None, "forks = 7", []),
        (0, "8", "", []),
        (0, "8", "forks = 7", []),
        (50, "8", "forks = 7", ["--forks=50"]),
    ],
)
def test_the_number_of_forks_is_20_where_nothing_else_sets_it(
    site: Path,
    monkeypatch: pytest.MonkeyPatch,
    setting_value: int,
    variable: str | None,
    configured: str,
    option: list[str],
) -> None:
    (site / "ansible.cfg").write_text(f"[defaults]\n{configured}\n")
    if variable:
        monkeypatch.setenv("ANSIBLE_FORKS", variable)
    assert forks_option(AnsibleSettings(forks=setting_value), ansible_environment(site, "nonce")) == option


@pytest.mark.parametrize(
    "locale",
    [
        {"LC_ALL": "xx_XX.UTF-8"},
        {"LC_ALL": "C"},
        {"LC_ALL": "C.UTF-8", "LANG": "xx_XX.UTF-8"},
        {"LANG": "C.UTF-8", "LC_TIME": "xx_XX.UTF-8"},
        {"LANG": "C"},
        {},
    ],
)
def test_ansible_starts_in_any_locale(locale: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(("LC_", "LANG")):
            monkeypatch.delenv(name)
    for name, value in locale.items():
        monkeypatch.setenv(name, value)
    assert utf8_locale(clean_environment()) == {}
    usable = utf8_locale(locale) == {}
    assert usable == (locale in ({"LC_ALL": "C.UTF-8", "LANG": "xx_XX.UTF-8"}, {"LANG": "C"}, {}))
