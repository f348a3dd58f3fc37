"""Base classes, types and checks for requests and responses."""

import json
import re
from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Any, Final, Generic, TypeVar

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from clusterm.common import contiv
from clusterm.common.actions import NAME_PATTERN
from clusterm.common.addresses import canonical_address
from clusterm.common.ip_ranges import expand
from clusterm.common.node_names import MAX_PART_LENGTH, PART_PATTERN, fit_part
from clusterm.common.timestamps import format_time
from clusterm.enums import Action, StepName
from clusterm.problem_codes import ProblemCode

T = TypeVar("T")

MAX_NESTING: Final = 100
"""Maximum levels of objects and arrays in extra vars and host vars."""

EXTRA_VARS_ERROR: Final = "extra_vars"
"""Type of the validation error of extra vars."""


def check_address(value: str) -> str:
    """Return the canonical form of an IP address or host name.

    Raises:
        ValueError: the value is neither.
    """
    try:
        return canonical_address(value)
    except ValueError as error:
        raise PydanticCustomError("address", "{message}", {"message": str(error)}) from None


def check_name(value: str) -> str:
    """Return the label or serial unchanged if it is valid.

    Raises:
        ValueError: the value is not valid.
    """
    if not re.fullmatch(PART_PATTERN, value):
        message = (
            f"{value[:80]!r} is no valid name: use up to {MAX_PART_LENGTH} letters, digits, dots, underscores and "
            "dashes, with a letter or digit at both ends"
        )
        raise PydanticCustomError("name", "{message}", {"message": message})
    return value


def fit_name(value: str) -> str:
    """Return a label or serial, as machines have it, as a valid one.

    Raises:
        ValueError: the value has no valid character.
    """
    return fit_part(value) or check_name(value)


def _parse_extra_vars(value: Any) -> Any:
    """Return extra vars as an object."""
    try:
        parsed = contiv.parse_object(value, parse_constant=_refuse_constant)
        if not isinstance(parsed, dict):
            raise TypeError(f"it is {_JSON_TYPES.get(type(parsed), 'something else')}")  # noqa: TRY301
        json.dumps(parsed, allow_nan=False, ensure_ascii=False).encode()
        if _is_deeper(parsed, MAX_NESTING):
            raise ValueError(f"it is nested more than {MAX_NESTING} levels deep")  # noqa: TRY301
    except (ValueError, TypeError, RecursionError) as error:
        raise PydanticCustomError(EXTRA_VARS_ERROR, "not a JSON object: {reason}", {"reason": str(error)}) from None
    return parsed


_JSON_TYPES: Final[dict[type, str]] = {
    list: "an array", str: "a string", int: "a number", float: "a number", bool: "a boolean", type(None): "null",
}  # fmt: skip


def _is_deeper(value: Any, levels: int) -> bool:
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return items is not None and (levels == 0 or any(_is_deeper(item, levels - 1) for item in items))


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def unique(values: list[str]) -> list[str]:
    """Return the values without duplicates, in order."""
    return list(dict.fromkeys(values))


def expand_addresses(value: Any) -> Any:
    """Replace ranges by their addresses."""
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        return [] if value is None else value
    try:
        return expand(value)
    except ValueError as error:
        raise PydanticCustomError("addresses", "{message}", {"message": str(error)}) from None


def none_to_empty_list(value: Any) -> Any:
    """Treat null as an empty list."""
    return [] if value is None else value


def none_to_empty_dict(value: Any) -> Any:
    """Treat null as an empty object."""
    return {} if value is None else value


def none_to_empty_string(value: Any) -> Any:
    """Treat null as an empty string."""
    return "" if value is None else value


Timestamp = Annotated[
    AwareDatetime,
    PlainSerializer(format_time, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}, mode="serialization"),
]


def _member_of(kind: type[StrEnum]) -> Callable[[str], str]:
    """Return a validator that makes a member out of the value of a member, and leaves other texts."""
    return lambda value: next((member for member in kind if member == value), value)


ActionName = Annotated[
    str, Field(pattern=NAME_PATTERN, examples=[Action.UPDATE.value]), AfterValidator(_member_of(Action))
]
"""A built-in action, or one of the site."""
StepLabel = Annotated[str, Field(examples=[StepName.CONFIGURE.value]), AfterValidator(_member_of(StepName))]
"""The name of a step, which for built-in actions is a StepName."""
Address = Annotated[str, AfterValidator(check_address)]
FittedName = Annotated[str, AfterValidator(fit_name)]
ExtraVars = Annotated[dict[str, Any], BeforeValidator(_parse_extra_vars)]
Seconds = Annotated[float, Field(ge=0, le=10**9, allow_inf_nan=False)]
HostGroup = Annotated[str, BeforeValidator(none_to_empty_string)]
Choices = Annotated[list[T], BeforeValidator(none_to_empty_list)]


class ResponseModel(BaseModel):
    """Base class of responses."""

    model_config = ConfigDict(extra="ignore", defer_build=True, json_schema_serialization_defaults_required=True)


class Request(BaseModel):
    """Base class of requests. Ignores members of other requests, because contiv's client always sends all members."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _drop_members_of_other_requests(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return contiv.own_members(value, cls.model_fields)


def _make_total_optional(schema: dict[str, Any]) -> None:
    """Correct the schema of a page, of which pydantic assumes that it has every member."""
    schema["required"] = [name for name in schema.get("required", []) if name != "total"]


class Page(ResponseModel, Generic[T]):
    """One page of a longer list."""

    model_config = ConfigDict(json_schema_extra=_make_total_optional)

    items: list[T]
    next: str | None = Field(description="Value of `cursor` for the next page; null on the last page.")
    total: int | None = Field(
        default=None,
        exclude_if=lambda total: total is None,
        description="Number of items on all pages; absent unless `total` asks for it.",
    )


class Problem(ResponseModel):
    """An error, after RFC 9457."""

    type: str = Field(
        default="about:blank",
        description="The code as URI; it leads nowhere.",
        examples=[ProblemCode.ACTIVE_JOB.type],
    )
    code: str = Field(
        default="", description="Kind of the problem, for programs.", examples=[ProblemCode.ACTIVE_JOB.value]
    )
    title: str = Field(description="The code in words.", examples=[ProblemCode.ACTIVE_JOB.summary])
    status: int = Field(description="The status of the response.", examples=[ProblemCode.ACTIVE_JOB.status.value])
    detail: str = Field(
        description="The reason, and what to do; for people.",
        examples=["another job has not ended: commission node1-a (7)"],
    )

    @classmethod
    def of(cls, code: ProblemCode, detail: str) -> "Problem":
        """Return a problem of a kind."""
        return cls(type=code.type, code=code, title=code.summary, status=code.status, detail=detail)
