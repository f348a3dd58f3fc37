"""`clusterm migrate`, `prune`, `check` and `restore`."""

from pathlib import Path
from typing import Annotated

import typer

from clusterm.cli.options import Config, open_store
from clusterm.settings import load


def migrate_command(config: Config = None) -> None:
    """Migrate the database to this version's schema. `serve` does this at its start.

    A copy of the database before the migration is kept beside it.
    """
    from clusterm.store.engine import Store  # noqa: PLC0415
    from clusterm.store.migration_copy import kept_copy  # noqa: PLC0415
    from clusterm.store.migrations import migrate  # noqa: PLC0415

    store = Store(load(config).store_url)
    came_from = migrate(store)
    store.close()
    typer.echo(f"{store.name}: " + (f"migrated from {came_from}" if came_from else "up to date"))
    if came_from and (copy := kept_copy(store, came_from)):
        typer.echo(f"{copy}: a copy from before the migration")


def prune_command(
    config: Config = None,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print which jobs would be deleted.")] = False,
) -> None:
    """Delete jobs and events beyond the retention settings. The running service does this every minute."""
    from clusterm.store.retention import prune, prune_events, surplus  # noqa: PLC0415

    with open_store(config) as (store, settings):
        if dry_run:
            with store.read() as session:
                jobs = iter(surplus(session, settings.retention))
        else:
            jobs = prune(store, settings.retention)
        for job in jobs:
            typer.echo(f"job {job.job_id}  {job.bytes} bytes of log  {job.reason}")
        if not dry_run and (count := prune_events(store, settings.retention)):
            typer.echo(f"{count} events")


def check_command(config: Config = None) -> None:
    """Check the database, logs, secrets and files for problems.

    Exits with 1 if there are any. Reads the whole database and changes nothing. The service may run meanwhile.
    """
    from clusterm.server.check import problems  # noqa: PLC0415

    with open_store(config) as (store, settings):
        found = 0
        for problem in problems(store, settings):
            typer.echo(problem)
            found += 1
        if found:
            raise typer.Exit(1)
        typer.echo(f"{store.name}: nothing is wrong")


def restore_command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Backup of the database.", show_default=False)],
    config: Config = None,
    *,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until running jobs have ended.")] = False,
    end_jobs: Annotated[bool, typer.Option("--end-jobs", help="End running jobs, with their playbooks.")] = False,
) -> None:
    """Replace the database by a backup, while the service is stopped.

    The backup is checked first. The former database is kept beside the new one, under another name.
    """
    from clusterm.server.restore import restore  # noqa: PLC0415

    kept = restore(load(config), file, wait=wait, end_jobs=end_jobs, report=lambda line: typer.echo(line, err=True))
    typer.echo("restored" + (f"; the former database is {kept}" if kept else ""))
