"""Responses and log queries of the client."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from clusterctl.errors import (
    UnexpectedResponse,
)
from clusterm.schemas import format_time

M = TypeVar("M", bound=BaseModel)


Json = dict[str, Any]
"""What the service sent, as it sent it: also with members that this version does not know."""


def read(model: type[M], data: Json) -> M:
    """Take the service's answer for what it should be.

    Raises:
        UnexpectedResponse: it is not.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or model.__name__
        raise UnexpectedResponse(
            f"the service's answer is not what this clusterctl knows ({where}: {first['msg']}); "
            "is the service newer? Upgrade clusterctl, or read the answer as it is with --json"
        ) from None


@dataclass(frozen=True)
class Lines:
    """Which lines of a log: those that meet every condition, as `GET /info/logs/{job}` has them."""

    first: int | None = None
    last: int | None = None
    since: datetime | None = None
    tail: int | None = None
    node: str | None = None
    task: str | None = None
    failed: bool = False
    grep: str | None = None
    ignore_case: bool = False

    def after(self, line: int) -> "Lines":
        """Return what is left of them when those up to a number have arrived."""
        return replace(self, first=line + 1, since=None, tail=None)

    def parameters(self) -> Json:
        """Return them as the service knows them."""
        conditions = {"node": self.node, "task": self.task, "failed": self.failed or None, "grep": self.grep}
        numbers = {"from": self.first, "to": self.last, "since": format_optional_time(self.since), "tail": self.tail}
        return numbers | conditions | {"ignore_case": self.ignore_case or None}


ALL: Final = Lines()


def format_optional_time(moment: datetime | None) -> str | None:
    """Return a time as the service expects it; None for none."""
    return format_time(moment) if moment else None
