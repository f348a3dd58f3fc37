"""The configuration of the running service: what file and environment say, and what was changed over REST.

A change over REST is kept across restarts, until file or environment say something new about the same section: then
they win, since whoever edits the file last expects it to count.
"""

import json
import logging
import threading
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic import ValidationError

from clusterm.common.redaction import MASK, redact, restore
from clusterm.errors import BadRequest, NotReady, SecretsUnavailable
from clusterm.settings import AnsibleSettings, Settings, load
from clusterm.store import encrypted_values, runtime_values
from clusterm.store.engine import Store
from clusterm.store.errors import StoreError

log = logging.getLogger(__name__)

_SECTION: Final = "ansible"
"""The section that may be changed."""

_FIXED: Final = ("manager", "store", "serf", "monitor")
"""The sections that stay as they were when the service started."""

_RELOADED: Final = (_SECTION, "retention", "notifications")


class LiveSettings:
    """The configuration as it is now.

    Args:
        store: where changes are kept.
        source: the file that the settings came from, as for `settings.load`.
        settings: what was read from there.
    """

    def __init__(self, store: Store, source: str | None, settings: Settings) -> None:
        self._store = store
        self._source = source
        self._base = settings
        self._changing = threading.Lock()
        self.current = self._with_change(settings)
        if self._seal_all():
            self._scrub()

    def shown(self) -> dict[str, Any]:
        """Return the configuration as it goes over the wire, secrets redacted."""
        shown = self.current.model_dump(mode="json")
        shown["serf"] = redact(shown["serf"])
        shown["notifications"]["webhooks"] = [_shown(webhook) for webhook in shown["notifications"]["webhooks"]]
        extra_vars = json.loads(self.current.ansible.extra_variables)
        shown[_SECTION]["extra_variables"] = json.dumps(redact(extra_vars, self.current.secret_names))
        return shown

    def change(self, config: dict[str, Any] | None, by: str) -> None:
        """Change the ansible section.

        Args:
            config: sections by name. Those that are absent, and in each the keys that are absent, stay as they are.
            by: who wants it.

        Raises:
            BadRequest: it would change more than that, or to something that is not valid.
        """
        if config is None:
            raise BadRequest("nil value specified for clusterm configuration")
        present = self.shown()
        for section, values in config.items():
            if section != _SECTION and not _is_as_present(values, present.get(section, {})):
                raise BadRequest(
                    f"{json.dumps(section)} configuration can't be changed. "
                    "Only changes to ansible configuration are allowed."
                )
        changes = {} if config.get(_SECTION) is None else config[_SECTION]
        if not isinstance(changes, dict):
            raise BadRequest('"ansible" configuration should be an object')
        with self._changing:
            ansible = _change_ansible(self.current.ansible, changes)
            change = {"base": self._base.ansible.model_dump(mode="json"), "ansible": ansible.model_dump(mode="json")}
            try:
                encrypted_change = self.current.cipher.encrypt_json(change)
            except SecretsUnavailable as lost:
                raise NotReady(str(lost)) from None
            with self._store.write() as session:
                runtime_values.put(session, runtime_values.CONFIG, {}, encrypted_change)
            self._take(self.current.model_copy(update={_SECTION: ansible}))
        log.info("the configuration was changed over REST by %s: %s", by, ", ".join(sorted(changes)) or "nothing")

    def reload(self) -> None:
        """Read the file again. What cannot change while the service runs stays, and is logged.

        Raises:
            StartupError: the file is not valid; nothing has changed.
        """
        if self._source == "-":
            log.warning("the configuration came from standard input and cannot be read again")
            return
        settings = load(self._source)
        if any(getattr(settings, section) != getattr(self._base, section) for section in _FIXED):
            log.warning("changes of the sections %s need a restart", ", ".join(_FIXED))
        self._base = self._base.model_copy(update={section: getattr(settings, section) for section in _RELOADED})
        self._take(self._with_change(self._base))
        log.info("the configuration was read again")

    def _with_change(self, settings: Settings) -> Settings:
        """Apply what was set over REST, unless file or environment have changed since."""
        with self._store.read() as session:
            stored = runtime_values.get_encrypted(session, runtime_values.CONFIG)
        try:
            change = settings.cipher.decrypt(stored, "the configuration that was set over REST")
        except SecretsUnavailable as lost:
            log.error("%s. Until then the configuration file counts alone", lost)  # noqa: TRY400
            return settings
        if not change:
            return settings
        present = settings.ansible.model_dump(mode="json")
        # What only one of both versions knows is no change: the service was upgraded, or went back.
        if any(present[key] != value for key, value in change["base"].items() if key in present):
            log.warning("the ansible section of the configuration file is new: what was set over REST is dropped")
            with self._store.write() as session:
                runtime_values.put(session, runtime_values.CONFIG, {})
            return settings
        if stored.masked:  # an older version stored it in the clear
            with self._store.write() as session:
                runtime_values.put(session, runtime_values.CONFIG, {}, settings.cipher.encrypt_json(change))
        known = {key: value for key, value in change["ansible"].items() if key in present}
        return settings.model_copy(update={_SECTION: AnsibleSettings.model_validate(present | known)})

    def _take(self, settings: Settings) -> None:
        """Use other settings from now on."""
        before, self.current = self.current.ansible, settings
        after = settings.ansible
        if (before.secret_pattern, before.secret_vars) != (after.secret_pattern, after.secret_vars):
            self._seal_all()

    def _seal_all(self) -> bool:
        """Encrypt what is secret now and stands in the database in the clear, and tell whether there was any."""
        with self._store.write() as session:
            return encrypted_values.encrypt_all(session, self.current.cipher)

    def _scrub(self) -> None:
        """Have nothing in the database's file any more of what was encrypted now."""
        try:
            self._store.scrub()
        except StoreError as error:
            log.warning("secrets were encrypted, but their old copies may still be in the database's file: %s", error)


def _shown(webhook: dict[str, Any]) -> dict[str, Any]:
    """Hide a webhook's secrets. The path of its URL may well be one: whoever knows Slack's may write there."""
    parts = urlsplit(webhook["url"])
    origin = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    return {
        **redact(webhook),
        "url": webhook["url"] if webhook["url"] == origin else f"{origin}/{MASK}",
        "headers": dict.fromkeys(webhook["headers"], MASK),
    }


def _change_ansible(ansible: AnsibleSettings, changes: dict[str, Any]) -> AnsibleSettings:
    changes = dict(changes)
    if isinstance(changes.get("extra_variables"), str):
        try:
            given = json.loads(changes["extra_variables"])
        except (ValueError, RecursionError):
            pass  # the validation below says what is wrong
        else:
            changes["extra_variables"] = json.dumps(restore(given, json.loads(ansible.extra_variables)))
    try:
        return AnsibleSettings.model_validate(ansible.model_dump() | changes)
    except ValidationError as error:
        reasons = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise BadRequest(f'"ansible" configuration is not valid: {reasons}') from None


def _is_as_present(values: Any, present: dict[str, Any]) -> bool:
    """Tell whether a section says nothing new. Go's clients write keys in other cases, and values that are empty."""
    if not isinstance(values, dict):
        return values is None
    lowered = {key.lower(): value for key, value in present.items()}
    return all(
        (not value and value is not False)
        or lowered.get(key.lower(), lowered.get(key.lower().replace("_", ""))) == value
        for key, value in values.items()
    )
