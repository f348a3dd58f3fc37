"""Checks everything that the service keeps: the database, logs, nodes and jobs, secrets, and files."""

import contextlib
from collections.abc import Iterator

from clusterm.server.state_files import open_to_others
from clusterm.settings import Settings
from clusterm.store import encrypted_values, integrity
from clusterm.store import jobs as job_queries
from clusterm.store.engine import Store
from clusterm.store.errors import StoreError


def problems(store: Store, settings: Settings) -> Iterator[str]:
    """Yield the problems that are found, one line each. It may be called while the service runs; it changes nothing.

    Args:
        store: the store.
        settings: the settings of the service.
    """
    yield from open_to_others(settings, store.file)
    try:
        if damage := integrity.damage(store):
            yield from (f"the database {store.name} is damaged: {text}" for text in damage)
            return  # what follows reads the same pages
        yield from integrity.changed_logs(store)
        with store.read() as session:
            yield from integrity.contradictions(session)
            yield from encrypted_values.undecipherable(session, settings.cipher)
            running = {str(job.id) for job in job_queries.running(session)}
    except StoreError as error:
        yield f"the database {store.name} cannot be read: {error}"
        return
    with contextlib.suppress(FileNotFoundError):
        for entry in sorted(settings.jobs_dir.iterdir()):
            if not entry.is_dir():
                yield f"{entry} is not the directory of a job"
            elif entry.name.isdigit() and entry.name not in running:
                yield f"{entry} is of a job that is not running"
