"""PostgreSQL: everything that it does in another way than SQLite."""

import json
import os
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import URL, Column, Connection, Engine, create_engine, event, inspect, text, types
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql import base
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.schema import CreateIndex

from clusterm.common.database_url import NAME as SCHEME
from clusterm.common.database_url import PASSWORD_VARIABLE, shown, split_password
from clusterm.errors import StoreUnusable
from clusterm.store.errors import StoreError, StoreUnavailable

if TYPE_CHECKING:
    import psycopg

EXTRA: Final = "clusterm[postgresql]"

_MIN_VERSION: Final = 13

_LOCK_CLASS: Final = 0x636C7573  # "clus"
"""First key of clusterm's advisory locks. The second one is a hash of the schema, of which one server can have many."""

_BEGIN_READ: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"

_BEGIN_WRITE: Final = (
    "BEGIN ISOLATION LEVEL READ COMMITTED; "
    f"SELECT pg_advisory_xact_lock({_LOCK_CLASS}, hashtext(current_database() || '/' || current_schema()))"
)
"""Begins a transaction that holds the lock of the writers.

Under REPEATABLE READ, the snapshot would be taken before the lock is, so that it would lack the last change.
"""

_SERVICE_LOCK: Final = (
    f"SELECT pg_try_advisory_lock({_LOCK_CLASS}, hashtext(current_database() || '//' || current_schema()))"
)

_POOL_SIZE: Final = 10
_RECYCLE_S: Final = 1800

_OPTIONS: Final = {
    "timezone": "UTC",
    "lock_timeout": "4s",  # shorter than the time that the service has to stop
    "idle_in_transaction_session_timeout": "30s",  # a process that stands still does not hold the lock for longer
    "tcp_keepalives_idle": "5",  # the server soon notices that this machine is gone, and releases its locks
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
}
"""Parameters of each session."""

_CONNECTION: Final = {
    "connect_timeout": "5",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
    "target_session_attrs": "read-write",  # of several servers, and after a failover
    "client_encoding": "UTF8",
}
"""Parameters of each connection, unless the URL has them."""

_TRANSIENT: Final = re.compile(r"08|40|53|57(P0|014)|58|55P03|25006|25P03")
"""SQLSTATEs, or their beginnings, of errors after which a retry may succeed: the server is away or busy, has no room,
has been made read-only by a failover, or has ended a transaction that took too long."""

_SPOILED: Final = re.compile(r"25006|57P0")
"""SQLSTATEs after which the connection is not used again."""

_DAMAGE: Final = frozenset({"XX001", "XX002"})

_WITH_VALUES: Final = "22"
"""Class of the SQLSTATEs whose messages contain values."""


class _Types(base.PGTypeCompiler):
    """Types of columns that hold what SQLite's hold: integers of 64 bits, and times with their zone."""

    def visit_INTEGER(self, type_: Any, **options: Any) -> str:  # noqa: ARG002, N802 -- SQLAlchemy calls it
        return "BIGINT"

    def visit_TIMESTAMP(self, type_: Any, **options: Any) -> str:  # noqa: ARG002, N802
        return "TIMESTAMP WITH TIME ZONE"


class _Definitions(base.PGDDLCompiler):
    """Definitions of tables and indexes from the same source as SQLite's."""

    def get_column_specification(self, column: Column[Any], **options: Any) -> str:
        """Return a column: ids of 64 bits, and texts in the order of their bytes, whatever the server's locale is."""
        found: str = super().get_column_specification(column, **options)  # type: ignore[no-untyped-call]
        found = found.replace(" SERIAL", " BIGSERIAL", 1)
        kind = column.type.dialect_impl(self.dialect)
        kind = kind.impl if isinstance(kind, types.TypeDecorator) else kind  # type: ignore[assignment]
        return f'{found} COLLATE "C"' if isinstance(kind, types.String) else found

    def visit_create_index(self, create: CreateIndex, **options: Any) -> str:  # type: ignore[override]
        """Return an index. Without the condition of a partial one, it would silently be unique for all rows."""
        given = create.element.dialect_options
        if given["postgresql"]["where"] is None:
            given["postgresql"]["where"] = given["sqlite"]["where"]
        return str(super().visit_create_index(create, **options))  # type: ignore[no-untyped-call]


class _Text(types.String):
    """Texts, in which a server takes no NUL; log lines have the same text in its place."""

    render_bind_cast = True

    def bind_processor(self, dialect: Any) -> Callable[[Any], Any]:  # noqa: ARG002
        """Return the function that prepares a value for a statement."""

        def process(value: Any) -> Any:
            return value.replace("\0", "\\x00") if isinstance(value, str) and "\0" in value else value

        return process


class _Integer(types.Integer):
    """Integers, without a cast in statements: psycopg sends the smallest type that holds the value."""


class ClustermDialect(PGDialect_psycopg):
    """SQLAlchemy's dialect for psycopg, for tables that SQLite has as well."""

    supports_statement_cache = True
    type_compiler_cls = _Types
    ddl_compiler = _Definitions
    colspecs = PGDialect_psycopg.colspecs | {types.String: _Text, types.Integer: _Integer}


registry.register("postgresql.clusterm", __name__, "ClustermDialect")


def is_transient(error: BaseException) -> bool:
    """Return whether an operation that failed with a driver's error may succeed later."""
    state = getattr(error, "sqlstate", None)
    if state is None:  # psycopg has none of a connection that could not be opened, or is lost
        return type(error).__name__ in {"OperationalError", "InterfaceError", "ConnectionTimeout"}
    return _TRANSIENT.match(state) is not None


def is_damage(error: BaseException) -> bool:
    """Return whether a driver's error says that the database is damaged."""
    return getattr(error, "sqlstate", None) in _DAMAGE


def message(error: BaseException) -> str:
    """Return the text of a driver's error in one line, without the values of statements."""
    state = getattr(error, "sqlstate", None)
    if state is not None and state.startswith(_WITH_VALUES):
        return f"{type(error).__name__} ({state})"
    primary = getattr(getattr(error, "diag", None), "message_primary", None)
    return primary or next(iter(str(error).splitlines()), "") or type(error).__name__


class PostgresqlDatabase:
    """A database on a PostgreSQL server.

    Args:
        url: a URL as libpq takes it, with any of libpq's parameters.
        application: how the server's views name the process.

    Raises:
        StoreUnusable: the driver is not installed.
    """

    file: Path | None = None

    def __init__(self, url: str, application: str = "clusterm") -> None:
        try:
            import psycopg  # noqa: PLC0415 -- an extra
        except ImportError:
            raise StoreUnusable(
                f"store.url names a PostgreSQL database, and its driver is not installed: pip install '{EXTRA}'"
            ) from None
        self.name = shown(url)
        self._connect_to = psycopg.connect
        self._driver_error = psycopg.Error
        self._locking = threading.Lock()
        self._lock_holder: psycopg.Connection[Any] | None = None
        self._url, self._password = split_password(url)
        self._application = application
        self._version: str | None = None

    def make_engine(self) -> Engine:
        """Return an engine, which opens connections when they are needed."""
        engine = create_engine(
            URL.create(f"{SCHEME}+clusterm"),
            hide_parameters=True,
            json_serializer=_to_json,
            use_native_hstore=False,
            pool_pre_ping=True,  # after a restart of the server, no transaction fails on an old connection
            pool_size=_POOL_SIZE,
            pool_recycle=_RECYCLE_S,
        )
        event.listen(engine, "do_connect", lambda _, __, ___, given: self._connect(given.get("context")))
        event.listen(engine, "handle_error", _replace_spoiled_connection)
        return engine

    def begin(self, connection: Connection, *, writes: bool) -> None:
        """Begin a transaction, in one exchange with the server."""
        connection.exec_driver_sql(_BEGIN_WRITE if writes else _BEGIN_READ)

    def check_identity(self) -> None:
        """Do nothing: each connection is to what the URL names."""

    def lock_service(self) -> None:
        """Hold the lock of the service until this process ends; get it again if the connection was lost.

        Raises:
            StoreError: another service holds it, or the server cannot be used.
        """
        with self._locking:
            try:
                if self._lock_holder is not None:
                    self._lock_holder.execute("SELECT 1")
                    return
            except self._driver_error:
                self._lock_holder = None  # the server has released the lock with the connection
            try:
                holder = self._connect(None)
                (is_ours,) = holder.execute(_SERVICE_LOCK).fetchone() or (False,)
            except self._driver_error as error:
                raise StoreUnavailable(message(error)) from error
            if not is_ours:
                holder.close()
                raise StoreError(f"another clusterm is running on the database {self.name}")
            self._lock_holder = holder

    def create(self, engine: Engine) -> None:
        """Check that the database, which an administrator creates, can hold the tables.

        Raises:
            StoreUnusable: it cannot.
        """
        with engine.connect() as connection:
            version, encoding, schema = connection.execute(
                text(
                    "SELECT current_setting('server_version_num')::int, current_setting('server_encoding'), "
                    "current_schema()"
                )
            ).one()
            if version < _MIN_VERSION * 10000:
                raise StoreUnusable(f"the database {self.name} is of PostgreSQL {version // 10000}: use 13 or newer")
            if encoding != "UTF8":
                raise StoreUnusable(
                    f"the database {self.name} has the encoding {encoding}: create one with ENCODING 'UTF8' "
                    "TEMPLATE template0"
                )
            if schema is None:
                raise StoreUnusable(
                    f"the database {self.name} has no schema of the search_path: create one, or set the search_path "
                    "of the user"
                )
            found = set(inspect(connection).get_table_names())
            if found and "alembic_version" not in found:
                raise StoreUnusable(
                    f"the schema {schema} of the database {self.name} has tables of another program: give clusterm a "
                    "database of its own"
                )

    def test_write(self, connection: Connection) -> None:
        """Let the server assign an id to the transaction, which a standby and a read-only transaction refuse."""
        connection.exec_driver_sql("SELECT pg_current_xact_id()")

    def begin_migration(self, connection: Connection) -> None:
        """Disable the timeouts in this transaction."""
        connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL statement_timeout = 0")

    def reclaim_space(self, engine: Engine) -> None:
        """Do nothing: the server's autovacuum does it."""

    def scrub(self, engine: Engine) -> None:  # noqa: ARG002
        """Refuse: replaced rows remain until a vacuum, and in WAL, standbys and backups for longer.

        Raises:
            StoreError: always.
        """
        raise StoreError("a server keeps replaced rows until a vacuum, and in its WAL, standbys and backups")

    def problems(self) -> list[str]:
        """Return nothing: the server checks references, and its administrator pages and indexes, with pg_amcheck."""
        return []

    def size(self, engine: Engine) -> int:
        """Return its size in bytes."""
        with engine.connect() as connection:
            return int(connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one())

    def server_version(self, engine: Engine) -> str | None:
        """Return the version of the server."""
        with engine.connect() as connection:
            found = connection.execute(text("SELECT current_setting('server_version')")).scalar_one()
        return str(found).split()[0]

    def _connect(self, context: Any) -> "psycopg.Connection[Any]":
        if context is not None:
            context.adapters.register_loader("numeric", _integer_loader())
        password = self._password or os.environ.get(PASSWORD_VARIABLE)
        given: dict[str, Any] = {name: value for name, value in _CONNECTION.items() if f"{name}=" not in self._url}
        if password:
            given["password"] = password
        return self._connect_to(
            self._url,
            autocommit=True,  # transactions begin with the statement of `begin`
            prepare_threshold=None,  # a pooler in between may not know the statements, and a migration changes tables
            context=context,
            application_name=self._application,
            options=" ".join(f"-c {name}={value}" for name, value in _OPTIONS.items()),
            **given,
        )


def _replace_spoiled_connection(context: ExceptionContext) -> None:
    state = getattr(context.original_exception, "sqlstate", None)
    if state is not None and _SPOILED.match(state):
        context.is_disconnect = True


def _integer_loader() -> Any:
    """Return the loader of sums of integers, which PostgreSQL calculates as decimal numbers."""
    from psycopg.adapt import Loader  # noqa: PLC0415

    class IntegerLoader(Loader):
        def load(self, data: Any) -> int | float:
            value = bytes(data)
            return int(value) if value.lstrip(b"-").isdigit() else float(value)

    return IntegerLoader


def _to_json(value: Any) -> str:
    """Return JSON without NUL and half characters, in which PostgreSQL would find no member."""
    found = json.dumps(value)
    return json.dumps(_storable(value)) if "\\u0000" in found or "\\ud" in found else found


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "\\x00").encode(errors="backslashreplace").decode()
    if isinstance(value, dict):
        return {_storable(name): _storable(each) for name, each in value.items()}
    return [_storable(each) for each in value] if isinstance(value, list | tuple) else value
