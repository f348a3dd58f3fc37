"""Fixtures: an empty store, and a clusterm of a test's own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from support.service import Clusterm

from clusterm.store.engine import Store
from clusterm.store.migrations import migrate

settings.register_profile("unhurried", deadline=None)  # the machine may be busy
settings.load_profile("unhurried")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store that no service uses."""
    store = Store(f"sqlite:///{tmp_path / 'clusterm.db'}")
    migrate(store)
    yield store
    store.close()


@pytest.fixture
def new_clusterm(tmp_path: Path) -> Iterator[Clusterm]:
    """A clusterm that is not started yet, for tests that set it up first."""
    clusterm = Clusterm(tmp_path / "clusterm")
    yield clusterm
    clusterm.destroy()


@pytest.fixture
def clusterm(new_clusterm: Clusterm) -> Clusterm:
    """A running clusterm."""
    return new_clusterm.start()


@pytest.fixture(scope="module")
def module_clusterm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clusterm]:
    """A clusterm that is not started yet, for a module whose tests do not disturb each other."""
    clusterm = Clusterm(tmp_path_factory.mktemp("module") / "clusterm")
    yield clusterm
    clusterm.destroy()
