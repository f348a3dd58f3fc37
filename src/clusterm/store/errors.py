"""Errors of the database, in place of the exceptions of SQLAlchemy and of the driver."""

from clusterm.errors import ClustermError


class StoreError(ClustermError):
    """The database did not do its work. The text is the driver's message, which contains no values of statements."""


class StoreUnavailable(StoreError):
    """The database cannot be used at the moment: it is locked, full or away, or its disk fails. A retry may succeed."""


class StoreReplaced(StoreError):
    """The database's file was moved, removed or replaced while it was in use. A retry does not help."""


class StoreDamaged(StoreError):
    """The database is damaged. A retry does not help."""
