"""Retry operations while the store, the disk or the machine has no room for them."""

import logging
import time
from collections.abc import Callable
from typing import Final, TypeVar

from clusterm.common.transient import is_transient
from clusterm.store.errors import StoreUnavailable

log = logging.getLogger(__name__)

T = TypeVar("T")

_RETRY_INTERVAL_S: Final = 0.5


def retry_until_available(action: Callable[[], T]) -> T:
    """Run an operation, and retry it while it fails for a reason that may pass. ansible is not blocked meanwhile."""
    warned = False
    while True:
        try:
            return action()
        except (StoreUnavailable, OSError) as error:
            if not isinstance(error, StoreUnavailable) and not is_transient(error):
                raise
            if not warned:
                log.warning("retrying: %s", error)
            warned = True
            time.sleep(_RETRY_INTERVAL_S)
