"""Retry store operations until the store is available."""

import logging
import time
from collections.abc import Callable
from typing import Final, TypeVar

from clusterm.store.errors import StoreUnavailable

log = logging.getLogger(__name__)

T = TypeVar("T")

_RETRY_INTERVAL_S: Final = 0.5  # seconds between attempts while the store is locked or full


def retry_until_available(action: Callable[[], T]) -> T:
    """Run a store operation, and retry it while the store is locked or full. ansible is not blocked meanwhile."""
    warned = False
    while True:
        try:
            return action()
        except StoreUnavailable as error:
            if not warned:
                log.warning("the store is not available, retrying: %s", error)
            warned = True
            time.sleep(_RETRY_INTERVAL_S)
