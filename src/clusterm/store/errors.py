"""Errors of the database, in place of the exceptions of SQLAlchemy and of the driver."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from clusterm.errors import ClustermError
from clusterm.store import sqlite


class StoreError(ClustermError):
    """The database did not do its work. The text is the driver's message, which contains no values of statements."""


class StoreUnavailable(StoreError):
    """The database cannot be used at the moment: it is locked or full, or its disk fails. A retry may succeed."""


class StoreReplaced(StoreError):
    """The database's file was moved, removed or replaced while it was in use. A retry does not help."""


class StoreDamaged(StoreError):
    """The database is damaged. A retry does not help."""


@contextmanager
def translate_errors() -> Iterator[None]:
    """Raise errors of the database that occur in the block as store errors.

    Raises:
        StoreError: the database did not do its work.
    """
    try:
        yield
    except DBAPIError as error:
        raise _store_error(error.orig or error) from error
    except sqlite.DriverError as error:
        raise _store_error(error) from error
    except PoolTimeout as error:
        raise StoreUnavailable("all connections to the database are in use") from error


def _store_error(error: BaseException) -> StoreError:
    if sqlite.is_damage(error):
        return StoreDamaged(str(error))
    return StoreUnavailable(str(error)) if sqlite.is_transient(error) else StoreError(str(error))
