"""`clusterm migrate` and `clusterm prune`."""

from typing import Annotated

import typer

from clusterm.cli.options import Config, open_store
from clusterm.settings import load


def migrate_command(config: Config = None) -> None:
    """Bring the database to the form that this version needs. `serve` does so by itself."""
    from clusterm.store.engine import Store  # noqa: PLC0415
    from clusterm.store.migrations import migrate  # noqa: PLC0415

    store = Store(load(config).store_url)
    came_from = migrate(store)
    store.close()
    typer.echo(f"{store.path}: " + (f"brought to the newest form, from {came_from}" if came_from else "up to date"))


def prune_command(
    config: Config = None,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
) -> None:
    """Delete the jobs that the retention settings do not keep. The service does so by itself, every minute."""
    from clusterm.store.retention import prune, surplus  # noqa: PLC0415

    with open_store(config) as (store, settings):
        if dry_run:
            with store.read() as session:
                going = iter(surplus(session, settings.retention))
        else:
            going = prune(store, settings.retention)
        for job in going:
            typer.echo(f"job {job.job_id}  {job.bytes} bytes of log  {job.reason}")
