"""Forms of the pages: their fields, and what a browser sends for them."""

import hashlib
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeVar
from urllib.parse import parse_qsl, urlencode

from fastapi import Depends, Request
from pydantic import BaseModel, ValidationError

from clusterm.errors import InvalidRequest, quote
from clusterm.jobs.requests import Requester
from clusterm.routes.auth import principal_of

M = TypeVar("M", bound=BaseModel)
Values = Mapping[str, str]
"""The first value of each field, by name. A checkbox that is not ticked is absent."""

_MAX_FIELDS: Final = 1000
_KEY: Final = "key"
"""Name of the hidden field that identifies repetitions of a form."""


@dataclass(frozen=True)
class Field:
    """A field of a form.

    Attributes:
        name: its name in the form.
        label: its text on the page.
        kind: `text`, `secret`, `area`, `number`, `switch`, or `choice` among `choices`.
        choices: the values that may be chosen, beside none.
        none: the name of choosing none of them.
        hint: what may be entered.
        required: whether the browser insists on a value.
        is_mono: whether its values are names, paths or JSON.
    """

    name: str
    label: str
    kind: str = "text"
    choices: Sequence[str] = ()
    none: str = "no change"
    hint: str = ""
    required: bool = False
    is_mono: bool = False


async def _read(request: Request) -> dict[str, str]:
    """Return the fields of a form. Sent bodies are limited by `manager.max_body_bytes`."""
    try:
        pairs = parse_qsl((await request.body()).decode(), keep_blank_values=True, max_num_fields=_MAX_FIELDS)
    except ValueError:
        raise invalid("the form cannot be read") from None
    return dict(reversed(pairs))


FormDep = Annotated[dict[str, str], Depends(_read)]


def invalid(detail: str) -> InvalidRequest:
    """Return the error of a form that is not valid."""
    return InvalidRequest(detail)


def validate(model: type[M], members: Mapping[str, Any]) -> M:
    """Return a request of the REST API with these members.

    Raises:
        InvalidRequest: a member is not valid.
    """
    try:
        return model.model_validate(members)
    except ValidationError as error:
        reasons = (f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()[:5])
        raise invalid("; ".join(reasons)) from None


def parse_vars(text: str) -> dict[str, Any]:
    """Return the variables of a field: a JSON object, or a line `NAME=VALUE` for each.

    Raises:
        InvalidRequest: the text is neither.
    """
    if text.lstrip().startswith("{"):
        try:
            value: dict[str, Any] = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise invalid(f"the variables are not a JSON object: {error}") from None
        return value
    found = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        name, equals, given = line.partition("=")
        if not (name.strip() and equals):
            raise invalid(f"{quote(line)} is no variable: write NAME=VALUE, one per line, or a JSON object")
        found[name.strip()] = given.strip()
    return found


def new_key() -> str:
    """Return a value of the hidden field by which a second click on a button starts no second job."""
    return secrets.token_urlsafe(16)


def requester_of(request: Request, form: Values, by: str) -> Requester:
    """Return the sender of a form, with the idempotency key that was made with the form.

    Raises:
        InvalidRequest: the form has no key.
    """
    key = form.get(_KEY, "")
    if not 1 <= len(key) <= 100:
        raise invalid("the form has no key: open it again")
    principal = principal_of(request)
    scoped = f"{principal.name}:ui-{key}" if principal else f"ui-{key}"
    path = request.scope["path"].removeprefix(request.scope["root_path"])
    digest = hashlib.sha256(f"{path}\n{urlencode(sorted(form.items()))}".encode()).hexdigest()
    return Requester(name=by, role=principal.role if principal else None, key=scoped, digest=digest)
