"""Runs a command, and turns each of its errors into an exit code and one line on stderr."""

import os
import signal
import sys
from io import TextIOWrapper

import typer

from clusterctl.app import app
from clusterctl.context import Context
from clusterctl.errors import ClusterctlError
from clusterctl.output.output import error, note, print_result
from clusterm.common.lean_imports import leave_out_httpx_command_line


def run() -> int:
    """Run the command of the command line, and return its exit code."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    leave_out_httpx_command_line()
    context = Context()
    try:
        code = _command(context)
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = 128 + signal.SIGINT
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
    except Exception as failure:  # noqa: BLE001 -- users cannot act on a traceback
        error(f"internal error, please report it: {type(failure).__name__}: {failure}")
        code = 1
    finally:
        context.close()
    if code == 128 + signal.SIGINT and context.parting:
        note(context.parting)
    return code


def _command(context: Context) -> int:
    try:
        result = app(prog_name="clusterctl", standalone_mode=False, obj=context)
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):  # Typer exits with 1 then
            raise end.__context__ from None
        raise
    if isinstance(result, int):  # the exit code of --help, --version or Ctrl-C
        return result
    print_result(result, context.output, sys.stdout)
    return 0


def _help_of(wrong: typer.TyperException) -> str:
    ctx = getattr(wrong, "ctx", None)
    return f"{ctx.command_path if ctx else 'clusterctl'} --help"


def _drop_output() -> None:
    """Redirect stdout to /dev/null, or Python fails again when it flushes stdout at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
