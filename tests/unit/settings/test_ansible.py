"""Settings of the section ansible."""

from typing import Any

import pytest
from pydantic import ValidationError

from clusterm.enums import HostKeyChecking
from clusterm.settings import AnsibleSettings


def test_a_switch_is_understood() -> None:
    for given, meant in {True: "accept-new", "false": "off", "strict": "strict"}.items():
        assert AnsibleSettings.model_validate({"host_key_checking": given}).host_key_checking == HostKeyChecking(meant)


@pytest.mark.parametrize(
    ("groups", "reason"),
    [
        ({}, "at least one host group has to be of masters"),
        ({"a": "worker"}, "at least one host group has to be of masters"),
        ({"a": "chief"}, "'master' or 'worker'"),
        (["a"], "valid dictionary"),
        *(({name: "master"}, "cannot be the name") for name in ("all", "ungrouped", "cluster-node", "", "a b", "a:b")),
        *(({name: "master"}, "cannot be the name") for name in ("!a", "1a", "x" * 65, "ä", "a\n", "a.b", "{{a}}")),
    ],
)
def test_groups_that_cannot_be_are_refused(groups: Any, reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        AnsibleSettings(host_groups=groups)
