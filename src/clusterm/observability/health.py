"""What the service needs for its work, and whether it has it."""

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
    """Look at everything, by name. Without what is needed no job can run or be kept; all else are warnings.

    Args:
        store: the store.
        settings: the configuration as it is now.
        ansible: what is wrong with ansible.
        monitors: by name, what is wrong with each monitor.
        notifications: what is wrong with webhooks.
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
    """Tell whether all is there that is needed."""
    return all(each.ok or not each.needed for each in checks.values())


def reasons(checks: dict[str, HealthCheck], *, needed: bool) -> list[str]:
    """Return what is wrong with what is needed, or with the rest."""
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
