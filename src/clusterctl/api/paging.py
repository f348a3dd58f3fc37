"""Reads lists of the REST API page by page."""

from collections.abc import Callable, Iterator
from typing import Final, TypeVar

from pydantic import BaseModel

from clusterctl.api.models import Json, read

M = TypeVar("M", bound=BaseModel)

PAGE: Final = 1000
"""Maximum number of items per request."""


def pages(model: type[M], ask: Callable[[str | None], Json]) -> Iterator[M]:
    """Yield the items of all pages; a page is requested when the items before it were used.

    Args:
        model: of an item.
        ask: returns the page at a cursor; the first one at None.
    """
    cursor = None
    while True:
        page = ask(cursor)
        for item in page["items"]:
            yield read(model, item)
        cursor = page["next"]
        if cursor is None:
            return
