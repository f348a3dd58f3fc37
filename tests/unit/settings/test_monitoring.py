"""Settings of the sections monitor and serf."""

import pytest

from clusterm.settings import Settings


@pytest.mark.parametrize(
    ("serf", "monitor", "probes"),
    [("", {}, True), ("", {"probe": False}, False), ("h:1", {}, False), ("h:1", {"probe": True}, True)],
)
def test_it_is_on_where_serf_is_off(serf: str, monitor: dict[str, bool], probes: bool) -> None:
    assert Settings.model_validate({"serf": {"addr": serf}, "monitor": monitor}).probes is probes
