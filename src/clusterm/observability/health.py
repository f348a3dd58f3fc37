"""Health checks of the service."""

import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from clusterm.common.background_task import TaskStatus
from clusterm.schemas import HealthCheck
from clusterm.settings import MIB, Settings
from clusterm.store.engine import Store
from clusterm.store.errors import StoreDamaged, StoreError

_MAX_FAILING_S: Final = 120.0
"""Seconds that a background task may fail, such as while the store is locked, before readiness reports it."""


def check(
    store: Store,
    settings: Settings,
    *,
    ansible: str | None,
    monitors: Mapping[str, str | None],
    notifications: Sequence[str],
    certificate: HealthCheck | None = None,
    tasks: Iterable[TaskStatus] = (),
) -> dict[str, HealthCheck]:
    """Run all checks, and return their results by name.

    If a needed check fails, no job can run or be stored, or no client can connect.

    Args:
        store: the store.
        settings: the present settings.
        ansible: the problem of ansible; None if it works.
        monitors: the problem of each monitor, by name; None if it works.
        notifications: the problems of webhooks.
        certificate: the check of the certificates; None without TLS.
        tasks: the background tasks.
    """
    state_dir, floor = settings.manager.state_dir, settings.manager.min_free_bytes
    needed = {
        "store": _of_store(store),
        "disk": _of_disk(state_dir, floor) or (store.file and _of_disk(store.file.parent, floor)) or None,
        "ansible": ansible,
    }
    warnings = {**monitors, "tasks": "; ".join(_failing(tasks)) or None}
    if settings.notifications.webhooks:
        warnings["notifications"] = "; ".join(notifications) or None
    found = {
        name: HealthCheck(ok=why is None, needed=name in needed, why=why)
        for name, why in {**needed, **warnings}.items()
    }
    return found if certificate is None else {**found, "certificate": certificate}


def is_ready(checks: dict[str, HealthCheck]) -> bool:
    """Return whether all needed checks have passed."""
    return all(each.ok or not each.needed for each in checks.values())


def reasons(checks: dict[str, HealthCheck], *, needed: bool) -> list[str]:
    """Return the problems of the needed checks, or those of the others."""
    return [str(each.why) for each in checks.values() if not each.ok and each.needed is needed]


def _of_store(store: Store) -> str | None:
    try:
        store.check_writable()
    except StoreDamaged as error:
        return f"the database is damaged: {error}; run clusterm check"
    except StoreError as error:
        return f"the store cannot be written: {error}"
    return None


def _failing(tasks: Iterable[TaskStatus]) -> Iterator[str]:
    """Yield the tasks that have failed for long."""
    for task in tasks:
        failing_for = 0.0 if task.failing_since is None else time.monotonic() - task.failing_since
        if failing_for > _MAX_FAILING_S:
            yield f"the background task {task.name} has failed for {failing_for / 60:.0f} min: {task.last_error}"


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
