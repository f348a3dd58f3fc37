"""Fixtures: an empty store, and services; and the order and the markers of all tests."""

import contextlib
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from hypothesis import settings
from support.databases import empty_database
from support.postgresql import PostgresqlServer, begin_session, end_session, needs_postgresql, shared_server
from support.service import Clusterm

from clusterm.store.engine import Store
from clusterm.store.migrations import migrate

LAYERS: Final = ("cli", "ansible", "differential", "system", "jobs", "api", "store", "docs", "unit")
"""The folders of the tests, which are also their markers, in the order in which several workers begin them.

The slowest come first, so that at the end no worker runs a long module while the others have nothing to do.
"""

STORES: Final = ("sqlite", "postgresql")
"""The databases; the first one is the default."""

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


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that selects the database."""
    parser.addoption("--store", choices=STORES, help="run each test with this database alone")


def pytest_configure(config: pytest.Config) -> None:
    """Reserve the directory of a PostgreSQL server for the workers of this run."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        begin_session()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop that server."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        end_session()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the tests of the store, and those marked with `both_stores`, with each database; others with SQLite."""
    if "store_kind" not in metafunc.fixturenames:
        return
    own = metafunc.definition.get_closest_marker("sqlite_only")
    both = metafunc.definition.get_closest_marker("both_stores") or "store" in metafunc.definition.path.parts
    kinds = STORES if both and not own else STORES[:1]
    if (chosen := metafunc.config.getoption("store")) and not own:
        kinds = (chosen,)
    marked = [pytest.param(kind, marks=needs_postgresql if kind == "postgresql" else ()) for kind in kinds]
    if len(marked) > 1 or chosen:
        metafunc.parametrize("store_kind", marked, scope="session")


@pytest.fixture(scope="session")
def store_kind() -> str:
    """The kind of the database: `sqlite` or `postgresql`."""
    return STORES[0]


@pytest.fixture(scope="session")
def postgresql() -> PostgresqlServer:
    """The server of the tests."""
    return shared_server()


@pytest.fixture(scope="session")
def migrated_template(postgresql: PostgresqlServer) -> Iterator[str]:
    """The name of an empty migrated database, to copy."""
    name = postgresql.create_database()
    store = Store(postgresql.url(name))
    migrate(store)
    store.close()
    yield name
    postgresql.drop_database(name)


@pytest.fixture(scope="session")
def migrated_database() -> Path:
    """The file of an empty migrated database, to copy."""
    return empty_database()


@pytest.fixture
def store_url(store_kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty migrated database."""
    if store_kind == "sqlite":
        yield f"sqlite:///{shutil.copy(request.getfixturevalue('migrated_database'), tmp_path)}"
        return
    server: PostgresqlServer = request.getfixturevalue("postgresql")
    name = server.create_database(request.getfixturevalue("migrated_template"))
    yield server.url(name)
    server.drop_database(name)


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """An empty store that no service uses."""
    store = Store(store_url)
    yield store
    store.close()


@contextlib.contextmanager
def _service(root: Path, store_kind: str, request: pytest.FixtureRequest) -> Iterator[Clusterm]:
    clusterm = Clusterm(root)
    if store_kind == "sqlite":
        yield clusterm
        clusterm.destroy()
        return
    server: PostgresqlServer = request.getfixturevalue("postgresql")
    name = server.create_database(request.getfixturevalue("migrated_template"))
    clusterm.config["store"] = {"url": server.url(name)}
    yield clusterm
    clusterm.destroy()
    server.drop_database(name)


@pytest.fixture
def new_clusterm(tmp_path: Path, store_kind: str, request: pytest.FixtureRequest) -> Iterator[Clusterm]:
    """A service that is not started yet, for tests that configure it first."""
    with _service(tmp_path / "clusterm", store_kind, request) as clusterm:
        yield clusterm


@pytest.fixture
def clusterm(new_clusterm: Clusterm) -> Clusterm:
    """A running service."""
    return new_clusterm.start()


@pytest.fixture(scope="module")
def module_clusterm(
    tmp_path_factory: pytest.TempPathFactory, store_kind: str, request: pytest.FixtureRequest
) -> Iterator[Clusterm]:
    """A service that is not started yet, for a module whose tests do not disturb each other."""
    with _service(tmp_path_factory.mktemp("module") / "clusterm", store_kind, request) as clusterm:
        yield clusterm
