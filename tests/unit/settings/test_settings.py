"""The configuration: its defaults, the file, the environment, and what is refused."""

import io
import json
import os
from pathlib import Path
from typing import Any

import pytest

from clusterm.errors import StartupError
from clusterm.routes.config import Config
from clusterm.settings import Reload, Settings, load, split_address


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("CLUSTERM_"):
            monkeypatch.delenv(name)


# Defaults


def test_the_defaults_are_those_of_the_design() -> None:
    settings = load()
    assert settings.manager.addr == "127.0.0.1:9007"
    assert settings.ansible.configure_playbook == "site.yml"
    assert settings.ansible.cleanup_playbook == "cleanup.yml"
    assert settings.ansible.upgrade_playbook == "rolling-upgrade.yml"
    assert json.loads(settings.ansible.extra_variables) == {}
    assert "ServerAliveInterval=" in settings.ansible.ssh_args
    assert (settings.retention.timeline, settings.retention.node_events) == (10000, 1000)


def test_the_state_belongs_to_the_machine_for_root_and_else_to_the_user(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert load().manager.state_dir == Path("/var/lib/clusterm")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    settings = load()
    assert settings.manager.state_dir == tmp_path / "clusterm"
    assert settings.store_url == f"sqlite:///{tmp_path}/clusterm/clusterm.db"
    assert settings.jobs_dir == tmp_path / "clusterm" / "jobs"


# Sources

JSON = '{"manager": {"addr": "127.0.0.1:1"}, "ansible": {"user": "ann", "extra_variables": "{\\"a\\": 1}"}}'
TOML = """
[manager]
addr = "127.0.0.1:1"

[ansible]
user = "ann"
extra_variables = '{"a": 1}'
"""


@pytest.mark.parametrize("text", [JSON, TOML], ids=["JSON", "TOML"])
@pytest.mark.parametrize("source", ["file", "-"])
def test_a_file_is_json_or_toml_and_may_be_standard_input(
    text: str, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "clusterm.conf"
    file.write_text(text)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    settings = load("-" if source == "-" else str(file))
    assert settings.manager.addr == "127.0.0.1:1"
    assert settings.ansible.user == "ann"
    assert json.loads(settings.ansible.extra_variables) == {"a": 1}
    assert settings.ansible.configure_playbook == "site.yml", "what the file leaves out is the default"


def test_extra_variables_may_be_an_object_too(tmp_path: Path) -> None:
    file = tmp_path / "clusterm.toml"
    file.write_text("[ansible.extra_variables]\na = 1\n")
    assert json.loads(load(str(file)).ansible.extra_variables) == {"a": 1}


def test_the_environment_wins_over_the_file_key_by_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "clusterm.toml"
    file.write_text(TOML)
    monkeypatch.setenv("CLUSTERM_ANSIBLE__USER", "bob")
    settings = load(str(file))
    assert settings.ansible.user == "bob"
    assert json.loads(settings.ansible.extra_variables) == {"a": 1}


def test_every_key_can_be_set_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    special: dict[str, Any] = {"addr": "0.0.0.0:1", "url": "sqlite:////tmp/other.db", "extra_variables": '{"a": 1}'}
    special |= {
        "probe": True,
        "register_discovered": False,
        "partial_success": False,
        "syntax_check": False,
        "every_node_needs_a_play": False,
        "log_format": "json",
        "log_level": "warning",
        "host_groups": {"control": "master"},
        "socket_mode": "0600",
        "host_key_checking": "strict",
        "become": True,
        "auth": "none",
        "webhooks": [],
        "ui": False,
        "enabled": True,
        "endpoint": "http://localhost:4318",
        "headers": {},
        "logs": True,
        "sample_ratio": 0.5,
        "secret_vars": ["pin"],
        "request_vars_allowed": ["ansible_port"],
        "allow_templates_in_vars": True,
        "public_url": "https://clusterm.example",
        "allowed_hosts": ["clusterm.lan"],
        "root_path": "/clusterm",
        "trusted_proxies": ["10.0.0.0/8", "unix:www-data"],
        **dict.fromkeys(("tls_cert", "tls_key", "tls_client_ca"), "/tmp/some.pem"),
    }
    values = load().model_dump(mode="json")
    for section, keys in values.items():
        for key, value in keys.items():
            other = special[key] if key in special else f"{value}-other" if isinstance(value, str) else value + 1
            text = other if isinstance(other, str) else json.dumps(other)
            monkeypatch.setenv(f"CLUSTERM_{section}__{key}".upper(), text)
            keys[key] = "**********" if key == "auth_key" else other  # as pydantic shows a secret
    assert load().model_dump(mode="json") == values


@pytest.mark.parametrize("home", ["~", "relative"])
def test_paths_are_made_absolute(home: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CLUSTERM_MANAGER__STATE_DIR", f"{home}/state")
    assert load().manager.state_dir == (tmp_path if home == "~" else tmp_path / "relative") / "state"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("pin", ["pin"]),
        ("pin, puk,", ["pin", "puk"]),
        ('["pin", "a,b"]', ["pin", "a,b"]),
        ("1,2", ["1", "2"]),
        ("[]", []),
    ],
)
def test_a_list_in_the_environment_has_commas_or_is_json(
    text: str, value: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLUSTERM_ANSIBLE__SECRET_VARS", text)
    assert load().ansible.secret_vars == value


def test_an_empty_variable_of_the_environment_is_not_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "clusterm.toml"
    file.write_text('[ansible]\nuser = "ann"\nsecret_vars = ["pin"]\n[serf]\naddr = "127.0.0.1:7373"\n')
    for name in ("ANSIBLE", "ANSIBLE__USER", "ANSIBLE__SECRET_VARS", "ANSIBLE__HOST_GROUPS", "SERF", "RETENTION__JOBS"):
        monkeypatch.setenv(f"CLUSTERM_{name}", "")
    assert load(str(file)).ansible.user == "ann"
    assert load(str(file)).ansible.secret_vars == ["pin"]
    assert load(str(file)).serf.addr == "127.0.0.1:7373"


@pytest.mark.parametrize(
    "content",
    [
        b'\xef\xbb\xbf[ansible]\r\nuser = "ann"\r\n',
        b'\xef\xbb\xbf{"ansible":\r\n {"user": "ann"}}',
        b"[ansible]\r\nuser='ann'",
    ],
)
def test_a_file_of_a_windows_editor_is_read(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "clusterm.conf"
    file.write_bytes(content)
    assert load(str(file)).ansible.user == "ann"


# Refusals


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        (
            "CLUSTERM_SERF",
            "host:7373",
            "CLUSTERM_SERF in the environment is not JSON; its members are set by CLUSTERM_SERF__",
        ),
        ("CLUSTERM_ANSIBLE", "{", "CLUSTERM_ANSIBLE in the environment is not JSON"),
        (
            "CLUSTERM_ANSIBLE__HOST_GROUPS",
            "control=master",
            "CLUSTERM_ANSIBLE__HOST_GROUPS in the environment is not JSON",
        ),
        (
            "CLUSTERM_ANSIBLE__SECRET_VARS",
            '["a"',
            "CLUSTERM_ANSIBLE__SECRET_VARS in the environment is not a list as a,b",
        ),
        ("CLUSTERM_ANSIBLE__SECRET_VARS", "[1]", "ansible.secret_vars.0: "),
        (
            "CLUSTERM_NOTIFICATIONS__WEBHOOKS",
            "http://a",
            "CLUSTERM_NOTIFICATIONS__WEBHOOKS in the environment is not JSON",
        ),
        ("CLUSTERM_ANSIBLE__REQUEST_VARS_ALLOWED", "ansible_port,a b", "ansible.request_vars_allowed: "),
        ("CLUSTERM_RETENTION__JOBS", "many", "retention.jobs: "),
        ("CLUSTERM_ANSIBLE__HOST_GROUPS", "[" * 100_000, "is not JSON"),
    ],
)
def test_a_variable_of_the_environment_that_is_not_valid_is_named(
    name: str, text: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, text)
    with pytest.raises(StartupError) as caught:
        load()
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"nope": {}}, "nope: "),
        ({"ansible": {"usr": "ann"}}, "ansible.usr: "),
        ({"ansible": {"user": 5}}, "ansible.user: "),
        ({"ansible": []}, "ansible: "),
        ({"ansible": {"extra_variables": "[1]"}}, "ansible.extra_variables"),
        ({"ansible": {"extra_variables": "{"}}, "not a JSON object: "),
        ({"ansible": {"ssh_args": "{{ lookup('pipe', 'id') }}"}}, "ansible.ssh_args: "),
        ({"manager": {"addr": "9007"}}, "manager.addr: "),
        ({"manager": {"addr": "127.0.0.1:http"}}, "manager.addr: "),
        ({"manager": {"addr": "127.0.0.1:65536"}}, "manager.addr: "),
        ({"manager": {"addr": "::1:9007"}}, "in brackets, as in [::1]:9007"),
        ({"store": {"url": "mysql://localhost/clusterm"}}, "store.url: "),
        ({"store": {"url": "postgresql://a@b/c?password=d"}}, "store.url: "),
        ({"store": {"url": "sqlite:///relative.db"}}, "store.url: "),
        ({"retention": {"timeline": 0}}, "retention.timeline: "),
        ({"retention": {"node_events": "many"}}, "retention.node_events: "),
    ],
)
def test_a_value_that_is_not_valid_is_named(values: dict[str, Any], reason: str, tmp_path: Path) -> None:
    file = tmp_path / "clusterm.json"
    file.write_text(json.dumps(values))
    with pytest.raises(StartupError) as caught:
        load(str(file))
    said = str(caught.value)
    assert said.startswith("the configuration is not valid: ")
    assert reason in said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"{", "neither JSON nor TOML"),
        (b"[ansible", "neither JSON nor TOML"),
        (b"ansible: {user: ann}", "neither JSON nor TOML"),
        (b'{"ansible": {}} {}', "neither JSON nor TOML"),
        (b'{"a": ' + b"[" * 100_000, "neither JSON nor TOML"),
        (b"user = '\xff'", "cannot read the configuration"),
    ],
)
def test_a_file_that_cannot_be_understood_is_named(content: bytes, reason: str, tmp_path: Path) -> None:
    file = tmp_path / "clusterm.conf"
    file.write_bytes(content)
    with pytest.raises(StartupError) as caught:
        load(str(file))
    assert reason in str(caught.value)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "absent.toml", tmp_path, tmp_path / "fifo", Path("/dev/zero")):
        with pytest.raises(StartupError, match=f"cannot read the configuration from {path}"):
            load(str(path))


def test_the_environment_is_checked_like_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLUSTERM_MANAGER__ADDR", "nowhere")
    with pytest.raises(StartupError, match=r"manager\.addr: .*'nowhere' is not host:port"):
        load()


def test_a_misspelt_key_in_the_environment_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLUSTERM_ANSIBLE__USR", "ann")
    with pytest.raises(StartupError, match=r"ansible\.usr"):
        load()


def test_settings_cannot_be_changed_in_passing() -> None:
    settings: Any = Settings()
    with pytest.raises(ValueError, match="frozen"):
        settings.ansible.user = "ann"


# Addresses


@pytest.mark.parametrize(
    ("addr", "host", "port"),
    [
        ("127.0.0.1:9007", "127.0.0.1", 9007),
        ("localhost:0", "localhost", 0),
        (":9007", "0.0.0.0", 9007),
        ("[::1]:9007", "::1", 9007),
        ("[0:0::1]:65535", "::1", 65535),
    ],
)
def test_an_address_is_split(addr: str, host: str, port: int) -> None:
    assert split_address(addr) == (host, port)


@pytest.mark.parametrize(
    "addr", ["", "host", "host:", ":", "host:-1", "host:65536", "host:٣", "[host]:1", "::1:1", "a:b:1", "[::1]"]
)
def test_what_is_no_address_is_refused(addr: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        split_address(addr)


def test_every_section_declares_once_when_its_changes_take_effect() -> None:
    by_time = [Settings.sections(reload) for reload in Reload]
    assert sorted(sum(by_time, ())) == sorted(Settings.model_fields)
    assert Settings.sections(Reload.RUNTIME) == ("ansible",)
    assert set(Config.model_fields) == set(Settings.model_fields), "/config shows every section"
