"""`clusterm serve`."""

import signal
from typing import Annotated

import typer

from clusterm.cli.options import Config
from clusterm.common.lean_imports import leave_out_httpx_command_line
from clusterm.enums import LogFormat, LogLevel
from clusterm.settings import load


def serve_command(
    config: Config = None,
    *,
    log_format: Annotated[
        LogFormat | None, typer.Option(help="Format of the service's log. Default: manager.log_format.")
    ] = None,
    log_level: Annotated[
        LogLevel | None,
        typer.Option(help="Minimum level of messages in the service's log. Default: manager.log_level."),
    ] = None,
    echo_job_logs: Annotated[
        bool,
        typer.Option(
            "--echo-job-logs", help="Write the log lines of jobs to the service's log, too, each with its job."
        ),
    ] = False,
    insecure: Annotated[
        bool,
        typer.Option("--insecure", help='Allow manager.auth = "none" on an address that other machines can reach.'),
    ] = False,
    new_database: Annotated[
        bool,
        typer.Option("--new-database", help="Create an empty database in place of one that is missing."),
    ] = False,
) -> None:
    """Run the service.

    SIGHUP reloads the configuration; SIGTERM stops the service, and does not stop running playbooks. By default the
    service listens on 127.0.0.1:9007, and keeps its state in /var/lib/clusterm if it runs as root, else below the home
    directory.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})  # until the service can reload

    leave_out_httpx_command_line()
    from clusterm.server.serve import serve  # noqa: PLC0415 -- the other commands do not need the whole service

    serve(
        load(config),
        config,
        log_format=log_format,
        log_level=log_level,
        echo_job_logs=echo_job_logs,
        insecure=insecure,
        new_database=new_database,
    )
