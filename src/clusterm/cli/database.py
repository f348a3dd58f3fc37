"""`clusterm migrate` and `clusterm prune`."""

from typing import Annotated

import typer

from clusterm.cli.options import Config, open_store
from clusterm.settings import load


def migrate_command(config: Config = None) -> None:
    """Migrate the database to this version's schema. `serve` does this at its start."""
    from clusterm.store.engine import Store  # noqa: PLC0415
    from clusterm.store.migrations import migrate  # noqa: PLC0415

    store = Store(load(config).store_url)
    came_from = migrate(store)
    store.close()
    typer.echo(f"{store.path}: " + (f"migrated from {came_from}" if came_from else "up to date"))


def prune_command(
    config: Config = None,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print which jobs would be deleted.")] = False,
) -> None:
    """Delete jobs beyond the retention settings. The running service does this every minute."""
    from clusterm.store.retention import prune, surplus  # noqa: PLC0415

    with open_store(config) as (store, settings):
        if dry_run:
            with store.read() as session:
                jobs = iter(surplus(session, settings.retention))
        else:
            jobs = prune(store, settings.retention)
        for job in jobs:
            typer.echo(f"job {job.job_id}  {job.bytes} bytes of log  {job.reason}")
