"""Settings of the section manager."""

import pytest
from pydantic import ValidationError

from clusterm.settings import ManagerSettings


@pytest.mark.parametrize(
    "addr", ["unix:", "unix:relative", "unix:/a\nb", "", ",", "localhost:1, localhost", "localhost:1, localhost:1"]
)
def test_addresses_of_no_socket(addr: str) -> None:
    with pytest.raises(ValidationError):
        ManagerSettings(addr=addr)


@pytest.mark.parametrize("addr", [["localhost:1", "unix:/run/c.sock"], "localhost:1, unix:/run/c.sock"])
def test_several_addresses(addr: str | list[str]) -> None:
    manager = ManagerSettings.model_validate({"addr": addr})
    assert manager.addresses == ["localhost:1", "unix:/run/c.sock"]
    assert manager.hosts == ["localhost"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("allowed_hosts", [value]) for value in ("", "http://a", "a:1", "a b", "*.", "**", "a/b")),
        *(("trusted_proxies", [value]) for value in ("", "proxy.lan", "10.0.0.1/8", "10.0.0.256")),
        *(("root_path", value) for value in ("clusterm", "//evil.example", "/a?b", "/a b", "/a//b")),
        *((key, 0) for key in ("keep_alive", "max_connections", "max_connections_per_address")),
    ],
)
def test_values_that_are_refused(key: str, value: object) -> None:
    with pytest.raises(ValidationError, match=key):
        ManagerSettings.model_validate({key: value})


def test_a_path_below_a_proxy_may_end_with_a_slash() -> None:
    assert ManagerSettings(root_path="/a/clusterm/").root_path == "/a/clusterm"
    assert ManagerSettings(root_path="/").root_path == ""
