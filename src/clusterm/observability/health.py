"""Health checks of the service."""

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from clusterm.schemas import HealthCheck
from clusterm.settings import MIB, Settings
from clusterm.store.engine import Store
from clusterm.store.errors import StoreError


def check(
    store: Store,
    settings: Settings,
    *,
    ansible: str | None,
    monitors: Mapping[str, str | None],
    notifications: Sequence[str],
) -> dict[str, HealthCheck]:
    """Run all checks, and return their results by name. If a needed check fails, no job can run or be stored.

    Args:
        store: the store.
        settings: the present settings.
        ansible: the problem of ansible; None if it works.
        monitors: the problem of each monitor, by name; None if it works.
        notifications: the problems of webhooks.
    """
    state_dir, floor = settings.manager.state_dir, settings.manager.min_free_bytes
    needed = {
        "store": _of_store(store),
        "disk": _of_disk(state_dir, floor) or _of_disk(store.path.parent, floor),
        "ansible": ansible,
    }
    warnings = dict(monitors)
    if settings.notifications.webhooks:
        warnings["notifications"] = "; ".join(notifications) or None
    return {
        name: HealthCheck(ok=why is None, needed=name in needed, why=why)
        for name, why in {**needed, **warnings}.items()
    }


def is_ready(checks: dict[str, HealthCheck]) -> bool:
    """Return whether all needed checks have passed."""
    return all(each.ok or not each.needed for each in checks.values())


def reasons(checks: dict[str, HealthCheck], *, needed: bool) -> list[str]:
    """Return the problems of the needed checks, or those of the others."""
    return [str(each.why) for each in checks.values() if not each.ok and each.needed is needed]


def _of_store(store: Store) -> str | None:
    try:
        store.check_writable()
    except StoreError as error:
        return f"the store cannot be written: {error}"
    return None


def _of_disk(directory: Path, floor: int) -> str | None:
    try:
        free = shutil.disk_usage(directory).free
    except OSError as error:
        return f"the directory {directory} cannot be used: {error.strerror}"
    if not os.access(directory, os.W_OK):
        return f"the directory {directory} is not writable"
    if free < floor:
        return f"{free // MIB} MiB are free in {directory}, less than the {floor // MIB} of manager.min_free_bytes"
    return None
