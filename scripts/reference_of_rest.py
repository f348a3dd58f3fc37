"""Generate the reference of the REST API from its OpenAPI document."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from reference_markdown import REF, Schema, default_of, one_line, table, type_of

Operation = dict[str, Any]


def rest(document: dict[str, Any]) -> Iterator[str]:
    """Describe every operation, every error and every object."""
    schemas: dict[str, Schema] = document["components"]["schemas"]
    operations: dict[str, Operation] = {
        f"{method.upper()} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    for tag in document["tags"]:
        yield from ("", f"## {tag['name'].capitalize()}", "", tag["description"])
        for title, operation in operations.items():
            if tag["name"] in operation["tags"]:
                yield from _operation(title, operation, schemas)
    errors = {
        status: answer["description"]
        for operation in operations.values()
        for status, answer in operation["responses"].items()
        if _is_error(answer)
    }
    yield from ("", "## Errors", "", "Each is a [Problem](#problem). Any request can be answered with 431 and 503.", "")
    yield from table(("status", "meaning"), sorted(errors.items()))
    yield from ("", "## Objects")
    in_requests = sent(operations, schemas)
    for name, schema in sorted(schemas.items()):
        yield from _object(name, schema, is_sent=name in in_requests)


def _operation(title: str, operation: Operation, schemas: Mapping[str, Schema]) -> Iterator[str]:
    summary = operation["summary"].rstrip("?")
    yield from ("", f"### {title}", "", f"**{summary}.** {one_line(operation['description'])}", "")
    role = next((role for each in operation["security"] for role in each["token"]), None)
    yield from (f"Needs the role [{role}](enumerations.md#token-role)." if role else "Needs no token.", "")
    yield from table(
        ("parameter", "in", "type", "default", "meaning"),
        (
            (
                f"`{parameter['name']}`",
                parameter["in"],
                type_of(parameter["schema"]),
                "required" if parameter["required"] else default_of(parameter["schema"]),
                parameter.get("description", ""),
            )
            for parameter in operation.get("parameters", ())
        ),
    )
    if body := operation.get("requestBody"):
        schema = body["content"]["application/json"]["schema"]
        yield from ("", f"Body: {type_of(schema)}.")
        if example := _example(schema, schemas):
            yield from ("", "```json", json.dumps(example), "```")
    errors = []
    for status, answer in sorted(operation["responses"].items()):
        if _is_error(answer):
            errors.append(status)
        else:
            description = "" if answer["description"] == "Successful Response" else f" {answer['description']}"
            yield from ("", f"Answers {status}: {_body(answer)}.{description}")
    if errors:
        yield from ("", f"[Errors](#errors): {', '.join(errors)}.")


def _object(name: str, schema: Schema, *, is_sent: bool) -> Iterator[str]:
    yield from ("", f"### {name}", "")
    if text := schema.get("description"):
        yield from (one_line(text), "")
    if "enum" in schema:
        yield "One of " + ", ".join(f"`{value}`" for value in schema["enum"]) + ": see [Enumerations](enumerations.md)."
    required = schema.get("required", ())
    yield from table(
        ("member", "type", "default", "meaning"),
        (
            (
                f"`{member}`",
                type_of(value),
                is_sent * ("required" if member in required else default_of(value)),
                _meaning(value),
            )
            for member, value in schema.get("properties", {}).items()
        ),
    )


def sent(operations: Mapping[str, Operation], schemas: Mapping[str, Schema]) -> set[str]:
    """Return the names of the objects in request bodies."""
    text = json.dumps([operation.get("requestBody") for operation in operations.values()])
    names: set[str] = set()
    while more := set(re.findall(rf'"{REF}(\w+)"', text)) - names:
        names |= more
        text = json.dumps([schemas[name] for name in more])
    return names


def _is_error(answer: dict[str, Any]) -> bool:
    return "application/problem+json" in answer.get("content", {})


def _body(answer: dict[str, Any]) -> str:
    content = {media: type_of(described["schema"]) for media, described in answer["content"].items()}
    if list(content) == ["application/json"]:
        return content["application/json"]
    return " or ".join(f"`{media}` ({kind})" for media, kind in content.items())


def _meaning(value: Schema) -> str:
    example = next(iter(value.get("examples", ())), "")
    shown = f"For example `{json.dumps(example, ensure_ascii=False)}`." if example else ""
    return f"{value.get('description', '')} {shown}"


def _example(schema: Schema, schemas: Mapping[str, Schema]) -> Any:
    """Build an example of an object from the examples of its members; members without an example are omitted."""
    if "$ref" in schema:
        schema = schemas[schema["$ref"].removeprefix(REF)]
    if examples := schema.get("examples"):
        return examples[0]
    if schema.get("type") == "array":
        return [example] if (example := _example(schema["items"], schemas)) else []
    members = {name: _example(value, schemas) for name, value in schema.get("properties", {}).items()}
    return {name: value for name, value in members.items() if value}
