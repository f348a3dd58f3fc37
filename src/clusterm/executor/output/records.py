"""The records of the callback plugin, checked: whatever a record has in it, reading a job's output goes on."""

from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from clusterm.enums import TaskStatus

_Text = Annotated[str, Field(max_length=10_000)]  # the plugin cuts them far below
_Count = Annotated[int, Field(ge=0, lt=2**53)]

LINES_OF_A_RESULT: Final = frozenset({"item", "retry", "async", "diff", "result"})
"""Events before which stands what a task has to say about one node."""


class CallbackRecord(BaseModel):
    """One call of the plugin by ansible; the plugin's docstring says what each member means."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")

    event: _Text
    number: Annotated[int, Field(ge=1, lt=2**31)] | None = None
    play: _Text | None = None
    task: _Text | None = None
    path: _Text | None = None
    node: _Text | None = None
    status: Annotated[TaskStatus, Field(strict=False)] | None = None
    message: _Text | None = None
    recap: dict[_Text, dict[_Text, _Count]] | None = None
    passed: list[_Text] | None = None


def parse(data: dict[str, Any]) -> CallbackRecord | None:
    """Return what a record tells; None if the plugin would not write such a one."""
    try:
        return CallbackRecord.model_validate(data)
    except ValidationError:
        return None
