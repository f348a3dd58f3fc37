"""Settings changed over REST, after an upgrade."""

from contextlib import closing
from pathlib import Path

import pytest

from clusterm.errors import BadRequest
from clusterm.live_settings import LiveSettings
from clusterm.secrets.encryption import make_key
from clusterm.settings import Settings
from clusterm.store import runtime_values
from clusterm.store.engine import Store
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
