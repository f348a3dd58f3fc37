"""Settings changed over REST, after an upgrade."""

from contextlib import closing
from pathlib import Path

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
