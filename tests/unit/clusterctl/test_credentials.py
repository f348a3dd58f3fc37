"""Where clusterctl finds its token."""

import os
from pathlib import Path

import pytest

from clusterctl import credentials as own
from clusterctl.errors import CannotWrite, Usage


def test_which_token_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = "http://127.0.0.1:9007"
    state, file = tmp_path / "state", tmp_path / "given"
    state.mkdir()
    (state / "token").write_text("local\n")
    file.write_text("given\n")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("CLUSTERM_MANAGER__STATE_DIR", str(state))
    monkeypatch.delenv("CLUSTERM_TOKEN", raising=False)

    def found(url: str = url, token_file: str | None = None) -> str | None:
        token = own.find(url, token_file)
        return token.text if token else None

    assert [found(f"http://{host}:9007") for host in ("localhost", "127.0.0.9", "[::1]")] == ["local"] * 3
    assert found("unix:/run/clusterm.sock") == "local"
    elsewhere = ("http://192.0.2.1:9007", "http://localhost.example.org", "https://127.0.0.1.example.org")
    assert [found(each) for each in elsewhere] == [None] * 3
    own.store(url, own.given("kept", "a test"))
    assert (found(), found("http://127.0.0.1:9008"), found("https://127.0.0.1:9007")) == ("kept", "local", "local")
    monkeypatch.setenv("CLUSTERM_TOKEN", "variable")
    assert found() == "variable"
    assert found(token_file=str(file)) == "given"


@pytest.mark.parametrize("content", ["", "\n", "two words", "x\x00y", "clusterm_\xfcber"])
def test_what_is_no_token_is_not_sent(tmp_path: Path, content: str) -> None:
    file = tmp_path / "token"
    file.write_text(content)
    with pytest.raises(Usage, match="there is no token in"):
        own.find("http://127.0.0.1:9007", str(file))


@pytest.mark.parametrize("content", ["{", "[]", '{"http://a": 1}', "\xff"])
def test_a_damaged_file_of_tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str) -> None:
    (tmp_path / "clusterm").mkdir()
    (tmp_path / "clusterm" / "tokens.json").write_text(content, "latin-1")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("CLUSTERM_TOKEN", raising=False)
    with pytest.raises(Usage, match="is damaged: remove it"):
        own.find("http://127.0.0.1:9007", None)


def test_a_user_without_a_home_directory_has_no_stored_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "CLUSTERM_TOKEN", "CLUSTERM_MANAGER__STATE_DIR"):
        monkeypatch.delenv(name, raising=False)
    for name in ("getuid", "geteuid"):
        monkeypatch.setattr(os, name, lambda: 54321)  # which no entry in /etc/passwd has
    assert own.find("http://127.0.0.1:9007", None) is None
    with pytest.raises(CannotWrite, match="this user has no home directory; set HOME"):
        own.store("http://127.0.0.1:9007", own.given("kept", "a test"))
