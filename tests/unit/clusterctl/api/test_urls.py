"""URLs of services, as users give them."""

import pytest

from clusterctl.api.urls import parse_url
from clusterctl.errors import Usage


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://127.0.0.1:9007", "http://127.0.0.1:9007"),
        ("127.0.0.1:9107", "http://127.0.0.1:9107"),
        ("cluster_manager", "http://cluster_manager:9007"),
        ("[::1]:9107", "http://[::1]:9107"),
        ("[::1]", "http://[::1]:9007"),
        ("https://clusterm.example.org", "https://clusterm.example.org"),
        ("https://example.org:8443/clusterm/", "https://example.org:8443/clusterm"),
        ("HTTP://Example.org", "http://example.org"),
    ],
)
def test_a_url_may_leave_out_what_goes_without_saying(text: str, url: str) -> None:
    assert parse_url(text) == url


@pytest.mark.parametrize(
    "text",
    ["", ":9007", "http://", "ftp://host", "host:port", "host:99999", "::1", "[::1", "a b", "http://a b:1",
     "http://user:password@host", "http://host/?q=1", "http://host/#here", "//host", "host:9007:1", "ho\nst"],
)  # fmt: skip
def test_a_nonsense_url_is_refused(text: str) -> None:
    with pytest.raises(Usage, match="CLUSTERM_URL"):
        parse_url(text)
