"""Through which proxy a webhook is reached: the forms of the variables that curl and Go understand, too."""

import pytest

from clusterm.notifications import proxies


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http", "https", "all", "no"):
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name.upper()}_PROXY", raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")


@pytest.mark.parametrize(
    ("exempt", "host", "direct"),
    [
        ("localhost,[::1]", "[::1]", True),
        ("localhost,[::1]", "[::2]", False),
        ("localhost, ::1", "localhost:8443", True),
        ("fe80::/10", "[fe80::1]", True),
        ("[fe80::]/10", "[fe80::1]", True),
        ("fe80::/10", "[2001:db8::1]", False),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "10.example.org", False),
        ("10.0.0.0/8", "[::ffff:10.1.2.3]", True),
        ("10.0.0.0/99", "10.1.2.3", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3:8443", "10.1.2.3", False),
        ("10.1.2.3:8443", "10.1.2.3:8443", True),
        ("[::1]:443", "[::1]", True),
        ("[::1]:8443", "[::1]", False),
        ("example.org", "hooks.example.org", True),
        (".example.org", "hooks.example.org", True),
        ("*.example.org", "hooks.example.org.", True),
        ("EXAMPLE.org:443", "hooks.example.org", True),
        ("example.org", "badexample.org", False),
        ("*", "example.org", True),
        (" , .,*.,[,],:", "example.org", False),
    ],
)
def test_no_proxy(monkeypatch: pytest.MonkeyPatch, exempt: str, host: str, direct: bool) -> None:
    monkeypatch.setenv("no_proxy", exempt)
    assert proxies.proxy_for(f"https://{host}/hook") == (None if direct else "http://proxy:3128")


def test_which_variable_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    assert proxies.proxy_for("http://example.org/") is None
    monkeypatch.setenv("ALL_PROXY", "other:8080")
    assert proxies.proxy_for("http://example.org/") == "http://other:8080"
    assert proxies.proxy_for("https://example.org/") == "http://proxy:3128"
    monkeypatch.setenv("https_proxy", "https://lower/")
    assert proxies.proxy_for("https://example.org/") == "https://lower/"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("socks5://ann:canary@proxy:1080", "ALL_PROXY names a socks5 proxy, and only http and https ones can be used"),
        ("http://ann:canary@[bad", "ALL_PROXY is not the URL of a proxy"),
        ("http://", "ALL_PROXY is not the URL of a proxy"),
        ("proxy:port", "ALL_PROXY is not the URL of a proxy"),
    ],
)
def test_a_proxy_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch, value: str, reason: str) -> None:
    monkeypatch.setenv("ALL_PROXY", value)
    with pytest.raises(proxies.UnusableProxy) as raised:
        proxies.proxy_for("http://example.org/")
    assert str(raised.value) == reason


def test_networks_that_are_none_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "localhost,10.0.0.0/99,fe80::/10,a/b")
    assert proxies.invalid_exemptions() == ["10.0.0.0/99", "a/b"]
