"""Runs a command: whatever happens, its end is an exit code and at most one line on stderr."""

import os
import signal
import sys
from io import TextIOWrapper

import typer

from clusterctl.app import app
from clusterctl.context import Context
from clusterctl.errors import ClusterctlError
from clusterctl.output.output import error, show


def run() -> int:
    """Run the command that the command line asks for, and return the exit code."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    context = Context()
    try:
        code = _command(context)
        sys.stdout.flush()
    except BrokenPipeError:
        _drop_output()
        code = 128 + signal.SIGPIPE
    except typer.TyperException as wrong:
        error(f"{wrong.format_message().rstrip('.')}; see: {_help_of(wrong)}")
        code = wrong.exit_code
    except ClusterctlError as end:
        error(str(end))
        code = end.exit_code
    except OSError as failure:
        _drop_output()
        error(f"cannot print the result: {failure.strerror}")
        code = 1
    except Exception as failure:  # noqa: BLE001 -- a traceback tells a person at a prompt nothing
        error(f"this should not happen, please report it: {type(failure).__name__}: {failure}")
        code = 1
    finally:
        context.close()
    return code


def _command(context: Context) -> int:
    result = app(prog_name="clusterctl", standalone_mode=False, obj=context)
    if isinstance(result, int):  # it was about help, or Ctrl-C came early
        return result
    for part in result:
        show(part, context.output, sys.stdout)
    return 0


def _help_of(wrong: typer.TyperException) -> str:
    ctx = getattr(wrong, "ctx", None)
    return f"{ctx.command_path if ctx else 'clusterctl'} --help"


def _drop_output() -> None:
    """Keep Python from trying again, at its exit, to write what nobody takes."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
