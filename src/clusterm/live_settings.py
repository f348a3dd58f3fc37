"""The settings of the running service: those of the file and the environment, and changes over REST.

A change over REST is kept across restarts. It is dropped when the file or the environment change the same section,
because the latest edit takes precedence.
"""

import contextlib
import json
import logging
import threading
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic import ValidationError

from clusterm.common import contiv
from clusterm.common.database_url import split_password
from clusterm.common.redaction import MASK, redact, redact_text, restore
from clusterm.enums import Cause, EventName
from clusterm.errors import BadRequest, EncryptionUnavailable, SecretsUnavailable, quote
from clusterm.problem_codes import ProblemCode
from clusterm.schemas.request_vars import SETTING, refusals
from clusterm.settings import AnsibleSettings, Reload, Settings, load
from clusterm.store import encrypted_values, events, runtime_values
from clusterm.store.engine import Store
from clusterm.store.errors import StoreError
from clusterm.store.session import Session

log = logging.getLogger(__name__)

(_SECTION,) = Settings.sections(Reload.RUNTIME)
"""The section that may be changed over REST."""

_FIXED: Final = Settings.sections(Reload.RESTART)
"""The sections that do not change while the service runs."""

_MOST_NAMED: Final = 5
"""Owners of variables in one line of the log."""

_RELOADED: Final = Settings.sections(Reload.RUNTIME, Reload.SIGHUP)


class LiveSettings:
    """The settings and their changes.

    Args:
        store: the store of the changes.
        source: the file of the settings, as for `settings.load`.
        settings: the settings of that file.

    Attributes:
        current: the present settings; replaced as a whole, so that other threads may read them at any time.
    """

    def __init__(self, store: Store, source: str | None, settings: Settings) -> None:
        self._store = store
        self._source = source
        self._base = settings
        self._changing = threading.Lock()
        with store.write() as session:
            self.current = self._with_change(session, settings)
            encrypted = encrypted_values.encrypt_all(session, self.current.cipher)
        try:
            with store.write() as session:
                _publish(session, self.current, self.current)
        except StoreError as error:  # a service starts also on a full disk
            log.warning("changes of the configuration cannot be recorded in the timeline: %s", error)
        if encrypted:
            self._scrub()
        self._warn_about_refused_vars()

    def shown(self) -> dict[str, Any]:
        """Return the settings as they go over the wire, secrets redacted."""
        return _shown(self.current)

    def change(self, config: dict[str, Any] | None, by: str) -> None:
        """Change the ansible section: in effect, in the database and for stored secrets, or not at all.

        Args:
            config: sections by name. Absent sections, and absent keys of a section, are not changed.
            by: name of the requester.

        Raises:
            BadRequest: another section or a fixed setting would change, or a value is not valid.
            EncryptionUnavailable: the change cannot be encrypted.
            StoreError: the change cannot be stored.
        """
        if config is None:
            raise BadRequest('give the sections to change as the member "config"', ProblemCode.NO_CONFIGURATION)
        present = self.shown()
        for section, values in config.items():
            if section != _SECTION and not contiv.is_unchanged(values, present.get(section, {})):
                raise BadRequest(
                    f"the section {quote(section)} cannot be changed over REST, only ansible can: change the "
                    "configuration file",
                    ProblemCode.SECTION_FIXED,
                    section=quote(section),
                )
        changes = {} if config.get(_SECTION) is None else config[_SECTION]
        if not isinstance(changes, dict):
            raise BadRequest("the section ansible must be an object", ProblemCode.INVALID_CONFIGURATION)
        with self._changing:
            ansible = _change_ansible(self.current.ansible, changes)
            change = {"base": self._base.ansible.model_dump(mode="json"), "ansible": ansible.model_dump(mode="json")}
            try:
                encrypted_change = self.current.cipher.encrypt_json(change)
            except SecretsUnavailable as lost:
                raise EncryptionUnavailable(str(lost)) from None
            changed = self.current.model_copy(update={_SECTION: ansible})
            with self._store.write() as session:
                runtime_values.put(session, runtime_values.CONFIG, {}, encrypted_change)
                self._encrypt_for(session, changed)
                _publish(session, changed, self.current, by)
            self.current = changed
        log.info("the configuration was changed over REST by %s: %s", by, ", ".join(sorted(changes)) or "nothing")

    def reload(self) -> None:
        """Read the file again. Changes of fixed sections are logged and have no effect.

        Raises:
            StartupError: the file is not valid; nothing has changed.
            StoreError: the database cannot be read or written; nothing has changed.
        """
        if self._source == "-":
            log.warning("the configuration came from standard input and cannot be read again")
            return
        with self._changing:
            settings = load(self._source)
            fixed = [section for section in _FIXED if getattr(settings, section) != getattr(self._base, section)]
            base = self._base.model_copy(update={section: getattr(settings, section) for section in _RELOADED})
            with self._store.write() as session:
                changed = self._with_change(session, base)
                self._encrypt_for(session, changed)
                _publish(session, changed, self.current)
            self._base, self.current = base, changed
        if fixed:
            log.warning("changes of these sections need a restart: %s", ", ".join(fixed))
        self._warn_about_refused_vars()
        log.info("the configuration was read again")

    def _with_change(self, session: Session, settings: Settings) -> Settings:
        """Apply the change over REST, unless the file or the environment have changed since: it is dropped then."""
        stored = runtime_values.get_encrypted(session, runtime_values.CONFIG)
        try:
            change = settings.cipher.decrypt(stored, "the configuration that was set over REST")
        except SecretsUnavailable as lost:
            log.error("%s. Until then the configuration file counts alone", lost)  # noqa: TRY400
            return settings
        if not change:
            return settings
        present = settings.ansible.model_dump(mode="json")
        before = dict(change["base"])
        if before.get("playbook_location") == str(settings.ansible.playbook_dir):  # version 0.1.0 stored this form
            before["playbook_location"] = settings.ansible.playbook_location
        # A key that only one of the two versions knows is not a change: the service was upgraded or downgraded.
        if any(present[key] != value for key, value in before.items() if key in present):
            log.warning("the ansible section of the configuration file is new: what was set over REST is dropped")
            runtime_values.put(session, runtime_values.CONFIG, {})
            return settings
        if stored.masked:  # an older version stored it in the clear
            runtime_values.put(session, runtime_values.CONFIG, {}, settings.cipher.encrypt_json(change))
        fixed = AnsibleSettings.fixed_over_rest()
        known = {key: value for key, value in change["ansible"].items() if key in present and key not in fixed}
        return settings.model_copy(update={_SECTION: AnsibleSettings.model_validate(present | known)})

    def _encrypt_for(self, session: Session, settings: Settings) -> None:
        """Encrypt the variables that are secret by new settings, and were not by the present ones."""
        before, after = self.current, settings
        if (before.ansible.secret_pattern, before.all_secret_vars) != (
            after.ansible.secret_pattern,
            after.all_secret_vars,
        ):
            encrypted_values.encrypt_all(session, settings.cipher)

    def _warn_about_refused_vars(self) -> None:
        """Log which stored variables jobs will be rejected for: an earlier version has accepted them."""
        allowed = self.current.ansible.request_vars_allowed
        refused = []
        with self._store.read() as session, contextlib.suppress(SecretsUnavailable):  # logged by encrypt_all
            for whose, variables in encrypted_values.decrypt_all(session, self.current.cipher):
                if found := refusals(variables, allowed):
                    refused.append(f"{whose} ({', '.join(found)})")
        if refused:
            more = f" and {len(refused) - _MOST_NAMED} more" if len(refused) > _MOST_NAMED else ""
            log.warning(
                "jobs are refused because of variables that %s does not allow: %s%s. Remove these variables, or allow "
                "them in the configuration file",
                SETTING,
                ", ".join(refused[:_MOST_NAMED]),
                more,
            )

    def _scrub(self) -> None:
        """Remove the old copies of encrypted secrets from the database's file."""
        try:
            self._store.scrub()
        except StoreError as error:
            log.warning("secrets were encrypted, but their old copies may still be in the database's file: %s", error)


def _publish(session: Session, settings: Settings, former: Settings, by: str | None = None) -> None:
    """Store the settings that are in effect, and record in the timeline what has changed.

    Args:
        session: a writing transaction.
        settings: the settings that come into effect.
        former: the settings of this service until now.
        by: name of the requester; None if the configuration file was read.
    """
    before, after = runtime_values.get(session, runtime_values.SETTINGS), _shown(settings)
    if before:  # variables in it, and in events, may be secret now
        former_names, names = map(_secret_settings, (before, after))
        if former_names != names:
            encrypted_values.mask_events(session, settings.cipher)
        before[_SECTION] = _shown_ansible(before[_SECTION], settings)
    raw = _flat(former.model_dump(mode="json")), _flat(settings.model_dump(mode="json"))
    old, new = _flat(before), _flat(after)  # a version before may lack a setting
    changes = {
        name: [old[name], value]
        for name, value in new.items()
        if name in old and (value != old[name] or raw[0].get(name) != raw[1][name])
    }
    if before == after and not changes:
        return
    runtime_values.put(session, runtime_values.SETTINGS, after)
    if changes:
        cause, detail = Cause.USER if by else Cause.SERVICE, events.describe_changes(changes)
        happened = events.new(None, EventName.CONFIGURED, cause=cause, by=by, changes=changes, detail=detail)
        events.append(session, [happened])


def _secret_settings(shown: dict[str, Any]) -> list[Any]:
    """Return what decides, in settings as they are stored, which variables are secret."""
    declared = [
        name for each in shown.get("actions", {}).values() for name, var in each["vars"].items() if var["secret"]
    ]
    return [shown[_SECTION]["secret_pattern"], shown[_SECTION]["secret_vars"], declared]


def _flat(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings by `section.key`."""
    return {f"{section}.{key}": value for section, values in settings.items() for key, value in values.items()}


def _shown(settings: Settings) -> dict[str, Any]:
    """Return settings as they go over the wire, secrets redacted."""
    shown = settings.model_dump(mode="json")
    shown["store"]["url"] = split_password(shown["store"]["url"])[0]
    for action in shown["actions"].values():
        for name, var in action["vars"].items():
            var["default"] = MASK if settings.secret_names.hide(name, var["default"]) else var["default"]
    shown["serf"] = redact(shown["serf"])
    shown["telemetry"] = _shown_telemetry(shown["telemetry"])
    shown["notifications"]["webhooks"] = [_shown_webhook(webhook) for webhook in shown["notifications"]["webhooks"]]
    shown[_SECTION] = _shown_ansible(shown[_SECTION], settings)
    return shown


def _shown_ansible(ansible: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """Mask the secrets of the section `ansible`."""
    extra_vars = redact(json.loads(ansible["extra_variables"]), settings.secret_names)
    return {**ansible, "extra_variables": json.dumps(extra_vars)}


def _shown_telemetry(telemetry: dict[str, Any]) -> dict[str, Any]:
    """Mask the secrets of the section `telemetry`: headers, and a password in the URL."""
    return {
        **telemetry,
        "endpoint": redact_text(telemetry["endpoint"]),
        "headers": dict.fromkeys(telemetry["headers"], MASK),
    }


def _shown_webhook(webhook: dict[str, Any]) -> dict[str, Any]:
    """Mask a webhook's secrets. The path of its URL may be one: the path of a Slack webhook suffices to post."""
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
            pass  # the validation below gives the reason
        else:
            changes["extra_variables"] = json.dumps(restore(given, json.loads(ansible.extra_variables)))
    try:
        changed = AnsibleSettings.model_validate(ansible.model_dump() | changes)
    except ValidationError as error:
        reasons = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise BadRequest(f"the section ansible is not valid: {reasons}", ProblemCode.INVALID_CONFIGURATION) from None
    for name in AnsibleSettings.fixed_over_rest():
        if getattr(changed, name) != getattr(ansible, name):
            raise BadRequest(
                f"ansible.{name} can only be changed in the configuration file or the environment",
                ProblemCode.SETTING_FIXED,
            )
    return changed
