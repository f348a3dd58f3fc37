"""`clusterm serve`."""

from typing import Annotated

import typer

from clusterm.cli.options import Config
from clusterm.enums import LogFormat, LogLevel
from clusterm.settings import load


def serve_command(
    config: Config = None,
    *,
    log_format: Annotated[
        LogFormat | None, typer.Option(help="How to write the service's own log. Default: as manager.log_format says.")
    ] = None,
    log_level: Annotated[
        LogLevel | None,
        typer.Option(help="The least that is worth a line of it. Default: as manager.log_level says."),
    ] = None,
    echo_job_logs: Annotated[
        bool, typer.Option("--echo-job-logs", help="Write the lines of jobs to it, too, each with its job.")
    ] = False,
    insecure: Annotated[
        bool,
        typer.Option("--insecure", help='Allow manager.auth = "none" on an address that others can reach.'),
    ] = False,
) -> None:
    """Run the service. SIGHUP reads the configuration again; SIGTERM stops it, and leaves running playbooks alone.

    Without a configuration it listens on 127.0.0.1:9007, and keeps its state in /var/lib/clusterm if root runs it, else
    below the home directory.
    """
    from clusterm.server.serve import serve  # noqa: PLC0415 -- the other commands do without the whole service

    serve(
        load(config),
        config,
        log_format=log_format,
        log_level=log_level,
        echo_job_logs=echo_job_logs,
        insecure=insecure,
    )
