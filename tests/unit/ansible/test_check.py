"""The check whether ansible can be run, when no thread can be started for it."""

import sys
import threading

import pytest
from support.service import wait_for

from clusterm.ansible import check
from clusterm.ansible.check import AnsibleCheck


def refuse(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_a_thread_that_cannot_be_started_is_a_problem_until_one_can() -> None:
    checked = AnsibleCheck()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        for _ in range(2):
            assert checked.problem(sys.executable) == f"{sys.executable} cannot be checked: no thread can be started"
    wait_for(lambda: checked.problem(sys.executable) is None, "the check")


def test_a_check_that_fails_unexpectedly_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: str) -> str | None:
        raise ValueError

    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    monkeypatch.setattr(check, "_FAILURE_CACHE_S", 0.0)
    checked = AnsibleCheck()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(check, "_run", fail)
        assert checked.problem(sys.executable) == f"{sys.executable} could not be checked"
    wait_for(lambda: checked.problem(sys.executable) is None, "the next check")
