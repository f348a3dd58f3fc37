"""`clusterm drain` and `clusterm undrain`."""

import time
from typing import Annotated

import typer

from clusterm.cli.options import Config, local_user, open_store


def drain_command(
    config: Config = None,
    *,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until all running jobs have ended.")] = False,
) -> None:
    """Refuse new jobs until `clusterm undrain`.

    Requests for jobs are refused with 503; queued jobs wait; running jobs continue.
    """
    from clusterm.jobs.drain import drain  # noqa: PLC0415

    with open_store(config) as (store, _):
        running = drain(store, drained=True, by=local_user()).running
        while wait and running:
            time.sleep(1)
            running = drain(store, drained=True, by=local_user()).running
    typer.echo("drained" + (f"; still running: job {', '.join(map(str, running))}" if running else ""))


def undrain_command(config: Config = None) -> None:
    """Accept new jobs again after `clusterm drain`."""
    from clusterm.jobs.drain import drain  # noqa: PLC0415

    with open_store(config) as (store, _):
        drain(store, drained=False, by=local_user())
    typer.echo("new jobs are accepted again")
