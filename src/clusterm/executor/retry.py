"""Retries store operations until the store is available."""

import logging
import time
from collections.abc import Callable
from typing import Final, TypeVar

from clusterm.store.errors import StoreUnavailable

log = logging.getLogger(__name__)

T = TypeVar("T")


_RETRY_INTERVAL_S: Final = 0.5  # seconds between tries to write to a store that is locked or full


def retry_until_available(action: Callable[[], T]) -> T:
    """Do something to the store, however long it is locked or full: ansible does not wait for it."""
    refused = False
    while True:
        try:
            return action()
        except StoreUnavailable as error:
            if not refused:
                log.warning("the store cannot be used, trying until it can: %s", error)
            refused = True
            time.sleep(_RETRY_INTERVAL_S)
