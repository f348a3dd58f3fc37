"""Settings changed over REST: kept across an upgrade, and in effect as a whole or not at all."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from clusterm.errors import BadRequest
from clusterm.live_settings import LiveSettings
from clusterm.secrets.encryption import make_key
from clusterm.settings import Settings, load
from clusterm.store import runtime_values
from clusterm.store.engine import Store
from clusterm.store.errors import StoreUnavailable
from clusterm.store.migrations import migrate


def test_what_was_set_over_rest_survives_settings_that_come_and_go_with_an_upgrade(tmp_path: Path) -> None:
    settings = Settings.model_validate({"manager": {"state_dir": tmp_path}})
    make_key(settings.key_file)
    base = settings.ansible.model_dump(mode="json")
    del base["become"]
    base["of_another_version"] = 1
    with closing(Store(settings.store_url)) as store:
        migrate(store)
        with store.write() as session:
            runtime_values.put(session, runtime_values.CONFIG, {"base": base, "ansible": base | {"user": "ann"}})
        current = LiveSettings(store, None, settings).current.ansible
    assert (current.user, current.become) == ("ann", False)


@pytest.mark.parametrize("path", ["playbooks", "./playbooks/", "~/playbooks", "/srv/../playbooks"])
def test_the_directory_of_playbooks_is_shown_as_it_was_set(
    tmp_path: Path, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    settings = Settings.model_validate({"manager": {"state_dir": tmp_path / "state"}})
    settings.key_file.parent.mkdir()
    make_key(settings.key_file)
    with closing(Store(settings.store_url)) as store:
        migrate(store)
        live_settings = LiveSettings(store, None, settings)
        live_settings.change({"ansible": {"playbook_location": path}}, "ann")
        for reader in (live_settings, LiveSettings(store, None, settings)):
            assert reader.shown()["ansible"]["playbook_location"] == path
        used = reader.current.ansible.playbook_dir
    assert used == (Path(path) if path.startswith("/") else tmp_path / "playbooks")
    with pytest.raises(BadRequest, match=r"playbook_location: .*no-such-user"):
        live_settings.change({"ansible": {"playbook_location": "~no-such-user/x"}}, "ann")


def test_an_upgrade_from_absolute_paths_is_no_change_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Version 0.1.0 has stored the absolute path of a relative one."""
    monkeypatch.chdir(tmp_path)
    sections = {"manager": {"state_dir": tmp_path}, "ansible": {"playbook_location": "playbooks"}}
    settings = Settings.model_validate(sections)
    make_key(settings.key_file)
    base = settings.ansible.model_dump(mode="json") | {"playbook_location": str(tmp_path / "playbooks")}
    with closing(Store(settings.store_url)) as store:
        migrate(store)
        with store.write() as session:
            runtime_values.put(session, runtime_values.CONFIG, {"base": base, "ansible": base | {"user": "ann"}})
        assert LiveSettings(store, None, settings).current.ansible.user == "ann"


@pytest.fixture
def full(tmp_path: Path) -> Iterator[tuple[Store, LiveSettings]]:
    """A store on a disk that has room for a change of the settings, but not for the secrets that it encrypts."""
    file = tmp_path / "clusterm.json"
    file.write_text(json.dumps({"manager": {"state_dir": str(tmp_path)}}))
    settings = load(str(file))
    make_key(settings.key_file)
    with closing(Store(settings.store_url)) as store:
        migrate(store)
        with store.write() as session:
            runtime_values.put(session, runtime_values.GLOBALS, {"licence": "x" * 100_000})
        live_settings = LiveSettings(store, str(file), settings)
        with store.read() as session:
            raw = session.connection().connection.driver_connection
            assert raw is not None
            raw.execute(f"PRAGMA max_page_count = {raw.execute('PRAGMA page_count').fetchone()[0] + 5}")
        yield store, live_settings


def test_a_change_whose_secrets_cannot_be_encrypted_has_no_effect(full: tuple[Store, LiveSettings]) -> None:
    store, live_settings = full
    before = live_settings.current
    live_settings.change({"ansible": {"user": "ann"}}, "test")
    changed = live_settings.current
    assert changed.ansible.user == "ann"
    with pytest.raises(StoreUnavailable, match="full"):
        live_settings.change({"ansible": {"user": "bob", "secret_vars": ["licence"]}}, "test")
    assert live_settings.current == changed
    assert LiveSettings(store, None, before).current == changed, "also after a restart"


def test_a_file_whose_secrets_cannot_be_encrypted_has_no_effect(
    full: tuple[Store, LiveSettings], tmp_path: Path
) -> None:
    _, live_settings = full
    before = live_settings.current
    file = tmp_path / "clusterm.json"
    secret = {"secret_vars": ["licence"]}
    file.write_text(json.dumps({**json.loads(file.read_text()), "ansible": secret, "retention": {"jobs": 7}}))
    with pytest.raises(StoreUnavailable, match="full"):
        live_settings.reload()
    assert live_settings.current == before
    file.write_text(json.dumps({"manager": {"state_dir": str(tmp_path)}, "retention": {"jobs": 7}}))
    live_settings.reload()
    assert live_settings.current.retention.jobs == 7


def test_a_reload_that_fails_keeps_what_was_set_over_rest(full: tuple[Store, LiveSettings], tmp_path: Path) -> None:
    """The file drops it together with what else the reload changes."""
    store, live_settings = full
    live_settings.change({"ansible": {"user": "ann"}}, "test")
    file = tmp_path / "clusterm.json"
    former = file.read_text()
    file.write_text(json.dumps({**json.loads(former), "ansible": {"secret_vars": ["licence"]}}))
    with pytest.raises(StoreUnavailable, match="full"):
        live_settings.reload()
    file.write_text(former)
    assert live_settings.current.ansible.user == "ann"
    assert LiveSettings(store, str(file), load(str(file))).current.ansible.user == "ann"
