"""Tokens in the store: names, the local token, and the log of rejected requests."""

import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Self

import pytest

from clusterm.access import token_management, usage
from clusterm.access.authenticator import Authenticator
from clusterm.enums import TokenRole
from clusterm.errors import Conflict, Unauthorized
from clusterm.problem_codes import ProblemCode
from clusterm.settings import ManagerSettings
from clusterm.store import tokens as token_queries
from clusterm.store.engine import Store


def test_a_name_is_free_again_when_its_token_has_expired(store: Store) -> None:
    token_management.create(store, "ann", TokenRole.VIEWER, timedelta(microseconds=1))
    token_management.create(store, "ann", TokenRole.VIEWER, None)
    with pytest.raises(Conflict, match="clusterm token revoke ann"):
        token_management.create(store, "ann", TokenRole.VIEWER, None)
    assert [token.status for token in token_management.list_tokens(store)] == ["expired", "valid"]


def test_an_expired_token_stays_expired_when_the_clock_goes_back(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    token = token_management.create(store, "ann", TokenRole.VIEWER, timedelta(hours=1))
    other = token_management.create(store, "ben", TokenRole.VIEWER, timedelta(hours=9))
    authenticator = Authenticator(store, ManagerSettings)

    def clock_shows(hours: int) -> None:
        class Clock(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> Self:
                return super().now(tz) + timedelta(hours=hours)

        monkeypatch.setattr(token_queries, "datetime", Clock)
        monkeypatch.setattr(usage, "datetime", Clock)

    assert authenticator.authenticate(token, TokenRole.VIEWER).name == "ann"
    clock_shows(2)
    authenticator.usage.run()
    clock_shows(0)
    with pytest.raises(Unauthorized, match="the token ann is expired"):
        authenticator.authenticate(token, TokenRole.VIEWER)
    assert authenticator.authenticate(other, TokenRole.VIEWER).name == "ben"
    about = token_management.list_tokens(store)[0]
    assert (about.status, about.revoked_at) == ("expired", None)


def test_two_who_make_a_token_of_one_name_at_once(store: Store) -> None:
    def make(_: int) -> bool:
        try:
            token_management.create(store, "ann", TokenRole.VIEWER, None)
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(make, range(8))) == 1


def test_the_host_s_token_when_file_and_database_differ(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "token"

    def state() -> list[tuple[str, str]]:
        token_management.ensure_local_token(store, tmp_path)
        return [(token.role, token.status) for token in token_management.list_tokens(store)]

    assert state() == [("operator", "valid")]
    file.unlink()
    assert state() == [("operator", "revoked"), ("operator", "valid")]
    file.write_text("clusterm_of-another-database\n")
    assert state() == [("operator", "revoked"), ("operator", "revoked"), ("operator", "valid")]
    made = file.read_text()
    token_management.revoke(store, token_management.LOCAL)
    assert len(state()) == 3, "what somebody has revoked came back"
    assert file.read_text() == made
    assert "remove the file" in caplog.text
    file.write_text(token_management.create(store, token_management.LOCAL, TokenRole.VIEWER, None))
    assert state()[-1] == ("viewer", "valid"), "an operator's own choice is not respected"


def test_refusals_do_not_flood_the_log(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    recorder = Authenticator(store, ManagerSettings).usage
    refusal = Unauthorized("this token is not known here", ProblemCode.TOKEN_INVALID)
    with caplog.at_level(logging.INFO):
        for _ in range(1000):
            recorder.log_rejection(refusal, "GET /info/nodes", "192.0.2.1")
        recorder.log_rejection(refusal, "POST /globals", "192.0.2.2")
        for number in range(1000):
            recorder.log_rejection(refusal, "GET /info/nodes", f"198.51.100.{number}")
        assert len(caplog.messages) == 101
        assert caplog.messages[1] == "POST /globals from 192.0.2.2 was rejected: this token is not known here"
        recorder.start()
        recorder.stop()
        assert "1000 requests from 192.0.2.1 were rejected within a minute: this token is not known here" in (
            caplog.messages
        )
        assert len(caplog.messages) == 103
