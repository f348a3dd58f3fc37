"""What version 1 of the API and its Python client have promised is still so.

At a release, scripts/promise_api.py adds what is new.
"""

import importlib
from types import ModuleType

import pytest
from support.documents import ROOT


@pytest.fixture
def promise_api(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, which is no part of a package."""
    monkeypatch.syspath_prepend(ROOT / "scripts")
    return importlib.import_module("promise_api")


def test_nothing_that_was_promised_is_gone_or_needs_more(promise_api: ModuleType) -> None:
    promised = set(promise_api.PROMISED.read_text().splitlines())
    present = promise_api.promises(promise_api.openapi())
    gone = {line for line in promised - present if not line.startswith("required ")}
    known = {line.split(":")[0].split()[1] for line in promised}
    demanded = {
        line for line in present - promised if line.startswith("required ") and line.split(":")[0].split()[1] in known
    }
    assert not gone | demanded, "clients depend on this; see docs/explanation/compatibility.md"


def test_the_python_client_is_promised(promise_api: ModuleType) -> None:
    assert {
        "client Client.__init__: argument url",
        "client Jobs.retry: argument failed_only",
        "client JobOptions: option extra_vars",
        "client Unavailable: is ProblemError",
        "required Nodes.rename: new",
    } <= promise_api.promises(promise_api.openapi())
