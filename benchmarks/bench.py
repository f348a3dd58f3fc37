"""Measure the speed of clusterm, compared with the same work done without it.

Takes ten minutes or more, and needs an idle machine.
"""

import argparse
import os
import platform
import signal
import sqlite3
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from importlib.metadata import version
from typing import Final, NoReturn

from measurements import (
    Finding,
    measure_ansible,
    measure_followers,
    measure_history,
    measure_large_cluster,
    measure_large_job,
    measure_long_log,
    measure_records,
)
from monitoring import measure_probe, measure_storm
from rich.console import Console
from rich.table import Table
from service import Broken

_MEASUREMENTS: Final = (
    measure_large_job,
    measure_ansible,
    measure_records,
    measure_followers,
    measure_long_log,
    measure_history,
    measure_large_cluster,
    measure_storm,
    measure_probe,
)
_PACKAGES: Final = ("clusterm", "ansible-core", "fastapi", "uvicorn", "sqlalchemy", "pydantic", "orjson")
_PIPE_WIDTH: Final = 1000  # columns when the output is not a terminal, so that rows are not wrapped


def main() -> int:
    """Run the measurements, print the findings, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--strict", action="store_true", help="exit with status 1 if a target is missed")
    names = [measure.__name__.removeprefix("measure_") for measure in _MEASUREMENTS]
    parser.add_argument("only", nargs="*", metavar="WHAT", help=f"measure only this: {', '.join(names)}")
    arguments = parser.parse_args()
    if unknown := set(arguments.only) - set(names):
        parser.error(f"there is no measurement called {', '.join(sorted(unknown))}; see --help")
    strict: bool = arguments.strict
    signal.signal(signal.SIGINT, _interrupt)
    signal.signal(signal.SIGTERM, _interrupt)
    before = os.getloadavg()[0]
    try:
        findings = list(_measure(arguments.only or names))
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except Broken as reason:
        print(f"bench: {reason}", file=sys.stderr)
        return 1
    console = Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH, highlight=False)
    console.print(_table(findings))
    console.print(f"\n{_environment()}; load {before:.1f} before, {os.getloadavg()[0]:.1f} after")
    return int(strict and not all(finding.reached for finding in findings))


def _measure(names: Collection[str]) -> Iterator[Finding]:
    """Yield all findings, and print each to stderr as soon as it is measured."""
    for measure in (one for one in _MEASUREMENTS if one.__name__.removeprefix("measure_") in names):
        with closing(measure()) as findings:
            for finding in findings:
                print(f"{finding.what}: {finding.measured}", file=sys.stderr, flush=True)
                yield finding


def _interrupt(*_: object) -> NoReturn:
    """Stop and clean up; further interrupts are ignored."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def _table(findings: Sequence[Finding]) -> Table:
    table = Table("WHAT", "MEASURED", "COMPARED WITH", "TARGET", "", box=None, pad_edge=False)
    for finding in findings:
        verdict = ("ok" if finding.reached else "[red]MISSED[/red]") if finding.target else ""
        table.add_row(finding.what, finding.measured, finding.compared, finding.target, verdict)
    return table


def _environment() -> str:
    packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    return (
        f"{os.cpu_count()} cores, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {packages}"
    )


if __name__ == "__main__":
    sys.exit(main())
