"""Validate records of the callback plugin; an invalid record never stops the parsing of a job's output."""

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from clusterm.enums import TaskStatus

_Text = Annotated[str, Field(max_length=10_000)]  # the plugin cuts texts at 2000 characters
_Count = Annotated[int, Field(ge=0, lt=2**53)]

LINES_OF_A_RESULT: Final = frozenset({"item", "retry", "async", "diff", "result"})
"""Events that are preceded by a task's output about one node."""

EVENTS_WITHOUT_LINES: Final = frozenset({"stopped", "cleared", "handled", "error"})
"""Events to which the lines before them do not belong."""

Outcome = Literal["passed", "failed", "unreachable", "unfinished"]
"""Outcome of a playbook for a host that a play is for, as ansible decided it."""


class CallbackRecord(BaseModel):
    """One callback of ansible; the plugin's docstring describes the members."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")

    event: _Text
    number: Annotated[int, Field(ge=1, lt=2**31)] | None = None
    play: _Text | None = None
    task: _Text | None = None
    path: _Text | None = None
    node: _Text | None = None
    status: Annotated[TaskStatus, Field(strict=False)] | None = None
    message: _Text | None = None
    failed: bool | None = None
    recap: dict[_Text, dict[_Text, _Count]] | None = None
    nodes: dict[_Text, Outcome] | None = None


def parse(data: dict[str, Any]) -> CallbackRecord | None:
    """Validate a record's data; None if the data is not a record of the plugin."""
    try:
        return CallbackRecord.model_validate(data)
    except ValidationError:
        return None
