"""Retry store operations until the store is available."""

import logging
import time
from collections.abc import Callable
from typing import Final, TypeVar

from sqlalchemy.exc import OperationalError

log = logging.getLogger(__name__)

T = TypeVar("T")

_RETRY_INTERVAL_S: Final = 0.5  # seconds between attempts while the store is locked or full


def retry_until_available(action: Callable[[], T]) -> T:
    """Run a store operation, and retry it while the store is locked or full. ansible is not blocked meanwhile."""
    warned = False
    while True:
        try:
            return action()
        except OperationalError as error:
            if not warned:
                log.warning("the store is not available, retrying: %s", error.orig)
            warned = True
            time.sleep(_RETRY_INTERVAL_S)
