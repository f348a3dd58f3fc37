"""The commands of the actions on nodes."""

from typing import Any

import pytest
import typer.main

from clusterctl.app import app
from clusterm.enums import Action

ON_NODES = sorted(set(Action) - {Action.DISCOVER})
TAKE_HOST_GROUP = {Action.COMMISSION, Action.UPDATE}
ROOT: Any = typer.main.get_command(app)


@pytest.mark.parametrize("noun", ["node", "nodes"])
@pytest.mark.parametrize("action", ON_NODES)
def test_every_action_on_nodes_has_a_command(action: Action, noun: str) -> None:
    command = ROOT.commands[noun].commands[action]

    assert command.help
    options = {option: parameter.name for parameter in command.params for option in parameter.opts}
    assert options["--in-group"] == "in_group"
    assert options["--host-group"] == ("host_group" if action in TAKE_HOST_GROUP else "in_group")


def test_the_action_on_addresses_has_a_command_of_its_own() -> None:
    assert Action.DISCOVER in ROOT.commands
