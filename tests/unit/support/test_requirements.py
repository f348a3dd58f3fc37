"""Tests that need a program: skipped without the program, but not in CI."""

import shutil

import pytest
from support.requirements import path_of, requires


@pytest.mark.parametrize(("ci", "skipped"), [(None, True), ("true", False)])
def test_a_missing_program_skips_a_test_but_not_in_ci(
    monkeypatch: pytest.MonkeyPatch, ci: str | None, skipped: bool
) -> None:
    monkeypatch.delenv("CI", raising=False)
    if ci:
        monkeypatch.setenv("CI", ci)

    assert requires("sh", "no-such-program").args == (skipped,)
    assert requires("sh").args == (False,)


def test_the_path_of_a_program() -> None:
    assert path_of("sh") == shutil.which("sh")
    assert path_of("no-such-program") == "no-such-program"
