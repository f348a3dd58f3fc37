"""`clusterm drain` and `clusterm undrain`."""

import time
from typing import Annotated

import typer

from clusterm.cli.options import Config, open_store


def drain_command(
    config: Config = None,
    *,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until no job runs any more.")] = False,
) -> None:
    """Take no new jobs until `clusterm undrain`: they are refused with 503, and queued ones wait."""
    from clusterm.jobs.drain import drain  # noqa: PLC0415

    with open_store(config) as (store, _):
        running = drain(store, drained=True).running
        while wait and running:
            time.sleep(1)
            running = drain(store, drained=True).running
    typer.echo("drained" + (f"; still running: job {', '.join(map(str, running))}" if running else ""))


def undrain_command(config: Config = None) -> None:
    """Take new jobs again."""
    from clusterm.jobs.drain import drain  # noqa: PLC0415

    with open_store(config) as (store, _):
        drain(store, drained=False)
    typer.echo("new jobs are taken again")
