"""The help texts of both programs."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

import clusterctl.app
import clusterm.cli.main

APPS = {"clusterctl": clusterctl.app.app, "clusterm": clusterm.cli.main.cli}


def groups(command: Any, path: str) -> Iterator[str]:
    if hasattr(command, "commands"):
        yield path
        for name, below in command.commands.items():
            yield from groups(below, f"{path} {name}")


GROUPS = [path for name, app in APPS.items() for path in groups(typer.main.get_command(app), name)]


@pytest.mark.parametrize("path", GROUPS)
def test_every_summary_fits_into_its_column(path: str) -> None:
    program, *arguments = path.split()
    shown = CliRunner().invoke(APPS[program], [*arguments, "--help"], env={"COLUMNS": "80"}).stdout
    listed = shown.partition("\nCommands:\n")[2].partition("\n\n")[0]

    rows = re.findall(r"^  (\S+)  +(.+)$", listed, re.MULTILINE)
    assert len(rows) == len(listed.splitlines()) > 1
    assert [name for name, summary in rows if not summary.endswith(".") or summary.endswith("...")] == []
