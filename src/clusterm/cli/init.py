"""`clusterm init`."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from clusterm.errors import StartupError


def init_command(
    directory: Annotated[
        Path | None,
        typer.Argument(
            metavar="DIRECTORY", help="Where to write configuration and playbooks. Default: the working directory."
        ),
    ] = None,
    *,
    systemd: Annotated[
        bool,
        typer.Option(
            "--systemd",
            help="Write below /etc, and also what systemd needs: unit, user and directories. DIRECTORY is / or the "
            "root of an image.",
        ),
    ] = False,
) -> None:
    """Write a configuration and playbooks to start from.

    The configuration has every setting as a comment, with its default. Files that exist are not changed: the command
    names them and writes nothing.
    """
    from clusterm.installation import writer  # noqa: PLC0415 -- reads every setting

    try:
        root = (directory or Path("/" if systemd else ".")).resolve()
    except OSError as error:
        raise StartupError(f"cannot use {directory}: {error.strerror}") from None
    wanted = writer.system_files(root) if systemd else writer.local_files(root)
    writer.write(wanted)
    for file in wanted:
        typer.echo(f"wrote {file}")
    typer.echo("")
    if not systemd:
        typer.echo(f"Start the service: clusterm serve --config {shlex.quote(str(root / 'clusterm.toml'))}")
        typer.echo("Add a machine:     clusterctl node add LABEL --addr ADDRESS")
        return
    typer.echo("Make the user and the directories, and start the service:")
    typer.echo("  systemd-sysusers clusterm.conf && systemd-tmpfiles --create clusterm.conf")
    typer.echo("  systemctl daemon-reload && systemctl enable --now clusterm")
