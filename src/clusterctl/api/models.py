"""Responses and log queries of the client."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar

from clusterctl.errors import UnexpectedResponse
from clusterm.common.timestamps import format_time

if TYPE_CHECKING:
    from pydantic import BaseModel

M = TypeVar("M", bound="BaseModel")


Json = dict[str, Any]
"""JSON as the service sent it, including members that this version does not know."""


def read(model: type[M], data: Json) -> M:
    """Parse a response as a model.

    Raises:
        UnexpectedResponse: the response does not match the model.
    """
    from pydantic import ValidationError  # noqa: PLC0415 -- slow to load; `model` has loaded it

    try:
        return model.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or model.__name__
        raise UnexpectedResponse(
            f"this clusterctl cannot read the service's answer ({where}: {first['msg']}); "
            "if the service is newer, upgrade clusterctl, or print the answer unchanged with --json"
        ) from None


@dataclass(frozen=True)
class Lines:
    """Filters of log lines, all of which a line must match: query parameters of `GET /info/logs/{job}`."""

    first: int | None = None
    last: int | None = None
    since: datetime | None = None
    tail: int | None = None
    node: str | None = None
    task: str | None = None
    failed: bool = False
    grep: str | None = None
    ignore_case: bool = False

    def after(self, line: int) -> Lines:
        """Return the filters for the rest of the lines after the line with a number has arrived."""
        return replace(self, first=line + 1, since=None, tail=None)

    def parameters(self) -> Json:
        """Return the query parameters; a filter that is not set is None."""
        conditions = {"node": self.node, "task": self.task, "failed": self.failed or None, "grep": self.grep}
        numbers = {"from": self.first, "to": self.last, "since": format_optional_time(self.since), "tail": self.tail}
        return numbers | conditions | {"ignore_case": self.ignore_case or None}


ALL: Final = Lines()


def format_optional_time(moment: datetime | None) -> str | None:
    """Return a time in the format of the API; None for None."""
    return format_time(moment) if moment else None


def without_none(members: dict[str, Any]) -> dict[str, Any]:
    """Return the members that are not None."""
    return {name: value for name, value in members.items() if value is not None}
