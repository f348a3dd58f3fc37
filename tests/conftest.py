"""Fixtures: an empty store, and services; and the order and the markers of all tests."""

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from hypothesis import settings
from support.databases import empty_database
from support.service import Clusterm

from clusterm.store.engine import Store

LAYERS: Final = ("cli", "ansible", "differential", "system", "jobs", "api", "store", "docs", "unit")
"""The folders of the tests, which are also their markers, in the order in which several workers begin them.

The slowest come first, so that at the end no worker runs a long module while the others have nothing to do.
"""

_SHARED_MEMORY: Final = Path("/dev/shm")
_ROOM_BYTES: Final = 4 * 1024**3

settings.register_profile("unhurried", deadline=None)  # the machine may be busy
settings.load_profile("unhurried")


def _keep_files_in_memory() -> None:
    """Put the temporary directories into memory, where that has room and may hold programs.

    A commit waits until the disk has its pages, which on a busy machine takes longer than most tests.
    """
    if not _SHARED_MEMORY.is_dir() or not os.access(_SHARED_MEMORY, os.W_OK):
        return
    file_system = os.statvfs(_SHARED_MEMORY)
    may_execute = not file_system.f_flag & os.ST_NOEXEC
    if may_execute and file_system.f_bavail * file_system.f_frsize >= _ROOM_BYTES:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_SHARED_MEMORY))


_keep_files_in_memory()
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # else each of hundreds of processes would compile all of clusterm
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in a background job of a shell; processes would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test by its folder, and order the tests for several workers."""
    folder = Path(__file__).parent
    layers = {item: item.path.relative_to(folder).parts[0] for item in items}
    for item, layer in layers.items():
        item.add_marker(layer)
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=lambda item: LAYERS.index(layers[item]))


@pytest.fixture(scope="session")
def migrated_database() -> Path:
    """The file of an empty migrated database, to copy."""
    return empty_database()


@pytest.fixture
def store(migrated_database: Path, tmp_path: Path) -> Iterator[Store]:
    """An empty store that no service uses."""
    store = Store(f"sqlite:///{shutil.copy(migrated_database, tmp_path)}")
    yield store
    store.close()


@pytest.fixture
def new_clusterm(tmp_path: Path) -> Iterator[Clusterm]:
    """A service that is not started yet, for tests that configure it first."""
    clusterm = Clusterm(tmp_path / "clusterm")
    yield clusterm
    clusterm.destroy()


@pytest.fixture
def clusterm(new_clusterm: Clusterm) -> Clusterm:
    """A running service."""
    return new_clusterm.start()


@pytest.fixture(scope="module")
def module_clusterm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clusterm]:
    """A service that is not started yet, for a module whose tests do not disturb each other."""
    clusterm = Clusterm(tmp_path_factory.mktemp("module") / "clusterm")
    yield clusterm
    clusterm.destroy()
