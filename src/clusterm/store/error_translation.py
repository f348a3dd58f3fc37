"""Raises what SQLAlchemy and the drivers raise as errors of the store."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from clusterm.store import postgresql, sqlite
from clusterm.store.errors import StoreDamaged, StoreError, StoreUnavailable


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
    driver = sqlite if isinstance(error, sqlite.DriverError) else postgresql
    text = driver.message(error)
    if driver.is_damage(error):
        return StoreDamaged(text)
    return StoreUnavailable(text) if driver.is_transient(error) else StoreError(text)
